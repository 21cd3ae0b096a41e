"""The billing tables: customers of a company, and the products that they have."""

from django.db import models
from django.db.models.functions import Now


class Customer(models.Model):
    """A customer in one environment of a company; `customer_id` is the company's own id."""

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128)
    env = models.CharField(max_length=32, default="live")
    customer_id = models.CharField(max_length=128, db_index=True)
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "billing_customer"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "env", "customer_id"],
                name="unique_customer_per_company_and_env",
            )
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} ({self.env})"


class CustomerProduct(models.Model):
    """A product that a customer has, or had."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        TRIALING = "trialing"
        PAST_DUE = "past_due"
        SCHEDULED = "scheduled"
        EXPIRED = "expired"

    id = models.BigAutoField(primary_key=True)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="products")
    customer_product_id = models.CharField(max_length=128, db_index=True)
    product_id = models.CharField(max_length=128)
    name = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    quantity = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField(db_default=Now())
    canceled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "billing_customer_product"
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "customer_product_id"],
                name="unique_product_of_customer",
            )
        ]

    def __str__(self) -> str:
        return f"{self.product_id} of {self.customer}: {self.status}"
