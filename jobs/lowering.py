"""From what was read to what runs: hooks replaced by what is attached, types noted."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic.errors import PydanticUserError

from jobs.errors import DefinitionError
from jobs.hooks import HOOK, HookPlace
from jobs.plan import Chain, Group, Kind, Node, Plan
from jobs.registry import registry
from jobs.values import place


def lower(body: Chain, attached: Mapping[str, Any]) -> Chain:
    """Return the chain with each hook replaced by the step or workflow attached to it.

    A hook without one leaves nothing behind; neither does a `when` or a branch that held only such.
    """
    return Chain(tuple(_items(body.items, attached)))


def _items(items: tuple[Node | Group, ...], attached: Mapping[str, Any]) -> Iterator[Node | Group]:
    rest = list(items)
    while rest:
        item = rest.pop(0)
        if isinstance(item, Group):
            yield from _group(item, attached)
        elif item.kind == HOOK:
            yield from _attached(item, attached)
        elif item.kind == Kind.WHEN:
            guarded, rest = rest[: item.span], rest[item.span :]
            if inside := list(_items(tuple(guarded), attached)):
                yield replace(item, span=len(inside))
                yield from inside
        else:
            yield item


def _group(group: Group, attached: Mapping[str, Any]) -> Iterator[Node | Group]:
    branches = [made for one in group.branches if (made := lower(one, attached)).items]
    if len(branches) > 1:
        yield Group(group.name, tuple(branches))
    elif branches:  # a group of one is its branch
        yield from branches[0].items


def _attached(item: Node, attached: Mapping[str, Any]) -> Iterator[Node]:
    place: HookPlace = item.extra["place"]
    if place.name in attached:
        yield place.filled_by(attached[place.name], name=item.name)


def with_types(chain: Chain) -> Chain:
    """Note in each node that runs an author's code what that takes and returns, as a short hash."""
    return Chain(tuple(map(_typed, chain.items)))


def _typed(item: Node | Group) -> Node | Group:
    if isinstance(item, Group):
        return replace(item, branches=tuple(map(with_types, item.branches)))
    target = _target(item)
    if target is None:
        return item
    try:
        return replace(item, extra={**item.extra, "types": target.types})
    except PydanticUserError as error:  # a forward reference that nothing resolved
        raise DefinitionError(
            f"{place(target.fn)}: the types of {target!r} are not defined when all modules are"
            f" imported: {error}; define what they name, or call model_rebuild()"
        ) from error


def _target(node: Node) -> Any:
    body = node.extra.get("body") if node.kind == Kind.EACH else node.kind
    if body == Kind.CHILD:
        return registry.workflow(node.step)
    return registry.step(node.step) if body == Kind.STEP else None


def declared_waits(plan: Plan) -> timedelta:
    """Return how long the plan's sleeps and waits may take in all, those of its children too.

    A moment known only at run time (`sleep_until`) is not in it.
    """
    return sum(map(_declared, plan.nodes), timedelta(0))


def _declared(node: Node) -> timedelta:
    if node.kind == Kind.SLEEP:
        return timedelta(seconds=node.inputs.get("seconds", {}).get("$value", 0))
    if node.kind == Kind.WAIT:
        return timedelta(seconds=node.extra["timeout"])
    if node.kind == Kind.CHILD or node.extra.get("body") == Kind.CHILD:
        return declared_waits(registry.workflow(node.step).plan)
    return timedelta(0)
