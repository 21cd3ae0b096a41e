"""A worker's turn at one record's mapping: one at a time, whichever subscription it came by."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from subscriptions.handlers.sync.errors import Busy, SyncFailed, Throttled
from subscriptions.models import ExternalMapping

# Longer than a push may take, with every exchange at its time limit.
TURN = timedelta(minutes=5)
COME_AGAIN = timedelta(seconds=10)


@dataclass(frozen=True)
class Target:
    """A record of a company, and what it is at a provider."""

    company: str | None
    provider: str
    entity: str
    table: str
    record_id: str


@contextmanager
def turn(
    target: Target, *, tenant_id: str, subscription_id: int, delivery_id: int
) -> Iterator[ExternalMapping]:
    """Hold the record's mapping, made if need be; a failure in the turn is noted in it.

    Raises Busy if another worker holds it, or took it when the time of the turn was over.
    """
    rows = ExternalMapping.objects.filter(**vars(target))
    if not rows.exists() and not _adopt(target):
        values = {"tenant_id": tenant_id, "subscription_id": subscription_id}
        ExternalMapping.objects.bulk_create(
            [ExternalMapping(**vars(target), **values)], ignore_conflicts=True
        )
    free = rows.filter(Q(busy_until__isnull=True) | Q(busy_until__lt=Now()))
    won = free.update(
        busy_until=Now() + TURN,
        subscription_id=subscription_id,
        delivery_id=delivery_id,
        updated_at=Now(),
    )
    if not won:
        raise Busy("another worker is sending this record now", retry_after=COME_AGAIN)
    mapping = rows.get()
    if mapping.tenant_id != tenant_id:
        _forget(mapping, tenant_id)
    try:
        yield mapping
    except SyncFailed as error:
        _note_failure(mapping, error)
        raise
    finally:
        _held(mapping).update(busy_until=None, updated_at=Now())


def note(mapping: ExternalMapping, **values: object) -> None:
    """Write down some columns of the mapping, here and in the database.

    Raises Busy if the turn was over and another worker has, or had, the next.
    """
    if not _held(mapping).update(**values, updated_at=Now()):
        raise Busy("another worker has taken this record over", retry_after=COME_AGAIN)
    for name, value in values.items():
        setattr(mapping, name, value)


def _held(mapping: ExternalMapping) -> QuerySet[ExternalMapping]:
    """Return the row while the turn is this worker's: the next one's ends later."""
    return ExternalMapping.objects.filter(pk=mapping.pk, busy_until=mapping.busy_until)


def _adopt(target: Target) -> bool:
    """Take over the mapping from when tables were not noted, if there is one."""
    unnamed = ExternalMapping.objects.filter(**{**vars(target), "table": ""})
    try:
        with transaction.atomic():
            return bool(unnamed.update(table=target.table))
    except IntegrityError:  # another worker has just made or adopted one
        return True


def _forget(mapping: ExternalMapping, tenant_id: str) -> None:
    """The company has connected another organisation, which knows none of the old one's ids."""
    note(
        mapping,
        tenant_id=tenant_id,
        external_id=None,
        external_version="",
        status=ExternalMapping.Status.PENDING,
        synced_hash="",
        pending_key=None,
        pending_payload=None,
    )


def _note_failure(mapping: ExternalMapping, error: SyncFailed) -> None:
    if isinstance(error, Busy):  # the turn is over
        return
    if isinstance(error, Throttled):
        # Nothing is wrong with the record: it keeps its status, and the place that it was given.
        note(mapping, slot_at=error.place)
        return
    note(
        mapping,
        status=ExternalMapping.Status.FAILED,
        last_error=str(error).replace("\x00", "\ufffd"),
        slot_at=None,
    )
