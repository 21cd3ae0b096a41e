"""The engine's own nodes: conditions, pure functions, waits, child runs, lists."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction

from jobs.addresses import function
from jobs.admission import ask
from jobs.errors import InvalidInput, LostLease, RunRefused
from jobs.in_step import is_stopping
from jobs.interrupt import WHATEVER, time_limit
from jobs.models import Run, StepRun
from jobs.options import StepOptions
from jobs.plan import Kind, Node, evaluate
from jobs.ports import ports
from jobs.registry import registry
from jobs.services import cancel, complete, fail, resume_rollback, retry
from jobs.services.events import begin_wait, last_look
from jobs.services.nested import begin_child
from jobs.services.unfolding import unfold
from jobs.sizes import limited
from jobs.transitions import moves
from jobs.transitions.claims import Claim
from jobs.transitions.moves import Outcome
from jobs.transitions.rows import clock
from jobs.values import error_json, to_json, words
from jobs.ways import node_of

LONGEST = timedelta(days=366)
_INCOMPLETE = Run.Rollback.INCOMPLETE
TIMEOUT = StepOptions.timeout  # of functions, which have no options


def _value(held: Claim, node: Node, name: str) -> Any:
    return evaluate(node.inputs[name], output=held.outputs.get, inputs=held.input)


def _done(held: Claim, value: Any, worker: str | None, *, skip: bool = False) -> Claim | None:
    text = limited(value, what=f"output of {held.node}")
    outcome = Outcome(StepRun.Status.SUCCEEDED, output=text)
    return complete(held, outcome, worker=worker, skip=skip)


def transform(held: Claim, worker: str | None) -> Claim | None:
    """Record what a pure function makes of earlier values."""
    node = node_of(held)
    fn = function(node.step)
    arguments = [_value(held, node, name) for name in node.inputs]
    try:
        with time_limit(TIMEOUT):
            value = fn.call(arguments, what=held.node)
    except WHATEVER as error:  # the author's function: no second try would do better
        return _broken(held, error)
    return _done(held, value, worker)


def when(held: Claim, worker: str | None) -> Claim | None:
    """Ask the predicate, and go into the block or past it."""
    node = node_of(held)
    fn = function(node.step)
    try:
        with time_limit(TIMEOUT):
            holds = fn.holds([_value(held, node, "value")], what=held.node)
    except WHATEVER as error:  # likewise
        return _broken(held, error)
    return _done(held, holds, worker, skip=not holds)


def _broken(held: Claim, error: BaseException) -> Claim | None:
    return fail(held, error=error_json(type(error).__name__, words(error), held.node))


def sleep(held: Claim, worker: str | None) -> Claim | None:
    """Wait for a moment, without lease or message; then go on."""
    if held.resumed:
        return _done(held, None, worker)
    node = node_of(held)
    if "seconds" in node.inputs:
        after = timedelta(seconds=_value(held, node, "seconds"))
        return _sleep(held, after=after)
    until, now = _moment(held, _value(held, node, "until")), clock()
    if until <= now:
        return _done(held, None, worker)
    if until - now > LONGEST:
        raise InvalidInput(held.node, [_issue(f"{until} is more than a year away")])
    return _sleep(held, until=until, extend=True)  # the run's time-out knows declared times only


def _sleep(held: Claim, **moment: Any) -> Claim | None:
    if not moves.wait(held, waiting_for=Run.WaitingFor.TIME, **moment):
        raise LostLease(held.node)
    return None


def _moment(held: Claim, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        message = f"sleep_until takes a moment such as 2026-11-21T12:00:00Z, not {value!r}"
        raise InvalidInput(held.node, [_issue(message)]) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _issue(message: str) -> dict[str, Any]:
    return {"loc": (), "msg": message, "type": "value"}


def wait(held: Claim, worker: str | None) -> Claim | None:
    """Wait for an event; its payload is the output, or None when the time is over.

    Then it looks once more for an event that came before: the worker that was to look when it had
    registered the wait may have died between the two.
    """
    if held.output is not None:
        return _done(held, held.output, worker)
    node = node_of(held)
    match = _value(held, node, "match")
    text, past = json.dumps(match), partial(_past, match=match)
    if held.resumed:
        return _done(held, last_look(held, match=text, past=past), worker)
    seconds = float(node.extra["timeout"])
    if not begin_wait(held, match=text, timeout_seconds=seconds, past=past):
        raise LostLease(held.node)
    return None


def _past(event_type: str, company: str | None, since: datetime, *, match: Any) -> Iterable[Any]:
    return ports.events.past(event_type, company, since, match) if ports.events else ()


def child(held: Claim, worker: str | None) -> Claim | None:
    """Start a child run and wait for its end; in the rollback, undo it and wait for that."""
    if held.is_compensation:
        return _undo_child(held, worker)
    found = Run.objects.filter(parent_id=held.id).first() or _adopted(held)
    if found is None:
        node = node_of(held)
        encoded = _child_input(held, node)
        begin_child(held, registry.workflow(held.step), encoded)
        return None
    if found.is_ended and found.status != Run.Status.SUCCEEDED and _is_to_try_again(held):
        return _try_child_again(held, found, worker)
    if not found.is_ended:
        return _wait_for_child(held)
    if found.status == Run.Status.SUCCEEDED:
        text = limited(found.output, what=f"output of {held.node}")
        return complete(held, Outcome(StepRun.Status.SUCCEEDED, output=text), worker=worker)
    return _child_failed(held, found, worker)


def _adopted(held: Claim) -> Run | None:
    """Run the child again, past its own point of no return, that an earlier round of the run left,
    and return it; another would do again what nobody undid.
    """
    if held.generation == 1:
        return None
    left = Run.objects.filter(
        parent__run_id=held.run_id,
        parent__node=held.node,
        pivoted=True,
        status__in=(Run.Status.FAILED, Run.Status.CANCELLED),
    ).order_by("-created_at")
    with transaction.atomic():
        child = left.first()
        if child is None:
            return None
        try:
            retry(child.pk, reason=f"run {held.run_id} is retried", by="the engine")
        except RunRefused as refusal:
            raise InvalidInput(held.node, [_issue(str(refusal))]) from refusal
        Run.objects.filter(pk=child.pk).update(parent_id=held.id)
    return Run.objects.get(pk=child.pk)


def _child_failed(held: Claim, child: Run, worker: str | None) -> Claim | None:
    detail = child.error or {}
    message = f"child run {child.pk} {child.status}: {detail.get('message', '')}"
    # What the child could not undo is the parent's to undo as well: its rollback is not complete.
    undo = to_json(str(child.pk), what="run") if child.rollback == _INCOMPLETE else None
    error = error_json("ChildRunFailed", message, held.node)
    return fail(held, error=error, undo=undo, worker=worker)


def _is_to_try_again(held: Claim) -> bool:
    """Whether this is another attempt, and not the one that hears how the child run ended: behind
    the point of no return, until the run's time is over.
    """
    return held.pivoted and not held.resumed and not is_stopping(held)


def _try_child_again(held: Claim, child: Run, worker: str | None) -> Claim | None:
    """Run a failed child run again; one that a person must see to first fails the attempt."""
    try:
        with transaction.atomic():
            retry(
                child.pk,
                reason=f"run {held.run_id} is past its point of no return",
                by="the engine",
            )
            return _wait_for_child(held)
    except RunRefused:
        return _child_failed(held, child, worker)


def _child_input(held: Claim, node: Node) -> dict[str, Any]:
    if node.kind == Kind.EACH:
        names = [name for name in node.inputs if name != "items"]
        return {node.extra["item"]: held.value, **{n: _value(held, node, n) for n in names}}
    return {name: _value(held, node, name) for name in node.inputs}


def _wait_for_child(held: Claim) -> Claim | None:
    # Its end wakes the step at once; this is for the case that the message of it was lost.
    after = settings.JOBS_RESEND_AFTER
    if not moves.wait(held, after=after, waiting_for=Run.WaitingFor.CHILD):
        raise LostLease(held.node)
    return None


def _undo_child(held: Claim, worker: str | None) -> Claim | None:
    forward = held.node.removesuffix(".compensate")
    found = Run.objects.filter(
        parent__run_id=held.run_id, parent__generation=held.generation, parent__node=forward
    ).first()
    if found is None:
        return _done(held, None, worker)
    try:
        found = _begin_undoing(held, found)
    except RunRefused as refusal:
        return fail(held, error=error_json("RunRefused", str(refusal), held.node), worker=worker)
    if not found.is_ended:
        return _wait_for_child(held)
    if found.rollback == _INCOMPLETE:
        message = f"the rollback of child run {found.pk} is incomplete"
        return fail(held, error=error_json("ChildRunFailed", message, held.node), worker=worker)
    return _done(held, None, worker)


def _begin_undoing(held: Claim, child: Run) -> Run:
    """Have a succeeded child undone; of one that could not undo itself resume the rollback, where
    that of its parent is resumed.
    """
    why = {"reason": f"run {held.run_id} is rolled back", "by": "the engine"}
    if child.status == Run.Status.SUCCEEDED:
        cancel(child.pk, **why)
        child.refresh_from_db()
    elif child.rollback == _INCOMPLETE and held.spent and not held.resumed:
        return resume_rollback(child.pk, **why)
    return child


def each(held: Claim, worker: str | None) -> Claim | None:
    """Unfold into an item for each element of the list; of an empty one, go on."""
    node = node_of(held)
    items = None if held.is_compensation else _value(held, node, "items")
    if items is not None and not isinstance(items, list):
        raise InvalidInput(held.node, [_issue(f"each() takes a list, not {type(items).__name__}")])
    if unfold(held, node, items):
        return None
    return _done(held, _of_items_done(held) if items else [], worker)


def _of_items_done(held: Claim) -> list[Any]:
    """Return the outputs of a list whose items were all done in the round before."""
    rows = StepRun.objects.filter(run_id=held.run_id, generation=held.generation, each=held.node)
    return list(rows.order_by("item").values_list("output", flat=True))


def admission(held: Claim, worker: str | None) -> Claim | None:
    """Wait for the run's place under its workflow's limits."""
    workflow = registry.workflow(held.step)
    options = workflow.options_
    arguments = workflow.decode_input(held.input)
    name = f"workflow {held.step}"
    if not ask(held, name, options.concurrency, options.rate, arguments, of_run=True):
        return None
    return complete(held, Outcome(StepRun.Status.SUCCEEDED), worker=worker)
