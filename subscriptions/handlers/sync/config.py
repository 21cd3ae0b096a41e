"""What a subscription of SYNC says."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from subscriptions.handlers.contract import HandlerConfig
from subscriptions.handlers.sync.fields import NAME
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
