"""Retention: finished runs go when their time is over, and so do the slots of schedules."""

from datetime import timedelta

from django.db import transaction

from jobs.registry import registry
from jobs.transitions import firings, runs

# A backfill starts nothing for the slots that it has filled before: for so long they are kept.
FIRINGS_KEPT = timedelta(days=400)
LONGEST = timedelta(days=36_500)


def prune(*, limit: int = 1000) -> int:
    """Remove at most `limit` finished runs past their retention, in one transaction, with all that
    belongs to them; return how many. Call it until it returns 0. Live runs are never touched.
    """
    with transaction.atomic():
        return runs.prune(limit=limit)


def prune_firings(*, limit: int = 1000) -> int:
    """Remove at most `limit` firings that neither a beat nor a backfill asks for any more, in one
    transaction; return how many. One stays as long as its run, and as long as it may be caught up.
    """
    schedules = [known.options_.schedule for known in registry.workflows.values()]
    catch_ups = [one.catch_up for one in schedules if one is not None and one.catch_up is not None]
    with transaction.atomic():
        return firings.prune(age=min(max([FIRINGS_KEPT, *catch_ups]), LONGEST), limit=limit)
