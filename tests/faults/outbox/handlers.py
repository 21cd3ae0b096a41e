"""The receiver of the events: takes all, at once."""

from collections.abc import Iterator, Sequence

from subscriptions.handlers.contract import Handler, Item, Outcome, handler


@handler("FAULT")
class FaultHandler(Handler):
    chunk = 100

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        return (Outcome.delivered(item) for item in batch)
