"""Thousands of runs in two COPYs."""

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from django.db import connection

from jobs.dispatch import WakeUp
from jobs.models import Run, StepRun
from jobs.transitions.claims import task_of
from jobs.transitions.rows import rows, to_text

_RUNS = (
    "COPY jobs_run (id, workflow, definition_id, company, env, queue, status, rollback, generation,"
    " input, depth, priority, pivoted, retention, created_at, deadline_at) FROM STDIN"
)
_STEPS = (
    "COPY jobs_steprun (id, run_id, generation, node, step, kind, phase, status, queue, priority,"
    " needs, attempts, fence, due_at, wake_at, created_at) FROM STDIN"
)
_JOINS = "COPY jobs_join (run_id, generation, name, live, cut) FROM STDIN"


def copy_runs(
    made: Sequence[Run], entry: str, *, timeout: timedelta, resend: timedelta
) -> list[WakeUp]:
    """Insert the runs, each with the same first steps, and return what to send.

    Call it in a transaction; the definition is pinned already.
    """
    first = json.loads(entry)
    nodes, joins = first["nodes"], first["joins"]
    ((now,),) = rows("SELECT clock_timestamp()", {})
    ids = iter(_new_ids(len(made) * len(nodes)))
    wake_ups: list[WakeUp] = []
    steps: list[tuple[Any, ...]] = []
    for run in made:
        for node, id_ in zip(nodes, islice(ids, len(nodes)), strict=True):
            steps.append(_step(run, node, id_, now, now + resend))
            task = task_of(node["step"], node["kind"], StepRun.Phase.FORWARD)
            wake_ups.append(WakeUp(id_, run.pk, task, node["queue"], run.company))
    with connection.cursor() as cursor:
        _copy(cursor, _RUNS, [_run(run, now, now + timeout) for run in made])
        _copy(cursor, _STEPS, steps)
        _copy(
            cursor,
            _JOINS,
            [(run.pk, 1, j["name"], j["live"], False) for run in made for j in joins],
        )
    return wake_ups


def _new_ids(count: int) -> list[int]:
    found = rows(
        "SELECT nextval(pg_get_serial_sequence('jobs_steprun', 'id'))"
        " FROM generate_series(1, %(count)s)",
        {"count": count},
    )
    return [row[0] for row in found]


def _copy(cursor: Any, statement: str, lines: list[tuple[Any, ...]]) -> None:
    if lines:
        with cursor.copy(statement) as copy:
            for line in lines:
                copy.write_row(line)


def _run(run: Run, now: Any, deadline: Any) -> tuple[Any, ...]:
    return (
        *(run.pk, run.workflow, run.definition_id, run.company, run.env, run.queue, "queued"),
        *("not_needed", 1, to_text(run.input), 0, run.priority, False, run.retention, now),
        deadline,
    )


def _step(run: Run, node: dict[str, Any], id_: int, now: Any, wake: Any) -> tuple[Any, ...]:
    return (
        *(id_, run.pk, 1, node["node"], node["step"], node["kind"], "forward", "ready"),
        *(node["queue"], run.priority, json.dumps(node["needs"]), 0, 0, now, wake, now),
    )
