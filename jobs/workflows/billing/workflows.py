"""`billing/send-products-updated`: tell a company's webhooks that a customer's products changed."""

from typing import Annotated

from pydantic import BaseModel, Field

from jobs import Context, job, register_service
from jobs.workflows.billing.customers import Customers, UnknownCustomer

register_service(Customers, Customers)

Text = Annotated[str, Field(min_length=1, max_length=128)]


class SendProductsUpdated(BaseModel):
    customer_id: Text
    customer_product_id: Text
    scenario: Text


@job(name="billing/send-products-updated", queue="billing", permanent_on=(UnknownCustomer,))
def send_products_updated(ctx: Context, payload: SendProductsUpdated) -> None:
    """Publish `customer.products.updated` with the customer as it is now; the company's webhook
    subscriptions deliver it.
    """
    told = ctx.services.get(Customers).products_updated(
        payload.customer_id,
        payload.customer_product_id,
        scenario=payload.scenario,
        company=ctx.company,
        env=ctx.env,
    )
    ctx.publish(told, key=payload.customer_id)
    ctx.log.info("products_updated", customer_id=payload.customer_id, scenario=payload.scenario)
