"""The last token of a run has come home: it ends, or it turns, or its rollback ends."""

from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from jobs.crashpoints import Point, reached
from jobs.errors import InvalidInput, InvalidOutput
from jobs.models import Hold, PendingEvent, Run, StepRun
from jobs.outputs import result_text
from jobs.plan import Entry, Kind, Node, Plan
from jobs.ports import event_system
from jobs.registry import registry
from jobs.services.sending import send_after_commit
from jobs.transitions import moves, runs
from jobs.values import error_json
from jobs.ways import entry_text, pinned_plan

log = structlog.get_logger(__name__)


def turn(run_id: UUID) -> bool:
    """Work out how the run goes on now that nothing of it is live; False if that is done."""
    with transaction.atomic():
        if not runs.take_turn(run_id):
            return False
        run = Run.objects.get(pk=run_id)
        if run.status == Run.Status.COMPENSATING:
            _end_rollback(run)
        elif run.stop is not None or not _end_forward(run):
            _begin_rollback(run)
        reached(Point.TURN_WRITTEN)
    reached(Point.TURNED)
    return True


def turn_soon(run_id: UUID) -> None:
    """Turn the run when the transaction at hand has committed.

    What goes wrong in it is logged and tried again by the sweep: the step's outcome stands.
    """
    transaction.on_commit(partial(try_turn, run_id))


def try_turn(run_id: UUID) -> bool:
    """Turn the run; what goes wrong is logged and put off, so that it holds up no other run."""
    try:
        return turn(run_id)
    except (OperationalError, InterfaceError):  # it is away: the sweep comes again
        log.warning("run_not_turned", run_id=str(run_id), exc_info=True)
    except Exception:
        log.exception("run_not_turned", run_id=str(run_id))
        runs.put_off_turn(run_id, by=settings.JOBS_RESEND_AFTER)
    return False


def _end_forward(run: Run) -> bool:
    """End the run well; False if it is to stop, because its result does not fit or it was told."""
    try:
        output = _output(run)
    except (InvalidInput, InvalidOutput) as error:
        details = error_json(type(error).__name__, str(error), None)
        runs.stop(run.pk, why=Run.Stop.FAILED, error=details)
        return False
    if not runs.finish_forward(run.pk, output=output):
        return False
    _publish(run)
    log.info("run_succeeded", run_id=str(run.pk), workflow=run.workflow)
    _ended(run)
    return True


def _output(run: Run) -> str | None:
    rows = StepRun.objects.filter(
        run_id=run.pk, generation=run.generation, phase=StepRun.Phase.FORWARD, each=None
    )
    values = dict(rows.values_list("node", "output"))
    plan = pinned_plan(run.definition_id)
    missing = {node.name for node in plan.nodes} - set(values)
    outputs = {**values, **dict.fromkeys(missing)}
    if missing and _was_cut(rows):
        try:
            return result_text(run.definition_id, run.workflow, run.input, outputs)
        except (InvalidInput, InvalidOutput):
            return None  # the rest was skipped, and so was the result
    return result_text(run.definition_id, run.workflow, run.input, outputs)


def _was_cut(rows: Any) -> bool:
    """Whether a step with `on_failure="skip_rest"` has failed."""
    failed = rows.filter(status=StepRun.Status.FAILED).values_list("step", flat=True)
    return (
        any(
            (known := registry.steps.get(name)) is None or known.options_.on_failure == "skip_rest"
            for name in failed
        )
        or rows.filter(kind=Kind.EACH).exists()
    )


def _publish(run: Run) -> None:
    """Make the events of the attempts that counted visible, with the run's success."""
    pending = PendingEvent.objects.filter(run_id=run.pk).select_related("step_run").order_by("id")
    for event in pending:
        step = event.step_run
        counts = step.status == StepRun.Status.SUCCEEDED and step.fence == event.fence
        if not counts or step.generation != run.generation:  # of an earlier round it was undone
            continue
        event_system().publish(
            event.event_type,
            event.payload,
            company=run.company,
            key=event.key,
            correlation_id=run.correlation_id or str(run.pk),
            depth=run.depth + 1,
            run_id=run.pk,
        )
    pending.delete()


