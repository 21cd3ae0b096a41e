"""What people do to runs: cancel, retry, fork, resume a rollback, resolve a step by hand.

Each records who and why, and raises `UnknownRun` or `RunRefused` with what is allowed instead.
"""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from jobs.crashpoints import Point, reached
from jobs.errors import RunRefused, UnknownRun
from jobs.models import Action, Run, Signal, StepRun
from jobs.plan import COMPENSATE, Entry, Plan
from jobs.registry import registry
from jobs.services.sending import send_after_commit
from jobs.services.starting import admission, is_limited
from jobs.services.sweeping import give_up_unstarted
from jobs.services.turning import begin, enter, turn, unfinished
from jobs.standing import Standing
from jobs.transitions import runs
from jobs.transitions.rows import clock
from jobs.values import error_json
from jobs.ways import pinned_plan


def cancel(run_id: UUID, *, reason: str, by: str = "") -> bool:
    """Stop a live run, or a succeeded one, and undo what it completed; False if it has ended
    otherwise or is being undone already.

    Raises `RunRefused` past the point of no return.
    """
    error = error_json("Cancelled", reason, None)
    with transaction.atomic():
        run = _locked(run_id)
        if run.pivoted:
            raise RunRefused(run_id, "it is past its point of no return, and nothing can be undone")
        if run.status == Run.Status.SUCCEEDED:
            accepted = _reopen_succeeded(run_id, error)
        else:
            accepted = runs.stop(run_id, why=Run.Stop.CANCELLED, error=error)
        if accepted:
            _record(run_id, Action.Name.CANCEL, reason, by)
            reached(Point.CANCEL_WRITTEN)
    if accepted:
        reached(Point.CANCELLED)
        # In a caller's transaction it would hold the steps' locks with the run's, in no good order.
        transaction.on_commit(partial(give_up_unstarted, run_id))
    return accepted


def _reopen_succeeded(run_id: UUID, error: str) -> bool:
    changed = runs.reopen(
        run_id,
        wanted=(Run.Status.SUCCEEDED,),
        status=Run.Status.RUNNING,
        stop=Run.Stop.CANCELLED,
    )
    if changed:
        runs.call_turn(run_id, error=error)
        turn(run_id)
    return changed


def retry(run_id: UUID, *, reason: str, by: str = "") -> Run:
    """Run a failed or cancelled run again, under a new generation: outputs that were not undone
    stay, everything else runs.
    """
    with transaction.atomic():
        run = _locked(run_id)
        if run.status not in (Run.Status.FAILED, Run.Status.CANCELLED):
            raise RunRefused(
                run_id, f"it is {run.status}; failed and cancelled runs can be retried"
            )
        if not run.pivoted:
            _refuse_incomplete(run, "retry")
        _refuse_second_singleton(run)
        plan = pinned_plan(run.definition_id)
        standing = Standing.of(run, plan)
        _try_to_begin(run, standing)
        _record(run_id, Action.Name.RETRY, reason, by)
        _go_on(run, plan.start(standing.done))
    return run


def _try_to_begin(run: Run, standing: Standing) -> None:
    try:
        with transaction.atomic():
            _begin_generation(run, standing)
    except IntegrityError as error:  # a start took its singleton key just now
        why = "another run of its singleton key has begun; wait for its end"
        raise RunRefused(run.pk, why) from error


def _begin_generation(run: Run, standing: Standing) -> None:
    before, run.generation = run.generation, run.generation + 1
    StepRun.objects.filter(run=run, generation=before, node__in=standing.rows).update(
        generation=run.generation
    )
    # An event that a wait took which then came to nothing is there for the next.
    taken = Signal.objects.filter(run=run, taken_by__isnull=False)
    taken.exclude(taken_by__status=StepRun.Status.SUCCEEDED).update(taken_by=None)
    known = registry.workflows.get(run.workflow)
    timeout = known.timeout if known else None
    run.pivoted = run.pivoted and standing.has_pivot
    run.status = Run.Status.RUNNING
    Run.objects.filter(pk=run.pk).update(
        generation=run.generation,
        status=run.status,
        stop=None,
        error=None,
        output=None,
        rollback=Run.Rollback.NOT_NEEDED,
        rollback_plan=None,
        finished_at=None,
        expires_at=None,
        pivoted=run.pivoted,
        deadline_at=clock() + timeout if timeout else run.deadline_at,
    )


def _go_on(run: Run, entry: Entry | None) -> None:
    """Enter what is left of a run's plan, by way of its workflow's limits; of nothing, work out its
    end.
    """
    known = registry.workflows.get(run.workflow)
    if entry is not None and known is not None and is_limited(known):
        entry = admission(known)
    if entry is not None:
        send_after_commit(enter(run, StepRun.Phase.FORWARD, entry))
        return
    runs.call_turn(run.pk, error=None)
    turn(run.pk)


def fork(run_id: UUID, *, from_step: str, reason: str, by: str = "") -> Run:
    """Start a new run on the same pinned definition with the outputs from before `from_step`.

    Those stay the source's: it alone compensates them.
    """
    with transaction.atomic():
        source = _locked(run_id)
        _refuse_incomplete(source, "fork")
        plan = pinned_plan(source.definition_id)
        node = _node(plan, source, from_step)
        standing = Standing.of(source, plan).before(from_step, node, plan)
        made = _copy(source)
        _inherit(source, made, standing)
        _record(run_id, Action.Name.FORK, reason, by, node=from_step)
        _go_on(made, plan.start(standing.done))
    return made


