"""Steps and workflows as their authors write them; no Django in here."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from celery.canvas import Signature

from jobs.canvas import BARRIER, to_canvas
from jobs.context import Context
from jobs.errors import DefinitionError, InvalidInput, InvalidOutput
from jobs.options import StepOptions, check_options
from jobs.outcomes import Done
from jobs.plan import COMPENSATE, Chain, Group, Plan, references
from jobs.ports import RunHandle, ports
from jobs.registry import registry
from jobs.retry import Backoff
from jobs.tracing import Symbol, caller, current, express, tracing
from jobs.values import Codec, codecs_of, place

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

MAX_NAME = 200
START_OPTIONS = frozenset({"company", "env", "idempotency_key"})


@dataclass(frozen=True)
class Compensation:
    """The counter-step: its function, and the codec of the one value that it is given besides the
    context.
    """

    fn: Callable[..., Any]
    argument: Codec | None


class Step(Generic[P, R]):
    """A unit of work: a function of a `Context` and typed values.

    Called inside a workflow function it records a node and returns a symbolic value of its result's
    type. `fn` is the plain function, to be called with a context of one's own in a unit test.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None, options: StepOptions) -> None:
        where = place(fn)
        self.fn = fn
        self.name = name or f"{fn.__module__}.{fn.__qualname__}"
        self.options_ = options
        self.__doc__ = fn.__doc__
        self.compensation_: Compensation | None = None
        _check_function(fn, self.name)
        parameters = list(inspect.signature(fn).parameters.values())
        if not parameters or parameters[0].annotation not in (Context, "Context"):
            raise DefinitionError(
                f"{where}: a step's first parameter is its context: (ctx: Context, …)"
            )
        self.inputs, self.output = codecs_of(fn, skip_first=True)
        self._signature = inspect.Signature(parameters[1:])
        check_options(options, where)
        if (
            self.name.endswith(COMPENSATE)
            or self.name.startswith("celery.")
            or self.name == BARRIER
        ):
            raise DefinitionError(
                f"{where}: the name {self.name!r} is the platform's own: a step's does not end in"
                f" {COMPENSATE!r}, begin with 'celery.' or equal {BARRIER!r}"
            )
        registry.add_step(self)

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._record(self.name, None, args, kwargs))

    def options(self, *, name: str | None = None, queue: str | None = None) -> Callable[P, R]:
        """Return this step for one call under another node name or on another queue."""
        step = self

        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast(R, step._record(name or step.name, queue, args, kwargs))

        return call

    def compensation(self, fn: Callable[[Context, Any], Any] | Callable[[Context], Any]) -> Any:
        """Attach the function that undoes this step: `(ctx)` or `(ctx, output or undo data)`."""
        where = place(fn)
        if self.compensation_ is not None:
            known = place(self.compensation_.fn)
            if known != where:
                raise DefinitionError(
                    f"{where}: step {self.name!r} has a compensation already, at {known}"
                )
        _check_function(fn, self.name + COMPENSATE)
        parameters = list(inspect.signature(fn).parameters.values())
        if not 1 <= len(parameters) <= 2 or parameters[0].annotation not in (Context, "Context"):
            raise DefinitionError(
                f"{where}: a compensation takes the context and at most one value: (ctx:"
                f" Context, output)"
            )
        inputs, _ = codecs_of(fn, skip_first=True)
        argument = next(iter(inputs.values()), None)
        self.compensation_ = Compensation(fn, argument)
        if ports.register_task:
            ports.register_task(self.name + COMPENSATE)
        return fn

    def _record(self, name: str, queue: str | None, args: Any, kwargs: Any) -> Symbol:
        trace = current()
        if trace is None:
            raise DefinitionError(
                f"{caller()}: step {self.name!r} was called outside a workflow function;"
                " in a unit test call its .fn(ctx, …)"
            )
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise DefinitionError(f"{caller()}: {self.name}{self._signature}: {error}") from error
        inputs = {}
        for parameter, value in bound.arguments.items():
            what = f"{caller()}: {self.name}({parameter}=…)"
            try:
                inputs[parameter] = express(
                    value, partial(self.inputs[parameter].encode, what=what)
                )
            except InvalidOutput as error:
                raise DefinitionError(str(error)) from error
        return trace.add(name, self.name, inputs, queue)


