"""The event system's part of the HTTP API; `counterpoint.api` mounts it at `/api/v1`."""
