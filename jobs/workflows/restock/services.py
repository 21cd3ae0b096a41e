"""The restocking desk: what the workflow's steps do to its tables. Each call may be repeated."""

from collections.abc import Sequence

from django.db import transaction

from jobs.workflows.restock.models import (
    RestockOrder,
    RestockOrderItem,
    Supplier,
    SupplierNotice,
)
from jobs.workflows.restock.payloads import Item


class OrderRefused(Exception):
    """The supplier accepts no orders: trying again changes nothing."""


class RestockDesk:
    """Orders and their items; a registered service, so that tests can replace it."""

    def create_order(
        self,
        supplier_id: str,
        items: Sequence[Item],
        *,
        company: str,
        notes: str | None,
        key: str,
    ) -> int:
        """Insert a pending order and return its id; the same key gives the same order."""
        order, _ = RestockOrder.objects.get_or_create(
            key=key,
            defaults={
                "company": company,
                "supplier_id": supplier_id,
                "total_items": len(items),
                "total_cost": sum(item.quantity * item.unit_cost for item in items),
                "notes": notes,
            },
        )
        return order.pk

    def delete_order(self, order_id: int) -> None:
        RestockOrder.objects.filter(pk=order_id).delete()

    def create_items(self, order_id: int, items: Sequence[Item]) -> list[int]:
        """Insert the order's items, all or none, and return their ids in order."""
        with transaction.atomic():
            rows = [
                RestockOrderItem.objects.update_or_create(
                    order_id=order_id,
                    product_id=item.product_id,
                    defaults={"quantity": item.quantity, "unit_cost": item.unit_cost},
                )[0]
                for item in items
            ]
        return [row.pk for row in rows]

    def delete_items(self, item_ids: Sequence[int]) -> None:
        RestockOrderItem.objects.filter(pk__in=item_ids).delete()

    def notify(self, order_id: int, kind: SupplierNotice.Kind, *, key: str) -> None:
        """Record a notice to the order's supplier; the same key records one."""
        supplier = Supplier.objects.get(orders=order_id)
        SupplierNotice.objects.get_or_create(
            key=key, defaults={"supplier": supplier, "order_number": order_id, "kind": kind}
        )

    def confirm(self, order_id: int) -> None:
        """Turn a pending order into a confirmed one; raises `OrderRefused`."""
        supplier = Supplier.objects.get(orders=order_id)
        if not supplier.accepts_orders:
            raise OrderRefused(f"{supplier.name} accepts no orders; choose another supplier")
        self._move(order_id, RestockOrder.Status.PENDING, RestockOrder.Status.CONFIRMED)

    def reopen(self, order_id: int) -> None:
        """Turn a confirmed order back into a pending one."""
        self._move(order_id, RestockOrder.Status.CONFIRMED, RestockOrder.Status.PENDING)

    def _move(self, order_id: int, before: str, after: str) -> None:
        changed = RestockOrder.objects.filter(pk=order_id, status=before).update(status=after)
        if not changed and not RestockOrder.objects.filter(pk=order_id, status=after).exists():
            raise LookupError(f"order {order_id} is neither {before} nor {after}; it may be gone")
