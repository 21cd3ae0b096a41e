"""Customers as they are told to webhooks."""

from jobs.workflows.billing.events import CustomerData, CustomerProductsUpdated, ProductData
from jobs.workflows.billing.models import Customer, CustomerProduct


class UnknownCustomer(LookupError):
    """The company has no such customer, or the customer no such product, in this environment."""


class Customers:
    """Customers of all companies; a registered service, so that tests can replace it."""

    def products_updated(
        self,
        customer_id: str,
        customer_product_id: str,
        *,
        scenario: str,
        company: str | None,
        env: str,
    ) -> CustomerProductsUpdated:
        """Return what is told of a changed product. Two queries. Raises UnknownCustomer."""
        customer = Customer.objects.filter(
            company=company, env=env, customer_id=customer_id
        ).first()
        if customer is None:
            raise UnknownCustomer(f"{company} has no customer {customer_id} in {env}")
        products = list(customer.products.order_by("pk"))
        changed = next((p for p in products if p.customer_product_id == customer_product_id), None)
        if changed is None:
            raise UnknownCustomer(f"customer {customer_id} has no product {customer_product_id}")
        return CustomerProductsUpdated(
            scenario=scenario,
            customer=CustomerData(
                id=customer.customer_id,
                env=customer.env,
                name=customer.name,
                email=customer.email,
                products=[_data(product) for product in products],
            ),
            updated_product=_data(changed),
        )


def _data(product: CustomerProduct) -> ProductData:
    return ProductData(
        id=product.customer_product_id,
        product_id=product.product_id,
        name=product.name,
        status=product.status,
        quantity=product.quantity,
        started_at=product.started_at,
        canceled_at=product.canceled_at,
    )
