"""The engine's use cases; the only place of the app that opens transactions."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from jobs import transitions
from jobs.definitions import Workflow
from jobs.dispatch import WakeUp, send
from jobs.errors import IdempotencyConflict, InvalidInput, LostLease
from jobs.models import Definition, Run, StepRun
from jobs.ports import RunHandle
from jobs.registry import registry
from jobs.transitions import Claim, Outcome
from jobs.values import error_json
from jobs.walk import Walk, pinned_plan

log = structlog.get_logger(__name__)

MAX_LENGTHS = {"company": 128, "env": 32, "idempotency_key": 200}


def start(
    workflow: Workflow[Any, Any],
    arguments: tuple[Any, ...],
    *,
    company: str | None,
    env: str = "live",
    idempotency_key: str | None = None,
    delay: timedelta | None = None,
) -> Run:
    """Start a run with positional arguments; see `Workflow.start`."""
    if delay is not None:
        raise NotImplementedError("start(delay=…) is not built yet")
    return _start(
        workflow,
        workflow.encode_input(arguments),
        company=company,
        env=env,
        idempotency_key=idempotency_key,
    )


def start_many(
    workflow: Workflow[Any, Any],
    arguments: list[tuple[Any, ...]],
    *,
    company: str | None,
    env: str = "live",
) -> list[RunHandle[Any]]:
    """Start a run for each tuple of arguments, all or none; see `Workflow.start_many`."""
    encoded = [workflow.encode_input(one) for one in arguments]
    with transaction.atomic():
        return [
            _start(workflow, one, company=company, env=env, idempotency_key=None) for one in encoded
        ]


def start_workflow(
    name: str,
    input: Any,  # noqa: A002 - the contract's word
    *,
    company: str | None,
    env: str = "live",
    idempotency_key: str | None = None,
    correlation_id: str | None = None,
    depth: int = 0,
) -> Run:
    """Start a run by the workflow's name with JSON data: one parameter's value, or an object by
    parameter.

    The run exists if and only if the caller's transaction commits. Raises `UnknownWorkflow`,
    `InvalidInput` or `IdempotencyConflict`.
    """
    workflow = registry.workflow(name)
    return _start(
        workflow,
        workflow.encode_named(input),
        company=company,
        env=env,
        idempotency_key=idempotency_key,
        correlation_id=correlation_id,
        depth=depth,
    )


def _start(
    workflow: Workflow[Any, Any],
    encoded: dict[str, Any],
    *,
    company: str | None,
    env: str,
    idempotency_key: str | None,
    correlation_id: str | None = None,
    depth: int = 0,
) -> Run:
    _check_options(workflow.name, company=company, env=env, idempotency_key=idempotency_key)
    run = Run(
        workflow=workflow.name,
        definition_id=workflow.plan.hash,
        company=company,
        env=env,
        queue=workflow.queue,
        input=encoded,
        idempotency_key=idempotency_key,
        correlation_id=correlation_id,
        depth=depth,
    )
    with transaction.atomic():
        _pin(workflow)
        if not transitions.insert_run(run):
            return _started_before(run)
        walk = Walk(run.pk, 1, workflow.name, workflow.queue, workflow.plan, encoded)
        entry = workflow.plan.start()
        assert entry is not None  # noqa: S101 - a workflow without a step is refused at import
        _send_after_commit(walk.enter(entry))
    return run


def _check_options(workflow: str, **options: str | None) -> None:
    """Refuse what the run's columns cannot hold; None is refused for `env` only."""
    found = []
    for name, value in options.items():
        maximum = MAX_LENGTHS[name]
        if value is None and name != "env":
            continue
        if not isinstance(value, str) or not 0 < len(value) <= maximum or not _is_storable(value):
            message = f"must be a text of 1 to {maximum} characters without NUL, not {value!r:.80}"
            found.append({"loc": (name,), "msg": message, "type": name})
    if found:
        raise InvalidInput(f"start of {workflow}", found)


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text


