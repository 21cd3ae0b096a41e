"""Payments that failed: tried again by their own schedule, then the company's staff are told."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from jobs.models import Membership, Run
from jobs.testing import run_inline, without_messages
from jobs.workflows.bookings import charging
from jobs.workflows.bookings.events import PaymentFailed, StripeInvoicePaymentFailed
from jobs.workflows.bookings.models import Activity, Payment
from subscriptions.models import Event
from tests.workflows.conftest import MailServer

pytestmark = pytest.mark.django_db

FAILED = PaymentFailed(payment_id="pay/1", amount=1999, currency="eur", reason="card expired")


class Bank:
    """Answers the gateway's requests in turn, and keeps their keys and bodies."""

    def __init__(self, gateway: HTTPServer, *answers: tuple[int, Any]) -> None:
        self.keys: list[str] = []
        self.requests: list[Request] = []
        self._answers = list(answers)
        gateway.expect_request("/gateway/payments/pay/1/retry", method="POST").respond_with_handler(
            self._answer
        )

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        self.keys.append(request.headers["Idempotency-Key"])
        code, body = self._answers.pop(0)
        text = body if isinstance(body, str) else json.dumps(body)
        return Response(text, code, content_type="application/json")


def fail(payment: PaymentFailed = FAILED, company: str = "acme") -> Run:
    return run_inline(charging.payment_failed, payment, company=company)


@pytest.fixture
def staff() -> None:
    """One of acme's staff with an address, one without, and one of another company."""
    for name, company, address in (
        ("boss", "acme", "boss@acme.example.com"),
        ("silent", "acme", ""),
        ("other", "globex", "other@globex.example.com"),
    ):
        user = User.objects.create_user(name, email=address, is_staff=True)
        Membership.objects.create(user=user, company=company)


def test_a_payment_that_succeeds_at_the_second_try_is_paid_and_nobody_is_told(
    gateway: HTTPServer, mails: MailServer, staff: None
) -> None:
    bank = Bank(gateway, (402, {"reason": "no funds"}), (200, {"status": "paid"}))

    run = fail()

    assert run.status == "succeeded"
    assert len(set(bank.keys)) == 2  # each try may charge
    assert bank.requests[0].headers["Authorization"] == "Bearer token-1"
    row = Payment.objects.get()
    assert (row.status, row.tries, row.company, row.last_answer) == ("paid", 2, "acme", "paid")
    assert mails.mails == []
    assert Activity.objects.get().text == "paid after all"


def test_the_tries_are_an_hour_a_day_and_three_days_after_another() -> None:
    sleeps = [
        node.inputs["seconds"]["$value"]
        for node in charging.payment_failed.plan.nodes
        if node.name.startswith("sleep")
    ]

    assert sleeps == [3600, 86_400, 3 * 86_400]
    with without_messages():
        begun = charging.payment_failed.start(FAILED, company="acme")
    run = Run.objects.get(pk=begun.pk)
    assert run.deadline_at is not None
    assert run.deadline_at - run.created_at > timedelta(seconds=sum(sleeps), hours=23)


def test_after_the_third_try_the_company_s_staff_are_told(
    gateway: HTTPServer, mails: MailServer, staff: None
) -> None:
    bank = Bank(gateway, *[(402, {"reason": "no funds"})] * 3)

    run = fail()

    assert run.status == "succeeded"
    assert len(bank.keys) == 3
    assert [mail["To"] for mail in mails.mails] == ["boss@acme.example.com"]
    body = mails.mails[0].get_body(("plain",))
    assert body is not None
    assert "19.99 EUR" in body.get_content()
    assert "card expired" in body.get_content()
    assert "no funds" in body.get_content()
    assert Payment.objects.get().status == "given_up"


def test_without_staff_the_operators_are_told_and_without_anybody_the_run_fails(
    gateway: HTTPServer, mails: MailServer, settings: Settings
) -> None:
    Bank(gateway, (404, ""), (404, ""))
    settings.OPERATORS = ["ops@example.com"]
    assert fail().status == "succeeded"
    settings.OPERATORS = []
    nobody = fail()

    assert [mail["To"] for mail in mails.mails] == ["ops@example.com"]
    assert nobody.status == "failed"
    assert "set OPERATORS" in str(nobody.error)
    assert Payment.objects.get().status == "given_up"


def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    gateway: HTTPServer, mails: MailServer
) -> None:
    bank = Bank(gateway, (503, ""), (200, "no JSON"), (200, {"status": "paid"}))

    assert fail().status == "succeeded"

    assert len(bank.keys) == 3
    assert len(set(bank.keys)) == 1
    assert Payment.objects.get().tries == 1


def test_a_payment_that_is_not_known_is_not_tried_again(
    gateway: HTTPServer, mails: MailServer, staff: None
) -> None:
    bank = Bank(gateway, (404, ""))

    fail()

    assert len(bank.keys) == 1
    assert len(mails.mails) == 1


def test_without_a_gateway_people_are_told_at_once(mails: MailServer, staff: None) -> None:
    fail()

    assert Payment.objects.get().last_answer == "no gateway: PAYMENT_GATEWAY_URL is not set"
    assert len(mails.mails) == 1


def test_a_second_failure_of_a_payment_in_hand_starts_nothing(gateway: HTTPServer) -> None:
    Payment.objects.create(
        company="acme",
        payment_id="pay/1",
        status="retrying",
        amount=1,
        currency="EUR",
        run_id="00000000-0000-7000-8000-000000000001",
    )

    run = fail()

    assert run.status == "succeeded"
    assert not run.steps.filter(node="bookings/retry-payment").exists()
    assert Payment.objects.get().amount == 1


def test_a_payment_that_was_paid_and_fails_anew_is_taken_in_hand_again(
    gateway: HTTPServer,
) -> None:
    Bank(gateway, (200, {"status": "paid"}), (200, {"status": "paid"}))

    first, second = fail(), fail()

    row = Payment.objects.get()
    assert (row.status, row.run_id) == ("paid", second.pk)
    assert first.pk != second.pk


def test_stripe_s_invoice_becomes_a_failed_payment() -> None:
    event = {
        "id": "evt_1",
        "type": "invoice.payment_failed",
        "data": {
            "object": {
                "id": "in_1",
                "customer": "cus_1",
                "amount_due": 2000,
                "currency": "usd",
                "attempt_count": 2,
                "lines": {},
            }
        },
    }
    invoice = StripeInvoicePaymentFailed.model_validate(event)

    run_inline(charging.stripe_invoice_payment_failed, invoice, company="acme")

    told = Event.objects.get()
    assert (told.type, told.company, told.key) == ("payment.failed", "acme", "in_1")
    assert told.payload == {
        "companyId": "acme",
        "paymentId": "in_1",
        "amount": 2000,
        "currency": "usd",
        "reason": "Stripe's attempt 2 failed",
        "customerId": "cus_1",
    }
