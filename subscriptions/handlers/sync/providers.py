"""What a provider is to the rest of SYNC."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from subscriptions.handlers.sync.errors import SyncFailed
from subscriptions.handlers.sync.http import Reply
from subscriptions.handlers.sync.pacing import Pace

Payload = dict[str, Any]
# A record's parts by entity field; None is an empty column.
Parts = Mapping[str, str | None]


@dataclass(frozen=True)
class External:
    """Something at a provider: its id there, and its version where the provider counts one."""

    id: str
    version: str = ""


@dataclass(frozen=True)
class OAuthApp:
    """The platform's own app at a provider."""

    client_id: str
    client_secret: str
    token_url: str


class Caller(Protocol):
    """Makes authorised calls for one company; see `session.Session`."""

    tenant_id: str

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Payload | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return an answer of 2xx; raise what `Provider.failure` makes of any other."""


class Provider(Protocol):
    """An accounting provider. `entities` has the entity fields that it takes, for each entity.

    `restoring` is what an update adds to bring back what was archived; with None a new one is
    made. `shares_ids` says that an id is the same thing for all entities.
    """

    name: str
    title: str
    entities: Mapping[str, frozenset[str]]
    pace: Pace
    restoring: Payload | None
    shares_ids: bool

    def app(self) -> OAuthApp: ...

    def url(self, path: str, *, tenant_id: str) -> str: ...

    def headers(self, *, tenant_id: str) -> dict[str, str]: ...

    def failure(self, reply: Reply) -> SyncFailed | None:
        """Return what an answer says went wrong, None if it says that all went well."""

    def payload(self, entity: str, parts: Parts) -> Payload:
        """Return the parts in the provider's own shape."""

    def create(self, caller: Caller, entity: str, payload: Payload, *, key: str) -> External:
        """Make one. Within the time the provider remembers keys, the same key makes no second.

        Raises DuplicateName.
        """

    def update(
        self, caller: Caller, entity: str, known: External, payload: Payload
    ) -> External: ...

    def archive(self, caller: Caller, entity: str, known: External) -> External: ...

    def find(self, caller: Caller, entity: str, payload: Payload) -> External | None:
        """Return the active one with the payload's name."""
