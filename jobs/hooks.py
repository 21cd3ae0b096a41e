"""Hooks: named places in a workflow where one other app may attach a step with its compensation.

Attaching comes after reading: the plan is made when it is asked for first, and is fixed from then
on. An attachment by name may come before the workflow that it names; one whose workflow or place
never comes is found by the system checks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.checking import MAX_NAME
from jobs.counting import counted
from jobs.cycles import calls_itself, nodes_in
from jobs.errors import DefinitionError
from jobs.fitting import fits
from jobs.plan import Expression, Kind, Node
from jobs.registry import Attachment, registry
from jobs.shapes import name_of
from jobs.symbols import Symbol, absence, accepts_none, express
from jobs.tracing import caller, tracing_for
from jobs.values import Codec

if TYPE_CHECKING:
    from jobs.definitions import Workflow

HOOK = "hook"  # the kind of its place in what was read; never in a plan
T = TypeVar("T")


@dataclass(frozen=True)
class HookValue:
    """What a hook gives: its expression, its type, and whether it may be None there."""

    expression: Expression
    annotation: Any
    is_optional: bool

    @classmethod
    def of(cls, value: Any) -> "HookValue":
        is_symbol = isinstance(value, Symbol)
        annotation = value._annotation if is_symbol else type(value)
        expression = express(value, Codec(Any), what="hook")
        return cls(expression, annotation, is_symbol and bool(absence(value)))

    def fits(self, annotation: Any) -> bool:
        return fits(self.annotation, annotation) and (
            not self.is_optional or accepts_none(annotation)
        )


@dataclass(frozen=True)
class HookPlace:
    """A hook where a workflow function has it; `where` is `file:line`."""

    name: str
    values: tuple[HookValue, ...]
    where: str

    def check(self, target: Any, where: str) -> None:
        """Refuse a step or workflow that does not take the values."""
        parameters = list(target.inputs.items())
        if len(parameters) < len(self.values) or _required(target) > len(self.values):
            raise DefinitionError(
                f"{where}: hook {self.name!r} at {self.where} gives"
                f" {counted(len(self.values), 'value')}, and {target!r} takes"
                f" {', '.join(target.inputs) or 'none'}; take each in that order"
            )
        for (parameter, codec), value in zip(parameters, self.values, strict=False):
            if not value.fits(codec.annotation):
                none = " or None" if value.is_optional else ""
                raise DefinitionError(
                    f"{where}: {target!r} takes {parameter}: {name_of(codec.annotation)}, and hook"
                    f" {self.name!r} at {self.where} gives {name_of(value.annotation)}{none} there;"
                    " take that"
                )

    def filled_by(self, target: Any, *, name: str) -> Node:
        """Return the node of what is attached."""
        kind = Kind.STEP if target.name in registry.steps else Kind.CHILD
        pairs = zip(target.inputs, self.values, strict=False)
        inputs = {parameter: value.expression for parameter, value in pairs}
        return Node(name, target.name, inputs, kind=kind)


def _required(target: Any) -> int:
    """How many values it needs: a step's parameters may have defaults, a workflow's have none."""
    signature = getattr(target, "signature", None)
    if signature is None:
        return len(target.inputs)
    return sum(one.default is one.empty for one in signature.parameters.values())


def hook(name: str, /, *values: Any) -> None:
    """Name a place where another app may attach one step, which is given the values.

    Without an attachment nothing runs here.
    """
    trace = tracing_for("hook()")
    if not isinstance(name, str) or not name.isidentifier() or len(name) > MAX_NAME:
        raise DefinitionError(
            f"{caller()}: hook({name!r}): a hook's name is one word, such as order_created"
        )
    if name in trace.names:
        raise DefinitionError(
            f"{caller()}: the name {name!r} is taken in this workflow; name the hook otherwise"
        )
    place = HookPlace(name, tuple(map(HookValue.of, values)), caller())
    inputs = {str(index): value.expression for index, value in enumerate(place.values)}
    trace.add(name, "", inputs, kind=HOOK, extra={"place": place})


class HookPoint:
    """One hook of a workflow: `@create_order.hooks.order_created` above a step attaches it."""

    def __init__(self, workflow: str, name: str) -> None:
        self.workflow = workflow
        self.name = name

    def __call__(self, target: T) -> T:
        return self.attach(target)

    def attach(self, target: T) -> T:
        """Attach the step (or workflow, as a child run) and return it."""
        return attach(target, workflow=self.workflow, hook=self.name)


class Hooks:
    """A workflow's hooks, by attribute or by name."""

    def __init__(self, workflow: "Workflow[Any, Any]") -> None:
        self._workflow = workflow

    def __getattr__(self, name: str) -> HookPoint:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> HookPoint:
        if name not in (known := places_of(self._workflow)):
            raise DefinitionError(
                f"{caller()}: {_no_hook(self._workflow.name, name, known)}; attach to one of these"
            )
        return HookPoint(self._workflow.name, name)

    def __iter__(self) -> Iterator[str]:
        return iter(places_of(self._workflow))


def attach(target: T, /, *, workflow: str, hook: str) -> T:
    """Attach a step to a hook by names, before or after the workflow itself is defined.

    Raises `DefinitionError` for a second attachment, values that do not fit, and once a plan is
    fixed.
    """
    where = caller()
    if not hasattr(target, "inputs") or not hasattr(target, "name"):
        raise DefinitionError(
            f"{where}: {target!r} is no step; put @step(name=…) between the hook and the function"
        )
    made = Attachment(workflow, hook, target, where)
    registry.attach(made)
    try:
        if workflow in registry.workflows:
            check_attachments(registry.workflows[workflow])
    except DefinitionError:
        registry.detach(made)
        raise
    return target


def check_attachments(workflow: "Workflow[Any, Any]") -> None:
    """Refuse what is attached to the workflow and does not fit; unknown places come later."""
    places = places_of(workflow)
    for name, made in registry.attached_to(workflow.name).items():
        if name in places:
            places[name].check(made.target, made.where)
            if way := calls_itself(workflow.name, workflow.reading.body):
                raise DefinitionError(
                    f"{made.where}: a cycle, which would never end: {' → '.join(way)}; attach a"
                    " step that starts the workflow, or another"
                )


def places_of(workflow: "Workflow[Any, Any]") -> dict[str, HookPlace]:
    """Return the workflow's hooks by name."""
    return {
        node.name: node.extra["place"]
        for node in nodes_in(workflow.reading.body)
        if node.kind == HOOK
    }


def unreachable() -> list[str]:
    """Describe the attachments whose workflow or place no code has made; read by the checks."""
    found = []
    for made in registry.attachments.values():
        workflow = registry.workflows.get(made.workflow)
        if workflow is None:
            known = ", ".join(sorted(registry.workflows)) or "none"
            found.append(
                f"{made.where}: {made.target!r} is attached to a hook of the workflow"
                f" {made.workflow!r}, which no code makes; registered are: {known}"
            )
        elif made.hook not in (places := places_of(workflow)):
            problem = _no_hook(workflow.name, made.hook, places)
            found.append(f"{made.where}: {made.target!r} can never run: {problem}")
    return found


def _no_hook(workflow: str, name: str, known: Any) -> str:
    has = ", ".join(known) or "none"
    return f"workflow {workflow!r} has no hook {name!r}; it has: {has}"
