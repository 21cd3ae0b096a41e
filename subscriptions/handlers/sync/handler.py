"""The handler type SYNC: its config, and a batch of deliveries record by record."""

import json
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import (
    Handler,
    Item,
    Outcome,
    Preview,
    handler,
)
from subscriptions.handlers.sync import records
from subscriptions.handlers.sync.config import SyncConfig, check_fields
from subscriptions.handlers.sync.errors import (
    Busy,
    NotConnected,
    Postponed,
    Refused,
    SyncFailed,
)
from subscriptions.handlers.sync.fields import entity_of_table, parts_of
from subscriptions.handlers.sync.providers import Payload, Provider
from subscriptions.handlers.sync.pushing import Push
from subscriptions.handlers.sync.session import Session
from subscriptions.handlers.sync.shipped import PROVIDERS
from subscriptions.handlers.sync.turns import Target, turn
from subscriptions.models import ExternalConnection, Operation

# Pushes at once in a process: each has a database connection of its own.
AT_ONCE = 8
ROOM_SECONDS = 60.0
_room = threading.BoundedSemaphore(AT_ONCE)


@handler("SYNC")
class SyncHandler(Handler):
    """Push customers and suppliers to an accounting provider, as the company's tables have them."""

    queue = "sync"
    # One exchange may take 20 s, a record takes several of them, and may wait for room before.
    lease = timedelta(minutes=10)
    collapses = True
    concurrency = 2

    Config = SyncConfig

    def check(self, config: SyncConfig, *, company: str | None) -> None:
        """Refuse a provider that the operator has not set up here."""
        provider = PROVIDERS[config.provider]
        if not provider.app().client_id:
            raise InvalidSubscription(
                "config.provider",
                f"{provider.title} is not set up here: the operator must set"
                f" {provider.name.upper()}_CLIENT_ID and {provider.name.upper()}_CLIENT_SECRET",
            )

    def check_columns(
        self, config: SyncConfig, *, table: str | None, columns: Collection[str] | None
    ) -> None:
        check_fields(config, table=table, columns=columns or ())

    def preview(self, item: Item) -> Preview:
        """Show what the event's row would become; the worker pushes the row as it is by then."""
        provider = PROVIDERS[item.config.provider]
        try:
            _, record_id, entity = _source(item)
            payload = _example_payload(item, entity)
        except SyncFailed as error:
            return Preview(f"Nothing is pushed to {provider.title}: {error}")
        does = "Archive" if item.event.operation == Operation.DELETE else "Push"
        body = json.dumps(payload, ensure_ascii=False, indent=2)
        return Preview(f"{does} {entity} {_key_text(record_id)} at {provider.title}", body=body)

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        """Push each record once, as it is now, however many of the batch's events are about it.

        An example of the test button is looked up at the provider, and nothing is written.
        """
        halted: dict[tuple[str | None, str], SyncFailed] = {}
        try:
            for items in _by_record(batch):
                whose = (_company(items[-1]), items[-1].config.provider)
                began = time.monotonic()
                result = halted.get(whose) or _try(items[-1])
                if isinstance(result, SyncFailed) and result.halts:
                    halted[whose] = result
                duration = timedelta(seconds=time.monotonic() - began)
                for item in items:
                    yield _outcome(item, result, duration)
        finally:
            if threading.current_thread() is not threading.main_thread():
                connection.close()  # the thread may never sync again


def _by_record(batch: Sequence[Item]) -> list[list[Item]]:
    """Return the items of each record in the order of their events."""
    groups: dict[tuple[int, str | None, str | None], list[Item]] = {}
    for item in sorted(batch, key=lambda item: item.event.seq):
        key = (item.subscription_id, item.event.company, item.event.record_id_text)
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _try(item: Item) -> str | SyncFailed:
    """Return what was done, or what went wrong."""
    if not _room.acquire(timeout=ROOM_SECONDS):
        return Busy("this worker has enough to send", retry_after=timedelta(seconds=ROOM_SECONDS))
    try:
        return _look_up(item) if item.is_example else _push(item)
    except SyncFailed as failure:
        return failure
    except DatabaseError as error:
        # Of the company's own table, most likely: no right to read it, a column retyped.
        return SyncFailed(f"{type(error).__name__}: {error}"[:2000])
    finally:
        _room.release()


