"""What a subscription of SYNC says."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import HandlerConfig
from subscriptions.handlers.sync.fields import DEFAULT_COLUMNS, NAME, entity_of_table
from subscriptions.handlers.sync.shipped import PROVIDERS

Column = Annotated[str, Field(min_length=1)]


class SyncConfig(HandlerConfig):
    provider: Literal["xero", "quickbooks"] = Field(
        title="Provider", description="The accounting system that the records are pushed to."
    )
    entity: Literal["customer", "supplier"] | None = Field(
        default=None,
        title="Entity",
        description="What the table's records are there. Empty: what the table's name says"
        " (customer, supplier or vendor, also in the plural).",
    )
    fields: dict[Column, str] | None = Field(
        default=None,
        title="Fields",
        description="Column of the table to field of the entity, such as"
        ' {"legal_name": "name", "vat": "tax_number"}; nothing else is sent. Empty: columns'
        " with usual names.",
    )

    @model_validator(mode="after")
    def fields_are_known(self) -> Self:
        if self.fields is None:
            return self
        entities = PROVIDERS[self.provider].entities
        allowed = entities[self.entity] if self.entity else frozenset.union(*entities.values())
        given = list(self.fields.values())
        if unknown := sorted(set(given) - allowed):
            raise PydanticCustomError(
                "fields",
                "fields: {provider} has no {unknown}; it takes: {allowed}",
                {
                    "provider": self.provider,
                    "unknown": ", ".join(unknown),
                    "allowed": ", ".join(sorted(allowed)),
                },
            )
        if len(set(given)) < len(given):
            raise PydanticCustomError("fields", "fields: two columns are for the same field")
        if NAME not in given:
            raise PydanticCustomError("fields", "fields: one column must be for 'name'")
        return self


def check_fields(config: SyncConfig, *, table: str | None, columns: Collection[str]) -> None:
    """Refuse, by InvalidSubscription, a table that is no entity's, and columns it does not have.

    Columns that are excluded from its events do not count: nobody is told of their changes.
    """
    if table is None:
        raise InvalidSubscription("table", "SYNC goes by rows: name a table")
    entity = config.entity or entity_of_table(table)
    if entity is None:
        raise InvalidSubscription(
            "config.entity",
            f"the name {table!r} does not say what its records are: must be 'customer' or"
            " 'supplier'",
        )
    there = f"there are: {', '.join(sorted(columns))}"
    if config.fields is None:
        if not any(name in columns for name in DEFAULT_COLUMNS[NAME]):
            usual = ", ".join(DEFAULT_COLUMNS[NAME])
            raise InvalidSubscription(
                "config.fields", f"must say which column is the name: none of {usual} is; {there}"
            )
        return
    if missing := sorted(set(config.fields) - set(columns)):
        raise InvalidSubscription("config.fields", f"there is no {', '.join(missing)}; {there}")
    allowed = PROVIDERS[config.provider].entities[entity]
    if unknown := sorted(set(config.fields.values()) - allowed):
        raise InvalidSubscription(
            "config.fields",
            f"a {entity} has no {', '.join(unknown)} there; it takes: {', '.join(sorted(allowed))}",
        )
