"""What a handler type is: a `Config`, and `deliver`. One file with one decorated class adds a type.

@handler("LOG")
class LogHandler(Handler):
    class Config(HandlerConfig):
        level: str = "info"

    def deliver(self, batch):
        for item in batch:
            ...
            yield Outcome.delivered(item)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from subscriptions.envelope import Envelope
from subscriptions.errors import UnknownHandlerType

HIDDEN = "•••"


class HandlerConfig(BaseModel):
    """The base of every handler's Config: an unknown key is an error that names it.

    A field with `repr=False`, or of a type such as `SecretStr`, goes in and never comes out. Titles
    and descriptions of fields are what the admin's form shows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Item:
    """One delivery to make: the event, the subscription's config, and the try's number (from 1).

    `previous_secret` signs too while a rotation lasts. `is_batched` says that the items of one call
    belong to one subscription and go out as one.
    """

    delivery_id: int
    attempt: int
    event: Envelope
    subscription_id: int
    company: str | None
    config: Any
    secret: str | None = None
    previous_secret: str | None = None
    is_batched: bool = False

    @property
    def message_id(self) -> str:
        """An id that stays the same over retries and replays of this delivery."""
        return f"msg_{self.event.id}_{self.subscription_id}"

    @property
    def is_example(self) -> bool:
        """Whether the test button made it: there is no delivery, and maybe no such event."""
        return self.delivery_id < 1


@dataclass(frozen=True)
class Outcome:
    """How one try ended. A failure that is not `permanent` is tried again while attempts are left.

    `retry_after` is the least time until then; `gone` says that the receiver wants nothing any
    more. `response` is kept as given: at most 4 KiB.
    """

    delivery_id: int
    is_delivered: bool
    status_code: int | None = None
    response: str = ""
    error: str = ""
    permanent: bool = False
    gone: bool = False
    retry_after: timedelta | None = None
    duration: timedelta | None = None
    is_postponed: bool = False

    @classmethod
    def delivered(cls, item: Item, **details: Any) -> "Outcome":
        return cls(item.delivery_id, True, **details)

    @classmethod
    def failed(cls, item: Item, error: str, **details: Any) -> "Outcome":
        return cls(item.delivery_id, False, error=error, **details)

    @classmethod
    def postponed(cls, item: Item, reason: str, *, retry_after: timedelta) -> "Outcome":
        """Not now, and nobody's fault: counts neither as a try nor for the breaker."""
        return cls(
            item.delivery_id, False, error=reason, retry_after=retry_after, is_postponed=True
        )


@dataclass(frozen=True)
class Preview:
    """What a delivery does, as people are shown it: never a secret, nor the value of a header that
    was set. `title` is a line such as `POST https://…`.
    """

    title: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


class Handler(ABC):
    """A handler type. Instances hold no state of a delivery: one serves a whole process.

    `scope` is what an API key needs, beside that for subscriptions, to have such deliveries made.
    `queue` is the SQS queue of its deliveries, `chunk` how many of them one message names, `lease`
    how long a worker may take for a chunk before others take it over, `has_secret` whether a
    subscription gets a signing secret. `collapses` says that the latest event of a record stands
    for those before it, `sees_leaving` that the update by which a row stops meeting the filter is
    delivered, too. With a `concurrency` of n each delivery is a call of its own, in threads, at
    most n at a time per subscription and process; with 0 `deliver` gets all that there are, which
    with `in_background` happens in a thread, two at a time per handler type and process.
    """

    name: ClassVar[str]
    scope: ClassVar[str | None] = None
    queue: ClassVar[str] = "default"
    chunk: ClassVar[int] = 20
    lease: ClassVar[timedelta] = timedelta(minutes=2)
    has_secret: ClassVar[bool] = False
    collapses: ClassVar[bool] = False
    sees_leaving: ClassVar[bool] = False
    concurrency: ClassVar[int] = 0
    in_background: ClassVar[bool] = False
    Config: ClassVar[type[HandlerConfig]] = HandlerConfig

    def check(self, config: Any, *, company: str | None) -> None:  # noqa: B027 - most need none
        """Refuse, by InvalidSubscription, what `Config` alone cannot. Called at save."""

    def check_columns(  # noqa: B027 - most need none
        self, config: Any, *, table: str | None, columns: Collection[str] | None
    ) -> None:
        """Refuse, by InvalidSubscription, columns that the config names and the table lacks.

        Of a typed event (no `table`) the columns are the payload's members, None if the type is a
        glob. Called at save and by the relay: it asks nobody else.
        """

    def preview(self, item: Item) -> Preview:
        """Say what `deliver` would do with the item; dials and writes nothing."""
        return Preview(f"{self.name} with the event", body=item.event.body())

    @abstractmethod
    def deliver(self, batch: Sequence[Item]) -> Iterable[Outcome]:
        """Deliver each item and say how each went, in any order, as soon as it is known.

        An exception fails those without an outcome; each is tried again.
        """


H = TypeVar("H", bound=type[Handler])
_handlers: dict[str, Handler] = {}


def handler(name: str) -> Callable[[H], H]:
    """Register a handler type under the name that subscriptions give as `handler_type`."""

    def register(kind: H) -> H:
        before = _handlers.get(name)
        if before is not None and type(before).__qualname__ != kind.__qualname__:
            raise ValueError(f"handler type {name!r} is {type(before).__qualname__} already")
        kind.name = name
        _handlers[name] = kind()
        return kind

    return register


def registered() -> dict[str, Handler]:
    """Return the handlers by type, in the order of their names."""
    return dict(sorted(_handlers.items()))


def handler_named(name: str) -> Handler:
    try:
        return _handlers[name]
    except KeyError:
        raise UnknownHandlerType(name, sorted(_handlers)) from None
