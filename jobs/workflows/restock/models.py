"""The restocking tables: what is asked for, and the orders made of it."""

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class Supplier(models.Model):
    """Whom stock is ordered from; one that does not accept orders refuses their confirmation."""

    id = models.CharField(primary_key=True, max_length=64)
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    accepts_orders = models.BooleanField(default=True)

    class Meta:
        db_table = "restock_supplier"

    def __str__(self) -> str:
        return self.name


class RestockRequest(models.Model):
    """The watched table: a row here, whoever writes it, asks for an order.

    `items` is a list of `{"product_id", "quantity", "unit_cost"}`, unit_cost in cents.
    """

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128)
    supplier_id = models.CharField(max_length=64)
    items = models.JSONField()
    notes = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "restock_request"

    def __str__(self) -> str:
        return f"request {self.pk} of {self.company}"


class RestockOrder(models.Model):
    """An order to a supplier; costs in cents. `key` is its step's idempotency key."""

    class Status(models.TextChoices):
        PENDING = "pending"
        CONFIRMED = "confirmed"

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128)
    supplier = models.ForeignKey(Supplier, on_delete=models.PROTECT, related_name="orders")
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    total_items = models.PositiveIntegerField()
    total_cost = models.PositiveBigIntegerField()
    notes = models.TextField(null=True, blank=True)
    key = models.CharField(max_length=300, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "restock_order"

    def __str__(self) -> str:
        return f"order {self.pk}: {self.status}"


class RestockOrderItem(models.Model):
    """One product of an order; unit_cost in cents."""

    id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(RestockOrder, on_delete=models.CASCADE, related_name="items")
    product_id = models.CharField(max_length=64)
    quantity = models.PositiveIntegerField()
    unit_cost = models.PositiveBigIntegerField()

    class Meta:
        db_table = "restock_order_item"
        constraints = [
            models.UniqueConstraint(
                fields=["order", "product_id"], name="restock_order_item_unique_product"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product_id}"


class SupplierNotice(models.Model):
    """What a supplier was told about an order: that it was placed, that it was withdrawn."""

    class Kind(models.TextChoices):
        PLACED = "placed"
        WITHDRAWN = "withdrawn"

    id = models.BigAutoField(primary_key=True)
    supplier = models.ForeignKey(Supplier, on_delete=models.CASCADE, related_name="notices")
    order_number = models.BigIntegerField()
    kind = models.CharField(max_length=16, choices=Kind)
    key = models.CharField(max_length=300, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "restock_supplier_notice"

    def __str__(self) -> str:
        return f"{self.kind}: order {self.order_number}"