def _pin(workflow: Workflow[Any, Any]) -> None:
    Definition.objects.bulk_create(
        [Definition(workflow.plan.hash, workflow.name, workflow.plan.to_json())],
        ignore_conflicts=True,
    )


def _started_before(wanted: Run) -> Run:
    found = Run.objects.get(
        workflow=wanted.workflow,
        company=wanted.company,
        idempotency_key=wanted.idempotency_key,
    )
    if found.input != wanted.input:
        raise IdempotencyConflict(str(wanted.idempotency_key), found.pk)
    return found


def _send_after_commit(wake_ups: list[WakeUp]) -> None:
    if wake_ups:
        transaction.on_commit(partial(send, wake_ups))


def complete(held: Claim, outcome: Outcome) -> None:
    """Record that a step ended well (or was skipped) and make ready what follows; raises
    `LostLease`.
    """
    with transaction.atomic():
        if not transitions.settle(held, outcome):
            raise LostLease(held.node)
        _send_after_commit(Walk.of(held).go_on_after(held.node))


def postpone(held: Claim, *, error: str, delay: Any) -> None:
    """Record a failed attempt; the step is ready again after the delay (a timedelta). Raises
    `LostLease`.
    """
    if not transitions.postpone(held, error=error, delay=delay):
        raise LostLease(held.node)
    # A run that was told to stop meanwhile does not wait for the backoff.
    give_up_ready_steps(held.run_id)


def fail(held: Claim, *, error: str, undo: str | None = None) -> None:
    """Record that a step failed for good: its run stops, and turns once nothing is live.

    A compensation that failed is recorded, and the unwinding of the others goes on. Raises
    `LostLease`.
    """
    with transaction.atomic():
        if not transitions.settle(held, Outcome(StepRun.Status.FAILED, error=error, undo=undo)):
            raise LostLease(held.node)
        walk = Walk.of(held)
        if held.is_compensation:
            _send_after_commit(walk.go_on_after(held.node))
            return
        transitions.stop(held.run_id, why=Run.Stop.FAILED, error=error)
        _send_after_commit(walk.die_at(held.node))
    give_up_ready_steps(held.run_id)


def give_up_ready_steps(run_id: UUID | None = None, *, limit: int = 1000) -> int:
    """End the steps that must not start any more, of one stopping run or of all; return how many.

    One transaction a step: several at once could wait for each other's joins.
    """
    found = transitions.ready_steps_of_stopping_runs(run_id=run_id, limit=limit)
    return sum(_give_up(step_run_id) for step_run_id in found)


def _give_up(step_run_id: int) -> bool:
    with transaction.atomic():
        abandoned = transitions.abandon(step_run_id)
        if abandoned is None:
            return False
        run_id, generation, node = abandoned
        run = Run.objects.get(pk=run_id)
        plan = pinned_plan(run.definition_id)
        walk = Walk(run_id, generation, run.workflow, run.queue, plan, run.input)
        _send_after_commit(walk.die_at(node))
    return True


def cancel(run_id: UUID, *, reason: str) -> bool:
    """Stop a queued or running run and undo what it completed; False if it is ending."""
    error = error_json("Cancelled", reason, None)
    if not transitions.stop(run_id, why=Run.Stop.CANCELLED, error=error):
        return False
    give_up_ready_steps(run_id)
    return True


def sweep(*, limit: int = 1000) -> int:
    """Send the wake-ups whose moment has come, end what must not start; return how many rows moved.

    Called by the relay several times a second: two index scans when there is nothing to do. Leases
    and due times are the database's clock.
    """
    with transaction.atomic():
        wake_ups = transitions.due(resend=settings.JOBS_RESEND_AFTER, limit=limit)
        _send_after_commit(wake_ups)
    return len(wake_ups) + give_up_ready_steps(limit=limit)
