"""The admin's pages of dead letters and of SQS's own dead-letter queue."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from jobs import sqs
from jobs.models import Membership
from subscriptions.ingest.companies import Companies
from subscriptions.ingest.filing import file
from subscriptions.models import DeadLetter, Event
from tests.subscriptions.ingest.messages import PAYLOAD, make_body, make_message

pytestmark = pytest.mark.django_db

LIST = reverse("admin:subscriptions_deadletter_changelist")
REPLAY = reverse("admin:subscriptions_deadletter_replay")
DISCARD = reverse("admin:subscriptions_deadletter_discard")
QUEUE = reverse("admin:subscriptions_deadletter_queue")


def bury(body: str = "{") -> DeadLetter:
    message = make_message(body)
    file([message], Companies())
    return DeadLetter.objects.get(message_id=message.id)


def unheard(company: str) -> DeadLetter:
    return bury(make_body(type="visit.unheard", payload={**PAYLOAD, "companyId": company}))


def page_of(dead: DeadLetter, name: str) -> str:
    return reverse(f"admin:subscriptions_deadletter_{name}", args=[dead.pk])


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.fixture
def member(client: Client) -> Client:
    """A client of acme's staff, who have every permission there is."""
    user = User.objects.create_user("member", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    Membership.objects.create(user=user, company="acme")
    client.force_login(user)
    return client


def test_the_list_counts_the_open_ones_by_reason(admin_client: Client) -> None:
    for dead in (bury("["), bury("x"), unheard("acme")):
        assert dead.status == "open"

    page = text(admin_client.get(LIST))

    assert '?status__exact=open&amp;reason=not_json">not_json</a> 2' in page
    assert '?status__exact=open&amp;reason=unknown_type">unknown_type</a> 1' in page
    filtered = text(admin_client.get(f"{LIST}?status__exact=open&reason=not_json"))
    assert "visit.unheard" not in filtered.split("result_list")[-1]


def test_one_is_edited_and_replayed(admin_client: Client) -> None:
    dead = bury("{ <script>")

    shown = admin_client.get(page_of(dead, "change"))
    form = admin_client.get(page_of(dead, "replay_one"))
    answer = admin_client.post(page_of(dead, "replay_one"), {"body": make_body()})

    assert "{ &lt;script&gt;" in text(shown)
    assert "{ &lt;script&gt;</textarea>" in text(form)
    assert answer.status_code == 302
    dead.refresh_from_db()
    assert (dead.status, dead.decided_by) == ("replayed", "admin")
    assert str(dead.event_id) == str(Event.objects.get().event_id)
    assert "Edit and replay" not in text(admin_client.get(page_of(dead, "change")))


def test_what_cannot_be_replayed_says_why(admin_client: Client) -> None:
    dead = bury("{")

    page = text(admin_client.post(page_of(dead, "replay_one"), {"body": "[1,\r\n2]"}))

    assert "not_json: expected an object" in page
    assert "[1, 2]</textarea>" in page


@pytest.mark.parametrize("body", ["\x00", "\ud800", "é\xff"])
def test_any_body_can_be_shown(admin_client: Client, body: str) -> None:
    dead = bury(body)

    for name in ("change", "replay_one"):
        assert admin_client.get(page_of(dead, name)).status_code == 200


def test_a_filter_is_counted_first_and_replayed_at_its_rate(admin_client: Client) -> None:
    for dead in (unheard("acme"), unheard("globex"), bury()):
        assert dead.replay_at is None
    form = {"reason": "unknown_type", "company": "acme", "rate": "5"}

    counted = text(admin_client.post(REPLAY, form))
    none_yet = DeadLetter.objects.exclude(replay_at=None).count()
    done = admin_client.post(REPLAY, {**form, "do": "replay"}, follow=True)

    assert "1 dead letter would be tried again" in counted
    assert none_yet == 0
    assert "1 dead letter will be replayed, 5 a second." in text(done)
    assert DeadLetter.objects.exclude(replay_at=None).get().company == "acme"


def test_the_chosen_ones_are_discarded_with_a_reason(admin_client: Client) -> None:
    dead, other = bury("["), bury("x")
    chosen = {"action": "discard_chosen", "_selected_action": [dead.pk]}
    asked = admin_client.post(LIST, chosen)
    assert isinstance(asked, HttpResponse)
    page = asked.headers["Location"]

    refused = text(admin_client.post(page, {"why": ""}))
    admin_client.post(page, {"why": "a test of theirs"})

    assert page == f"{DISCARD}?ids={dead.pk}"
    assert "This field is required" in refused
    dead.refresh_from_db()
    other.refresh_from_db()
    assert (dead.status, dead.decision) == ("discarded", "a test of theirs")
    assert other.status == "open"


def test_staff_of_a_company_reach_its_dead_letters_only(member: Client) -> None:
    own, foreign, nobodys = unheard("acme"), unheard("globex"), bury("not-for-acme")

    listed = text(member.get(LIST))
    counted = text(member.post(REPLAY, {"rate": "5", "company": "globex"}))
    for dead in (foreign, nobodys):
        assert member.get(page_of(dead, "replay_one")).status_code == 404
        assert member.post(page_of(dead, "replay_one"), {"body": "{}"}).status_code == 404
    member.post(f"{DISCARD}?ids={own.pk},{foreign.pk},{nobodys.pk}", {"why": "x"})

    assert "not_json" not in listed.split("By reason")[0]
    assert "globex" not in listed
    assert "1 dead letter would be tried again" in counted
    assert member.get(QUEUE).status_code == 403
    assert {dead.pk for dead in DeadLetter.objects.filter(status=DeadLetter.Status.DISCARDED)} == {
        own.pk
    }


def test_an_edit_cannot_make_an_event_of_another_company(member: Client) -> None:
    own = unheard("acme")
    foreign = make_body(payload={**PAYLOAD, "companyId": "globex"})

    page = text(member.post(page_of(own, "replay_one"), {"body": foreign}))

    assert "an event of another company" in page
    assert not Event.objects.exists()


def test_who_may_only_look_pulls_no_lever(client: Client) -> None:
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_deadletter"))
    client.force_login(user)
    dead = bury()

    pages = (REPLAY, DISCARD, QUEUE, page_of(dead, "replay_one"))

    assert client.get(page_of(dead, "change")).status_code == 200
    assert {client.get(page).status_code for page in pages} == {403}


@pytest.fixture
def queue(settings: Settings) -> Any:
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    found = sqs.client()
    for name in ("events", "events-dlq"):
        found.create_queue(QueueName=sqs.full_name(name))
    return found


def test_sqs_s_queue_is_shown_and_moved_back(admin_client: Client, queue: Any) -> None:
    url = sqs.find(queue, "events-dlq")
    queue.send_message(QueueUrl=url, MessageBody="lost <b>")

    shown = text(admin_client.get(QUEUE))
    moved = admin_client.post(QUEUE, {"do": "redrive"}, follow=True)

    assert "1 message." in shown
    assert "lost &lt;b&gt;" in shown
    assert "1 message moved back to the queue." in text(moved)
    assert "0 messages." in text(moved)


def test_a_queue_that_is_not_there_is_said(admin_client: Client, settings: Settings) -> None:
    settings.SQS_QUEUE_PREFIX = "nothing-here-"

    assert "does not exist" in text(admin_client.get(QUEUE))
    assert admin_client.get(f"{QUEUE}?queue=orders").status_code == 404
