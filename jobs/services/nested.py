"""A step that is a run of its own."""

from typing import Any

from django.conf import settings
from django.db import transaction

from jobs.crashpoints import Point, reached
from jobs.definitions import Workflow
from jobs.errors import LostLease
from jobs.models import Run
from jobs.services.starting import start_child
from jobs.transitions import moves
from jobs.transitions.claims import Claim


def begin_child(held: Claim, workflow: Workflow[Any, Any], encoded: dict[str, Any]) -> Run:
    """Start the child run and let its step wait for it, in one transaction. Raises `LostLease`."""
    with transaction.atomic():
        after = settings.JOBS_RESEND_AFTER
        if not moves.wait(held, after=after, waiting_for=Run.WaitingFor.CHILD):
            raise LostLease(held.node)
        run = Run.objects.get(pk=held.run_id)
        child = start_child(workflow, encoded, parent=held.id, of=run)
        reached(Point.CHILD_WRITTEN)
    reached(Point.CHILD_STARTED)
    return child
