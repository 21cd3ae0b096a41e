"""Who calls: the company's API key in `Authorization: Bearer`. Sessions are not looked at."""

from django.http import HttpRequest
from ninja.security import HttpBearer

from jobs import keys
from jobs.api.problems import Forbidden
from jobs.models import ApiKey


class KeyRequest(HttpRequest):
    """A request whose key was found good."""

    auth: ApiKey


class CompanyKey(HttpBearer):
    """Ask for a key with this scope."""

    openapi_description = "An API key of a company: `cpk_…`. It sees only what is its company's."

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey:
        """Return the key; raises `InvalidKey` or `Forbidden`."""
        key = keys.authenticate(token.strip())
        if self.scope not in key.scopes:
            has = ", ".join(key.scopes)
            raise Forbidden(
                f"this needs the scope {self.scope}; the API key {key.name!r} has {has}"
            )
        return key


READ = CompanyKey("runs:read")
WRITE = CompanyKey("runs:write")


def actor(request: KeyRequest) -> str:
    """Return who is recorded as having acted."""
    return f"API key {request.auth.name}"
