"""What a key must be allowed to."""

from jobs.api.security import CompanyKey

READ = CompanyKey("subscriptions:read")
WRITE = CompanyKey("subscriptions:write")
