"""What a key must be allowed to, and the log of what was done with it."""

import structlog

from jobs.api.security import CompanyKey, KeyRequest, actor

log = structlog.get_logger(__name__)

READ = CompanyKey("subscriptions:read")
WRITE = CompanyKey("subscriptions:write")


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
