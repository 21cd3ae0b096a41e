"""Workflows as their authors write them; no Django in here."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from celery.canvas import Signature

from jobs.canvas import to_canvas
from jobs.checking import check_function, check_keys, check_name, check_parentheses
from jobs.cycles import calls_itself
from jobs.errors import DefinitionError, InvalidInput
from jobs.hooks import Hooks, check_attachments
from jobs.keywords import WorkflowKeywords, workflow_options
from jobs.lowering import declared_waits, lower, with_types
from jobs.options import WorkflowOptions, check_workflow_options
from jobs.plan import Expression, Kind, Plan
from jobs.reading import Reading, read
from jobs.registry import registry
from jobs.starting import START_OPTIONS, Startable
from jobs.steps import Compensation, Step, StepDecorator, step
from jobs.symbols import Symbol, express
from jobs.tracing import Traced, caller, current
from jobs.values import types_of

__all__ = ["Compensation", "Step", "StepDecorator", "Workflow", "step", "workflow"]

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Traced, Startable[P, R]):
    """A typed workflow: what it does, read once from its function, and the ways to start it."""

    fn: Callable[..., R]
    takes_list = False  # whether the one input is the list of all that `start` is given

    def __init__(
        self, reading: Reading, *, name: str, queue: str, options: WorkflowOptions
    ) -> None:
        self.reading = reading
        self.name = name
        self.queue = queue
        self.options_ = options
        self.inputs = reading.inputs
        self.output = reading.output
        self.hooks = Hooks(self)
        where = reading.where
        check_name(name, where)
        if clash := START_OPTIONS.intersection(self.inputs):
            raise DefinitionError(
                f"{where}: parameter {min(clash)!r} is also an option of start(); rename it"
            )
        if not lower(reading.body, {}).items:
            raise DefinitionError(f"{where}: the workflow calls no step; call one at least")
        check_workflow_options(options, where)
        check_keys(
            self.inputs,
            where,
            concurrency=options.concurrency,
            rate=options.rate,
            debounce=options.debounce,
            singleton=options.singleton,
            idempotency=options.idempotency,
        )
        self._check_schedule()
        if way := calls_itself(name, reading.body):
            raise DefinitionError(f"{where}: a cycle, which would never end: {' → '.join(way)}")
        registry.add_workflow(self)
        check_attachments(self)

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._record(self.name, None, args, kwargs))

    @cached_property
    def plan(self) -> Plan:
        """The structure that runs pin; fixed from the first look on, hooks included."""
        attached = {place: one.target for place, one in registry.attached_to(self.name).items()}
        return Plan(with_types(lower(self.reading.body, attached)), self.reading.result)

    @cached_property
    def types(self) -> str:
        """A short hash of what the workflow takes and returns."""
        return types_of(self.inputs, self.output)

    @cached_property
    def timeout(self) -> timedelta:
        """How long a run may take: as the option says, else 24 h and the declared sleeps and
        waits.
        """
        if not self.options_.is_timeout_extended:
            return self.options_.timeout
        return self.options_.timeout + declared_waits(self.plan)

    def options(self, *, name: str | None = None, queue: str | None = None) -> "ChildCall[P, R]":
        """Return this workflow for one call, as a child run, under another node name or queue."""
        if name is not None:
            check_name(name, caller())
        return ChildCall(self, name or self.name, queue)

    def canvas(self) -> Signature:
        """Return the Celery canvas that the workflow is: chains, groups, chords of signatures."""
        return to_canvas(self.plan, queue=self.queue)

    def encode_input(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        """Return the positional arguments as JSON data by parameter; raises `InvalidInput`."""
        names = list(self.inputs)
        if len(arguments) != len(names):
            raise self._wrong_count(
                f"takes {len(names)} ({', '.join(names)}), {len(arguments)} given"
            )
        return self._encode(dict(zip(names, arguments, strict=True)))

    def encode_named(self, value: Any) -> dict[str, Any]:
        """Return JSON data as the input: of one parameter the value itself, of several an object by
        name.
        """
        if len(self.inputs) == 1:
            return self._encode({next(iter(self.inputs)): value})
        if not isinstance(value, dict) or set(value) != set(self.inputs):
            raise self._wrong_count(
                f"takes an object of exactly {', '.join(self.inputs) or 'no keys'}"
            )
        return self._encode(value)

    def decode_input(self, encoded: dict[str, Any]) -> dict[str, Any]:
        """Return stored input as the annotated types, by parameter in declared order, which jsonb
        does not keep; raises `InvalidInput`.
        """
        if set(encoded) != set(self.inputs):
            raise self._wrong_count(
                f"takes {', '.join(self.inputs) or 'nothing'}, and {', '.join(encoded)} is stored"
            )
        return {
            name: codec.decode(encoded[name], what=f"input {name} of {self.name}")
            for name, codec in self.inputs.items()
        }

    def _wrong_count(self, message: str) -> InvalidInput:
        return InvalidInput(
            f"input of {self.name}", [{"loc": (), "msg": message, "type": "arguments"}]
        )

    def _encode(self, values: dict[str, Any]) -> dict[str, Any]:
        encoded, found = {}, []
        for name, codec in self.inputs.items():
            try:
                encoded[name] = codec.encode_input(values[name], what=name)
            except InvalidInput as error:
                found += [{**issue, "loc": (name, *issue["loc"])} for issue in error.issues]
        if found:
            raise InvalidInput(f"input of {self.name}", found)
        return encoded

    def _tuples(self, inputs: Iterable[Any]) -> list[tuple[Any, ...]]:
        if len(self.inputs) == 1:
            return [(value,) for value in inputs]
        return [tuple(values) for values in inputs]

    def _check_schedule(self) -> None:
        """A firing brings no input: none may be needed."""
        if self.options_.schedule is None or not self.inputs:
            return
        try:
            self.encode_named({})
        except InvalidInput as error:
            raise DefinitionError(
                f"{self.reading.where}: workflow {self.name!r} has a schedule, and a firing brings"
                f" no input ({error}); take none, or one model whose fields all have defaults"
            ) from error

    def _record(self, name: str, queue: str | None, args: Any, kwargs: Any) -> Symbol:
        trace = current()
        if trace is None:
            raise DefinitionError(
                f"{caller()}: start a workflow with {self.name!r}'s .start(…, company=…)"
            )
        inputs = self.bind(args, kwargs)
        node = trace.add(name, self.name, inputs, queue=queue, kind=Kind.CHILD)
        return Symbol({"$ref": node, "path": []}, self.output.annotation, trace.open)

    def bind(self, args: Any, kwargs: Any) -> dict[str, Expression]:
        """Return the arguments of a call as expressions by parameter; raises `DefinitionError`."""
        given = dict(zip(self.inputs, args, strict=False)) | kwargs
        if len(args) + len(kwargs) != len(given) or set(given) != set(self.inputs):
            raise DefinitionError(
                f"{caller()}: {self.name} takes {', '.join(self.inputs) or 'no inputs'}, each once"
            )
        return {
            parameter: express(given[parameter], codec, what=f"{self.name}({parameter}=…)")
            for parameter, codec in self.inputs.items()
        }


class ChildCall(Traced, Generic[P, R]):
    """A workflow to be called as a child run under another node name or on another queue."""

    def __init__(self, workflow: Workflow[P, R], name: str, queue: str | None) -> None:
        self.workflow = workflow
        self.name = name
        self.queue = queue

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self.workflow._record(self.name, self.queue, args, kwargs))


@overload
def workflow(
    *,
    name: str | None = None,
    queue: str = "default",
    **options: Unpack[WorkflowKeywords],
) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...
@overload
def workflow(
    *,
    name: str,
    queue: str = "default",
    canvas: Signature[Any],
    **options: Unpack[WorkflowKeywords],
) -> Workflow[..., Any]: ...
def workflow(
    given: Any = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    canvas: Signature[Any] | None = None,
    **options: Unpack[WorkflowKeywords],
) -> Any:
    """Read a function once, now, and make a durable workflow of the steps that it calls; or make
    one of a Celery `canvas` of steps and ordinary tasks.

    `timeout` is of the whole run (24 h and the declared sleeps and waits), `retention` how long a
    finished run is kept; both are timedeltas or seconds. `singleton`, `idempotency` and the keys of
    limits are functions of the inputs. `priority` is 0 to 9, the higher the sooner. `on_failure` is
    a step that is given the error, `(ctx, error: dict[str, Any])`, when a run has failed. Raises
    `DefinitionError` at import, naming file, line and remedy.
    """
    check_parentheses(given, "workflow")
    where = caller()
    kept = workflow_options(where, **options)
    if canvas is not None:
        return _of_canvas(canvas, name, where, queue=queue, options=kept)

    def decorate(fn: Callable[P, R]) -> Workflow[P, R]:
        named = f"{fn.__module__}.{fn.__qualname__}" if name is None else name
        check_function(fn, named)
        made: Workflow[P, R] = Workflow(read(fn, named), name=named, queue=queue, options=kept)
        made.fn = fn
        made.__doc__ = fn.__doc__
        return made

    return decorate


def _of_canvas(canvas: Signature[Any], name: str | None, where: str, **how: Any) -> Any:
    from jobs.handwritten import HandWritten, read_canvas

    if name is None:
        raise DefinitionError(f"{where}: a workflow of a canvas needs its name: workflow(name=…)")
    return HandWritten(read_canvas(canvas, name, where), name=name, **how)
