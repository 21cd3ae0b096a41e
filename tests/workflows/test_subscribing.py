"""Events start the booking workflows, by subscriptions that a command makes."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Run
from jobs.registry import registry
from jobs.workflows.bookings.subscribing import STARTS, subscribe
from subscriptions import contracts, publish, scheduled
from subscriptions.deliveries import delivery
from subscriptions.models import Delivery, ScheduledEvent, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.workflows.conftest import MailServer, Messages, Post

pytestmark = pytest.mark.django_db(transaction=True)


def work(post: Post, messages: Messages) -> None:
    """Do what relay and workers do, until nothing is left."""
    done = 0
    while relay_all(Router()).events:
        ids = messages.ids[done:]
        done += len(ids)
        delivery.deliver(ids)
        post.deliver_all()


def test_every_event_of_the_contract_starts_a_workflow_that_is_there() -> None:
    assert set(STARTS) >= {
        *("appointment.reminder", "report.ready", "payment.failed", "booking.created"),
        *("user.invited", "appointment.created", "report.generated"),
        "stripe.invoice.payment_failed",
    }
    assert set(STARTS) <= set(contracts.known_types())
    assert {workflow for workflow, _ in STARTS.values()} <= set(registry.workflows)


def test_the_command_makes_what_is_missing_and_changes_nothing_else() -> None:
    call_command("subscribe_bookings", verbosity=0)
    Subscription.objects.filter(event_type="booking.created").update(paused_at=datetime.now(UTC))
    Subscription.objects.filter(event_type="user.invited").delete()

    assert subscribe() == ["bookings: user.invited"]
    assert subscribe() == []
    assert Subscription.objects.filter(company=None).count() == len(STARTS)
    assert Subscription.objects.get(event_type="booking.created").paused_at is not None


def test_no_company_s_events_start_everything_twice() -> None:
    subscribe(company="acme")
    with pytest.raises(CommandError, match="acme has subscriptions of its own"):
        call_command("subscribe_bookings", verbosity=0)
    assert len(subscribe(company="globex")) == len(STARTS)

    Subscription.objects.all().delete()
    subscribe()
    with pytest.raises(CommandError, match="for all companies"):
        call_command("subscribe_bookings", "--company", "acme", verbosity=0)


def test_an_appointment_reminds_its_customer_a_day_before_and_moves_the_reminder(
    post: Post, messages: Messages, mails: MailServer
) -> None:
    subscribe()
    starts_at = (datetime.now(UTC) + timedelta(days=10)).replace(microsecond=0)
    payload = {
        "appointmentId": str(uuid4()),
        "companyId": "somebody-else",
        "startTime": starts_at.isoformat(),
        "customer": {"email": "ada@example.com"},
    }
    publish("appointment.created", payload, company="acme")
    work(post, messages)
    moved = {**payload, "startTime": (starts_at + timedelta(days=5)).isoformat()}
    publish("appointment.updated", moved, company="acme")
    work(post, messages)

    assert scheduled.fire_due(now=starts_at) == 0
    assert scheduled.fire_due(now=starts_at + timedelta(days=4)) == 1
    work(post, messages)

    assert not Delivery.objects.exclude(status="delivered").exists()
    run = Run.objects.get(workflow="bookings/appointment-reminder")
    assert (run.status, run.company, run.depth) == ("succeeded", "acme", 3)
    assert [mail["To"] for mail in mails.mails] == ["ada@example.com"]


def test_a_report_goes_from_generated_to_the_mail(
    post: Post, messages: Messages, mails: MailServer
) -> None:
    subscribe(company="acme")
    made = {"reportId": "r-1", "url": "https://example.com/r/1", "email": "ada@example.com"}
    for company in ("acme", "globex"):
        publish("report.generated", made, company=company)
    work(post, messages)

    assert [mail["Subject"] for mail in mails.mails] == ["Report r-1 is ready"]
    assert not ScheduledEvent.objects.exists()
