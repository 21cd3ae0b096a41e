"""Deliveries from claim to outcome: which may be made, their tries, and what becomes of them.

`deliver` makes the tries of some deliveries and returns when they are recorded. `Courier` is what
a worker process keeps: handlers that ask for threads run in lanes, and a thread records how they
went, so that a task ends while a slow receiver is still being waited for.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog

from subscriptions.deliveries.admission import Definition
from subscriptions.deliveries.claiming import Claim, take
from subscriptions.deliveries.recording import Done, record
from subscriptions.handlers.contract import Handler, Item, Outcome

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0
UNLIMITED = 1_000_000

Try = list[tuple[Claim, Item, Definition]]


def deliver(delivery_ids: Sequence[int]) -> int:
    """Make one try for each delivery that waits; return how many were delivered.

    Those that waited for these are made too. Ids of deliveries that somebody else has, or that are
    done, are passed over: messages may come twice.
    """
    delivered = 0
    todo = list(delivery_ids)
    while todo:
        taken = take(todo, room=lambda definition: UNLIMITED)
        todo = taken.promoted
        together, apart = tries(taken.claims, taken.definitions)
        for handler, batch in together:
            for done in in_one_call(handler, batch):
                delivered += sum(one.is_delivered for one in done)
                todo += record(done)
        if apart:
            with ThreadPoolExecutor(8, thread_name_prefix="delivery") as threads:
                for done in threads.map(lambda pair: by_itself(*pair), apart):
                    delivered += sum(one.is_delivered for one in done)
                    todo += record(done)
    return delivered


def tries(
    claims: Sequence[Claim], definitions: Mapping[int, Definition]
) -> tuple[list[tuple[Handler, Try]], list[tuple[Handler, Try]]]:
    """Return the calls of handlers that take what there is, and those that are made in threads.

    What cannot be tried because its event has left the outbox is recorded here.
    """
    together: defaultdict[str, Try] = defaultdict(list)
    apart: defaultdict[tuple[str, int], Try] = defaultdict(list)
    handlers: dict[str, Handler] = {}
    for claim in claims:
        definition = definitions[claim.subscription_id]
        handler = definition.handler
        assert handler is not None  # noqa: S101 - claimed
        handlers[handler.name] = handler
        if claim.event is None:
            _record_lost(claim, definition)
            continue
        one = (claim, _item(claim, definition), definition)
        if handler.concurrency:
            apart[handler.name, claim.batch_id or -claim.id].append(one)
        else:
            together[handler.name].append(one)
    return (
        [(handlers[name], batch) for name, batch in together.items()],
        [(handlers[name], batch) for (name, _), batch in apart.items()],
    )


def _item(claim: Claim, definition: Definition) -> Item:
    subscription = definition.subscription
    assert claim.event is not None  # noqa: S101 - asked before
    now = datetime.now(tz=UTC)
    previous, until = subscription.previous_secret, subscription.previous_secret_until
    return Item(
        delivery_id=claim.id,
        attempt=claim.attempt,
        event=claim.event,
        subscription_id=subscription.pk,
        company=subscription.company,
        config=definition.config,
        secret=subscription.secret,
        previous_secret=previous if until is not None and until > now else None,
        is_batched=claim.batch_id is not None,
    )


def _record_lost(claim: Claim, definition: Definition) -> None:
    now = datetime.now(tz=UTC)
    outcome = Outcome(claim.id, False, error="the event has left the outbox", permanent=True)
    record([Done(claim, outcome, definition, now, now)])


def in_one_call(handler: Handler, batch: Try) -> Iterator[list[Done]]:
    """Let the handler deliver; yield outcomes as they come, about once a second."""
    waiting = {item.delivery_id: (claim, definition) for claim, item, definition in batch}
    began = flushed_at = datetime.now(tz=UTC)
    collected: list[Done] = []
    error = "the handler said nothing about this delivery"
    try:
        for outcome in handler.deliver([item for _, item, _ in batch]):
            claim, definition = waiting.pop(outcome.delivery_id)
            now = datetime.now(tz=UTC)
            collected.append(Done(claim, outcome, definition, began, now))
            if (now - flushed_at).total_seconds() >= FLUSH_SECONDS:
                yield collected
                collected, flushed_at = [], now
    except Exception as caught:
        # Whatever a handler does is an outcome of its deliveries.
        log.exception("handler_failed", handler_type=handler.name)
        error = f"{type(caught).__name__}: {caught}"[:2000]
    now = datetime.now(tz=UTC)
    for claim, definition in waiting.values():
        outcome = Outcome(claim.id, False, error=error)
        collected.append(Done(claim, outcome, definition, began, now))
    yield collected


def by_itself(handler: Handler, batch: Try) -> list[Done]:
    """Make one try, of one delivery or of a batch that goes out as one. Never raises."""
    return [done for part in in_one_call(handler, batch) for done in part]
