"""`restock/create`: order from a supplier, in steps that are undone when the supplier refuses."""

from jobs import Context, parallel, register_service, step, workflow
from jobs.workflows.restock.models import SupplierNotice
from jobs.workflows.restock.payloads import Item, RestockOrder
from jobs.workflows.restock.services import OrderRefused, RestockDesk

register_service(RestockDesk, RestockDesk)

PLATFORM = "platform"  # the company of orders that no company asked for


@step(name="create-order")
def create_order(ctx: Context, order: RestockOrder) -> int:
    """Insert the pending order; return its id."""
    return ctx.services.get(RestockDesk).create_order(
        order.supplier_id,
        order.items,
        company=ctx.company or PLATFORM,
        notes=order.notes,
        key=ctx.idempotency_key,
    )


@create_order.compensation
def delete_order(ctx: Context, order_id: int) -> None:
    ctx.services.get(RestockDesk).delete_order(order_id)


@step(name="create-items")
def create_items(ctx: Context, order_id: int, items: list[Item]) -> list[int]:
    """Insert the order's items; return their ids."""
    return ctx.services.get(RestockDesk).create_items(order_id, items)


@create_items.compensation
def delete_items(ctx: Context, item_ids: list[int]) -> None:
    ctx.services.get(RestockDesk).delete_items(item_ids)


@step(name="notify-supplier")
def notify_supplier(ctx: Context, order_id: int) -> int:
    """Tell the supplier that an order is coming; return the order's id for the withdrawal."""
    ctx.services.get(RestockDesk).notify(
        order_id, SupplierNotice.Kind.PLACED, key=ctx.idempotency_key
    )
    return order_id


@notify_supplier.compensation
def withdraw_notice(ctx: Context, order_id: int) -> None:
    ctx.services.get(RestockDesk).notify(
        order_id, SupplierNotice.Kind.WITHDRAWN, key=ctx.idempotency_key
    )


@step(name="update-status", permanent_on=(OrderRefused,))
def update_status(ctx: Context, order_id: int, items: list[int]) -> int:
    """Confirm the order with its items in place; return its id. A refusal is final."""
    ctx.services.get(RestockDesk).confirm(order_id)
    ctx.log.info("order_confirmed", order_id=order_id, items=len(items))
    return order_id


@update_status.compensation
def reopen_order(ctx: Context, order_id: int) -> None:
    ctx.services.get(RestockDesk).reopen(order_id)


@workflow(name="restock/create", queue="orders")
def create_restock_order(order: RestockOrder) -> int:
    """Order stock: the order, its items beside the supplier's notice, then the confirmation."""
    order_id = create_order(order)
    items, _ = parallel(create_items(order_id, order.items), notify_supplier(order_id))
    return update_status(order_id, items)
