"""Ids of Celery tasks that name the run they work for: `<run>.<step's row>.<random>`.

So a worker that is told to revoke a task knows whose it is, wherever its message may be. The last
part makes each message's id its own: a revoked one must not take later messages with it.
"""

import secrets
from uuid import UUID


def new_task_id(run_id: UUID, step_run_id: int) -> str:
    """Return the id of another task for that step."""
    return f"{run_id}.{step_run_id}.{secrets.token_hex(4)}"


def run_of(task_id: str) -> UUID | None:
    """Return the run that a task works for; None if the task is no step's."""
    run, _, rest = task_id.partition(".")
    if not rest:
        return None
    try:
        return UUID(run)
    except ValueError:
        return None
