"""The demo's table: each line is something that should have happened, and whether it did."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table

from counterpoint.demo.receiver import Receiver
from counterpoint.demo.scenario import Story, Write
from jobs.counting import counted
from jobs.models import Run, StepRun
from jobs.workflows.restock.models import RestockOrder, SupplierNotice
from subscriptions.models import Delivery, Event

FORWARD = ["create-order", "create-items", "notify-supplier", "update-status"]
UNDONE_LAST = "create-order.compensate"
UNDONE_FIRST = {"create-items.compensate", "notify-supplier.compensate"}


@dataclass(frozen=True)
class Line:
    """One row of the table; `seconds` counts from the SQL commit that caused it."""

    what: str
    found: str
    seconds: float | None
    ok: bool


def lines(story: Story, receiver: Receiver) -> Iterator[Line]:
    """Yield every check of the main job, from the SQL writes to the rollback."""
    yield from _events(story)
    yield from _deliveries(story, receiver)
    succeeded, failed = _runs_by_request(story)
    yield from _succeeded(story, succeeded)
    yield from _failed(story, failed)


def _events(story: Story) -> Iterator[Line]:
    for label, write in (("order", story.good), ("order to be refused", story.refused)):
        event = _event(story, write)
        found = f"{event.operation} {event.table} {event.record_id}" if event else "no event"
        yield Line(f"event of the {label}", found, None, event is not None)
    ghosts = Event.objects.filter(
        table="restock_request", company=story.company, record_id=str(story.rolled_back_id)
    ).count()
    yield Line("event of a rolled-back write", counted(ghosts, "event"), None, ghosts == 0)
    strangers = Delivery.objects.filter(company=story.bystander).count()
    yield Line(
        "deliveries for a company without subscriptions",
        f"{strangers} deliveries",
        None,
        strangers == 0,
    )


def _event(story: Story, write: Write) -> Event | None:
    return Event.objects.filter(
        table="restock_request", company=story.company, record_id=str(write.request_id)
    ).first()


def _deliveries(story: Story, receiver: Receiver) -> Iterator[Line]:
    for label, write in (("order", story.good), ("order to be refused", story.refused)):
        event = _event(story, write)
        arrivals = [
            arrival
            for arrival in receiver.arrivals
            if arrival.body and arrival.body.get("recordId") == str(write.request_id)
        ]
        ok = len(arrivals) == 1
        found = "signature verified by the receiver" if ok else counted(len(arrivals), "arrival")
        seconds = arrivals[0].at - write.committed_at if arrivals else None
        yield Line(f"webhook of the {label}", found, seconds, ok)
        for subscription in (story.webhook, story.workflow):
            rows = Delivery.objects.filter(event=event, subscription=subscription)
            statuses = list(rows.values_list("status", flat=True))
            yield Line(
                f"{subscription.handler_type} delivery of the {label}",
                ", ".join(statuses) or "none",
                _since(write, rows[0].finished_at.timestamp())
                if rows and rows[0].finished_at
                else None,
                statuses == [Delivery.Status.DELIVERED],
            )
    refused = [arrival.problem for arrival in receiver.arrivals if arrival.problem]
    yield Line("webhooks with a wrong signature", f"{len(refused)}", None, not refused)


def _runs_by_request(story: Story) -> tuple[Run | None, Run | None]:
    by_supplier = {run.input["order"]["supplier_id"]: run for run in story.runs}
    return by_supplier.get("fast-bolts"), by_supplier.get("sold-out")


def _succeeded(story: Story, run: Run | None) -> Iterator[Line]:
    ok = run is not None and run.status == Run.Status.SUCCEEDED
    found = f"{run.status}, order {run.output}" if run else "no run"
    yield Line("run restock/create of the order", found, _end(story.good, run), ok)
    if run is None:
        return
    yield from _steps(story.good, run, dict.fromkeys(FORWARD, StepRun.Status.SUCCEEDED))
    order = RestockOrder.objects.filter(pk=int(run.output or 0)).first()
    confirmed = order is not None and order.status == RestockOrder.Status.CONFIRMED
    items = order.items.count() if order else 0
    yield Line(
        "the order's rows",
        f"{order.status}, {counted(items, 'item')}" if order else "gone",
        None,
        confirmed and items == 2,
    )


def _failed(story: Story, run: Run | None) -> Iterator[Line]:
    ok = run is not None and (run.status, run.rollback) == ("failed", "complete")
    found = f"{run.status}, rollback {run.rollback}" if run else "no run"
    yield Line("run restock/create of the refused order", found, _end(story.refused, run), ok)
    if run is None:
        return
    expected = dict.fromkeys(FORWARD, StepRun.Status.SUCCEEDED)
    expected["update-status"] = StepRun.Status.FAILED
    yield from _steps(story.refused, run, expected)
    undone = list(run.steps.filter(phase=StepRun.Phase.COMPENSATION).order_by("started_at", "id"))
    for step in undone:
        yield Line(
            f"  undone: {step.node}",
            f"{step.status}, {_milliseconds(step)}",
            _since(story.refused, step.finished_at.timestamp()) if step.finished_at else None,
            step.status == StepRun.Status.SUCCEEDED,
        )
    names = [step.node for step in undone]
    mirrored = set(names[:-1]) == UNDONE_FIRST and names[-1:] == [UNDONE_LAST]
    mirrored = mirrored and len(names) == 3 and _is_after(undone[-1], undone[:-1])
    yield Line(
        "compensations in mirror order",
        "the pair, then create-order" if mirrored else ", ".join(names) or "none",
        None,
        mirrored,
    )
    number = int(run.steps.get(node="create-order").output or 0)
    left = RestockOrder.objects.filter(pk=number).count()
    notices = SupplierNotice.objects.filter(order_number=number).order_by("id")
    kinds = list(notices.values_list("kind", flat=True))
    yield Line("the refused order's rows", "gone" if not left else "still there", None, not left)
    yield Line("the supplier's notices", ", ".join(kinds), None, kinds == ["placed", "withdrawn"])


def _steps(write: Write, run: Run, expected: dict[str, StepRun.Status]) -> Iterator[Line]:
    rows = {step.node: step for step in run.steps.filter(phase=StepRun.Phase.FORWARD)}
    for node, status in expected.items():
        step = rows.get(node)
        if step is None:
            yield Line(f"  step {node}", "never started", None, ok=False)
            continue
        yield Line(
            f"  step {node}",
            f"{step.status}, {_milliseconds(step)}",
            _since(write, step.finished_at.timestamp()) if step.finished_at else None,
            step.status == status,
        )


def _is_after(last: StepRun, others: list[StepRun]) -> bool:
    return all(
        other.finished_at and last.started_at and other.finished_at <= last.started_at
        for other in others
    )


def _milliseconds(step: StepRun) -> str:
    return f"{step.duration.total_seconds() * 1000:.1f} ms" if step.duration else "not ended"


def _since(write: Write, moment: float) -> float:
    return max(0.0, moment - write.committed_at)


def _end(write: Write, run: Run | None) -> float | None:
    return _since(write, run.finished_at.timestamp()) if run and run.finished_at else None


def table(found: list[Line]) -> Table:
    """Return the lines as a table for the terminal."""
    made = Table(title="The main job, line by line", title_justify="left")
    made.add_column("what")
    made.add_column("found")
    made.add_column("after the commit", justify="right")
    made.add_column("as it should be", justify="center")
    for line in found:
        made.add_row(
            line.what,
            line.found,
            "" if line.seconds is None else f"{line.seconds:.3f} s",
            "[green]yes[/]" if line.ok else "[bold red]NO[/]",
        )
    return made
