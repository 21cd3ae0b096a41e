"""The event types that start the booking workflows, and those that they publish."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, NonNegativeInt, model_validator

from jobs.workflows.bookings.payloads import (
    Contact,
    Identifier,
    Link,
    MailAddress,
    Name,
    Payload,
)
from subscriptions import event

Currency = Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")]


@event("appointment.created", version=1)
class AppointmentCreated(Payload):
    """An appointment was made; told again with another `startTime`, it was moved."""

    appointment_id: UUID
    start_time: AwareDatetime
    customer: Contact = Contact()
    service: Name | None = None


@event("appointment.updated", version=1)
class AppointmentUpdated(AppointmentCreated):
    """An appointment is now as told: its reminder moves with it."""


@event("appointment.cancelled", version=1)
class AppointmentCancelled(Payload):
    appointment_id: UUID


@event("appointment.reminder", version=1)
class AppointmentReminder(Payload):
    """It is time to remind of an appointment. `customer` is for those that were never told of by
    `appointment.created`.
    """

    appointment_id: UUID
    start_time: AwareDatetime
    customer: Contact | None = None


@event("booking.created", version=1)
class BookingCreated(Payload):
    booking_id: Identifier
    customer: Contact = Contact()
    service: Name | None = None
    start_time: AwareDatetime | None = None


@event("user.invited", version=1)
class UserInvited(Payload):
    email: MailAddress
    invite_url: Link
    user_id: Identifier | None = None
    name: Name | None = None
    invited_by: Name | None = None


class Report(Payload):
    """A report, where it is, and who is to have it."""

    report_id: Identifier
    url: Link
    email: MailAddress
    user_id: Identifier | None = None
    title: Name | None = None


@event("report.generated", version=1)
class ReportGenerated(Report):
    """A report was made by a service."""


@event("report.ready", version=1)
class ReportReady(Report):
    """A report may be sent."""


@event("payment.failed", version=1)
class PaymentFailed(Payload):
    """A payment was not made; `amount` in the currency's smallest unit."""

    payment_id: Identifier
    amount: NonNegativeInt
    currency: Currency
    reason: Annotated[str, Field(max_length=1000)] | None = None
    customer_id: Identifier | None = None


@event("stripe.invoice.payment_failed", version=1)
class StripeInvoicePaymentFailed(BaseModel):
    """Stripe's invoice, or its whole event around that; in Stripe's own names."""

    id: Identifier
    amount_due: NonNegativeInt
    currency: Currency
    customer: Identifier | None = None
    attempt_count: NonNegativeInt = 0

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, value: Any) -> Any:
        data = value.get("data") if isinstance(value, dict) else None
        return data["object"] if isinstance(data, dict) and "object" in data else value
