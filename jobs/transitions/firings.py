"""The slots of schedules that were fired: how long they are remembered."""

from datetime import timedelta

from jobs.transitions.rows import rows


def prune(*, age: timedelta, limit: int) -> int:
    """Remove at most `limit` firings whose rows and slots are older than `age` and whose runs are
    gone; return how many.

    A workflow's newest slot stays, however old: a leap day's is owed until the next one.
    """
    # Of a volatile function's value no index is searched.
    found = rows(
        "DELETE FROM jobs_firing WHERE id IN (SELECT f.id FROM jobs_firing AS f"
        " WHERE f.run_id IS NULL AND f.outcome <> 'queued'"
        " AND f.created_at < statement_timestamp() - %(age)s::interval"
        " AND f.slot < statement_timestamp() - %(age)s::interval"
        " AND EXISTS (SELECT FROM jobs_firing AS n WHERE n.workflow = f.workflow"
        " AND n.slot > f.slot)"
        " ORDER BY f.created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) RETURNING id",
        {"age": age, "limit": limit},
    )
    return len(found)
