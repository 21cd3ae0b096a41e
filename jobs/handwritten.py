"""A Celery canvas written by hand, made durable: chains, groups and chords of steps and tasks.

Results are passed as Celery passes them: what `start` is given goes before the arguments of the
first tasks, a result before those of the next one, and the results of a group as one list to what
follows it; immutable signatures are given neither.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import current_app
from celery.canvas import Signature, _chain, chord, group, maybe_signature

from jobs.definitions import Workflow
from jobs.errors import DefinitionError
from jobs.plan import Chain, Expression, Group, Kind, Node, evaluate
from jobs.reading import Reading
from jobs.registry import registry
from jobs.steps import Step
from jobs.symbols import Symbol, express
from jobs.tracing import Trace, caller
from jobs.values import Codec

ARGS = "args"  # the one input: the list of what `start` was given
START: Expression = {"$input": ARGS, "path": []}
REFUSED = {
    "link": "a callback outside of the structure would not be durable: put the task behind it",
    "link_error": "Celery calls it for some failures only: give the step a compensation, or the"
    " workflow on_failure=",
    "countdown": "put a sleep() into a workflow function, or start(delay=…)",
    "eta": "put a sleep_until() into a workflow function",
    "expires": "give the workflow a timeout=",
    "priority": "give the workflow a priority=",
    "time_limit": "set it on the task, or give the step a timeout=",
    "soft_time_limit": "set it on the task, or give the step a timeout=",
}
MAPS = ("celery.map", "celery.starmap", "celery.chunks")
Items = list[Node | Group]


@dataclass(frozen=True)
class Given:
    """What a task is given before its own arguments: values, and first of all the start's if it is
    an entry.
    """

    values: tuple[Any, ...] = ()
    is_entry: bool = False

    def then(self, sig: Signature[Any]) -> "Given":
        """Return what the members of a structure with arguments of its own are given."""
        own = tuple(sig.args)
        if sig.immutable:
            return Given(own)
        return Given((*self.values, *own), self.is_entry)


@dataclass
class Lowering:
    """The canvas on its way into a plan: its names, and the types that its first steps take."""

    trace: Trace
    taken: list[tuple[str, list[Codec]]] = field(default_factory=list)

    def lower(self, made: Any, given: Given) -> tuple[Items, Any]:
        """Return the signature's items and its result, a value that may hold symbols."""
        sig = maybe_signature(made)
        if not isinstance(sig, Signature):
            raise DefinitionError(f"{caller()}: {made!r} is no part of a Celery canvas")
        _check(sig)
        if isinstance(sig, _chain):
            return self._chain(list(sig.tasks), given.then(sig))
        if isinstance(sig, group):
            return self._group(list(sig.tasks), given.then(sig))
        if isinstance(sig, chord):
            items, results = self._group(_header(sig), given.then(sig))
            more, result = self.lower(sig.body, Given((results,)))
            return items + more, result
        return self._task(sig, given)

    def _chain(self, parts: Sequence[Any], given: Given) -> tuple[Items, Any]:
        items: Items = []
        result: Any = None
        rest = [_unrolled(part) for part in parts]
        for index, part in enumerate(rest):
            if isinstance(part, group):
                if not list(part.tasks):  # Celery skips an empty group
                    continue
                if index + 1 < len(rest):
                    _check_header(part.tasks)
            more, result = self.lower(part, given)
            given = Given((result,))
            items += more
        return items, result

    def _group(self, members: Iterable[Any], given: Given) -> tuple[Items, list[Any]]:
        branches, results = [], []
        for member in _flat(members):
            items, result = self.lower(member, given)
            branches.append(Chain(tuple(items)))
            results.append(result)
        filled = [branch for branch in branches if branch.items]
        if len(filled) < 2:  # a group of one is its branch
            return [item for branch in filled for item in branch.items], results
        name = self.trace.unique(self.trace.numbered("group"))
        return [Group(name, tuple(filled))], results

    def _task(self, sig: Signature[Any], given: Given) -> tuple[Items, Any]:
        if sig.immutable:
            given = Given()
        task = str(sig.task)
        step = registry.steps.get(task)
        queue = sig.options.get("queue")
        name = self.trace.unique(task)
        if step is None:
            inputs = _arguments(sig, given)
            return [Node(name, task, inputs, queue, Kind.TASK)], Symbol(_reference(name))
        return [Node(name, step.name, self._bound(step, sig, given), queue)], step.result(name)

    def _bound(
        self, step: Step[Any, Any], sig: Signature[Any], given: Given
    ) -> dict[str, Expression]:
        own = [*given.values, *sig.args]
        if given.is_entry:
            codecs = _left_for_the_start(step, own, sig.kwargs)
            self.taken.append((step.name, codecs))
            start = [
                Symbol({**START, "path": [index]}, codec.annotation)
                for index, codec in enumerate(codecs)
            ]
            own = [*start, *own]
        return step.bind(own, sig.kwargs)


