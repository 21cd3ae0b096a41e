"""A workflow function read once, with symbolic values, into the chain of what it calls."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jobs.errors import DefinitionError, JobsError
from jobs.functions import NO_BLOCK
from jobs.plan import Chain, Expression, Group, references
from jobs.symbols import Symbol, express
from jobs.tracing import tracing
from jobs.unnoticed import check_source
from jobs.values import Codec, codecs_of, place


@dataclass(frozen=True)
class Reading:
    """What a workflow takes, does and returns; `where` is `file:line` of its author's code.

    The body may hold places of hooks, which the plan replaces by what is attached to them.
    """

    where: str
    inputs: Mapping[str, Codec]
    output: Codec
    body: Chain
    result: Expression


def read(fn: Callable[..., Any], name: str) -> Reading:
    """Call the function with symbols for its inputs; raises `DefinitionError`."""
    where = place(fn)
    inputs, output = codecs_of(fn, skip_first=False)
    check_parameters(fn, where)
    check_source(fn)
    with tracing(name) as trace:
        symbols = [
            Symbol({"$input": parameter, "path": []}, codec.annotation)
            for parameter, codec in inputs.items()
        ]
        returned = _call(fn, symbols, name)
        result = express(returned, output, what=f"{name}'s result")
    if trace.unentered:
        raise DefinitionError(f"{trace.unentered[0]}: {NO_BLOCK}")
    body = Chain(tuple(trace.items))
    check_references(body, result, where)
    return Reading(where, inputs, output, body, result)


def check_parameters(fn: Callable[..., Any], where: str, *, skip_first: bool = False) -> None:
    """Refuse parameters with defaults, which `start` would not use."""
    for parameter in list(inspect.signature(fn).parameters.values())[skip_first:]:
        if parameter.default is not parameter.empty:
            raise DefinitionError(
                f"{where}: parameter {parameter.name!r} has a default, which start() would"
                " not use; make it a field of a pydantic model, where defaults work"
            )


def _call(fn: Callable[..., Any], symbols: list[Symbol], name: str) -> Any:
    try:
        return fn(*symbols)
    except JobsError:
        raise
    except NameError as error:
        line = _line_in(fn, error.__traceback__)
        if error.name == fn.__name__:
            raise DefinitionError(
                f"{line}: workflow {name!r} calls itself: a cycle, which would never end; repeat"
                " with each(), or start the next run from a step"
            ) from error
        raise DefinitionError(
            f"{line}: {error}: a workflow is read where it stands, so what it calls is defined"
            " above it; two workflows that call each other are a cycle"
        ) from error
    except Exception as error:
        raise DefinitionError(
            f"{_line_in(fn, error.__traceback__)}: {type(error).__name__}: {error}; a workflow is"
            " read with symbolic values before any step ran: compute with transform(), or in a step"
        ) from error


def _line_in(fn: Callable[..., Any], trace: TracebackType | None) -> str:
    """Return the last line of the function's own file on the way to the error."""
    filename, line = inspect.unwrap(fn).__code__.co_filename, place(fn)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = f"{filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def check_references(body: Chain, result: Expression, where: str) -> None:
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

    known = check(body, frozenset())
    if missing := set(references(result)) - known:
        raise DefinitionError(
            f"{where}: the result uses {', '.join(sorted(missing))}, which is of another workflow"
        )
