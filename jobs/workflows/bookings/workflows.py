"""The booking workflows: what follows from an appointment, a booking, an invitation, a report."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel

from jobs import Context, PermanentFailure, parallel, register_service, step, workflow
from jobs.transitions.rows import clock
from jobs.workflows.bookings import charging  # noqa: F401 - its workflows are found with these
from jobs.workflows.bookings.appointments import Calendar, contact_of
from jobs.workflows.bookings.events import (
    AppointmentCancelled,
    AppointmentCreated,
    AppointmentReminder,
    BookingCreated,
    ReportGenerated,
    ReportReady,
    UserInvited,
)
from jobs.workflows.bookings.models import Appointment
from jobs.workflows.bookings.notices import Notice, moment, notice
from jobs.workflows.bookings.payloads import Contact
from jobs.workflows.bookings.steps import log, log_sent, send_email, send_sms

register_service(Calendar, Calendar)

# Appointments ---------------------------------------------------------------------------------


class Planned(BaseModel):
    """An appointment as told of at `changed_at`, the event's time; None means now."""

    appointment: AppointmentCreated
    changed_at: AwareDatetime | None = None


class Cancelled(BaseModel):
    """As `Planned`, of an appointment that is off."""

    appointment: AppointmentCancelled
    changed_at: AwareDatetime | None = None


@step(name="bookings/plan-appointment", atomic=True)
def plan_appointment(ctx: Context, told: Planned) -> datetime | None:
    """Store the appointment with its reminder's time; return that, None if there is none."""
    return ctx.services.get(Calendar).plan(
        told.appointment, company=ctx.company, changed_at=told.changed_at
    )


@workflow(name="bookings/appointment-created")
def appointment_created(told: Planned) -> datetime | None:
    """Schedule the reminder of an appointment, or move it."""
    return plan_appointment(told)


@step(name="bookings/cancel-appointment", atomic=True)
def cancel_appointment(ctx: Context, told: Cancelled) -> bool:
    return ctx.services.get(Calendar).cancel(
        told.appointment.appointment_id, company=ctx.company, changed_at=told.changed_at
    )


@workflow(name="bookings/appointment-cancelled")
def appointment_cancelled(told: Cancelled) -> bool:
    """Take the reminder back; what was told before does not bring it back."""
    return cancel_appointment(told)


@step(name="bookings/prepare-reminder")
def prepare_reminder(ctx: Context, reminder: AppointmentReminder) -> Notice:
    """Find out whom to remind; a reminder that is out of date is unneeded."""
    found = ctx.services.get(Calendar).find(reminder.appointment_id, company=ctx.company)
    contact = reminder.customer or (contact_of(found) if found else None)
    if contact is None:
        raise PermanentFailure(
            f"appointment {reminder.appointment_id} is not known: publish appointment.created"
            " first, or give the reminder its customer"
        )
    return notice(
        "appointment_reminder",
        contact,
        event_type="appointment.reminder",
        about=f"appointment {reminder.appointment_id}",
        subject=f"Your appointment on {moment(reminder.start_time)}",
        company=ctx.company,
        unneeded=_out_of_date(found, reminder),
        starts=moment(reminder.start_time),
        service=found.service if found else None,
    )


def _out_of_date(found: Appointment | None, reminder: AppointmentReminder) -> str | None:
    if reminder.start_time <= clock():
        return "the appointment has begun"
    if found is None:
        return None
    if found.status == Appointment.Status.CANCELLED:
        return "the appointment was cancelled"
    if found.starts_at != reminder.start_time:
        return f"the appointment was moved to {moment(found.starts_at)}"
    return None


@step(name="bookings/note-reminder", atomic=True)
def note_reminder(ctx: Context, reminder: AppointmentReminder, told: str | None) -> None:
    """Remember that the customer knows: an update that moves nothing reminds nobody again."""
    if told is not None:
        ctx.services.get(Calendar).note_reminder(
            reminder.appointment_id, reminder.start_time, company=ctx.company
        )


@workflow(name="bookings/appointment-reminder")
def appointment_reminder(reminder: AppointmentReminder) -> str | None:
    """Remind by mail and by SMS; one of them is enough."""
    prepared = prepare_reminder(reminder)
    mailed, texted = parallel(send_email(prepared), send_sms(prepared))
    told = log_sent(prepared, mailed, texted)
    note_reminder(reminder, told)
    return told


# Bookings and invitations ---------------------------------------------------------------------


@step(name="bookings/prepare-confirmation", atomic=True)
def prepare_confirmation(ctx: Context, booking: BookingCreated) -> Notice:
    """Write the booking into the activity log, and its confirmation."""
    about = f"booking {booking.booking_id}"
    log(ctx, "booking.created", about, f"{booking.service or 'a service'} was booked")
    return notice(
        "booking_created",
        booking.customer,
        event_type="booking.created",
        about=about,
        subject=f"Your booking {booking.booking_id} is confirmed",
        company=ctx.company,
        booking=booking.booking_id,
        service=booking.service,
        starts=moment(booking.start_time),
    )


@workflow(name="bookings/booking-created")
def booking_created(booking: BookingCreated) -> str | None:
    """Confirm a booking by mail, and keep it in the activity log."""
    prepared = prepare_confirmation(booking)
    return log_sent(prepared, send_email(prepared))


@step(name="bookings/prepare-invitation")
def prepare_invitation(ctx: Context, invited: UserInvited) -> Notice:
    return notice(
        "user_invited",
        Contact(user_id=invited.user_id, name=invited.name, email=invited.email),
        event_type="user.invited",
        about=f"user {invited.user_id or invited.email}",
        subject=f"{invited.invited_by} invites you" if invited.invited_by else "You are invited",
        company=ctx.company,
        url=invited.invite_url,
        invited_by=invited.invited_by,
    )


@workflow(name="bookings/user-invited")
def user_invited(invited: UserInvited) -> str | None:
    """Mail an invitation."""
    prepared = prepare_invitation(invited)
    return log_sent(prepared, send_email(prepared))


# Reports --------------------------------------------------------------------------------------


@step(name="bookings/announce-report")
def announce_report(ctx: Context, report: ReportGenerated) -> None:
    ctx.publish(ReportReady(**report.model_dump()), key=report.report_id)


@workflow(name="bookings/report-generated")
def report_generated(report: ReportGenerated) -> None:
    """Say that a report may be sent: whoever listens to `report.ready` goes on."""
    announce_report(report)


@step(name="bookings/prepare-report")
def prepare_report(ctx: Context, report: ReportReady) -> Notice:
    title = report.title or report.report_id
    return notice(
        "report_ready",
        Contact(user_id=report.user_id, email=report.email),
        event_type="report.ready",
        about=f"report {report.report_id}",
        subject=f"Report {title} is ready",
        company=ctx.company,
        title=title,
        url=report.url,
    )


@workflow(name="bookings/report-ready")
def report_ready(report: ReportReady) -> str | None:
    """Mail where a report is."""
    prepared = prepare_report(report)
    return log_sent(prepared, send_email(prepared))
