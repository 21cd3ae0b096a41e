"""What can go wrong in a sync. The text of each is kept with the delivery: it holds no token.

SyncFailed                 tried again while attempts are left
├── Refused                permanent: the same record would be refused again
│   ├── DuplicateName      the provider has somebody of this name
│   └── NotFound           the provider does not have what the mapping names
├── StaleVersion           QuickBooks: changed since it was read
├── Rejected               the access token is not taken (401)
└── Halted                 nothing of this company goes through to this provider now
    ├── NotConnected       no tokens, or revoked ones: somebody must connect it again
    ├── Unavailable        no answer in time, or a failure of the provider's own
    └── Throttled          over the provider's rate: not before `retry_after`
"""

from datetime import datetime, timedelta


class SyncFailed(Exception):
    """The root: `status_code` and `response` are the provider's answer, if there was one."""

    permanent = False

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


class Halted(SyncFailed):
    pass


class NotConnected(Halted):
    pass


class Unavailable(Halted):
    pass


class Throttled(Halted):
    """`place` is the time in the provider's rate that this record was given, if it was."""

    place: datetime | None = None
