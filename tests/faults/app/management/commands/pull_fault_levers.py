"""`manage.py pull_fault_levers`: retry, fork, resume and resolve runs that have ended, as the seed
says; children and those of the fixed workflows are left alone.
"""

from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from jobs import services
from jobs.errors import RunRefused
from jobs.models import Run, StepRun
from tests.faults import numbers
from tests.faults.app import environment
from tests.faults.app.management.commands.start_fault_runs import insist
from tests.faults.seeds import rng

WHY = {"reason": "as planned", "by": "the history"}


class Command(BaseCommand):
    help = "Pull levers on the runs of a history of faults."

    def handle(self, *args: Any, **options: Any) -> None:
        for run in Run.objects.filter(parent=None, forked_from=None).order_by("created_at"):
            number = numbers.number_of(next(iter(run.input.values())))
            if numbers.is_ordinary(number):
                insist(partial(_pull, run.pk, number))


def _pull(run_id: UUID, number: int) -> None:
    run = Run.objects.get(pk=run_id)
    draw = rng(environment.seed(), "lever", number)
    with suppress(RunRefused):  # its lever was pulled before PostgreSQL went away
        match run.status, run.rollback:
            case "succeeded", _:
                if draw.random() < 0.3:
                    _fork(run, draw.random())
            case _, "incomplete" if not run.pivoted:
                draw.choice((_resume, _resolve))(run)
            case _, "incomplete":
                services.retry(run.pk, **WHY)
            case _ if draw.random() < 0.6:
                services.retry(run.pk, **WHY)
            case _:
                _fork(run, draw.random())


def _fork(run: Run, share: float) -> None:
    steps = StepRun.objects.filter(run=run, phase="forward").exclude(kind="admission")
    nodes = list(steps.order_by("id").values_list("node", flat=True))
    if nodes:
        services.fork(run.pk, from_step=nodes[int(share * len(nodes))], **WHY)


def _resume(run: Run) -> None:
    services.resume_rollback(run.pk, **WHY)


def _resolve(run: Run) -> None:
    """Resolve whatever failed, the items of an `each` before it."""
    failed = StepRun.objects.filter(run=run, phase="compensation", status="failed")
    for node in list(failed.order_by("-each", "id").values_list("node", flat=True)):
        with suppress(RunRefused):  # it was resolved with another
            services.resolve(run.pk, step=node, **WHY)
