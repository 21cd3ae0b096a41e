"""What stands where: open deliveries, live runs, and steps that nobody takes. By index only."""

from datetime import timedelta

from django.conf import settings

from subscriptions.statements import fetch

COUNTED = 100_000  # of more it is said only that there are so many

# Each part has the condition of an index, and its order.
LIVE_RUNS = """
SELECT status, count(*) FROM (
    (SELECT status FROM jobs_run WHERE stop IS NULL AND status IN ('queued', 'running', 'waiting')
     ORDER BY deadline_at LIMIT %(most)s)
    UNION ALL
    (SELECT status FROM jobs_run
     WHERE stop IS NOT NULL AND status IN ('queued', 'running', 'waiting')
     ORDER BY created_at LIMIT %(most)s)
    UNION ALL
    (SELECT status FROM jobs_run WHERE status = 'compensating' ORDER BY created_at LIMIT %(most)s)
) AS live GROUP BY status
"""
OPEN_DELIVERIES = """
SELECT status, count(*) FROM (
    (SELECT status FROM event_system_delivery
     WHERE status IN ('pending', 'running', 'retrying', 'waiting', 'queued')
     ORDER BY due_at LIMIT %(most)s)
    UNION ALL
    (SELECT status FROM event_system_delivery WHERE status = 'held'
     ORDER BY subscription_id, event_seq LIMIT %(most)s)
) AS open GROUP BY status
"""
# A ready step is looked at by the sweep at `wake_at`, again and again; `due_at` stays. One whose
# `wake_at` is long past is looked at by nobody: the sweep does not run.
STUCK_STEPS = """
SELECT r.workflow, count(*) FROM (
    SELECT run_id FROM jobs_steprun
    WHERE status IN ('ready', 'running', 'waiting') AND wake_at < clock_timestamp() + %(resend)s
        AND (wake_at < clock_timestamp() - %(late)s
            OR status = 'ready' AND due_at < clock_timestamp() - %(late)s
            OR status = 'waiting' AND waiting_for = 'code'
                AND created_at < clock_timestamp() - %(late)s)
    ORDER BY wake_at LIMIT %(most)s
) AS s JOIN jobs_run r ON r.id = s.run_id GROUP BY r.workflow
"""
DEAD_LETTERS = """
SELECT reason, count(*) FROM (
    SELECT reason FROM event_system_dead_letter WHERE status = 'open'
    ORDER BY reason, id LIMIT %(most)s
) AS open GROUP BY reason
"""
LIVE_STATUSES = ("queued", "running", "waiting", "compensating")
OPEN_STATUSES = ("pending", "running", "retrying", "waiting", "queued", "held")


def live_runs() -> dict[str, int]:
    """Return how many runs have not ended, by status, counted up to 100,000."""
    return dict.fromkeys(LIVE_STATUSES, 0) | dict(fetch(LIVE_RUNS, {"most": COUNTED}))


def open_deliveries() -> dict[str, int]:
    """Return how many deliveries have not ended, by status, counted up to 100,000."""
    return dict.fromkeys(OPEN_STATUSES, 0) | dict(fetch(OPEN_DELIVERIES, {"most": COUNTED}))


def open_dead_letters() -> dict[str, int]:
    """Return how many messages from outside are dead letters still, by reason, up to 100,000."""
    return dict(fetch(DEAD_LETTERS, {"most": COUNTED}))


def stuck_steps(late: timedelta) -> dict[str, int]:
    """Return how many steps have been due for longer than `late` and nobody took, by workflow."""
    found = fetch(
        STUCK_STEPS, {"late": late, "resend": settings.JOBS_RESEND_AFTER, "most": COUNTED}
    )
    return dict(found)
