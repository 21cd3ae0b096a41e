"""What a key must be allowed to, and the log of what was done with it."""

import structlog

from jobs.api.problems import Forbidden
from jobs.api.security import CompanyKey, KeyRequest, actor
from subscriptions.handlers.contract import registered

log = structlog.get_logger(__name__)

READ = CompanyKey("subscriptions:read")
WRITE = CompanyKey("subscriptions:write")


def allow(request: KeyRequest, handler_type: str) -> None:
    """Raise Forbidden unless the key may do itself what the handler type would do for it."""
    handler = registered().get(handler_type)
    needed = None if handler is None else handler.scope
    if needed is not None and needed not in request.auth.scopes:
        raise Forbidden(
            f"a subscription of type {handler_type} needs the scope {needed}, too; the API key"
            f" {request.auth.name!r} has {', '.join(request.auth.scopes)}"
        )


def note(request: KeyRequest, done: str, subscription_id: int, **more: object) -> None:
    """Log who did what to a subscription."""
    company = request.auth.company
    log.info(
        "subscription_changed",
        done=done,
        by=actor(request),
        company=company,
        subscription=subscription_id,
        **more,
    )
