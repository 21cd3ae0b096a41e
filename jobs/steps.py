"""Steps as their authors write them: units of work, and what undoes them."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from celery.canvas import Signature, signature

from jobs.checking import (
    check_context,
    check_function,
    check_keys,
    check_name,
    check_parentheses,
    check_undo_fits,
)
from jobs.context import Context
from jobs.errors import DefinitionError
from jobs.limits import Limit, Rate
from jobs.options import OnFailure, StepOptions, check_options
from jobs.outcomes import Done
from jobs.plan import COMPENSATE, Expression
from jobs.ports import ports
from jobs.registry import registry
from jobs.retry import Backoff
from jobs.symbols import Symbol, express
from jobs.tracing import Traced, caller, current
from jobs.values import Codec, codecs_of, place, types_of

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Compensation:
    """The counter-step: its function, and the codec of the one value that it is given besides the
    context.
    """

    fn: Callable[..., Any]
    argument: Codec | None


class Step(Traced, Generic[P, R]):
    """A unit of work: a function of a `Context` and typed values.

    Called inside a workflow function it records a node and returns a symbolic value of its result's
    type. `fn` is the plain function, to be called with a context of one's own in a unit test.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None, options: StepOptions) -> None:
        self.fn = fn
        self.name = f"{fn.__module__}.{fn.__qualname__}" if name is None else name
        self.options_ = options
        self.__doc__ = fn.__doc__
        self.compensation_: Compensation | None = None
        where = place(fn)
        check_function(fn, self.name)
        check_name(self.name, where)
        check_options(options, where)
        self.inputs, self.output = codecs_of(fn, skip_first=True)
        check_context(fn, "a step's first parameter is its context: (ctx: Context, …)")
        parameters = list(inspect.signature(fn).parameters.values())
        self.signature = inspect.Signature(parameters[1:])
        check_keys(self.inputs, where, concurrency=options.concurrency, rate=options.rate)
        registry.add_step(self)

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._record(self.name, None, args, kwargs))

    @cached_property
    def types(self) -> str:
        """A short hash of what the step takes and returns; read when all modules are imported."""
        return types_of(self.inputs, self.output)

    @property
    def required(self) -> set[str]:
        """The parameters that a call must give."""
        parameters = self.signature.parameters.items()
        return {name for name, one in parameters if one.default is one.empty}

    def with_defaults(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments in declared order, with the defaults of those not given."""
        parameters = self.signature.parameters.items()
        return {name: arguments.get(name, one.default) for name, one in parameters}

    def options(self, *, name: str | None = None, queue: str | None = None) -> "StepCall[P, R]":
        """Return this step for one call under another node name or on another queue."""
        if name is not None:
            check_name(name, caller())
        return StepCall(self, name or self.name, queue)

    def compensation(self, fn: Callable[[Context, Any], Any] | Callable[[Context], Any]) -> Any:
        """Attach the function that undoes this step: `(ctx)` or `(ctx, output or undo data)`."""
        where = place(fn)
        if self.compensation_ is not None and place(self.compensation_.fn) != where:
            raise DefinitionError(
                f"{where}: step {self.name!r} has a compensation already, at"
                f" {place(self.compensation_.fn)}; keep one of them"
            )
        check_function(fn, self.name + COMPENSATE)
        wanted = "a compensation takes the context and at most one value: (ctx: Context, output)"
        inputs, _ = codecs_of(fn, skip_first=True)
        check_context(fn, wanted, most=2)
        argument = next(iter(inputs.values()), None)
        if argument is not None:
            check_undo_fits(self.fn, self.output.annotation, fn, argument.annotation)
        self.compensation_ = Compensation(fn, argument)
        if ports.register_task:
            ports.register_task(self.name + COMPENSATE)
        return fn

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return the step's Celery signature, for a canvas written by hand."""
        return signature(self.name, args=args, kwargs=kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """As `s`, but the result before it in the canvas is not passed on to it."""
        return signature(self.name, args=args, kwargs=kwargs, immutable=True)

    def bind(self, args: Any, kwargs: Any) -> dict[str, Expression]:
        """Return the arguments of a call as expressions by parameter; raises `DefinitionError`."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise DefinitionError(f"{caller()}: {self.name}{self.signature}: {error}") from error
        return {
            parameter: express(value, self.inputs[parameter], what=f"{self.name}({parameter}=…)")
            for parameter, value in bound.arguments.items()
        }

    def result(self, node: str) -> Symbol:
        """Return the symbolic output of that node."""
        trace = current()
        absent = trace.open if trace else frozenset()
        annotation = self.output.annotation
        if self.options_.on_failure == "continue":  # then its users are given None
            absent |= {node}
        return Symbol({"$ref": node, "path": []}, annotation, absent)

    def _record(self, name: str, queue: str | None, args: Any, kwargs: Any) -> Symbol:
        trace = current()
        if trace is None:
            raise DefinitionError(
                f"{caller()}: step {self.name!r} was called outside a workflow function;"
                " in a unit test call its .fn(ctx, …)"
            )
        return self.result(trace.add(name, self.name, self.bind(args, kwargs), queue=queue))


class StepCall(Traced, Generic[P, R]):
    """A step under another node name or on another queue."""

    def __init__(self, step: Step[P, R], name: str, queue: str | None) -> None:
        self.step = step
        self.name = name
        self.queue = queue

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self.step._record(self.name, self.queue, args, kwargs))


class StepDecorator(Protocol):
    """What `step(...)` returns: it takes a function that returns its output, or `Done` of it."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], Done[R]]) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R]) -> Step[P, R]: ...


def step(
    given: None = None,
    /,
    *,
    name: str | None = None,
    attempts: int = 3,
    backoff: timedelta | float = 1.0,
    backoff_factor: float = 2.0,
    max_backoff: timedelta | float = 600.0,
    jitter: bool = True,
    timeout: timedelta | float = 300.0,
    permanent_on: tuple[type[Exception], ...] = (),
    queue: str | None = None,
    atomic: bool = False,
    on_failure: OnFailure = "rollback",
    concurrency: Limit | None = None,
    rate: Rate | None = None,
    pivot: bool = False,
) -> StepDecorator:
    """Make a function a step, and a Celery task of its name.

    `attempts` counts tries in all, of the step and of its compensation. `backoff`, `max_backoff`
    and `timeout` (of one try) are timedeltas or seconds. `atomic` runs the code in the transaction
    that records its outcome. `on_failure` says what a failure for good means: "rollback" of the
    run, "continue" with None as the output, or "skip_rest", a good end without what depends on it.
    `concurrency` and `rate` hold over all workers. `pivot` marks the point of no return. Raises
    `DefinitionError` at import, naming file, line and remedy.
    """
    check_parentheses(given, "step")
    where = caller()
    options = StepOptions(
        attempts=attempts,
        backoff=_backoff(where, backoff, backoff_factor, max_backoff, jitter),
        permanent_on=permanent_on,
        queue=queue,
        timeout=duration(timeout, f"{where}: timeout"),
        atomic=atomic,
        on_failure=on_failure,
        concurrency=concurrency,
        rate=rate,
        pivot=pivot,
    )
    check_options(options, where)

    def decorate(fn: Callable[..., Any]) -> Step[Any, Any]:
        return Step(fn, name, options)

    return cast(StepDecorator, decorate)


def duration(value: timedelta | float, what: str) -> timedelta:
    """Return a timedelta or a number of seconds as a timedelta; raises `DefinitionError`."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DefinitionError(f"{what}={value!r}: it takes a timedelta, or seconds")
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError) as error:
        raise DefinitionError(f"{what}={value!r}: it takes a timedelta, or seconds") from error


def _backoff(where: str, initial: Any, factor: Any, maximum: Any, jitter: Any) -> Backoff:
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise DefinitionError(f"{where}: backoff_factor={factor!r}: it takes a number from 1 on")
    first = duration(initial, f"{where}: backoff")
    last = duration(maximum, f"{where}: max_backoff")
    try:
        return Backoff(first, factor, last, jitter)
    except ValueError as error:
        raise DefinitionError(f"{where}: {error}") from error
