"""EMAIL: mails to a real SMTP server on this machine, which refuses what the test asks it to."""

import json
import socket
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_django import Settings

from subscriptions import examples, services
from subscriptions.deliveries import delivery
from subscriptions.errors import InvalidSubscription
from subscriptions.handlers import email
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Delivery, DeliveryAttempt, Subscription
from subscriptions.validation import parse_config
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Post:
    """What the server got; `answers` are what it says instead of taking a command, in turn."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, list[str]] = {"RCPT": [], "DATA": []}
        self.connections = 0

    async def handle_EHLO(  # noqa: N802 - the library's names
        self, server: SMTP, session: Session, envelope: Envelope, host: str, answers: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = host
        return answers

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers["RCPT"]:
            return self.answers["RCPT"].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers["DATA"]:
            return self.answers["DATA"].pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        found = message_from_bytes(content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 taken"


@pytest.fixture
def post(settings: Settings) -> Iterator[Post]:
    taken = Post()
    controller = Controller(taken, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_URL = "smtp://127.0.0.1"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.DEFAULT_FROM_EMAIL = "Shop <shop@example.com>"
    yield taken
    controller.stop()


@pytest.fixture
def customers(make_table: Callable[..., None], sql: Sql) -> str:
    make_table("customers", "id int PRIMARY KEY, company text, name text, email text, notes json")
    sql("SELECT attach_event_trigger('customers', company => 'company')")
    return "customers"


@pytest.fixture
def mail(customers: str, subscribe: Callable[..., int]) -> Callable[..., int]:
    def make(name: str = "mail", **config: Any) -> int:
        text = json.dumps({"to": ["new.email"], **config})
        return subscribe("acme", customers, name=name, handler_type="EMAIL", config=text)

    return make


def parts(mail: EmailMessage) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def test_an_event_is_mailed_with_text_and_escaped_html(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail(subject="Hello {new.name}: {operation}")
    sql("INSERT INTO customers VALUES (7, 'acme', '<b>Söhne & Co', 'a@example.com', '[1, null]')")

    assert deliver() == 1

    [found] = post.mails
    text, html = parts(found)
    assert (found["To"], found["From"]) == ("a@example.com", "Shop <shop@example.com>")
    assert found["Subject"] == "Hello <b>Söhne & Co: INSERT"
    assert "customers 7 was added" in text
    assert "name: <b>Söhne & Co" in text
    assert "notes: [1, null]" in text
    assert "&lt;b&gt;Söhne &amp; Co" in html
    assert "<b>" not in html
    assert DeliveryAttempt.objects.get().response == "to a@example.com"


def test_a_change_is_mailed_with_what_was_and_is(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro', NULL)")
    mail(template="record_changed", to=["x@example.com", "new.email", "x@example.com"])
    sql("UPDATE customers SET name = 'Lokal', email = 'a@example.com'")
    deliver()
    sql("DELETE FROM customers")
    deliver()

    changed, deleted = post.mails
    text, html = parts(changed)
    assert changed["To"] == "x@example.com, a@example.com"
    assert changed["Subject"] == "customers 7 was changed"
    assert "name: Bistro -> Lokal\nemail: (nothing) -> a@example.com\n" in text.replace("\r", "")
    assert "company" not in text + html
    assert deleted["To"] == "x@example.com"
    assert "name: Lokal -> (nothing)" in parts(deleted)[0]


def test_a_brief_mail_holds_no_data(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail(template="brief", to=["x@example.com"])
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro', 'a@example.com')")
    deliver()

    [found] = post.mails
    assert "Bistro" not in "".join(parts(found)) + str(found["Subject"])


def test_tries_of_an_event_have_one_message_id_and_events_their_own(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail()
    sql("INSERT INTO customers VALUES (1, 'acme', 'One', 'a@example.com')")
    deliver()
    Delivery.objects.update(status=Delivery.Status.PENDING)  # as after a lost outcome
    delivery.deliver(list(Delivery.objects.values_list("pk", flat=True)))
    sql("INSERT INTO customers VALUES (2, 'acme', 'Two', 'a@example.com')")
    deliver()

    first, again, other = (found["Message-ID"] for found in post.mails)
    assert first == again != other
    assert first.endswith("@example.com>")


def test_no_value_adds_a_header_or_a_recipient(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail(subject="Hello {new.name}", to=["x@example.com"])
    mail("path", to=["new.email"])
    for number, address in enumerate(
        ["a@example.com\nBcc: b@example.com", "a@example.com, b@example.com", "Eve <a@b.c>", "eve"]
    ):
        name = "Eve\r\nBcc: b@example.com\u2028X: y"
        sql("INSERT INTO customers VALUES (%s, 'acme', %s, %s)", number, name, address)

    assert deliver() == 4

    assert {found["Subject"] for found in post.mails} == {"Hello Eve Bcc: b@example.com X: y"}
    assert all(found["Bcc"] is None and found["X"] is None for found in post.mails)
    assert {found["To"] for found in post.mails} == {"x@example.com"}
    dead = Delivery.objects.filter(status=Delivery.Status.DEAD)
    assert set(dead.values_list("error", flat=True)) == {"new.email is no mail address"}


@pytest.mark.parametrize(
    "address",
    ["root@localhost", "x@[10.0.0.1]", '"a\x0bb"@example.com', '"a, b@example.com"@example.com'],
)
def test_no_address_leads_into_our_network_or_hides_characters(
    address: str, post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail(to=["new.email"])
    sql("INSERT INTO customers VALUES (1, 'acme', 'One', %s)", address)

    assert deliver() == 0

    assert post.mails == []
    assert Delivery.objects.get().error == "new.email is no mail address"
    with pytest.raises(InvalidSubscription, match=r"config\.to\.0"):
        parse_config(handler_named("EMAIL"), {"to": [address]})


def test_more_addresses_than_are_told_are_an_error_and_none_is_left_out(
    make_table: Callable[..., None],
    post: Post,
    subscribe: Callable[..., int],
    sql: Sql,
    deliver: Callable[[], int],
) -> None:
    make_table("teams", "id int PRIMARY KEY, company text, emails jsonb")
    sql("SELECT attach_event_trigger('teams', company => 'company')")
    subscribe("acme", "teams", handler_type="EMAIL", config='{"to": ["new.emails"]}')
    every = [f"a{number}@example.com" for number in range(51)]
    sql("INSERT INTO teams VALUES (1, 'acme', %s)", json.dumps(every))

    assert deliver() == 0

    assert post.mails == []
    assert Delivery.objects.get().error == "new.emails holds 51 addresses; at most 50 are told"


def test_what_a_slow_server_has_no_time_for_is_put_off_and_counts_as_no_try(
    post: Post,
    mail: Callable[..., int],
    sql: Sql,
    deliver: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(email, "LONGEST_SECONDS", 0.0)
    mail(to=["x@example.com"])
    sql("INSERT INTO customers SELECT n, 'acme', 'n' FROM generate_series(1, 3) AS n")

    assert deliver() == 1

    later = Delivery.objects.filter(status=Delivery.Status.QUEUED)
    assert set(later.values_list("attempts", "error")) == {
        (0, "the mail server is slow: sent later")
    }


@pytest.mark.parametrize(
    ("command", "answer", "status"),
    [
        ("RCPT", "550 no such user", Delivery.Status.DEAD),
        ("RCPT", "450 mailbox busy", Delivery.Status.RETRYING),
        ("DATA", "554 that is spam", Delivery.Status.DEAD),
        ("DATA", "451 try later", Delivery.Status.RETRYING),
        ("RCPT", "421 closing", Delivery.Status.RETRYING),
    ],
)
def test_what_the_server_refuses_for_good_is_dead_and_the_next_mail_goes(
    command: str,
    answer: str,
    status: str,
    post: Post,
    mail: Callable[..., int],
    sql: Sql,
    deliver: Callable[[], int],
) -> None:
    mail()
    post.answers[command] = [answer]
    sql("INSERT INTO customers VALUES (1, 'acme', 'One', 'a@example.com')")
    sql("INSERT INTO customers VALUES (2, 'acme', 'Two', 'b@example.com')")

    assert deliver() == 1

    [other] = Delivery.objects.exclude(status=Delivery.Status.DELIVERED)
    assert (other.status, answer[4:] in other.error) == (status, True)
    assert [found["To"] for found in post.mails] == ["b@example.com"]


def test_who_is_refused_beside_others_is_named_and_nothing_is_sent_twice(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail(to=["gone@example.com", "x@example.com"])
    post.answers["RCPT"] = ["550 no such user"]
    sql("INSERT INTO customers VALUES (1, 'acme', 'One')")

    assert deliver() == 1

    assert len(post.mails) == 1
    assert DeliveryAttempt.objects.get().response == (
        "to x@example.com; gone@example.com was refused: 550 no such user"
    )


def test_a_preview_says_why_there_is_no_mail(post: Post, mail: Callable[..., int]) -> None:
    subscription = Subscription.objects.get(pk=mail())

    shown = examples.preview(subscription, examples.example(subscription).event)

    assert shown.title == "no mail: new.email is no mail address"


def test_one_connection_carries_the_mails_of_a_batch(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail(to=["x@example.com"])
    sql("INSERT INTO customers SELECT n, 'acme', 'n' FROM generate_series(1, 10) AS n")

    assert deliver() == 10

    assert (len(post.mails), post.connections) == (10, 1)


def test_a_server_that_is_away_is_tried_again(
    post: Post,
    mail: Callable[..., int],
    sql: Sql,
    deliver: Callable[[], int],
    settings: Settings,
) -> None:
    settings.EMAIL_PORT = free_port()
    mail()
    sql("INSERT INTO customers VALUES (1, 'acme', 'One', 'a@example.com')")

    assert deliver() == 0

    found = Delivery.objects.get()
    assert found.status == Delivery.Status.RETRYING
    assert "ConnectionRefusedError" in found.error


def test_an_event_without_an_address_is_dead(
    post: Post, mail: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    mail()
    sql("INSERT INTO customers VALUES (1, 'acme', 'One')")
    deliver()

    assert Delivery.objects.get().error == "nobody to send it to: new.email is empty"


def test_the_test_button_sends_a_real_mail(post: Post, mail: Callable[..., int]) -> None:
    sent = examples.send(Subscription.objects.get(pk=mail(to=["x@example.com"])))

    assert sent.outcome.is_delivered
    assert sent.preview.title == "mail to x@example.com"
    assert len(post.mails) == 1


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"to": []}, "config.to", "at least 1 item"),
    ({"to": ["Eve <a@b.c>"]}, "config.to.0", "is no mail address"),
    ({"to": ["a@example.com\nBcc: b@example.com"]}, "config.to.0", "is no mail address"),
    ({"to": ["new.mail"]}, "config.to", "there is no new.mail; there are: new.company,"),
    ({"to": ["email"]}, "config.to", "must begin with one of company,"),
    ({"to": ["payload.email"]}, "config.to", "such events have new, not payload"),
    ({"template": "{{ x }}"}, "config.template", "'event', 'record_changed' or 'brief'"),
    ({"subject": "a\nb"}, "config.subject", "must be one line"),
    ({"subject": "{new.nam}"}, "config.subject", "there is no new.nam"),
    ({"subject": "{new.name.__class__!r}"}, "config.subject", "without ':' or '!'"),
]


def test_a_config_that_cannot_be_right_is_refused(customers: str, post: Post) -> None:
    for config, field, allowed in REFUSED:
        with pytest.raises(InvalidSubscription) as caught:
            services.create_subscription(
                name="x",
                company="acme",
                handler_type="EMAIL",
                table=customers,
                config={"to": ["new.email"], **config},
            )

        assert caught.value.field == field
        assert allowed in caught.value.problem


def test_without_a_mail_server_the_type_is_refused(customers: str, settings: Settings) -> None:
    settings.EMAIL_URL = ""
    with pytest.raises(InvalidSubscription, match="EMAIL_URL is not set"):
        services.create_subscription(
            name="mail", company="acme", handler_type="EMAIL", table=customers,
            config={"to": ["x@example.com"]},
        )  # fmt: skip