class Workflow(Generic[P, R]):
    """A typed workflow: its plan, read once from the function, and the ways to start it."""

    def __init__(self, fn: Callable[P, R], *, name: str, queue: str) -> None:
        self.fn = fn
        self.name = name
        self.queue = queue
        self.__doc__ = fn.__doc__
        _check_function(fn, name)
        self.inputs, self.output = codecs_of(fn, skip_first=False)
        if clash := START_OPTIONS.intersection(self.inputs):
            raise DefinitionError(
                f"{place(fn)}: parameter {min(clash)!r} is also an option of start(); rename it"
            )
        for parameter in inspect.signature(fn).parameters.values():
            if parameter.default is not parameter.empty:
                raise DefinitionError(
                    f"{place(fn)}: parameter {parameter.name!r} has a default, which start() would"
                    " not use; make it a field of a pydantic model, where defaults work"
                )
        self.plan = self._read()
        registry.add_workflow(self)

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        raise DefinitionError(
            f"{caller()}: start a workflow with {self.name!r}'s .start(…, company=…)"
        )

    def _read(self) -> Plan:
        with tracing(self.name) as trace:
            symbols: list[Any] = [Symbol({"$input": name, "path": []}) for name in self.inputs]
            returned = cast(Callable[..., Any], self.fn)(*symbols)
            if not trace.items:
                raise DefinitionError(f"{place(self.fn)}: the workflow calls no step")
            output = express(
                returned, lambda literal: self.output.encode(literal, what=f"{self.name}'s result")
            )
            plan = Plan(Chain(tuple(trace.items)), output)
        _check_references(plan, place(self.fn))
        return plan

    def canvas(self) -> Signature:
        """Return the Celery canvas that the workflow is: chains, groups, chords of signatures."""
        return to_canvas(self.plan, queue=self.queue)

    def encode_input(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        """Return the positional arguments as JSON data by parameter; raises `InvalidInput`."""
        names = list(self.inputs)
        if len(arguments) != len(names):
            message = f"takes {len(names)} ({', '.join(names)}), {len(arguments)} given"
            raise InvalidInput(
                f"input of {self.name}", [{"loc": (), "msg": message, "type": "arguments"}]
            )
        return self._encode(dict(zip(names, arguments, strict=True)))

    def encode_named(self, value: Any) -> dict[str, Any]:
        """Return JSON data as the input: of one parameter the value itself, of several an object by
        name.
        """
        if len(self.inputs) == 1:
            return self._encode({next(iter(self.inputs)): value})
        if not isinstance(value, dict) or set(value) != set(self.inputs):
            message = f"takes an object of exactly {', '.join(self.inputs) or 'no keys'}"
            raise InvalidInput(
                f"input of {self.name}", [{"loc": (), "msg": message, "type": "arguments"}]
            )
        return self._encode(value)

    def _encode(self, values: dict[str, Any]) -> dict[str, Any]:
        encoded, found = {}, []
        for name, value in values.items():
            codec = self.inputs[name]
            try:
                encoded[name] = codec.encode_input(value, what=name)
            except InvalidInput as error:
                found += [{**issue, "loc": (name, *issue["loc"])} for issue in error.issues]
        if found:
            raise InvalidInput(f"input of {self.name}", found)
        return encoded

    @overload
    def start(
        self: Callable[[], R],
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A], R],
        a: A,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A, B], R],
        a: A,
        b: B,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A, B, C], R],
        a: A,
        b: B,
        c: C,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A, B, C, D], R],
        a: A,
        b: B,
        c: C,
        d: D,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
    ) -> RunHandle[R]: ...
    def start(
        self,
        *args: Any,
        company: str | None,
        env: str = "live",
        idempotency_key: str | None = None,
    ) -> RunHandle[Any]:
        """Store a run and send its first message when the transaction commits; return at once.

        The same `idempotency_key` gives the same run; with another input it raises
        `IdempotencyConflict`. Input that does not fit raises `InvalidInput`, and nothing is stored.
        """
        if ports.engine is None:
            raise RuntimeError(
                "Django is not set up: call django.setup() before starting workflows"
            )
        return ports.engine.start(
            self, args, company=company, env=env, idempotency_key=idempotency_key
        )


class StepDecorator(Protocol):
    """What `step(...)` returns: it takes a function that returns its output, or `Done` of it."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], Done[R]]) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R]) -> Step[P, R]: ...


def step(
    *,
    name: str | None = None,
    attempts: int = 3,
    backoff: timedelta | float = 1.0,
    backoff_factor: float = 2.0,
    max_backoff: timedelta | float = 600.0,
    jitter: bool = True,
    permanent_on: tuple[type[Exception], ...] = (),
    queue: str | None = None,
) -> StepDecorator:
    """Make a function a step, and a Celery task of its name.

    `attempts` counts tries in all, of the step and of its compensation. `backoff` and `max_backoff`
    are timedeltas or seconds. Raises `DefinitionError` at import, naming file, line and remedy.
    """
    where = caller()
    try:
        waits = Backoff(_duration(backoff), backoff_factor, _duration(max_backoff), jitter)
    except ValueError as error:
        raise DefinitionError(f"{where}: {error}") from error
    options = StepOptions(attempts, waits, permanent_on, queue)

    def decorate(fn: Callable[..., Any]) -> Step[Any, Any]:
        return Step(fn, name, options)

    return cast(StepDecorator, decorate)


def workflow(*, name: str, queue: str = "default") -> Callable[[Callable[P, R]], Workflow[P, R]]:
    """Read a function once, now, and make a durable workflow of the steps that it calls."""

    def decorate(fn: Callable[P, R]) -> Workflow[P, R]:
        return Workflow(fn, name=name, queue=queue)

    return decorate


def _duration(value: timedelta | float) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta(seconds=value)


def _check_function(fn: Callable[..., Any], name: str) -> None:
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise DefinitionError(
            f"{place(fn)}: {name!r} is async; workers run plain functions: call asyncio.run()"
            f" inside one"
        )
    if not 0 < len(name) <= MAX_NAME:
        raise DefinitionError(
            f"{place(fn)}: a name has 1 to {MAX_NAME} characters, not {len(name)}"
        )


def _check_references(plan: Plan, where: str) -> None:
    """Refuse a value that another branch of the same parallel() makes: it may not exist yet."""

    def check(chain: Chain, known: frozenset[str]) -> frozenset[str]:
        for item in chain.items:
            if isinstance(item, Group):
                made = [check(branch, known) for branch in item.branches]
                known = known.union(*made)
                continue
            if missing := set(item.needs) - known:
                raise DefinitionError(
                    f"{where}: {item.name} uses {', '.join(sorted(missing))}, which runs beside it;"
                    " move it behind the parallel(), or into the same branch"
                )
            known |= {item.name}
        return known

    known = check(plan.body, frozenset())
    assert known.issuperset(references(plan.output))  # noqa: S101 - every symbol comes from a node