def _outcome(item: Item, result: str | SyncFailed, duration: timedelta) -> Outcome:
    if isinstance(result, str):
        return Outcome.delivered(item, response=result, duration=duration)
    if isinstance(result, Postponed):
        return Outcome.postponed(item, str(result), retry_after=result.wait)
    return Outcome.failed(
        item,
        str(result),
        permanent=result.permanent or _is_its_own(item, result),
        retry_after=result.retry_after,
        status_code=result.status_code,
        response=result.response,
        duration=duration,
    )


def _is_its_own(item: Item, result: SyncFailed) -> bool:
    """Whether one company of a platform subscription is the trouble: it must not switch off the
    others, and more tries connect nobody.
    """
    is_of_many = item.company is None and item.event.company is not None
    return is_of_many and isinstance(result, NotConnected)


def _company(item: Item) -> str | None:
    """Return whose record it is: a subscription of the platform pushes each company's to its own
    books.
    """
    return item.event.company if item.company is None else item.company


def _push(item: Item) -> str:
    """Make the provider's record what the table says now; return what was done."""
    company = _company(item)
    table, record_id, entity = _source(item)
    provider = PROVIDERS[item.config.provider]
    row = _connection(company, provider)
    target = Target(company, provider.name, entity, table, _key_text(record_id))
    held = turn(
        target,
        tenant_id=row.tenant_id,
        subscription_id=item.subscription_id,
        delivery_id=item.delivery_id,
    )
    with held as mapping:
        push = Push(mapping, Session(row, provider, place=mapping.slot_at), provider)
        # Read in the turn: whoever comes later reads later.
        record = records.fetch(table, record_id, company=company)
        if record is not None:
            return push.upsert(record, item.config.fields)
        if item.event.operation == Operation.DELETE:
            return push.archive()
        return "the record is gone: its DELETE archives it, where it is subscribed to"


def _connection(company: str | None, provider: Provider) -> ExternalConnection:
    rows = ExternalConnection.objects.filter(company=company, provider=provider.name)
    row = rows.only("tenant_id").first()
    if row is None:
        raise NotConnected(
            f"{company or 'the platform'} is not connected to {provider.title}: somebody who may"
            f" manage its account there must, then `manage.py connect_provider {provider.name}`"
            " stores the tokens"
        )
    return row


def _example_payload(item: Item, entity: str) -> Payload:
    """Return what the event's own row becomes; raises Refused."""
    provider = PROVIDERS[item.config.provider]
    row = item.event.document
    if not isinstance(row, dict):
        raise Refused("the event holds no row")
    return provider.payload(entity, parts_of(row, item.config.fields, provider.entities[entity]))


def _look_up(item: Item) -> str:
    """Ask the provider for the example's name, at its pace; return what was found."""
    _, _, entity = _source(item)
    provider = PROVIDERS[item.config.provider]
    payload = _example_payload(item, entity)
    session = Session(_connection(_company(item), provider), provider, place=None)
    found = provider.find(session, entity, payload)
    there = f"has this {entity}, {found.id}" if found else f"has no {entity} of this name"
    return f"an example: nothing was pushed; {provider.title} answers, and {there}"


def _source(item: Item) -> tuple[str, Any, str]:
    """Return table, record id and entity of an event; raise Refused if SYNC cannot go by it."""
    event = item.event
    if event.table is None or event.record_id is None:
        raise Refused(
            "SYNC goes by rows: subscribe to a table with a primary key, to INSERT, UPDATE, DELETE"
        )
    if item.company is not None and event.company != item.company:
        raise Refused(f"the event is of {event.company}, the subscription of {item.company}")
    entity = item.config.entity or entity_of_table(event.table)
    if entity is None:
        raise Refused(
            f"the name {event.table!r} does not say what its records are: set config.entity to"
            " 'customer' or 'supplier'"
        )
    return event.table, event.record_id, entity


def _key_text(record_id: Any) -> str:
    """Return the key in one way of writing: text as it is, several columns as JSON by name."""
    if isinstance(record_id, str):
        return record_id
    return json.dumps(record_id, sort_keys=True, default=str, ensure_ascii=False)
