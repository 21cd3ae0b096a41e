"""What billing tells the companies' webhooks."""

from datetime import datetime

from pydantic import BaseModel

from subscriptions import event


class ProductData(BaseModel):
    """A product that a customer has: `id` is that of the having, `product_id` the product's."""

    id: str
    product_id: str
    name: str
    status: str
    quantity: int
    started_at: datetime
    canceled_at: datetime | None


class CustomerData(BaseModel):
    """A customer with all of its products, as they are now."""

    id: str
    env: str
    name: str
    email: str
    products: list[ProductData]


@event("customer.products.updated", version=1)
class CustomerProductsUpdated(BaseModel):
    """A customer's products changed; `scenario` says how: `upgrade`, `cancel`, `renew` and others.

    A subscription that wants one environment filters on `{"customer": {"env": "live"}}`.
    """

    scenario: str
    customer: CustomerData
    updated_product: ProductData
