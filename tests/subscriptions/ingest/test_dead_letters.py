"""Dead letters replayed, edited, discarded; in their order and at a rate."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from subscriptions import contracts
from subscriptions.dead_letters import choosing, replaying
from subscriptions.dead_letters.choosing import Choice
from subscriptions.errors import CannotReplay
from subscriptions.ingest.companies import Companies
from subscriptions.ingest.filing import file
from subscriptions.models import DeadLetter, Event
from tests.subscriptions.ingest.conftest import Reminder
from tests.subscriptions.ingest.messages import PAYLOAD, make_body, make_message

pytestmark = pytest.mark.django_db

NOBODY = Companies()


def bury(body: str = "{") -> DeadLetter:
    message = make_message(body)
    file([message], NOBODY)
    return DeadLetter.objects.get(message_id=message.id)


def test_an_edited_one_becomes_an_event_and_keeps_what_was_sent() -> None:
    dead = bury()

    event_id = replaying.replay(dead.pk, by="mia", body=make_body().encode())

    dead.refresh_from_db()
    assert (dead.status, dead.decided_by, dead.event_id) == ("replayed", "mia", event_id)
    assert bytes(dead.body) == b"{"
    assert bytes(dead.replayed_body or b"") == make_body().encode()
    event = Event.objects.get()
    assert (event.event_id, event.source_id) == (event_id, dead.message_id)


def test_one_whose_type_is_there_by_now_is_replayed_as_it_was() -> None:
    dead = bury(make_body(type="visit.late"))
    with pytest.raises(CannotReplay, match="unknown_type"):
        replaying.replay(dead.pk, by="mia")

    contracts.event("visit.late")(Reminder)
    replaying.replay(dead.pk, by="mia")

    assert Event.objects.get().type == "visit.late"


def test_what_still_cannot_be_an_event_stays_open() -> None:
    dead = bury()

    with pytest.raises(CannotReplay, match="broken_contract"):
        replaying.replay(dead.pk, by="mia", body=make_body(payload={"companyId": "a"}).encode())
    nul = make_body(payload={**PAYLOAD, "x": "\x00"})
    with pytest.raises(CannotReplay, match="unsupported Unicode escape"):
        replaying.replay(dead.pk, by="mia", body=nul.encode())

    dead.refresh_from_db()
    assert dead.status == "open"
    assert not Event.objects.exists()


def test_one_that_was_decided_is_not_replayed_again() -> None:
    dead = bury()
    replaying.replay(dead.pk, by="mia", body=make_body().encode())

    with pytest.raises(CannotReplay, match="replayed by mia before"):
        replaying.replay(dead.pk, by="joe", body=make_body().encode())

    assert Event.objects.count() == 1


def test_staff_of_a_company_replay_events_of_that_company_only() -> None:
    dead = bury(make_body(type="visit.unheard"))
    foreign = make_body(payload={**PAYLOAD, "companyId": "globex"}).encode()

    with pytest.raises(CannotReplay, match="another company"):
        replaying.replay(dead.pk, by="mia", body=foreign, company="acme")

    assert not Event.objects.exists()


def test_an_event_that_is_there_already_is_not_made_twice() -> None:
    dead = bury(make_body(id="r-1", type="visit.unheard"))
    file([make_message(make_body(id="r-1"))], NOBODY)

    event_id = replaying.replay(dead.pk, by="mia", body=make_body(id="r-1").encode())

    assert Event.objects.get().event_id == event_id
    dead.refresh_from_db()
    assert dead.decision == "it was an event already"


def test_a_filter_is_replayed_at_its_rate() -> None:
    late = [bury(make_body(type="visit.late")) for _ in range(3)]
    broken, other = bury(make_body(type="visit.late", timestamp="x")), bury("[]")
    contracts.event("visit.late")(Reminder)

    choice = Choice(type="visit.late", company="acme")
    assert choice.count() == 4
    assert replaying.schedule(choice, rate=0.001, by="mia") == 4
    assert replaying.schedule(choice, rate=0.001, by="mia") == 0
    assert replaying.replay_due() == 1  # the others' times have not come
    assert DeadLetter.objects.exclude(replay_at=None).count() == 3

    DeadLetter.objects.exclude(replay_at=None).update(replay_at=Now() - timedelta(seconds=1))
    assert replaying.replay_due() == 2
    assert {one.status for one in DeadLetter.objects.filter(pk__in=[one.pk for one in late])} == {
        "replayed"
    }
    broken.refresh_from_db()
    assert (broken.status, broken.replay_at) == ("open", None)
    assert "timestamp" in broken.problem
    other.refresh_from_db()
    assert other.status == "open"


@pytest.mark.parametrize("rate", [0, -1, 501, float("nan")])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(CannotReplay, match="at most 500 a second"):
        replaying.schedule(Choice(), rate=rate, by="mia")


def test_discarding_needs_a_reason_and_closes_open_ones() -> None:
    dead, other = bury(), bury(make_body(type="visit.unheard"))

    with pytest.raises(CannotReplay, match="needs a reason"):
        replaying.discard([dead.pk], by="mia", why=" ")
    assert replaying.discard(Choice(reason="not_json"), by="mia", why="a test") == 1
    assert replaying.discard([dead.pk], by="joe", why="again") == 0

    dead.refresh_from_db()
    other.refresh_from_db()
    assert (dead.status, dead.decided_by, dead.decision) == ("discarded", "mia", "a test")
    assert other.status == "open"


def test_open_ones_are_counted_by_reason() -> None:
    for body in ("[]", "{", make_body(type="visit.unheard")):
        bury(body)
    replaying.discard([bury("no").pk], by="mia", why="x")

    assert choosing.counts() == [("not_json", 2), ("unknown_type", 1)]
    assert choosing.counts("acme") == [("unknown_type", 1)]
