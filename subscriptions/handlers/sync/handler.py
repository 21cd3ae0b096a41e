"""The handler type SYNC: its config, and a batch of deliveries record by record."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from django.db import DatabaseError
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import Handler, HandlerConfig, Item, Outcome, handler
from subscriptions.handlers.sync import records
from subscriptions.handlers.sync.errors import Halted, NotConnected, Refused, SyncFailed, Throttled
from subscriptions.handlers.sync.fields import NAME, entity_of_table
from subscriptions.handlers.sync.providers import Provider
from subscriptions.handlers.sync.pushing import Push
from subscriptions.handlers.sync.quickbooks import QuickBooks
from subscriptions.handlers.sync.session import Session
from subscriptions.handlers.sync.turns import Target, turn
from subscriptions.handlers.sync.xero import Xero
from subscriptions.models import ExternalConnection, Operation

PROVIDERS: dict[str, Provider] = {"xero": Xero(), "quickbooks": QuickBooks()}

_Column = Annotated[str, Field(min_length=1)]


@handler("SYNC")
class SyncHandler(Handler):
    queue = "sync"
    # One exchange may take 20 s, and a record several of them.
    chunk = 5
    lease = timedelta(minutes=10)
    collapses = True

    class Config(HandlerConfig):
        provider: Literal["xero", "quickbooks"] = Field(
            title="Provider", description="The accounting system that the records are pushed to."
        )
        entity: Literal["customer", "supplier"] | None = Field(
            default=None,
            title="Entity",
            description="What the table's records are there. Empty: what the table's name says"
            " (customer, supplier or vendor, also in the plural).",
        )
        fields: dict[_Column, str] | None = Field(
            default=None,
            title="Fields",
            description="Column of the table to field of the entity, such as"
            ' {"legal_name": "name", "vat": "tax_number"}; nothing else is sent. Empty: columns'
            " with usual names.",
        )

        @model_validator(mode="after")
        def fields_are_known(self) -> "SyncHandler.Config":
            if self.fields is None:
                return self
            entities = PROVIDERS[self.provider].entities
            allowed = entities[self.entity] if self.entity else frozenset.union(*entities.values())
            given = list(self.fields.values())
            if unknown := sorted(set(given) - allowed):
                raise PydanticCustomError(
                    "fields",
                    "fields: {provider} has no {unknown}; it takes: {allowed}",
                    {
                        "provider": self.provider,
                        "unknown": ", ".join(unknown),
                        "allowed": ", ".join(sorted(allowed)),
                    },
                )
            if len(set(given)) < len(given):
                raise PydanticCustomError("fields", "fields: two columns are for the same field")
            if NAME not in given:
                raise PydanticCustomError("fields", "fields: one column must be for 'name'")
            return self

    def check(self, config: Config, *, company: str | None) -> None:
        """Refuse a provider that the operator has not set up here."""
        provider = PROVIDERS[config.provider]
        if not provider.app().client_id:
            raise InvalidSubscription(
                "config.provider",
                f"{provider.title} is not set up here: the operator must set"
                f" {provider.name.upper()}_CLIENT_ID and {provider.name.upper()}_CLIENT_SECRET",
            )

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        """Push each record once, as it is now, however many of the batch's events are about it."""
        halted: dict[tuple[str | None, str], Halted] = {}
        for items in _by_record(batch):
            latest = max(items, key=lambda item: item.event.seq)
            whose = (_company(latest), latest.config.provider)
            began = time.monotonic()
            details: dict[str, Any]
            try:
                if whose in halted:
                    raise halted[whose]
                details = {"response": _push(latest)}
                error = None
            except SyncFailed as failure:
                error, details = str(failure), _details(failure)
                if isinstance(failure, Halted) and not _has_place(failure):
                    halted[whose] = failure
            except DatabaseError as failure:
                # Of the company's own table, most likely: no right to read it, a column retyped.
                error, details = f"{type(failure).__name__}: {failure}"[:2000], {}
            duration = timedelta(seconds=time.monotonic() - began)
            for item in items:
                if error is None:
                    yield Outcome.delivered(item, duration=duration, **details)
                else:
                    yield Outcome.failed(item, error, duration=duration, **details)


def _by_record(batch: Sequence[Item]) -> list[list[Item]]:
    groups: dict[tuple[int, str | None, str | None], list[Item]] = {}
    for item in batch:
        key = (item.subscription_id, item.event.company, item.event.record_id_text)
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _has_place(failure: Halted) -> bool:
    """Whether only this record is to wait; the next asks for a place of its own."""
    return isinstance(failure, Throttled) and failure.place is not None


def _company(item: Item) -> str | None:
    """Return whose record it is: a subscription of the platform pushes each company's to its own
    books.
    """
    return item.event.company if item.company is None else item.company


def _details(failure: SyncFailed) -> dict[str, Any]:
    return {
        "permanent": failure.permanent,
        "retry_after": failure.retry_after,
        "status_code": failure.status_code,
        "response": failure.response,
    }


def _push(item: Item) -> str:
    """Make the provider's record what the table says now; return what was done."""
    company = _company(item)
    table, record_id, entity = _source(item)
    provider = PROVIDERS[item.config.provider]
    row = ExternalConnection.objects.filter(company=company, provider=provider.name).first()
    if row is None:
        raise NotConnected(
            f"{company or 'the platform'} is not connected to {provider.title}: somebody who may"
            f" manage its account there must, then `manage.py connect_provider {provider.name}`"
            " stores the tokens"
        )
    target = Target(company, provider.name, entity, _key_text(record_id))
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
