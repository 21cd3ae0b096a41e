"""A beginning and all that came of it, as one tree: events, their deliveries, the runs that these
started, the events of those runs, and so on.

Events that came of one another share a correlation: the id of the event, or of the run, that began.
An event that a run published says which; a row that a step wrote says only how deep it is, so it
hangs below the one run of that depth, or, if there are several, below the beginning.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from jobs.models import Run, StepRun
from subscriptions.deliveries.ownership import deliveries_of
from subscriptions.models import Delivery, Event, Subscription
from subscriptions.statements import OutOfTime, fetch_in_time

MOST = 200  # events of a tree
MOST_SECONDS = 5.0  # for looking for them: the outbox has no index by correlation
FROM_RUN = "run"

LATER = """
SELECT seq FROM event_system_event
WHERE recorded_at >= %s AND correlation_id = %s ORDER BY seq LIMIT %s
"""
SHOWN = (
    "seq",
    "event_id",
    "recorded_at",
    "source",
    "source_id",
    "company",
    "type",
    "table",
    "operation",
    "record_id",
    "depth",
)


@dataclass
class Node:
    """One thing of the tree: an event, a run, or a delivery and what it is for.

    `subscription` is None for what is no delivery, and where it was deleted since.
    """

    event: Event | None = None
    delivery: Delivery | None = None
    subscription: Subscription | None = None
    run: Run | None = None
    children: list["Node"] = field(default_factory=list)


@dataclass(frozen=True)
class Chain:
    """The tree; `is_whole` is false if there are more events than shown, or no time to find them.

    Several roots: the beginning is kept no longer, or is another company's.
    """

    correlation_id: str
    roots: list[Node]
    is_whole: bool


def chain_of(correlation_id: str, *, since: datetime, company: str | None = None) -> Chain:
    """Return the tree of a correlation as the company may see it, all of it with None.

    `since` is when any of it was recorded: what began earlier is found by its id.
    """
    beginning = _beginning(correlation_id)
    start = since
    if isinstance(beginning, Event):
        start = min(start, beginning.recorded_at)
    elif beginning is not None:
        start = min(start, beginning.created_at)
    later, is_whole = _later(correlation_id, start)
    events = [beginning, *later] if isinstance(beginning, Event) else later
    if company is not None:
        events = [event for event in events if event.company == company]
    deliveries = _deliveries(events, company)
    subscriptions = Subscription.objects.in_bulk({one.subscription_id for one in deliveries})
    started = _started(deliveries, subscriptions)
    others = _publishers(events, {run.pk for run in started.values()})
    if isinstance(beginning, Run) and company in (None, beginning.company):
        others.setdefault(beginning.pk, beginning)
    nodes = _delivery_nodes(deliveries, subscriptions)
    return Chain(correlation_id, _tree(events, nodes, started, others), is_whole)


def _beginning(correlation_id: str) -> Event | Run | None:
    try:
        found = UUID(correlation_id)
    except ValueError:
        return None
    event = Event.objects.filter(event_id=found).only(*SHOWN).first()
    return event or Run.objects.filter(pk=found).first()


def _later(correlation_id: str, start: datetime) -> tuple[list[Event], bool]:
    try:
        rows = fetch_in_time(LATER, [start, correlation_id, MOST + 1], seconds=MOST_SECONDS)
    except OutOfTime:
        return [], False
    seqs = [seq for (seq,) in rows[:MOST]]
    found = Event.objects.filter(seq__in=seqs, recorded_at__gte=start).only(*SHOWN)
    return list(found.order_by("seq")), len(rows) <= MOST


def _deliveries(events: Sequence[Event], company: str | None) -> list[Delivery]:
    """Return the events' deliveries; for a company those to its own subscriptions alone."""
    if not events:
        return []
    times = [event.recorded_at for event in events]
    found = Delivery.objects.filter(
        event_id__in=[event.pk for event in events], event_at__range=(min(times), max(times))
    )
    if company is not None:
        found = deliveries_of(found, company)
    return list(found.order_by("id"))


def _delivery_nodes(
    deliveries: Iterable[Delivery], subscriptions: Mapping[int, Subscription]
) -> dict[int, Node]:
    return {
        one.pk: Node(delivery=one, subscription=subscriptions.get(one.subscription_id))
        for one in deliveries
    }


def _started(
    deliveries: Iterable[Delivery], subscriptions: Mapping[int, Subscription]
) -> dict[int, Run]:
    """Return the run that each delivery of a workflow started, by the delivery's id."""
    keys: dict[str, int] = {}
    workflows, companies = set(), set()
    for one in deliveries:
        subscription = subscriptions.get(one.subscription_id)
        if one.handler_type == "WORKFLOW" and subscription is not None:
            keys[f"{one.event_uuid}/{subscription.pk}"] = one.pk
            workflows.add(str(subscription.config.get("workflow")))
            companies |= {one.company, subscription.company} - {None}
    # What is asked besides the key is what its index begins with.
    found = Run.objects.filter(
        workflow__in=workflows, company__in=companies, idempotency_key__in=keys
    )
    return {keys[str(run.idempotency_key)]: run for run in found}


def _publishers(events: Iterable[Event], known: set[UUID]) -> dict[UUID, Run]:
    """Return the other runs that published some of these events: children of runs, say."""
    ids = {event.source_id for event in events if event.source == FROM_RUN and event.source_id}
    return {run.pk: run for run in Run.objects.filter(pk__in=ids - set(map(str, known)))}


def _tree(
    events: Sequence[Event],
    deliveries: Mapping[int, Node],
    started: Mapping[int, Run],
    others: Mapping[UUID, Run],
) -> list[Node]:
    of_events = {event.pk: Node(event=event) for event in events}
    of_runs = {run.pk: Node(run=run) for run in (*started.values(), *others.values())}
    for pk, node in deliveries.items():
        if node.delivery is not None:
            of_events[node.delivery.event_id].children.append(node)
        if pk in started:
            node.children.append(of_runs[started[pk].pk])
    roots = _hang_children(of_runs, others)
    by_depth: defaultdict[int, list[Node]] = defaultdict(list)
    for node in of_runs.values():
        if node.run is not None:
            by_depth[node.run.depth + 1].append(node)
    first = roots[0] if roots else None
    for event in events:
        parent = _publisher(event, of_runs, by_depth)
        node = of_events[event.pk]
        if parent is None and event.depth > 0:
            parent = first
        if parent is None:
            first = first or node
            roots.append(node)
        else:
            parent.children.append(node)
    return roots


def _hang_children(of_runs: Mapping[UUID, Node], others: Mapping[UUID, Run]) -> list[Node]:
    """Hang a child run below its parent; return the nodes of those whose parent is not here."""
    steps = {run.parent_id: run.pk for run in others.values() if run.parent_id is not None}
    parents = dict(StepRun.objects.filter(pk__in=steps).values_list("pk", "run_id"))
    roots = []
    for run in others.values():
        run_id = parents.get(run.parent_id) if run.parent_id is not None else None
        parent = of_runs.get(run_id) if run_id is not None else None
        if parent is None:
            roots.append(of_runs[run.pk])
        else:
            parent.children.append(of_runs[run.pk])
    return roots


def _publisher(
    event: Event, of_runs: Mapping[UUID, Node], by_depth: Mapping[int, Sequence[Node]]
) -> Node | None:
    if event.source == FROM_RUN and event.source_id is not None:
        return of_runs.get(UUID(event.source_id))
    candidates = by_depth.get(event.depth, ())
    return candidates[0] if len(candidates) == 1 and event.depth > 0 else None
