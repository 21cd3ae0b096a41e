"""`event/ship` waits for the payment that `event/pay` publishes."""

from datetime import timedelta
from typing import Any

from jobs import Context, step, wait_for, workflow
from tests.acceptance.event_app.events import PaymentReceived


@step(name="event-ship")
def send_parcel(ctx: Context, payment: dict[str, Any] | None) -> int:
    return int(payment["cents"]) if payment else 0


@workflow(name="event/ship")
def ship(order: str) -> int:
    payment = wait_for("payment.received", match={"order": order}, timeout=timedelta(days=3))
    return send_parcel(payment)


@step(name="event-take")
def take_money(ctx: Context, order: str) -> str:
    ctx.publish(PaymentReceived(order=order, cents=700))
    return order


@workflow(name="event/pay")
def pay(order: str) -> str:
    return take_money(order)
