"""What a claimed step's code is, what it is called with, and what it may give back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import svcs
from celery import Task, current_app
from django.db.models import Max

from jobs.context import Context, Kept
from jobs.definitions import Step
from jobs.errors import InvalidInput, UnknownStep
from jobs.models import StepRun
from jobs.options import StepOptions
from jobs.outcomes import UNSET, Done
from jobs.plain_tasks import call_task, options_of
from jobs.plan import Expression, Kind, Node, Plan, evaluate
from jobs.registry import registry
from jobs.sizes import limited, oversize
from jobs.transitions.claims import Claim
from jobs.values import Codec, to_json
from jobs.ways import node_of, plan_of

ANY = Codec(Any)


@dataclass(frozen=True)
class Work:
    """The code of a step or compensation, or an ordinary Celery task."""

    name: str
    options: StepOptions
    step: Step[Any, Any] | None
    task: Task[Any, Any] | None
    call: Callable[[Context, dict[str, Any]], Any]


def work_of(held: Claim) -> Work:
    """Return the deployed code of the claimed step; raises `UnknownStep`."""
    if held.kind == Kind.TASK:
        task = current_app.tasks.get(held.step)
        if task is None:
            raise UnknownStep(held.step)
        options = options_of(task)
        return Work(held.step, options, None, task, lambda ctx, a: call_task(task, ctx.attempt, a))
    step = registry.step(held.step)
    if held.is_compensation:
        return Work(held.step, step.options_, step, None, _compensate(step))
    return Work(held.step, step.options_, step, None, lambda ctx, a: step.fn(ctx, **a))


def _compensate(step: Step[Any, Any]) -> Callable[[Context, dict[str, Any]], Any]:
    compensation = step.compensation_
    if compensation is None:
        raise UnknownStep(f"{step.name}.compensate")
    fn = compensation.fn
    return lambda ctx, arguments: fn(ctx, *arguments.values())


def arguments_of(work: Work, held: Claim) -> dict[str, Any] | InvalidInput:
    """Return the step's arguments by parameter, or why they do not fit.

    Raises `UnknownStep` where not the values but the deployed types have changed since the run
    began: such a run waits for the code.
    """
    if held.is_compensation:
        return _undo_argument(work, held)
    if not held.is_forward:
        return _error_argument(work, held)
    node = node_of(held)
    try:
        values = {
            name: evaluate(expression, output=held.outputs.get, inputs=held.input)
            for name, expression in node.inputs.items()
            if not (node.kind == Kind.EACH and name == "items")
        }
    except InvalidInput as error:
        return error
    refusal = _too_large(held, node, values)
    if refusal is not None:
        return refusal
    if node.kind == Kind.EACH:
        values = {node.extra["item"]: held.value, **values}
    if work.step is None:
        return values
    return _decode(work, held, node, values)


def _too_large(held: Claim, node: Node, values: dict[str, Any]) -> InvalidInput | None:
    """Return what is wrong with an argument that gathers more than a value may be."""
    for name, value in values.items():
        if _gathers(plan_of(held), node.inputs[name]):
            what = f"input {name} of {held.node}"
            if (issue := oversize(to_json(value, what=what))) is not None:
                return InvalidInput(what, [issue])
    return None


def _gathers(plan: Plan, expression: Expression) -> bool:
    """Whether it puts several outputs together, each of which is small enough by itself."""
    if "$ref" in expression:
        return not expression["path"] and plan.node(expression["$ref"]).kind == Kind.EACH
    return not {"$list", "$concat", "$dict"}.isdisjoint(expression)


def _decode(
    work: Work, held: Claim, node: Node, values: dict[str, Any]
) -> dict[str, Any] | InvalidInput:
    assert work.step is not None  # noqa: S101 - the caller looked
    parameters = work.step.inputs
    if not work.step.required <= set(values) <= set(parameters):
        raise UnknownStep(f"{work.name} with the parameters {', '.join(sorted(values))}")
    try:
        return {
            name: parameters[name].decode(values[name], what=f"input {name} of {held.node}")
            for name in parameters
            if name in values
        }
    except InvalidInput as error:
        pinned = node.extra.get("types")
        if pinned is not None and pinned != work.step.types:
            raise UnknownStep(
                f"{work.name} with the types that the run was started with"
            ) from error
        return error


def _undo_argument(work: Work, held: Claim) -> dict[str, Any] | InvalidInput:
    assert work.step is not None  # noqa: S101 - tasks have no compensation
    compensation = work.step.compensation_
    if compensation is None or compensation.argument is None:
        return {}
    (value,) = held.outputs.values() if len(held.outputs) == 1 else (_own(held),)
    try:
        return {"value": compensation.argument.decode(value, what=f"input of {held.node}")}
    except InvalidInput as error:
        return error


def _own(held: Claim) -> Any:
    return held.outputs[held.node.removesuffix(".compensate")]


def _error_argument(work: Work, held: Claim) -> dict[str, Any] | InvalidInput:
    """Of the step that a workflow tells of its failure: the run's error."""
    assert work.step is not None  # noqa: S101 - only steps are told
    ((name, codec),) = work.step.inputs.items()
    error = StepRun.objects.values_list("run__error", flat=True).get(pk=held.id)
    try:
        return {name: codec.decode(error, what=f"input {name} of {held.node}")}
    except InvalidInput as invalid:
        return invalid


def encode(work: Work, held: Claim, returned: Any) -> tuple[str, str | None]:
    """Return the output and the undo data as JSON text; raises `InvalidOutput`."""
    what = f"output of {held.node}"
    if held.is_compensation or not held.is_forward:
        return "null", None
    codec = work.step.output if work.step is not None else ANY
    undo = None
    if isinstance(returned, Done):
        undo = encode_undo(work, returned.undo)
        returned = returned.value
    return limited(codec.encode(returned, what=what), what=what), undo


def encode_undo(work: Work, data: Any) -> str | None:
    """Return undo data as JSON text, None for none; raises `InvalidOutput`."""
    if data is UNSET:
        return None
    compensation = work.step.compensation_ if work.step is not None else None
    codec = compensation.argument if compensation and compensation.argument else ANY
    what = f"undo data of {work.name}"
    return limited(codec.encode(data, what=what), what=what)


def context_of(
    work: Work, held: Claim, arguments: dict[str, Any], logger: Any, container: svcs.Container
) -> Context:
    return Context(
        run_id=held.run_id,
        step=held.node,
        attempt=held.attempt,
        company=held.company,
        env=held.env,
        input=next(iter(held.input.values())) if len(held.input) == 1 else held.input,
        idempotency_key=f"{held.run_id}/{held.node}/{_round(held)}",
        log=logger,
        services=container,
        _held=held,
        _encode_undo=lambda data: encode_undo(work, data),
        _kept=Kept() if work.options.atomic else None,
    )


def _round(held: Claim) -> int:
    """Return the number of the run's round for keys: a new one begins when the run was undone.

    A run that is retried as it stands, behind its point of no return for instance, repeats a call
    of which nobody knows whether it arrived under the same key.
    """
    if held.generation == 1:
        return 1
    undone = StepRun.objects.filter(
        run_id=held.run_id, generation__lt=held.generation, phase=StepRun.Phase.COMPENSATION
    )
    return 1 + (undone.aggregate(last=Max("generation"))["last"] or 0)
