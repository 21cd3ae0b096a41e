"""The booking workflows: who is told, how often, and what a moved or cancelled appointment does."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID, uuid4

import pytest
from apprise.plugins.twilio import NotifyTwilio
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from jobs.models import Run
from jobs.testing import run_inline
from jobs.workflows.bookings import workflows as shipped
from jobs.workflows.bookings.events import (
    AppointmentCancelled,
    AppointmentCreated,
    AppointmentReminder,
    BookingCreated,
    ReportGenerated,
    ReportReady,
    UserInvited,
)
from jobs.workflows.bookings.models import Activity, Appointment, Message
from jobs.workflows.bookings.payloads import Contact
from jobs.workflows.bookings.workflows import Cancelled, Planned
from subscriptions.models import Event, ScheduledEvent
from tests.workflows.conftest import MailServer

pytestmark = pytest.mark.django_db

VISIT = UUID("7b0e4bfa-9a44-4bb5-9d0c-2f6d3a6f4d11")
ADA = Contact(user_id="u-1", name="Ada", email="ada@example.com", phone="+65 6123 4567")
SMS = f"twilio://AC{'a' * 32}:{'b' * 32}@15551234567"


def soon(**delta: float) -> datetime:
    return (datetime.now(UTC) + timedelta(**delta)).replace(microsecond=0)


@pytest.fixture
def texts(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[Any]:
    """SMS as the service got them: (number, text)."""
    got: list[Any] = []

    def answer(request: Request) -> Response:
        got.append((request.form["To"], request.form["Body"]))
        return Response("{}", 201, content_type="application/json")

    httpserver.expect_request("/sms", method="POST").respond_with_handler(answer)
    monkeypatch.setattr(NotifyTwilio, "notify_sms_url", httpserver.url_for("/sms"))
    monkeypatch.setattr(NotifyTwilio, "request_rate_per_sec", 0)
    settings.SMS_URL = SMS
    return got


def plan(starts_at: datetime, *, changed_at: datetime | None = None, **fields: Any) -> Run:
    told = AppointmentCreated(
        appointment_id=VISIT, start_time=starts_at, **{"customer": ADA, "service": "tea", **fields}
    )
    run = run_inline(
        shipped.appointment_created,
        Planned(appointment=told, changed_at=changed_at),
        company="acme",
    )
    assert run.status == "succeeded"
    return run


def cancel(changed_at: datetime | None = None) -> Run:
    told = Cancelled(appointment=AppointmentCancelled(appointment_id=VISIT), changed_at=changed_at)
    return run_inline(shipped.appointment_cancelled, told, company="acme")


def remind(starts_at: datetime, **fields: Any) -> Run:
    reminder = AppointmentReminder(appointment_id=VISIT, start_time=starts_at, **fields)
    return run_inline(shipped.appointment_reminder, reminder, company="acme")


def outcomes(run: Run) -> dict[str, str]:
    return dict(run.steps.values_list("node", "status"))


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


# Appointments ---------------------------------------------------------------------------------


def test_an_appointment_schedules_its_reminder_a_day_before() -> None:
    starts_at = soon(days=10)

    plan(starts_at)

    row = ScheduledEvent.objects.get()
    assert (row.type, row.company, row.key) == ("appointment.reminder", "acme", str(VISIT))
    assert row.due_at == starts_at - timedelta(hours=24)
    assert row.payload["appointmentId"] == str(VISIT)
    assert datetime.fromisoformat(row.payload["startTime"]) == starts_at


def test_an_appointment_that_moves_takes_its_reminder_along() -> None:
    plan(soon(days=10))
    plan(soon(days=20))

    row = ScheduledEvent.objects.get()
    assert row.due_at > soon(days=18)
    assert Appointment.objects.get().starts_at > soon(days=19)  # type: ignore[operator]


def test_a_cancelled_appointment_has_no_reminder_and_none_comes_back() -> None:
    plan(soon(days=10), changed_at=soon(minutes=-10))
    cancel(changed_at=soon(minutes=-5))
    assert not ScheduledEvent.objects.exists()

    late = plan(soon(days=10), changed_at=soon(minutes=-7))

    assert late.result() is None
    assert not ScheduledEvent.objects.exists()
    assert Appointment.objects.get().status == "cancelled"


def test_a_cancellation_that_overtakes_its_appointment_holds() -> None:
    cancel(changed_at=soon(minutes=-5))
    plan(soon(days=10), changed_at=soon(minutes=-10))

    assert Appointment.objects.get().status == "cancelled"
    assert not ScheduledEvent.objects.exists()


def test_an_appointment_that_has_begun_has_no_reminder() -> None:
    plan(soon(days=10))
    plan(soon(hours=-1))

    assert not ScheduledEvent.objects.exists()


def test_an_appointment_is_of_one_company() -> None:
    plan(soon(days=10))
    told = AppointmentCreated(appointment_id=VISIT, start_time=soon(days=3), company_id="acme")
    run_inline(shipped.appointment_created, Planned(appointment=told), company="globex")

    assert ScheduledEvent.objects.count() == 2
    assert cancel().result() is True
    assert [row.company for row in ScheduledEvent.objects.all()] == ["globex"]


def test_a_reminder_goes_out_by_mail_and_by_sms_each_under_a_key_of_its_own(
    mails: MailServer, texts: list[Any]
) -> None:
    starts_at = datetime(2099, 4, 15, 14, tzinfo=UTC)
    Appointment.objects.create(
        company="acme",
        appointment_id=VISIT,
        starts_at=starts_at,
        service="tea",
        user_id="u-1",
        name="Ada",
        email="ada@example.com",
        phone="+6561234567",
        changed_at=soon(),
    )

    run = remind(starts_at)

    (mail,) = mails.mails
    assert (mail["To"], mail["Subject"]) == (
        "ada@example.com",
        "Your appointment on 15 April 2099, 14:00 UTC",
    )
    assert "Hello Ada" in text_of(mail)
    assert "for tea" in text_of(mail)
    assert texts == [
        ("+6561234567", "Reminder: your appointment for tea is on 15 April 2099, 14:00 UTC.")
    ]
    sent = {row.channel: row.key for row in Message.objects.all()}
    assert sent.keys() == {"email", "sms"}
    assert len(set(sent.values())) == 2
    assert run.result() == "told ada@example.com and +6561234567"
    assert Appointment.objects.get().reminded_for == starts_at


def test_a_reminder_out_of_date_reminds_nobody(mails: MailServer) -> None:
    starts_at = soon(days=1)
    plan(soon(days=2))
    moved = remind(starts_at)
    cancel()
    cancelled = remind(soon(days=2))

    assert [moved.status, cancelled.status] == ["succeeded", "succeeded"]
    assert outcomes(moved)["bookings/send-email"] == "skipped"
    assert mails.mails == []


def test_a_reminder_that_comes_too_late_reminds_nobody(mails: MailServer) -> None:
    late = remind(soon(minutes=-1), customer=ADA)

    assert late.status == "succeeded"
    assert outcomes(late)["bookings/send-email"] == "skipped"
    assert mails.mails == []


def test_an_update_that_moves_nothing_reminds_nobody_again(mails: MailServer) -> None:
    starts_at = soon(hours=20)
    plan(starts_at)
    remind(starts_at)
    ScheduledEvent.objects.all().delete()  # as it is when it has fired

    plan(starts_at, service="coffee")
    assert not ScheduledEvent.objects.exists()

    plan(soon(hours=22))
    assert ScheduledEvent.objects.count() == 1


def test_one_channel_is_enough_and_none_fails_the_run(
    mails: MailServer, settings: Settings
) -> None:
    settings.SMS_URL = ""
    mailed = remind(soon(days=1), customer=ADA)
    settings.EMAIL_URL = ""
    nobody = remind(soon(days=1), customer=ADA)
    unknown = remind(soon(days=1))

    assert mailed.result() == "told ada@example.com"
    assert outcomes(mailed)["bookings/send-sms"] == "failed"
    assert nobody.status == unknown.status == "failed"
    assert "nobody was told" in str(nobody.error)
    assert "publish appointment.created first" in str(unknown.error)


def test_a_server_that_is_busy_is_asked_again_and_an_address_it_refuses_is_not(
    mails: MailServer,
) -> None:
    mails.answers["DATA"] = ["451 later"]
    busy = remind(soon(days=1), customer=Contact(email="ada@example.com"))
    mails.answers["RCPT"] = ["550 unknown"]
    refused = remind(soon(days=1), customer=Contact(email="gone@example.com"))

    tries = {run.pk: run.steps.get(node="bookings/send-email").attempts for run in (busy, refused)}
    assert (busy.status, tries[busy.pk]) == ("succeeded", 2)
    assert (refused.status, tries[refused.pk]) == ("failed", 1)
    assert [mail["To"] for mail in mails.mails] == ["ada@example.com"]


def test_a_mail_that_a_lost_worker_had_sent_is_not_sent_again(mails: MailServer) -> None:
    Message.objects.create(
        company="acme",
        channel="email",
        user="u-1",
        template="user_invited",
        address="ada@example.com",
        key="k-1",
    )
    from jobs.workflows.bookings.notices import notice
    from jobs.workflows.bookings.sending import Mailer

    told = notice(
        "user_invited", ADA, event_type="x", about="x", subject="x", company="acme", url="https://x"
    )
    for key in ("k-1", "k-2", "k-2"):
        Mailer().send(told, key=key)

    assert len(mails.mails) == 1


# Bookings, invitations, reports ---------------------------------------------------------------


def test_a_booking_is_confirmed_and_in_the_activity_log(mails: MailServer) -> None:
    booking = BookingCreated(booking_id="b-7", customer=ADA, service="A room\nBcc: x@example.com")

    run = run_inline(shipped.booking_created, booking, company="acme")

    (mail,) = mails.mails
    assert mail["Subject"] == "Your booking b-7 is confirmed"
    assert mail["Bcc"] is None
    assert run.status == "succeeded"
    log = Activity.objects.order_by("id").values_list("company", "subject", "event_type", "text")
    assert list(log) == [
        ("acme", "booking b-7", "booking.created", "A room\nBcc: x@example.com was booked"),
        ("acme", "booking b-7", "booking.created", "told ada@example.com"),
    ]


def test_values_are_escaped_in_html_and_not_in_text(mails: MailServer) -> None:
    contact = Contact(name="<b>Ada & Co</b>", email="ada@example.com")
    run_inline(
        shipped.booking_created, BookingCreated(booking_id="1", customer=contact), company="a"
    )

    html = mails.mails[0].get_body(("html",))
    assert html is not None
    assert "&lt;b&gt;Ada &amp; Co&lt;/b&gt;" in html.get_content()
    assert "Hello <b>Ada & Co</b>," in text_of(mails.mails[0])


def test_an_invitation_is_mailed(mails: MailServer) -> None:
    invited = UserInvited(
        email="bob@example.com", invite_url="https://example.com/i/1?a=1&b=2", invited_by="Ada"
    )

    assert run_inline(shipped.user_invited, invited, company="acme").status == "succeeded"

    assert mails.mails[0]["Subject"] == "Ada invites you"
    assert "https://example.com/i/1?a=1&b=2" in text_of(mails.mails[0])


def test_a_generated_report_is_announced_and_a_ready_one_mailed(mails: MailServer) -> None:
    made = {"report_id": "r-1", "url": "https://example.com/r/1", "email": "ada@example.com"}
    run_inline(shipped.report_generated, ReportGenerated(**made), company="acme")
    told = Event.objects.get()
    assert (told.type, told.company, told.key) == ("report.ready", "acme", "r-1")
    assert told.payload["reportId"] == "r-1"

    run_inline(shipped.report_ready, ReportReady.model_validate(told.payload), company="acme")

    assert mails.mails[0]["Subject"] == "Report r-1 is ready"


@pytest.mark.parametrize(
    ("model", "payload", "field"),
    [
        (AppointmentReminder, {"appointmentId": "7", "startTime": "2024-04-15T14:00:00Z"}, "Id"),
        (
            AppointmentReminder,
            {"appointmentId": str(VISIT), "startTime": "2024-04-15T14:00"},
            "Time",
        ),
        (UserInvited, {"email": "nobody", "inviteUrl": "https://example.com"}, "email"),
        (UserInvited, {"email": "a@example.com", "inviteUrl": "javascript:alert(1)"}, "inviteUrl"),
        (BookingCreated, {"bookingId": "1", "customer": {"phone": "12"}}, "phone"),
        (BookingCreated, {"bookingId": ""}, "bookingId"),
    ],
)
def test_a_payload_that_cannot_be_is_refused(model: Any, payload: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        model.model_validate(payload)


def test_the_payload_of_the_contract_is_taken_and_given_back_in_its_own_names() -> None:
    payload = {
        "appointmentId": str(uuid4()),
        "companyId": str(uuid4()),
        "startTime": "2024-04-15T14:00:00Z",
    }

    found = AppointmentReminder.model_validate(payload)

    assert found.model_dump(mode="json", exclude_none=True) == payload
    assert Contact.model_validate({"phone": "+65 (6123) 4567"}).phone == "+6561234567"
