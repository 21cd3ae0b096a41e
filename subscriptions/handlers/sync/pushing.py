"""One record to its provider: made, changed, archived, or left as it is there already."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from subscriptions.handlers.sync.errors import (
    DuplicateName,
    NotConnected,
    NotFound,
    Refused,
    Throttled,
)
from subscriptions.handlers.sync.fields import parts_of
from subscriptions.handlers.sync.providers import External, Payload, Provider
from subscriptions.handlers.sync.session import Session
from subscriptions.handlers.sync.turns import note
from subscriptions.models import ExternalMapping

Status = ExternalMapping.Status


@dataclass(frozen=True)
class Push:
    """A record whose turn it is. Methods return what was done, in a word or two, for the attempt's
    row.
    """

    mapping: ExternalMapping
    session: Session
    provider: Provider

    def upsert(self, row: Mapping[str, Any], fields: Mapping[str, str] | None) -> str:
        """Make the provider's record what the row says."""
        mapping = self.mapping
        entity = mapping.entity
        payload = self.provider.payload(
            entity, parts_of(row, fields, self.provider.entities[entity])
        )
        digest = _digest(payload)
        is_archived = mapping.status == Status.ARCHIVED
        if is_archived and self.provider.restoring is None:
            note(mapping, external_id=None, external_version="")
        if mapping.external_id is None or mapping.pending_key is not None:
            return self._create(payload, digest)
        # Also what keeps an echo of the provider's own data from going back to it.
        if mapping.synced_hash == digest and not is_archived:
            self._settle(Status.SYNCED)
            return f"unchanged {mapping.external_id}"
        restoring = self.provider.restoring if is_archived else {}
        try:
            self._update({**payload, **(restoring or {})}, digest)
        except NotFound:
            return self._replace(payload, digest)
        return f"updated {mapping.external_id}"

    def _replace(self, payload: Payload, digest: str) -> str:
        """Bring back what was removed at the provider, by hand; what is not to be found is made
        anew. The old id is kept until there is a new one: the provider's answer may be wrong.
        """
        if self.provider.restoring is not None:
            with suppress(NotFound):
                self._update({**payload, **self.provider.restoring}, digest)
                return f"restored {self.mapping.external_id}"
        return self._create(payload, digest)

    def archive(self) -> str:
        """Archive the provider's record of a row that is gone."""
        mapping = self.mapping
        if mapping.pending_key is not None:
            self._finish_creation()
        if mapping.external_id is None or mapping.status == Status.ARCHIVED:
            self._settle(Status.ARCHIVED)
            return "nothing to archive"
        if self._is_shared():
            self._settle(Status.ARCHIVED, synced_hash="")
            return f"kept {mapping.external_id}: it is something else of the company's too"
        note(mapping, synced_hash="")
        try:
            known = self.provider.archive(self.session, mapping.entity, self._known())
            note(mapping, external_version=known.version)
        except NotFound:
            pass  # gone there too
        self._settle(Status.ARCHIVED)
        return f"archived {mapping.external_id}"

    def _create(self, payload: Payload, digest: str) -> str:
        mapping = self.mapping
        is_first = mapping.pending_key is None
        if is_first:
            # Written down first: if the answer is lost, the same is asked again, whatever the row
            # holds by then.
            note(mapping, pending_key=uuid.uuid4(), pending_payload=payload)
        try:
            known, word = (None if is_first else self._find()), "linked"
            if known is None:
                known, word = self._ask_for_creation(), "created"
        except DuplicateName as error:
            known, word = self._same_name(error), "linked"
        except (Refused, Throttled, NotConnected) as error:
            # Nothing was made, unless an earlier try did.
            if is_first or isinstance(error, Refused):
                note(mapping, pending_key=None, pending_payload=None)
            raise
        is_current = word == "created" and _digest(mapping.pending_payload or {}) == digest
        self._link(known, digest if is_current else "")
        if not is_current:
            self._update(payload, digest)
        return f"{word} {known.id}"

    def _ask_for_creation(self) -> External:
        mapping = self.mapping
        payload = mapping.pending_payload or {}
        return self.provider.create(
            self.session, mapping.entity, payload, key=str(mapping.pending_key)
        )

    def _finish_creation(self) -> None:
        """Learn what became of a creation whose answer was lost, for a row that is gone now."""
        try:
            self._link(self._ask_for_creation(), "")
        except DuplicateName as error:
            note(self.mapping, pending_key=None, pending_payload=None)
            raise Refused(
                f"{error}: the record was deleted before it was known whether its creation went"
                " through; archive it at the provider by hand, if it is the one of that name"
            ) from error
        except Refused:
            note(self.mapping, pending_key=None, pending_payload=None)

    def _find(self) -> External | None:
        """Return who has the name at the provider: most likely this record, entered by hand or by a
        creation whose answer was lost. Providers forget their keys after a while.
        """
        mapping = self.mapping
        return self.provider.find(self.session, mapping.entity, mapping.pending_payload or {})

    def _same_name(self, error: DuplicateName) -> External:
        mapping = self.mapping
        found = self._find()
        if found is None:
            note(mapping, pending_key=None, pending_payload=None)
            raise Refused(
                f"{error}: and no active {mapping.entity} there has it; rename one of the two",
                status_code=error.status_code,
                response=error.response,
            ) from error
        return found

    def _link(self, known: External, digest: str) -> None:
        """Store the external id as soon as it is known."""
        try:
            with transaction.atomic():
                note(
                    self.mapping,
                    tenant_id=self.session.tenant_id,
                    external_id=known.id,
                    external_version=known.version,
                    pending_key=None,
                    pending_payload=None,
                )
        except IntegrityError as error:
            raise self._taken(known) from error
        self._settle(Status.SYNCED, synced_hash=digest)

    def _taken(self, known: External) -> Refused:
        mapping = self.mapping
        note(mapping, pending_key=None, pending_payload=None)
        other = (
            ExternalMapping.objects.filter(
                company=mapping.company,
                provider=mapping.provider,
                tenant_id=self.session.tenant_id,
                entity=mapping.entity,
                external_id=known.id,
            )
            .values_list("table", "record_id")
            .first()
        )
        whose = f"record {other[1]} of {other[0]}" if other else "another record"
        return Refused(
            f"{self.provider.title} has one {mapping.entity} of this name, {known.id}, and it is"
            f" {whose} already: give one of the two another name"
        )

    def _update(self, payload: Payload, digest: str) -> None:
        mapping = self.mapping
        # Until the answer is there nobody knows which of the two the provider holds.
        note(mapping, synced_hash="")
        known = self.provider.update(self.session, mapping.entity, self._known(), payload)
        note(mapping, external_version=known.version)
        self._settle(Status.SYNCED, synced_hash=digest)

    def _settle(self, status: Status, **values: object) -> None:
        note(
            self.mapping,
            status=status,
            last_error="",
            last_synced_at=Now(),
            slot_at=None,
            **values,
        )

    def _known(self) -> External:
        return External(self.mapping.external_id or "", self.mapping.external_version)

    def _is_shared(self) -> bool:
        """Whether a record of another entity is the same thing there, as Xero's contacts are."""
        if not self.provider.shares_ids:
            return False
        mapping = self.mapping
        others = ExternalMapping.objects.filter(
            company=mapping.company,
            provider=mapping.provider,
            entity__in=self.provider.entities.keys() - {mapping.entity},
            external_id=mapping.external_id,
            tenant_id=mapping.tenant_id,
        )
        return others.exclude(status=Status.ARCHIVED).exists()


def _digest(payload: Payload) -> str:
    text = json.dumps(payload, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
