"""The calendar: appointments as they were last told of, and the reminder that each has."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from jobs.transitions.rows import clock
from jobs.workflows.bookings.events import AppointmentCreated, AppointmentReminder
from jobs.workflows.bookings.models import Appointment
from jobs.workflows.bookings.payloads import Contact
from subscriptions import cancel_scheduled, publish

REMIND_BEFORE = timedelta(hours=24)

# Events may overtake each other: what is older than the row changes nothing. An empty value of an
# update leaves what was known.
PUT = """
INSERT INTO bookings_appointment AS a (company, appointment_id, status, starts_at, service, user_id,
    name, email, phone, changed_at)
VALUES (%(company)s, %(id)s, %(status)s, %(starts_at)s, %(service)s, %(user_id)s,
    %(name)s, %(email)s, %(phone)s, %(changed_at)s)
ON CONFLICT (company, appointment_id) DO UPDATE SET
    status = excluded.status, changed_at = excluded.changed_at,
    starts_at = COALESCE(excluded.starts_at, a.starts_at),
    service = COALESCE(NULLIF(excluded.service, ''), a.service),
    user_id = COALESCE(NULLIF(excluded.user_id, ''), a.user_id),
    name = COALESCE(NULLIF(excluded.name, ''), a.name),
    email = COALESCE(NULLIF(excluded.email, ''), a.email),
    phone = COALESCE(NULLIF(excluded.phone, ''), a.phone)
WHERE a.changed_at <= excluded.changed_at
RETURNING a.starts_at, a.reminded_for
"""


class Calendar:
    """Appointments of all companies; a registered service. Each call may be repeated."""

    def plan(
        self, told: AppointmentCreated, *, company: str | None, changed_at: datetime | None
    ) -> datetime | None:
        """Store an appointment and schedule its reminder, or move that; return when it will be.

        None: what was told is out of date, the appointment has begun, or its customer was reminded
        of this very start. Call it in the transaction that records the outcome.
        """
        put = _put(
            told.appointment_id,
            Appointment.Status.PLANNED,
            company=company,
            changed_at=changed_at,
            starts_at=told.start_time,
            service=told.service or "",
            contact=told.customer,
        )
        if put is None:
            return None
        starts_at, reminded_for = put
        if starts_at <= clock() or reminded_for == starts_at:
            _forget(told.appointment_id, company)
            return None
        publish(
            AppointmentReminder(
                appointment_id=told.appointment_id, start_time=starts_at, company_id=company
            ),
            company=company,
            key=str(told.appointment_id),
            at=starts_at - REMIND_BEFORE,
        )
        return starts_at - REMIND_BEFORE

    def cancel(
        self, appointment_id: UUID, *, company: str | None, changed_at: datetime | None
    ) -> bool:
        """Mark an appointment as cancelled and take its reminder back; False if what was told is
        out of date.
        """
        put = _put(
            appointment_id, Appointment.Status.CANCELLED, company=company, changed_at=changed_at
        )
        if put is not None:
            _forget(appointment_id, company)
        return put is not None

    def find(self, appointment_id: UUID, *, company: str | None) -> Appointment | None:
        return Appointment.objects.filter(company=company, appointment_id=appointment_id).first()

    def note_reminder(
        self, appointment_id: UUID, starts_at: datetime, *, company: str | None
    ) -> None:
        """Remember of which start the customer was reminded."""
        Appointment.objects.filter(company=company, appointment_id=appointment_id).update(
            reminded_for=starts_at
        )


def contact_of(appointment: Appointment) -> Contact:
    return Contact(
        user_id=appointment.user_id or None,
        name=appointment.name or None,
        email=appointment.email or None,
        phone=appointment.phone or None,
    )


def _put(
    appointment_id: UUID,
    status: str,
    *,
    company: str | None,
    changed_at: datetime | None,
    starts_at: datetime | None = None,
    service: str = "",
    contact: Contact | None = None,
) -> tuple[datetime, datetime | None] | None:
    """Store what was told unless the row is newer; return start and last reminder."""
    known = contact or Contact()
    values = {
        "company": company,
        "id": appointment_id,
        "status": status,
        "starts_at": starts_at,
        "service": service,
        "user_id": known.user_id or "",
        "name": known.name or "",
        "email": known.email or "",
        "phone": known.phone or "",
        "changed_at": changed_at or clock(),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PUT, values)
        found: tuple[datetime, datetime | None] | None = cursor.fetchone()
    return found


def _forget(appointment_id: UUID, company: str | None) -> None:
    cancel_scheduled(AppointmentReminder, str(appointment_id), company=company)
