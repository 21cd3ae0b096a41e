"""Payments that failed: which run has each in hand, what the gateway said, how it ended."""

from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from jobs.workflows.bookings.events import PaymentFailed
from jobs.workflows.bookings.models import Payment

# One run has a payment in hand: another failure of it that is told meanwhile starts nothing.
OPEN = """
INSERT INTO bookings_payment AS p (company, payment_id, status, amount, currency, reason,
    last_answer, tries, run_id)
VALUES (%(company)s, %(id)s, 'retrying', %(amount)s, %(currency)s, %(reason)s, '', 0, %(run)s)
ON CONFLICT (company, payment_id) DO UPDATE SET
    status = 'retrying', amount = excluded.amount, currency = excluded.currency,
    reason = excluded.reason, last_answer = '', tries = 0, run_id = excluded.run_id,
    failed_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE p.status <> 'retrying' OR p.run_id = excluded.run_id
RETURNING p.id
"""


class Payments:
    """The states of payments; a registered service. Each call may be repeated."""

    def open(self, payment: PaymentFailed, *, company: str | None, run_id: UUID) -> bool:
        """Take a failed payment in hand; False if another run has it."""
        with connection.cursor() as cursor:
            cursor.execute(
                OPEN,
                {
                    "company": company,
                    "id": payment.payment_id,
                    "amount": payment.amount,
                    "currency": payment.currency.upper(),
                    "reason": payment.reason or "",
                    "run": run_id,
                },
            )
            return cursor.fetchone() is not None

    def note(self, run_id: UUID, *, tries: int, answer: str) -> None:
        """Write down what the gateway said at the last try."""
        Payment.objects.filter(run_id=run_id, status=Payment.Status.RETRYING).update(
            tries=tries, last_answer=answer, updated_at=Now()
        )

    def close(self, run_id: UUID, status: Payment.Status) -> str:
        """End the case; return the last answer of the gateway."""
        mine = Payment.objects.filter(run_id=run_id)
        mine.filter(status=Payment.Status.RETRYING).update(status=status, updated_at=Now())
        return mine.values_list("last_answer", flat=True).get()

    def release(self, run_id: UUID) -> None:
        """Give a payment back that the run did not bring to an end."""
        Payment.objects.filter(run_id=run_id, status=Payment.Status.RETRYING).update(
            status=Payment.Status.FAILED, updated_at=Now()
        )