def _copy(source: Run) -> Run:
    known = registry.workflows.get(source.workflow)
    timeout = known.timeout if known else None
    now = clock()
    return Run.objects.create(
        workflow=source.workflow,
        definition_id=source.definition_id,
        company=source.company,
        env=source.env,
        queue=source.queue,
        input=source.input,
        correlation_id=source.correlation_id,
        depth=source.depth,
        priority=source.priority,
        retention=source.retention,
        forked_from=source,
        generation=2,  # as after a retry, its tokens may come to nodes whose outputs it was given
        created_at=now,
        deadline_at=now + timeout if timeout else None,
    )


def _inherit(source: Run, made: Run, standing: Standing) -> None:
    rows = StepRun.objects.filter(
        run=source, generation=source.generation, node__in=standing.rows
    ).order_by("id")
    copies = []
    for row in rows:
        row.pk = None
        row.run = made
        row.generation = made.generation
        row.inherited = True
        copies.append(row)
    StepRun.objects.bulk_create(copies, batch_size=1000)


def resume_rollback(run_id: UUID, *, reason: str, by: str = "") -> Run:
    """Try the compensations again that failed for good."""
    with transaction.atomic():
        run = _locked(run_id)
        if run.rollback != Run.Rollback.INCOMPLETE:
            raise RunRefused(
                run_id, f"its rollback is {run.rollback}; only an incomplete one can be resumed"
            )
        if run.pivoted:
            raise RunRefused(run_id, "it failed past its point of no return; retry it")
        left = unfinished(run).values_list("node", "each")
        wanted = {(each or node).removesuffix(COMPENSATE) for node, each in left}
        _record(run_id, Action.Name.RESUME, reason, by)
        runs.reopen(
            run_id, wanted=(run.status,), status=Run.Status.RUNNING, stop=run.stop or run.status
        )
        run.refresh_from_db()
        begin(run, pinned_plan(run.definition_id).mirror(wanted))
    run.refresh_from_db()
    return run


def resolve(run_id: UUID, *, step: str, reason: str, by: str = "") -> Run:
    """Mark a compensation that failed as done by hand; with the last one the rollback is
    complete. `step` is the step's node, or its compensation's.
    """
    node = step if step.endswith(COMPENSATE) else step + COMPENSATE
    with transaction.atomic():
        run = _locked(run_id)
        open_ = unfinished(run)
        changed = open_.filter(node=node).update(status=StepRun.Status.RESOLVED)
        if not changed:
            names = sorted(open_.values_list("node", flat=True))
            raise RunRefused(
                run_id,
                f"{node} is no failed compensation of it; these are: {', '.join(names) or 'none'}",
            )
        _record(run_id, Action.Name.RESOLVE, reason, by, node=node)
        _resolve_rest(run, node)
        if run.rollback == Run.Rollback.INCOMPLETE and not unfinished(run).exists():
            Run.objects.filter(pk=run_id).update(rollback=Run.Rollback.COMPLETE)
    run.refresh_from_db()
    return run


def _resolve_rest(run: Run, node: str) -> None:
    """Resolve an `each` with its last item, and its items with the `each`."""
    open_ = unfinished(run)
    open_.filter(each=node).update(status=StepRun.Status.RESOLVED)
    each = (
        StepRun.objects.values_list("each", flat=True)
        .filter(run=run, generation=run.generation, node=node)
        .first()
    )
    if each and not open_.filter(each=each).exists():
        open_.filter(node=each).update(status=StepRun.Status.RESOLVED)


def _locked(run_id: UUID) -> Run:
    found = Run.objects.select_for_update(no_key=True).filter(pk=run_id).first()
    if found is None:
        raise UnknownRun(run_id)
    return found


def _refuse_incomplete(run: Run, what: str) -> None:
    if run.rollback == Run.Rollback.INCOMPLETE:
        raise RunRefused(
            run.pk, f"its rollback is incomplete: resume it or resolve its steps, then {what}"
        )
    if run.status == Run.Status.COMPENSATING:
        raise RunRefused(run.pk, f"it is being rolled back; {what} it when that has ended")


def _refuse_second_singleton(run: Run) -> None:
    if run.singleton_key is None:
        return
    live = Run.objects.filter(
        workflow=run.workflow,
        company=run.company,
        singleton_key=run.singleton_key,
        finished_at=None,
    ).first()
    if live is not None:
        raise RunRefused(run.pk, f"run {live.pk} of its singleton key is live; wait for its end")


def _node(plan: Plan, run: Run, wanted: str) -> str:
    names = {node.name for node in plan.nodes}
    if wanted in names:
        return wanted
    row: Any = StepRun.objects.filter(run=run, node=wanted, each__isnull=False).first()
    if row is None:
        raise RunRefused(run.pk, f"it has no step {wanted!r}; it has {', '.join(sorted(names))}")
    return str(row.each)


def _record(
    run_id: UUID, name: Action.Name, reason: str, by: str, *, node: str | None = None
) -> None:
    Action.objects.create(run_id=run_id, name=name, node=node, by=by[:200], reason=reason)
