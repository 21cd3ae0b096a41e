"""`manage.py trace EVENT_ID`."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.tree import Tree

from subscriptions import following
from subscriptions.envelope import Envelope
from subscriptions.errors import UnknownEvent
from subscriptions.explanations import Explanation
from subscriptions.following import MOST, Followed, Trail

PLAIN_WIDTH = 1000  # so that nothing is wrapped in a file


class Command(BaseCommand):
    help = "Follow one event through matching, deliveries, attempts and runs; changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event_id", help="the event's id, a UUID: see manage.py outbox")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            trail = following.follow(UUID(options["event_id"]))
        except ValueError as error:
            raise CommandError(f"{options['event_id']!r} is no UUID") from error
        except UnknownEvent as error:
            raise CommandError(str(error)) from error
        stream: Any = self.stdout
        width = None if stream.isatty() else PLAIN_WIDTH
        Console(file=stream, width=width, highlight=False, markup=False).print(_tree(trail))


def _tree(trail: Trail) -> Tree:
    made = Tree(_title(trail.event))
    event = trail.event
    made.add(f"recorded {event.recorded_at:%Y-%m-%d %H:%M:%S.%f} UTC, seq {event.seq}")
    made.add(
        f"correlation {event.correlation_id or 'none: it is a beginning'}, depth {event.depth}"
    )
    for one in trail.followed:
        _add(made, one)
    if not trail.followed:
        made.add("no subscription of its company asks for its table or type")
    if trail.children:
        more = ", the first" if len(trail.children) == MOST else ""
        children = made.add(f"events that came of it: {len(trail.children)}{more}")
        for child in trail.children:
            children.add(f"{_title(child)}, depth {child.depth}")
    return made


def _title(event: Envelope) -> str:
    what = event.type or f"{event.table} {event.operation} {event.record_id_text or ''}".strip()
    return f"{what} {event.id}, {event.company or 'no company'}"


def _add(tree: Tree, one: Followed) -> None:
    if one.subscription is None:
        branch = tree.add("a subscription that was deleted since")
    else:
        explanation = one.explanation
        says = "matches" if explanation is not None and explanation.matches else "does not match"
        branch = tree.add(f"{one.subscription} {one.subscription.handler_type}: {says}")
        if explanation is not None:
            for line in _reasons(explanation):
                branch.add(line)
    if one.delivery is None:
        if one.explanation is not None and one.explanation.matches:
            branch.add("no delivery: the relay has not read it, or did not match it then")
        return
    delivery = branch.add(
        f"delivery {one.delivery.pk}: {one.delivery.status}, attempts {one.delivery.attempts}"
        + (f": {one.delivery.error}" if one.delivery.error else "")
    )
    for attempt in one.tries:
        delivery.add(
            f"attempt {attempt.number} of generation {attempt.generation}: {attempt.status}"
            f" {attempt.status_code or ''} after {attempt.duration.total_seconds():.3f} s"
            f" {attempt.error}".rstrip()
        )
    if one.run is not None:
        delivery.add(f"run {one.run.pk} of {one.run.workflow}: {one.run.status}")


def _reasons(explanation: Explanation) -> Iterator[str]:
    for reason in explanation.reasons:
        if not reason.is_met:
            yield f"{reason.asks}: wants {reason.wanted}, found {reason.found}"
    yield from explanation.notes
