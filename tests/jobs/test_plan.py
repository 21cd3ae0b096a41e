"""Plans as data: what follows a node, the mirror image, JSON, and the Celery canvas."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.plan import Chain, Entry, Group, Kind, Node, Plan, Way
from tests.jobs import flows


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Random series-parallel plans of up to three levels."""
    counter = iter(range(10_000))

    def chain(depth: int) -> Chain:
        size = draw(st.integers(1, 3))
        return Chain(tuple(item(depth) for _ in range(size)))

    def item(depth: int) -> Node | Group:
        if depth and draw(st.booleans()):
            branches = tuple(chain(depth - 1) for _ in range(draw(st.integers(2, 3))))
            return Group(f"g{next(counter)}", branches)
        return Node(f"n{next(counter)}", "step")

    return Plan(chain(draw(st.integers(0, 2))))


def walk(plan: Plan, done: Mapping[str, Any] | None = None) -> list[str]:
    """Run the plan by its own rules, one node at a time, and return the order."""
    order: list[str] = []
    ready: list[Node] = []
    joins: dict[str, int] = {}
    ended = False

    def enter(entry: Entry) -> None:
        joins.update(dict(entry.joins))
        ready.extend(entry.nodes)

    def move(way: Way) -> bool:
        if way.entry is not None:
            enter(way.entry)
            return False
        for group, following in way.joins:
            joins[group] -= 1
            if joins[group]:
                return False
            if following is not None:
                enter(following)
                return False
        return True

    first = plan.start(done)
    if first is None:
        return []
    enter(first)
    while ready:
        node = ready.pop()
        order.append(node.name)
        ended = move(plan.after(node.name)) or ended
    assert ended
    return order


@given(plans())
def test_a_walk_meets_every_node_once_and_comes_to_the_end(plan: Plan) -> None:
    assert sorted(walk(plan)) == sorted(node.name for node in plan.nodes)


@given(plans(), st.data())
def test_a_walk_that_begins_again_meets_exactly_what_is_left(
    plan: Plan, data: st.DataObject
) -> None:
    order = walk(plan)
    done = order[: data.draw(st.integers(0, len(order)))]

    left = walk(plan, dict.fromkeys(done, True))

    assert sorted(done + left) == sorted(order)


def test_a_false_condition_skips_what_it_guards() -> None:
    guard = Node("when-1", "module.predicate", kind=Kind.WHEN, span=2)
    plan = Plan(Chain((guard, Node("a", "s"), Node("b", "s"), Node("c", "s"))))

    assert plan.after("when-1").entry == Entry((Node("a", "s"),))
    assert plan.after("when-1", skip=True).entry == Entry((Node("c", "s"),))
    assert plan.start({"when-1": False}) == Entry((Node("c", "s"),))


def test_behind_a_node_is_what_runs_only_after_it() -> None:
    assert flows.diamond.plan.behind("flow-a#2") == {"flow-b"}
    assert flows.diamond.plan.behind("flow-a#3") == {"flow-a#4", "flow-b"}


@given(plans())
def test_json_gives_the_same_plan_back(plan: Plan) -> None:
    again = Plan.from_json(plan.to_json())

    assert again == plan
    assert again.hash == plan.hash


@given(plans(), st.data())
def test_the_mirror_holds_the_wanted_nodes_and_turns_their_order(
    plan: Plan, data: st.DataObject
) -> None:
    names = [node.name for node in plan.nodes]
    wanted = set(data.draw(st.lists(st.sampled_from(names), unique=True)))

    mirror = plan.mirror(wanted)

    undone = [name.removesuffix(".compensate") for name in walk(mirror)] if wanted else []
    assert set(undone) == wanted
    assert len(undone) == len(wanted)
    for before, after in ordered_pairs(plan):
        if before in wanted and after in wanted:
            assert undone.index(after) < undone.index(before)


def ordered_pairs(plan: Plan) -> set[tuple[str, str]]:
    """Return (earlier, later) for nodes that the plan puts one after the other."""
    pairs: set[tuple[str, str]] = set()

    def names(item: Node | Group) -> list[str]:
        if isinstance(item, Node):
            return [item.name]
        return [name for branch in item.branches for part in branch.items for name in names(part)]

    def visit(chain: Chain) -> None:
        for index, item in enumerate(chain.items):
            for later in chain.items[index + 1 :]:
                pairs.update((a, b) for a in names(item) for b in names(later))
            if isinstance(item, Group):
                for branch in item.branches:
                    visit(branch)

    visit(plan.body)
    return pairs


def test_an_empty_mirror_is_at_its_end_at_once() -> None:
    assert flows.chain.plan.mirror(set()).start() is None


def test_the_canvas_is_celery_s_own() -> None:
    canvas = flows.diamond.canvas()

    assert type(canvas).__name__ == "_chain"
    assert "flow-b" in repr(canvas)
    assert repr(canvas).startswith("flow-a(")


def test_a_barrier_stands_between_two_groups() -> None:
    assert "jobs.barrier" in repr(flows.nested.canvas())
