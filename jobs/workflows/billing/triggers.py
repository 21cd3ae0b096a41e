"""What billing code calls to have a job started."""

from dataclasses import dataclass

import structlog

from jobs.ports import RunHandle
from jobs.workflows.billing.models import CustomerProduct
from jobs.workflows.billing.workflows import SendProductsUpdated, send_products_updated

log = structlog.get_logger(__name__)

PRODUCTION = "live"


@dataclass(frozen=True)
class BillingContext:
    """For which company and in which environment billing works; `live` is production.

    `skip_webhooks` is for tests and sandboxes: in production webhooks are sent all the same.
    """

    company: str
    env: str = PRODUCTION
    skip_webhooks: bool = False


def trigger_send_products_updated(
    context: BillingContext, *, customer_product: CustomerProduct, scenario: str
) -> RunHandle[None] | None:
    """Start the job for a product that changed, in the caller's transaction; None if it is skipped.

    Raises ValueError for a product of another company or environment, and InvalidInput.
    """
    customer = customer_product.customer
    if (customer.company, customer.env) != (context.company, context.env):
        raise ValueError(
            f"{customer_product} is of {customer.company} in {customer.env}, not of"
            f" {context.company} in {context.env}"
        )
    if _is_skipped(context):
        return None
    payload = SendProductsUpdated(
        customer_id=customer.customer_id,
        customer_product_id=customer_product.customer_product_id,
        scenario=scenario,
    )
    return send_products_updated.start(payload, company=context.company, env=context.env)


def _is_skipped(context: BillingContext) -> bool:
    if context.skip_webhooks and context.env == PRODUCTION:
        log.warning("skip_webhooks_ignored", company=context.company, env=context.env)
        return False
    return context.skip_webhooks