class HandWritten(Workflow[..., Any]):
    """A workflow whose canvas was written by hand: `start` takes the first tasks' arguments.

    Its one input is the list of them; that is what key functions are given.
    """

    takes_list = True

    def bind(self, args: Any, kwargs: Any) -> dict[str, Expression]:
        """Return the arguments of a call as a child run; raises `DefinitionError`."""
        if kwargs:
            raise DefinitionError(f"{caller()}: {self.name} takes its arguments by position")
        return {ARGS: express(list(args), self.inputs[ARGS], what=f"{self.name}(…)")}

    def encode_input(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        """Return the positional arguments as a list of JSON data; raises `InvalidInput`."""
        encoded = self._encode({ARGS: list(arguments)})
        for node in self.plan.nodes:
            if node.kind == Kind.TASK and "$concat" in node.inputs["args"]:
                self._check_task(node, encoded)
        return encoded

    def _check_task(self, node: Node, encoded: dict[str, Any]) -> None:
        """Refuse arguments that the task does not take, as Celery does when it is called."""
        task: Any = current_app.tasks.get(node.step)
        if task is None or not task.typing:
            return
        args, kwargs = (
            evaluate(node.inputs[name], output=str, inputs=encoded) for name in ("args", "kwargs")
        )
        try:
            task.__header__(*args, **kwargs)
        except TypeError as error:
            raise self._wrong_count(f"{node.step}: {error}") from error

    def encode_named(self, value: Any) -> dict[str, Any]:
        """Return JSON data as the input: a list of arguments, one that is no list, or nothing."""
        if isinstance(value, list):
            return self.encode_input(tuple(value))
        return self.encode_input(() if value in (None, {}) else (value,))

    def _tuples(self, inputs: Iterable[Any]) -> list[tuple[Any, ...]]:
        return [value if isinstance(value, tuple) else (value,) for value in inputs]


def read_canvas(canvas: Any, name: str, where: str) -> Reading:
    """Return what the canvas does; raises `DefinitionError` for what cannot be made durable."""
    lowering = Lowering(Trace(name))
    items, result = lowering.lower(canvas, Given(is_entry=True))
    returned = Codec(Any)
    if isinstance(result, Symbol) and result._annotation is not Any:
        returned = Codec(result._annotation)
    inputs = {ARGS: _input(lowering.taken, where)}
    expression = express(result, returned, what=f"{name}'s result")
    return Reading(where, inputs, returned, Chain(tuple(items)), expression)


def _input(taken: list[tuple[str, list[Codec]]], where: str) -> Codec:
    """Return the codec of the list that `start` is given: typed where a step takes it."""
    if not taken:
        return Codec(list[Any])
    first, codecs = taken[0]
    for other, more in taken[1:]:
        if len(more) != len(codecs):
            raise DefinitionError(
                f"{where}: start() gives the same values to all that begin, and {first!r} takes"
                f" {len(codecs)}, {other!r} {len(more)}; put a task before them, or use .si()"
            )
    annotations = tuple(codec.annotation for codec in codecs)
    return Codec(tuple[annotations] if annotations else tuple[()])  # type: ignore[valid-type]  # computed


def _left_for_the_start(
    step: Step[Any, Any], own: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[Codec]:
    """Return the codecs of the parameters that only `start` can fill: the first ones without
    default.
    """
    parameters = [
        parameter
        for parameter in step.signature.parameters.values()
        if parameter.default is inspect.Parameter.empty and parameter.name not in kwargs
    ]
    left = parameters[: max(0, len(parameters) - len(own))]
    return [step.inputs[parameter.name] for parameter in left]


def _arguments(sig: Signature[Any], given: Given) -> dict[str, Expression]:
    what = f"{sig.task}(…)"
    args = express([*given.values, *sig.args], Codec(list[Any]), what=what)
    if given.is_entry:
        args = {"$concat": [START, args]}
    kwargs = {
        key: express(value, Codec(Any), what=f"{sig.task}({key}=…)")
        for key, value in sig.kwargs.items()
    }
    return {"args": args, "kwargs": {"$dict": kwargs}}


def _reference(node: str) -> Expression:
    return {"$ref": node, "path": []}


def _header(sig: chord) -> list[Any]:
    header = list(sig.tasks.tasks if isinstance(sig.tasks, group) else sig.tasks)
    _check_header(header)
    return header


def _flat(members: Iterable[Any]) -> list[Any]:
    """Return the members with those of nested groups in their place, in declared order."""
    found: list[Any] = []
    for one in members:
        member: Any = maybe_signature(one)
        is_plain = isinstance(member, group) and not member.args and not member.options
        found += _flat(member.tasks) if is_plain else [member]
    return found


def _unrolled(part: Any) -> Any:
    """Return the member of a group of one: Celery passes its result on as it is."""
    sig: Any = maybe_signature(part)
    if isinstance(sig, group) and len(members := list(sig.tasks)) == 1:
        _check(sig)
        return maybe_signature(members[0])
    return sig


def _check(sig: Signature[Any]) -> None:
    for option, remedy in REFUSED.items():
        if sig.options.get(option):
            raise DefinitionError(
                f"{caller()}: {sig!r} has {option}, which a durable canvas does not take: {remedy}"
            )
    if sig.task in MAPS:
        raise DefinitionError(
            f"{caller()}: {sig.task} runs its calls inside one task; use each(items, step) in a"
            " workflow function"
        )
    structures = ("celery.chain", "celery.group", "celery.chord")
    if str(sig.task).startswith("celery.") and sig.task not in structures:
        raise DefinitionError(
            f"{caller()}: {sig.task} is Celery's own; a canvas is of steps and tasks"
        )


def _check_header(members: Iterable[Any]) -> None:
    """Refuse members whose results are no value each, where something follows the group."""
    for member in _flat(members):
        if _ends_in_group(member):
            raise DefinitionError(
                f"{caller()}: {member!r} ends in a group, and something follows the group around"
                " it: Celery counts such a header wrongly; put a task behind the inner group"
            )


def _ends_in_group(sig: Any) -> bool:
    sig = _unrolled(sig)
    if isinstance(sig, _chain):
        parts = [part for part in map(_unrolled, sig.tasks) if not _is_empty(part)]
        return bool(parts) and (isinstance(parts[-1], group) or _ends_in_group(parts[-1]))
    if isinstance(sig, chord):
        body = _unrolled(sig.body)
        return isinstance(body, group) or _ends_in_group(body)
    return False


def _is_empty(sig: Any) -> bool:
    return isinstance(sig, group) and not list(sig.tasks)
