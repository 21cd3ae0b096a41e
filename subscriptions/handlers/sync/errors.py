"""What can go wrong in a sync. The text of each is kept with the delivery: it holds no token.

SyncFailed              tried again while attempts are left
├── Refused             permanent: the same record would be refused again
│   ├── DuplicateName   the provider has somebody of this name
│   └── NotFound        the provider does not have what the mapping names
├── StaleVersion        QuickBooks: changed since it was read
├── Rejected            the access token is not taken (401)
├── NotConnected        no tokens, or revoked ones: somebody must connect the company again
├── Unavailable         no answer in time, or a failure of the provider's own
└── Postponed           not now, but after `retry_after`; this counts as no try
    ├── Busy            another worker sends this record
    └── Throttled       the provider takes no more calls for now
"""

from datetime import datetime, timedelta
from typing import Any


class SyncFailed(Exception):
    """The root: `status_code` and `response` are the provider's answer, if there was one.

    `halts` says that the company's other records need not be tried at this provider now.
    """

    permanent = False
    halts = False

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        response: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.response = response
        self.retry_after = retry_after


class Refused(SyncFailed):
    permanent = True


class DuplicateName(Refused):
    pass


class NotFound(Refused):
    pass


class StaleVersion(SyncFailed):
    pass


class Rejected(SyncFailed):
    pass


class NotConnected(SyncFailed):
    halts = True


class Unavailable(SyncFailed):
    halts = True


class Postponed(SyncFailed):
    def __init__(self, message: str, *, retry_after: timedelta, **answer: Any) -> None:
        super().__init__(message, retry_after=retry_after, **answer)
        self.wait = retry_after


class Busy(Postponed):
    pass


class Throttled(Postponed):
    """`place` is the time in the provider's rate that this record was given, if it was."""

    place: datetime | None = None

    @property
    def halts(self) -> bool:  # type: ignore[override]  # one with a place is alone in waiting
        return self.place is None
