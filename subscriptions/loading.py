"""Subscriptions read so that one odd row, written by SQL, does not keep the others from being read.

A column may hold what Python has no value for: a year before 1, JSON nested beyond the parser's
stack, a secret that no key decrypts.
"""

from collections.abc import Sequence

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from subscriptions.models import Subscription

log = structlog.get_logger(__name__)


def load(rows: QuerySet[Subscription]) -> tuple[list[Subscription], dict[int, str]]:
    """Return the subscriptions by ascending id, and why each of the others cannot be read.

    One query if all can be read; else about two for each halving down to an odd row.
    """
    rows = rows.order_by("id")
    try:
        return list(rows), {}
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("subscriptions_unreadable")
    return _halve(rows, list(rows.values_list("pk", flat=True)))


def _halve(
    rows: QuerySet[Subscription], ids: Sequence[int]
) -> tuple[list[Subscription], dict[int, str]]:
    try:
        return list(rows.filter(pk__in=ids)), {}
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(ids) == 1:
            reason = f"the row cannot be read: {type(error).__name__}: {error}"
            return [], {ids[0]: reason.replace("\x00", "\ufffd")[:500]}
    middle = len(ids) // 2
    first, wrong = _halve(rows, ids[:middle])
    second, more = _halve(rows, ids[middle:])
    return first + second, wrong | more
