"""A user's limit on a channel: over all workflows and workers, waited for and never exceeded."""

import pytest
from pytest_django import Settings

from jobs.models import StepRun
from jobs.workflows.bookings import workflows as shipped
from jobs.workflows.bookings.events import BookingCreated, UserInvited
from jobs.workflows.bookings.payloads import Contact
from jobs.workflows.bookings.steps import MAILS_AN_HOUR, TEXTS_AN_HOUR, send_email, send_sms
from tests.workflows.conftest import MailServer, Post

pytestmark = pytest.mark.django_db(transaction=True)

LINK = "https://example.com/i/1"


def test_the_eleventh_mail_of_an_hour_waits_and_costs_no_attempt(
    post: Post, mails: MailServer, settings: Settings
) -> None:
    for _ in range(MAILS_AN_HOUR):
        invited = UserInvited(email="ada@example.com", invite_url=LINK, user_id="u-1")
        shipped.user_invited.start(invited, company="acme")
    post.deliver_all()
    assert len(mails.mails) == MAILS_AN_HOUR

    contact = Contact(user_id="u-1", email="ada@example.com")
    booking = BookingCreated(booking_id="b-1", customer=contact)  # another workflow's mail
    waiting = shipped.booking_created.start(booking, company="acme")
    shipped.booking_created.start(booking, company="globex")  # another company's user
    post.deliver_all()

    assert len(mails.mails) == MAILS_AN_HOUR + 1
    row = StepRun.objects.get(run=waiting.pk, node="bookings/send-email")
    assert (row.status, row.waiting_for, row.attempts) == ("waiting", "limit", 0)


def test_the_limits_are_ten_mails_and_five_sms_an_hour() -> None:
    assert (MAILS_AN_HOUR, TEXTS_AN_HOUR) == (10, 5)
    for one, most in ((send_email, 10), (send_sms, 5)):
        rate = one.options_.rate
        assert rate is not None
        assert (rate.n, rate.per.total_seconds()) == (most, 3600)


def test_whoever_cannot_be_reached_holds_up_nobody(post: Post, mails: MailServer) -> None:
    for number in range(MAILS_AN_HOUR + 2):
        booking = BookingCreated(booking_id=f"b-{number}")
        shipped.booking_created.start(booking, company="acme")
    post.deliver_all()

    sends = StepRun.objects.filter(node="bookings/send-email")
    assert set(sends.values_list("status", flat=True)) == {"skipped"}
