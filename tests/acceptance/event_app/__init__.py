"""A user's app (EXTRA_APPS) with a workflow that waits for an event which another one publishes."""
