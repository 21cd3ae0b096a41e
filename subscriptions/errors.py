"""What can go wrong in the event system.

SubscriptionsError
├── AlreadyRouted           events some of whose deliveries have been made before
├── BrokenContract          a payload that its type's declared model refuses
├── CannotReplay            a dead letter that is decided, or that still cannot become an event
├── CannotSchedule          an event whose time or key cannot be: says what is allowed
├── CannotWatch             a table that cannot be watched as asked: PostgreSQL's reason
├── ChangedMeanwhile        a subscription that others change faster than it can be checked
├── EventsRefused           a request of which one event or more cannot be: each with its reason
├── InvalidSubscription     a definition that cannot be right: names the field and what is allowed
├── KeyReused               an Idempotency-Key that came with another body before
├── OddEvents               a page of events that cannot be read or routed as it is
├── QueueUnreachable        an SQS queue that is not there, or does not answer
├── RefusedMessage          a message from outside that cannot become an event: its reason's code
├── SecretRefused           a secret that is not shown again, or that the type does not have
├── ShardsInUse             relays of another number of shards still run
├── UnknownDelivery         an id that no delivery of the company has
├── UnknownEvent            an id that the outbox does not hold (any more)
├── UnknownEventType        publish() of a type that no `@event` declares
├── UnknownEventVersion     a version that its type's declarations do not have
├── UnknownHandlerType      a type that no `@handler` declares
├── UnknownSubscription     an id that no subscription has (any more)
├── UnsafeAddress           a URL that leads to a private or reserved address, or to none
└── UpcastFailed            an upcaster raised, or what it made breaks the newer contract
"""

from collections.abc import Mapping


class SubscriptionsError(Exception):
    """The root of this app's errors."""


class AlreadyRouted(SubscriptionsError):
    """Say that some deliveries of events, held to be new, are there."""


class BrokenContract(SubscriptionsError):
    """Say what of a payload its type's model refuses, never with the payload's own values."""

    def __init__(self, name: str, version: int, problem: str) -> None:
        super().__init__(f"{name} version {version}: {problem}")
        self.problem = problem


class CannotReplay(SubscriptionsError):
    """Say why a dead letter is not replayed."""


class CannotSchedule(SubscriptionsError):
    """Say why an event cannot be published at that time, or under that key."""


class CannotWatch(SubscriptionsError):
    """Say why a table cannot be watched, or not as asked."""


class ChangedMeanwhile(SubscriptionsError):
    def __init__(self, subscription_id: int) -> None:
        super().__init__(f"subscription {subscription_id} is being changed by others: try again")
        self.subscription_id = subscription_id


class EventsRefused(SubscriptionsError):
    """Say of each event, by its place in the request, why it cannot be: a code and the words.

    A place of None is the whole request.
    """

    def __init__(self, problems: Mapping[int | None, tuple[str, str]]) -> None:
        place, (_, first) = next(iter(problems.items()))
        which = "the request" if place is None else f"event {place}"
        more = f"; {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(f"nothing was recorded: {which}: {first}{more}")
        self.problems = dict(problems)


class InvalidSubscription(SubscriptionsError):
    """Say which field of a subscription is wrong, and what it takes."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class KeyReused(SubscriptionsError):
    def __init__(self, key: str) -> None:
        super().__init__(
            f"the Idempotency-Key {key!r} came with another body before: nothing was recorded;"
            " send that body again, or another key"
        )


class OddEvents(SubscriptionsError):
    """Say why some event of a page cannot be read or routed."""


class QueueUnreachable(SubscriptionsError):
    """Say which queue of SQS is not there, or what SQS answered."""


class RefusedMessage(SubscriptionsError):
    """Say why a message from outside cannot become an event; `reason` is a short code."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(f"{reason}: {problem}")
        self.reason = reason
        self.problem = problem


class SecretRefused(SubscriptionsError):
    """Say why a signing secret is not shown, and how to have one."""


class ShardsInUse(SubscriptionsError):
    def __init__(self, shards: int) -> None:
        super().__init__(
            f"relays with --shards {shards} still run: this one begins when they have ended"
        )
        self.shards = shards


class UnknownDelivery(SubscriptionsError):
    def __init__(self, delivery_id: object) -> None:
        super().__init__(f"there is no delivery {delivery_id}")
        self.delivery_id = delivery_id


class UnknownEvent(SubscriptionsError):
    def __init__(self, event_id: object) -> None:
        super().__init__(f"there is no event {event_id}; the outbox keeps them for a while only")
        self.event_id = event_id


class UnknownEventType(SubscriptionsError):
    def __init__(self, name: str, known: list[str]) -> None:
        declared = ", ".join(known) or "none"
        super().__init__(f"event type {name!r} is not declared by @event; declared: {declared}")
        self.name = name


class UnknownEventVersion(SubscriptionsError):
    def __init__(self, name: str, version: int, known: list[int]) -> None:
        declared = ", ".join(map(str, known))
        super().__init__(f"event type {name!r} has no version {version}; declared: {declared}")
        self.version = version


class UnknownHandlerType(SubscriptionsError):
    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"handler type {name!r} does not exist; there are: {', '.join(known)}")
        self.name = name


class UnknownSubscription(SubscriptionsError):
    def __init__(self, subscription_id: object) -> None:
        super().__init__(f"there is no subscription {subscription_id}")
        self.subscription_id = subscription_id


class UnsafeAddress(SubscriptionsError):
    """A host that must not be dialled; the text names host and address, never the URL's path."""

    def __init__(self, host: str, problem: str, *, is_unresolved: bool = False) -> None:
        super().__init__(f"{host}: {problem}")
        self.host = host
        self.is_unresolved = is_unresolved


class UpcastFailed(BrokenContract):
    """Say which upcaster failed, and why."""

    def __init__(self, name: str, version: int, to: int, problem: str) -> None:
        super().__init__(name, version, f"the upcaster to version {to} failed: {problem}")
