"""One attempt of one step: claim it, call its code, record the outcome."""

import traceback
from datetime import timedelta
from typing import Any

import structlog
import svcs
from django.conf import settings

from jobs import services, transitions
from jobs.context import Context
from jobs.definitions import Compensation, Step
from jobs.errors import InvalidInput, InvalidOutput, LostLease
from jobs.injection import registry as service_registry
from jobs.models import StepRun
from jobs.outcomes import UNSET, Done, PermanentFailure, Retry, Skip
from jobs.plan import evaluate
from jobs.registry import registry
from jobs.transitions import Claim, Outcome
from jobs.values import Codec, error_json, to_json
from jobs.walk import Walk

log = structlog.get_logger(__name__)

TRACEBACK_CHARACTERS = 16_000


class StepFailed(Exception):
    """An attempt failed and its outcome is recorded; raised so that Celery's monitors show it as
    failed.
    """


def perform(step_run_id: int, *, worker: str) -> str:
    """Run the step's next attempt if it is due and free; return its status, or `not due`.

    Raises `StepFailed` after recording a failed attempt. A late or doubled message ends as `not
    due`.
    """
    held = transitions.claim(step_run_id, worker=worker, lease=settings.JOBS_LEASE)
    if held is None:
        return "not due"
    logger = log.bind(
        run_id=str(held.run_id), workflow=held.workflow, step=held.node, attempt=held.attempt
    )
    try:
        return _attempt(held, logger)
    except LostLease:
        logger.warning("lease_lost")
        return "lease lost"


def _attempt(held: Claim, logger: Any) -> str:
    step = registry.step(held.step)
    options = step.options_
    if held.attempt > options.attempts:  # each was claimed, and the last worker never came back
        message = f"no worker survived the step; {options.attempts} attempts"
        services.fail(held, error=error_json("WorkerLost", message, held.node))
        raise StepFailed(f"{held.node}: WorkerLost")
    try:
        outcome = _call(step, held, logger)
    except Skip as skip:
        error = error_json("Skip", str(skip), held.node)
        services.complete(held, Outcome(StepRun.Status.SKIPPED, error=error))
        return StepRun.Status.SKIPPED
    except PermanentFailure as failure:
        try:
            undo = _encode_undo(step, failure.undo)
        except InvalidOutput as invalid:  # raised from here it would leave no outcome at all
            return _fail(held, invalid)
        return _fail(held, failure, undo=undo)
    except (Exception, SystemExit) as failure:  # whatever the author's code raises
        for_good = isinstance(failure, (InvalidInput, InvalidOutput, *options.permanent_on))
        if for_good or held.attempt >= options.attempts:
            return _fail(held, failure)
        delay = failure.after if isinstance(failure, Retry) else None
        delay = options.backoff.delay(held.attempt) if delay is None else delay
        services.postpone(held, error=_describe(failure, held.node), delay=max(delay, timedelta(0)))
        logger.info("step_postponed", error=repr(failure), delay_seconds=delay.total_seconds())
        raise StepFailed(f"{held.node}: {type(failure).__name__}: {failure}") from None
    services.complete(held, outcome)
    logger.info("step_succeeded")
    return outcome.status


def _fail(held: Claim, failure: BaseException, *, undo: str | None = None) -> str:
    services.fail(held, error=_describe(failure, held.node), undo=undo)
    raise StepFailed(f"{held.node}: {type(failure).__name__}: {failure}") from None


def _call(step: Step[Any, Any], held: Claim, logger: Any) -> Outcome:
    with svcs.Container(service_registry) as container:
        context = _context(step, held, logger, container)
        if held.is_compensation:
            _compensate(step, held, context)
            return Outcome(StepRun.Status.SUCCEEDED, output="null")
        returned = step.fn(context, **_arguments(step, held))
    what = f"output of {held.node}"
    if isinstance(returned, Done):
        undo = _encode_undo(step, returned.undo)
        output = to_json(step.output.encode(returned.value, what=what), what=what)
        return Outcome(StepRun.Status.SUCCEEDED, output=output, undo=undo)
    output = to_json(step.output.encode(returned, what=what), what=what)
    return Outcome(StepRun.Status.SUCCEEDED, output=output)


def _arguments(step: Step[Any, Any], held: Claim) -> dict[str, Any]:
    node = Walk.of(held).plan.node(held.node)
    values = {
        name: evaluate(expression, output=held.outputs.__getitem__, inputs=held.input)
        for name, expression in node.inputs.items()
    }
    missing = sorted(set(values) - set(step.inputs))
    if missing:
        message = f"the deployed step has no parameter {', '.join(missing)}"
        raise InvalidInput(
            f"input of {held.node}", [{"loc": (), "msg": message, "type": "changed"}]
        )
    return {
        name: step.inputs[name].decode(value, what=f"input {name} of {held.node}")
        for name, value in values.items()
    }


def _compensate(step: Step[Any, Any], held: Claim, context: Context) -> None:
    compensation = step.compensation_
    if compensation is None:
        raise PermanentFailure(f"the deployed step {step.name!r} has no compensation any more")
    if compensation.argument is None:
        compensation.fn(context)
        return
    (value,) = held.outputs.values()
    compensation.fn(context, compensation.argument.decode(value, what=f"input of {held.node}"))


def _context(step: Step[Any, Any], held: Claim, logger: Any, container: svcs.Container) -> Context:
    def output(node: str) -> Any:
        if node not in held.outputs:
            held.outputs[node] = _stored_output(held, node)
        return held.outputs[node]

    def save_undo(data: Any) -> None:
        undo = _encode_undo(step, data)
        if undo is not None and not transitions.save_undo(held, undo):
            raise LostLease(held.node)

    return Context(
        run_id=held.run_id,
        step=held.node,
        attempt=held.attempt,
        company=held.company,
        env=held.env,
        input=next(iter(held.input.values())) if len(held.input) == 1 else held.input,
        idempotency_key=f"{held.run_id}/{held.node}/{held.generation}",
        log=logger,
        services=container,
        _output=output,
        _save_undo=save_undo,
    )


def _stored_output(held: Claim, node: str) -> Any:
    row = StepRun.objects.filter(
        run_id=held.run_id,
        generation=held.generation,
        node=node,
        status__in=[StepRun.Status.SUCCEEDED, StepRun.Status.SKIPPED],
    ).first()
    if row is None:
        raise KeyError(f"{node} has no output yet in run {held.run_id}")
    return row.output


def _encode_undo(step: Step[Any, Any], data: Any) -> str | None:
    if data is UNSET:
        return None
    compensation: Compensation | None = step.compensation_
    codec = compensation.argument if compensation and compensation.argument else Codec(Any)
    what = f"undo data of {step.name}"
    return to_json(codec.encode(data, what=what), what=what)


def _describe(failure: BaseException, node: str) -> str:
    trace = "".join(traceback.format_exception(failure))[-TRACEBACK_CHARACTERS:]
    return error_json(type(failure).__name__, str(failure), node, traceback=trace)
