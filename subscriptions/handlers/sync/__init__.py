"""SYNC: keep the customers and suppliers of an accounting provider as the company's tables have
them.

`handler` takes deliveries, `pushing` one record, `records` reads it, `fields` names its parts,
`xero` and `quickbooks` are the providers behind the protocol in `providers`, `session` makes the
calls with `tokens` and at the pace of `pacing`.
"""

from subscriptions.handlers.sync import checks  # noqa: F401 - registers itself
from subscriptions.handlers.sync.handler import SyncHandler

__all__ = ["SyncHandler"]
