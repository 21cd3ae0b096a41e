"""Payments that failed: tried again by a schedule of their own, then people are told."""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model

from jobs import Context, PermanentFailure, each, register_service, sleep, step, when, workflow
from jobs.workflows.bookings.events import PaymentFailed, StripeInvoicePaymentFailed
from jobs.workflows.bookings.gateway import Answered, GatewayUnavailable, PaymentGateway
from jobs.workflows.bookings.models import Payment
from jobs.workflows.bookings.notices import Notice, money, notice
from jobs.workflows.bookings.payloads import Contact
from jobs.workflows.bookings.payments import Payments
from jobs.workflows.bookings.steps import log, send_email

register_service(PaymentGateway, PaymentGateway)
register_service(Payments, Payments)

# How long after the failure, and after each try, the next one is.
FIRST, SECOND, THIRD = timedelta(hours=1), timedelta(days=1), timedelta(days=3)
MOST_TOLD = 20


def is_mine(mine: bool) -> bool:
    return mine


def may_retry(answer: str | None) -> bool:
    """Whether another try makes sense: None is a gateway that never answered."""
    return answer in (None, "declined")


@step(name="bookings/open-payment")
def open_payment(ctx: Context, payment: PaymentFailed) -> bool:
    """Take the payment in hand; False if another run has it."""
    return ctx.services.get(Payments).open(payment, company=ctx.company, run_id=ctx.run_id)


@open_payment.compensation
def release_payment(ctx: Context, mine: bool) -> None:
    ctx.services.get(Payments).release(ctx.run_id)


# Each try is a node with an idempotency key of its own: a lost answer is asked for again, and a
# later try is another charge.
@step(
    name="bookings/retry-payment",
    attempts=6,
    backoff=timedelta(minutes=1),
    on_failure="continue",
)
def retry_payment(ctx: Context, payment: PaymentFailed, number: int) -> str:
    """Ask the gateway for one more try; return its answer."""
    try:
        found = ctx.services.get(PaymentGateway).retry(
            payment.payment_id, company=ctx.company, key=ctx.idempotency_key
        )
    except GatewayUnavailable as error:
        _note(ctx, number, str(error))
        raise
    _note(ctx, number, found)
    return found.answer


def _note(ctx: Context, number: int, found: Answered | str) -> None:
    text = found if isinstance(found, str) else found.text
    ctx.services.get(Payments).note(ctx.run_id, tries=number, answer=text)


@step(name="bookings/close-payment", atomic=True)
def close_payment(
    ctx: Context, payment: PaymentFailed, first: str | None, second: str | None, third: str | None
) -> list[Notice]:
    """End the case, log it, and return whom to tell of what was not paid."""
    is_paid = "paid" in (first, second, third)
    status = Payment.Status.PAID if is_paid else Payment.Status.GIVEN_UP
    answer = ctx.services.get(Payments).close(ctx.run_id, status)
    about = f"payment {payment.payment_id}"
    log(ctx, "payment.failed", about, "paid after all" if is_paid else f"given up: {answer}")
    if is_paid:
        return []
    return [_alert(payment, address, about, answer, ctx.company) for address in admins(ctx.company)]


def admins(company: str | None) -> list[str]:
    """Return the addresses of the company's staff, else those of the operators."""
    staff = get_user_model()._default_manager.filter(
        is_active=True, is_staff=True, membership__company=company
    )
    found = staff.exclude(email="").order_by("pk").values_list("email", flat=True)[:MOST_TOLD]
    return list(dict.fromkeys(found)) or list(settings.OPERATORS)


def _alert(
    payment: PaymentFailed, address: str, about: str, answer: str, company: str | None
) -> Notice:
    return notice(
        "payment_given_up",
        Contact(email=address),
        event_type="payment.failed",
        about=about,
        subject=f"Payment {payment.payment_id} has failed",
        company=company,
        payment=payment.payment_id,
        amount=money(payment.amount, payment.currency),
        customer=payment.customer_id,
        reason=payment.reason or "not said",
        answer=answer or "none",
    )


@step(name="bookings/check-told")
def check_told(ctx: Context, payment: PaymentFailed, told: Sequence[str | None]) -> None:
    """Fail where a payment was given up and nobody knows."""
    if not any(told) and _is_given_up(ctx):
        raise PermanentFailure(
            f"nobody was told that payment {payment.payment_id} was given up: give the company's"
            " staff mail addresses, or set OPERATORS and EMAIL_URL"
        )


def _is_given_up(ctx: Context) -> bool:
    return Payment.objects.filter(run_id=ctx.run_id, status=Payment.Status.GIVEN_UP).exists()


@workflow(name="bookings/payment-failed")
def payment_failed(payment: PaymentFailed) -> None:
    """Try a payment again after an hour, a day and three days; then tell the company's staff."""
    mine = open_payment(payment)
    with when(mine, is_mine):
        sleep(FIRST)
        first = retry_payment(payment, 1)
        with when(first, may_retry):
            sleep(SECOND)
            second = retry_payment(payment, 2)
            with when(second, may_retry):
                sleep(THIRD)
                third = retry_payment(payment, 3)
        told = each(close_payment(payment, first, second, third), send_email)
        check_told(payment, told)


@step(name="bookings/announce-payment")
def announce_payment(ctx: Context, invoice: StripeInvoicePaymentFailed) -> None:
    ctx.publish(
        PaymentFailed(
            payment_id=invoice.id,
            amount=invoice.amount_due,
            currency=invoice.currency,
            customer_id=invoice.customer,
            reason=f"Stripe's attempt {invoice.attempt_count} failed",
            company_id=ctx.company,
        ),
        key=invoice.id,
    )


@workflow(name="bookings/stripe-invoice-payment-failed")
def stripe_invoice_payment_failed(invoice: StripeInvoicePaymentFailed) -> None:
    """Say of an invoice that its payment failed: `payment.failed` goes on from there."""
    announce_payment(invoice)
