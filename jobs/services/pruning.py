"""Retention: finished runs go when their time is over."""

from django.db import transaction

from jobs.transitions import runs


def prune(*, limit: int = 1000) -> int:
    """Remove at most `limit` finished runs past their retention, in one transaction, with all that
    belongs to them; return how many. Call it until it returns 0. Live runs are never touched.
    """
    with transaction.atomic():
        return runs.prune(limit=limit)
