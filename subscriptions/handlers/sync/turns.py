"""A worker's turn at one record's mapping: one at a time, whichever subscription it came by."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
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
    record_id: str


@contextmanager
def turn(
    target: Target, *, tenant_id: str, subscription_id: int, delivery_id: int
) -> Iterator[ExternalMapping]:
    """Hold the record's mapping, made if need be; a failure in the turn is noted in it.

    Raises Busy if another worker holds it.
    """
    rows = ExternalMapping.objects.filter(**vars(target))
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id}
    if not rows.exists():
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
        note(mapping, busy_until=None)


def note(mapping: ExternalMapping, **values: object) -> None:
    """Write down some columns of the mapping, here and in the database."""
    for name, value in values.items():
        setattr(mapping, name, value)
    ExternalMapping.objects.filter(pk=mapping.pk).update(**values, updated_at=Now())


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
