"""What the restocking workflow takes."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, PositiveInt


class Item(BaseModel):
    """A product to order; unit_cost in cents."""

    product_id: str = Field(min_length=1, max_length=64)
    quantity: PositiveInt
    unit_cost: NonNegativeInt


def _distinct(items: list[Item]) -> list[Item]:
    products = [item.product_id for item in items]
    if len(set(products)) != len(products):
        raise ValueError("a product stands twice: add its quantities up")
    return items


class RestockOrder(BaseModel):
    """An order as asked for; other fields of a `restock_request` row are passed over."""

    supplier_id: str
    items: Annotated[list[Item], Field(min_length=1), AfterValidator(_distinct)]
    notes: str | None = None