def _begin_rollback(run: Run) -> None:
    if run.pivoted:  # past the point of no return nothing is undone: a person decides
        runs.finish_stopped(run.pk, rollback=Run.Rollback.INCOMPLETE)
        _ended(run)
        return
    plan = pinned_plan(run.definition_id).mirror(to_be_undone(run))
    begin(run, plan)


def begin(run: Run, plan: Plan) -> None:
    """Unwind a stopped run along the mirrored plan."""
    if not runs.begin_rollback(run.pk, plan=plan.to_json()):
        return
    entry = plan.start()
    if entry is not None:
        send_after_commit(enter(run, StepRun.Phase.COMPENSATION, entry))
        return
    runs.finish_stopped(run.pk, rollback=Run.Rollback.NOT_NEEDED)
    _ended(run)


def enter(run: Run, phase: str, entry: Entry) -> list[Any]:
    """Make an entry ready and return what to send."""
    text = entry_text(entry, phase=phase, run_queue=run.queue)
    return runs.enter(run, phase=phase, entry=text, resend=settings.JOBS_RESEND_AFTER)


def to_be_undone(run: Run) -> set[str]:
    """Return the nodes with a compensation that completed, or failed or stopped with undo data."""
    rows = StepRun.objects.filter(
        run_id=run.pk, generation=run.generation, phase=StepRun.Phase.FORWARD, inherited=False
    )
    done = rows.filter(
        Q(status=StepRun.Status.SUCCEEDED)
        | Q(undo__isnull=False) & ~Q(status=StepRun.Status.SKIPPED)
    )
    found = done.values_list("node", "each", "step", "kind").distinct().order_by()
    return {each or node for node, each, step, kind in found if _has_compensation(step, kind)}


def _has_compensation(step: str, kind: str) -> bool:
    if kind == Kind.CHILD:
        return True
    if kind != Kind.STEP:
        return False
    known = registry.steps.get(step)
    # A step that the deployed code does not know is kept: better asked about than lost.
    return known is None or known.compensation_ is not None


def _end_rollback(run: Run) -> None:
    left_over = unfinished(run).exists()
    rollback = Run.Rollback.INCOMPLETE if left_over else Run.Rollback.COMPLETE
    runs.finish_stopped(run.pk, rollback=rollback)
    log.info("run_rolled_back", run_id=str(run.pk), workflow=run.workflow, rollback=rollback)
    _ended(run)


def unfinished(run: Run) -> Any:
    """Return the compensations of the present generation that failed."""
    return StepRun.objects.filter(
        run_id=run.pk,
        generation=run.generation,
        phase=StepRun.Phase.COMPENSATION,
        status=StepRun.Status.FAILED,
    )


def _ended(run: Run) -> None:
    """Tell the parent, those in line for the run's place, and the step that hears of failures."""
    run.refresh_from_db(fields=["status", "error"])
    if run.parent_id is not None:
        send_after_commit(runs.wake_parent(run.parent_id, resend=settings.JOBS_RESEND_AFTER))
    known = registry.workflows.get(run.workflow)
    if known is not None and known.options_.on_failure and run.status == Run.Status.FAILED:
        node = Node(f"{known.options_.on_failure} (on failure)", known.options_.on_failure)
        send_after_commit(enter(run, StepRun.Phase.ON_FAILURE, Entry((node,))))
    run_ended(run.pk, run.workflow)


def run_ended(run_id: UUID, workflow: str) -> None:
    """Give the run's place under its workflow's limit to the next in line."""
    known = registry.workflows.get(workflow)
    if known is None or known.options_.concurrency is None:
        return
    held = Hold.objects.filter(run_id=run_id, step_run=None).values_list("name", "key")
    for name, key in held:
        send_after_commit(moves.wake_limited(name, key, resend=settings.JOBS_RESEND_AFTER))
