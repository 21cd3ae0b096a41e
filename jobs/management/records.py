"""All that the rows say about one run, as JSON data."""

from typing import Any
from uuid import UUID

from jobs.errors import UnknownRun
from jobs.models import Attempt, Run


def read(run_id: UUID) -> dict[str, Any]:
    """Return the run with its steps of all generations, their attempts, and what belongs to it;
    raises `UnknownRun`.
    """
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise UnknownRun(run_id)
    attempts: dict[int, list[dict[str, Any]]] = {}
    for attempt in _rows(Attempt.objects.filter(step_run__run=run)):
        attempts.setdefault(attempt.pop("step_run_id"), []).append(attempt)
    return {
        **_rows(Run.objects.filter(pk=run_id))[0],
        "steps": [{**step, "tries": attempts.get(step["id"], [])} for step in _rows(run.steps)],
        "waits": _rows(run.waits),
        "signals": _rows(run.signals),
        "actions": _rows(run.actions),
        "children": _rows(Run.objects.filter(parent__run=run)),
        "forks": list(run.forks.order_by("pk").values_list("pk", flat=True)),
    }


def _rows(rows: Any) -> list[dict[str, Any]]:
    return list(rows.order_by("pk").values())
