"""A handler type that has nothing to do: what is measured is how deliveries come to it."""

from collections.abc import Iterator, Sequence

from subscriptions.handlers.contract import Handler, Item, Outcome, handler


@handler("BENCH")
class NothingToDo(Handler):
    queue = "webhooks"
    chunk = 100

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        for item in batch:
            yield Outcome.delivered(item)
