"""FAX: print the event at the other end of a line."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from subscriptions.handlers.contract import Handler, HandlerConfig, Item, Outcome, handler

SENT: list[Item] = []


@handler("FAX")
class FaxHandler(Handler):
    class Config(HandlerConfig):
        number: str = Field(title="Fax number", description="With country code, <as dialled>.")
        speed: Literal[9600, 14400] = 14400
        pages: int = Field(default=1, ge=1, le=9)
        zoom: float | None = None
        duplex: bool = True
        copies_to: list[str] = []
        days: list[Literal["mon", "tue"]] = []
        labels: dict[str, str] = {}
        fields: list[str] | None = None  # a name that the form might use itself
        tray: dict[str, Annotated[int, Field(ge=0)]] | None = None
        pin: SecretStr | None = None
        accounts: dict[str, str] = Field(default_factory=dict, repr=False)

    def deliver(self, batch: Sequence[Item]) -> Iterable[Outcome]:
        SENT.extend(batch)
        return [Outcome.delivered(item, response="printed") for item in batch]


def config(**members: Any) -> dict[str, Any]:
    """Return a config that is right, with these members."""
    return {"number": "+44 20 7946 0000", **members}
