"""Batches of messages: each becomes one event or one dead letter, whatever the others are."""

import json
from typing import Any

import pytest

from subscriptions.ingest.companies import Companies
from subscriptions.ingest.filing import Filed, file
from subscriptions.ingest.message import Message
from subscriptions.models import DeadLetter, Event, Inbox
from tests.subscriptions.ingest.messages import PAYLOAD, make_body, make_message

pytestmark = pytest.mark.django_db

NOBODY = Companies()


def deep(levels: int) -> str:
    return make_body(payload=0).replace('"payload": 0', f'"payload": {"[" * levels}{"]" * levels}')


def with_payload(text: str) -> str:
    """Return a body whose payload is good but for a member of this text."""
    return make_body(payload={**PAYLOAD, "x": 0}).replace('"x": 0', f'"x": {text}')


def wide(names: int) -> str:
    return make_body(payload={**PAYLOAD, **{f"field{n}": n for n in range(names)}})


BROKEN = {
    "empty": ("", "not_json"),
    "binary": ("\x00\x01\x02ÿþ", "not_json"),
    "another encoding": (make_body().encode("utf-16-le").decode("latin-1"), "not_json"),
    "a byte order mark": ("\ufeff" + make_body(), "not_json"),
    "half of a surrogate pair": (
        make_body(type="\ud800x").replace("\\ud800", "\ud800"),
        "not_utf8",
    ),
    "an escaped half, in the payload": (with_payload('"\\ud800"'), "not_utf8"),
    "NUL, in the payload": (with_payload('"a\\u0000b"'), "refused_by_database"),
    "NUL, in the type": (make_body(type="a\x00b"), "bad_envelope"),
    "NaN": (with_payload("NaN"), "not_json"),
    "Infinity": (with_payload("-Infinity"), "not_json"),
    "a huge exponent": (with_payload("1e999999999"), "bad_number"),
    "a tiny exponent": (with_payload("1e-99999"), "bad_number"),
    "many tiny exponents": (with_payload(f"[{'1e-16000,' * 50_000}0]"), "bad_number"),
    "zero with a huge exponent": (with_payload("0e99999999"), "bad_number"),
    "a huge whole number": (with_payload("9" * 5000), "bad_number"),
    "a name twice": ('{"type": "a", "type": "b"}', "duplicate_name"),
    "a name twice, further in": (with_payload('{"a": 1, "a": 2}'), "duplicate_name"),
    "10,000 levels": (deep(10_000), "too_deep"),
    "10,000 levels of objects": (with_payload('{"a":' * 10_000 + "1" + "}" * 10_000), "too_deep"),
    "10,000 levels and no end": ("[" * 10_000, "too_deep"),
    "too many names": (wide(10_001), "too_large"),
    "more than a MiB": (with_payload(f'"{"x" * 1024 * 1024}"'), "too_large"),
    "a list": ("[1, 2]", "not_json"),
    "a text": ('"hello"', "not_json"),
    "two objects": (make_body() * 2, "not_json"),
    "no end": (make_body()[:-1], "not_json"),
    "a comma too many": (make_body()[:-1] + ",}", "not_json"),
    "single quotes": (make_body().replace('"', "'"), "not_json"),
    "no type": ('{"payload": {}}', "bad_envelope"),
    "a type that is no text": (make_body(type=7), "bad_envelope"),
    "a type that nobody declares": (make_body(type="visit.unheard"), "unknown_type"),
    "a version that nobody declares": (make_body(version=9), "unknown_type"),
    "a version of 0": (make_body(version=0), "bad_envelope"),
    "a version that is true": (make_body(version=True), "bad_envelope"),
    "no payload": ('{"type": "visit.reminder"}', "bad_envelope"),
    "a payload that is a text": (make_body(payload="x"), "bad_envelope"),
    "a payload that breaks its contract": (
        make_body(payload={"companyId": "acme"}),
        "broken_contract",
    ),
    "a contract that raises": (make_body(type="visit.strange"), "failed"),
    "no company": (make_body(payload={"appointmentId": "a1"}), "no_company"),
    "an empty company": (make_body(companyId=""), "bad_envelope"),
    "a company that is a number": (make_body(companyId=7), "bad_envelope"),
    "two companies": (make_body(companyId="globex"), "other_company"),
    "a time that is none": (make_body(timestamp="yesterday"), "bad_envelope"),
    "a time before years began": (
        make_body(timestamp="0001-01-01T00:00:00+14:00"),
        "bad_envelope",
    ),
    "a time that is a number": (make_body(timestamp=1713103200), "bad_envelope"),
    "an id that is a list": (make_body(id=[1]), "bad_envelope"),
    "an id that is too long": (make_body(id="x" * 257), "bad_envelope"),
    "CloudEvents 0.3": (make_body(specversion="0.3"), "bad_envelope"),
}


def only() -> DeadLetter:
    return DeadLetter.objects.get()


@pytest.mark.parametrize(("body", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_bad_body_is_one_dead_letter_and_the_others_are_events(body: str, reason: str) -> None:
    bad = make_message(body)

    filed = file([make_message(), bad, make_message()], NOBODY)

    assert (filed.events, len(filed.dead)) == (2, 1)
    found = only()
    assert found.reason == reason, found.problem
    assert found.problem
    assert bytes(found.body) == body.encode("utf-8", "surrogatepass")
    assert found.message_id == bad.id
    assert found.attributes["message"]["trace"] == {"type": "String", "value": "t-1"}
    assert Event.objects.count() == 2
    assert Inbox.objects.count() == 2


LARGE = {
    "250 KB": with_payload(f'"{"x" * 250_000}"'),
    "a MiB": with_payload(f'"{"x" * (1024 * 1024 - 300)}"'),
    "10,000 fields": wide(9_900),
    "90 levels": with_payload("[" * 90 + "]" * 90),
    "many brackets, in texts": with_payload('"' + "[{" * 5000 + '"'),
    "blanks all about": json.dumps(json.loads(make_body()), indent=4) + "\n\t ",
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE.keys())
def test_a_large_body_is_an_event(body: str) -> None:
    assert file([make_message(body)], NOBODY) == Filed(events=1)


def test_the_payload_is_stored_with_every_digit() -> None:
    body = with_payload("[1.10000000000000000000001, 12345678901234567890123, 1e3]")

    file([make_message(body)], NOBODY)

    found = Event.objects.extra(select={"text": "payload::text"}).get()
    assert '"x": [1.10000000000000000000001, 12345678901234567890123, 1e3]' in found.text


def test_an_event_is_what_the_short_contract_says() -> None:
    message = make_message(
        make_body(id="r-1", version=1, key="a1", correlationId="c-1", attempts=7)
    )

    file([message], NOBODY)

    found, entry = Event.objects.get(), Inbox.objects.get()
    assert (found.type, found.version, found.company) == ("visit.reminder", 1, "acme")
    assert (found.source, found.source_id) == ("sqs", "r-1")
    assert (found.key, found.correlation_id, found.depth) == ("a1", "c-1", 0)
    assert found.payload == PAYLOAD
    assert found.timestamp.isoformat() == "2024-04-14T14:00:00+00:00"
    assert (entry.event_id, entry.attempts, entry.message_id) == (found.event_id, 7, message.id)


def test_a_message_without_id_and_time_has_those_of_sqs() -> None:
    message = make_message(make_body(timestamp=None))

    file([message], NOBODY)

    found = Event.objects.get()
    assert (found.source_id, found.timestamp) == (message.id, message.sent_at)


def test_cloud_events_are_taken() -> None:
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "/shop/visits",
        "type": "visit.reminder",
        "time": "2024-04-14T16:00:00+02:00",
        "datacontenttype": "application/json; charset=utf-8",
        "subject": "a1",
        "companyid": "acme",
        "correlationid": "c-1",
        "data": {"appointmentId": "a1"},
    }
    other = {**body, "source": "/other"}

    filed = file([make_message(json.dumps(one)) for one in (body, other, body)], NOBODY)

    assert (filed.events, filed.known) == (2, 1)
    found = Event.objects.order_by("seq")[0]
    assert (found.source, found.source_id) == ("sqs:/shop/visits", "1")
    assert (found.company, found.key, found.correlation_id) == ("acme", "a1", "c-1")
    assert found.timestamp.isoformat() == "2024-04-14T14:00:00+00:00"
    assert found.payload == {"appointmentId": "a1"}


@pytest.mark.parametrize(
    "other", [{"datacontenttype": "text/xml"}, {"data_base64": "e30="}, {"source": None}]
)
def test_cloud_events_of_other_data_are_refused(other: dict[str, Any]) -> None:
    body = {"specversion": "1.0", "id": "1", "source": "/s", "type": "visit.reminder", "data": {}}

    file([make_message(json.dumps({**body, **other}))], NOBODY)

    assert only().reason == "bad_envelope"


def test_the_envelope_of_event_bridge_is_taken() -> None:
    body = {
        "version": "0",
        "id": "e-1",
        "detail-type": "visit.reminder",
        "source": "com.example.visits",
        "account": "123456789012",
        "time": "2024-04-14T14:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": PAYLOAD,
    }

    file([make_message(json.dumps(body))], NOBODY)

    found = Event.objects.get()
    assert (found.type, found.version, found.company) == ("visit.reminder", 1, "acme")
    assert (found.source, found.source_id) == ("sqs:com.example.visits", "e-1")


def test_a_message_that_comes_again_is_one_event() -> None:
    message = make_message()

    first, again = file([message], NOBODY), file([message, message], NOBODY)

    assert (first, again) == (Filed(events=1), Filed(known=2))
    assert Event.objects.count() == 1


def test_a_repeated_id_is_one_event_of_each_company() -> None:
    of_globex = make_body(id=5, payload={**PAYLOAD, "companyId": "globex"})
    bodies = [make_body(id=5), make_body(id="5"), of_globex]

    filed = file([make_message(body) for body in bodies], NOBODY)

    assert filed == Filed(events=2, known=1)


def test_a_broken_message_that_comes_again_is_one_dead_letter() -> None:
    message = make_message("{", message_id="m-1")
    file([message], NOBODY)
    before = only()

    file([make_message("{", message_id="m-1", receive_count=3)], NOBODY)

    found = only()
    assert found.first_seen_at == before.first_seen_at
    assert found.last_seen_at > before.last_seen_at
    assert found.receive_count == 3


def test_a_broken_body_sent_again_under_its_id_is_one_dead_letter() -> None:
    body = make_body(id="r-1", type="visit.unheard")

    file([make_message(body)], NOBODY)
    file([make_message(body)], NOBODY)
    file([make_message(make_body(id="r-1", type="visit.unknown"))], NOBODY)

    assert list(DeadLetter.objects.order_by("id").values_list("type", "receive_count")) == [
        ("visit.unheard", 2),
        ("visit.unknown", 1),
    ]


def test_what_was_taken_in_before_is_no_dead_letter_when_its_type_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = make_message()
    file([message], NOBODY)
    monkeypatch.setattr("subscriptions.contracts._types", {})

    file([message], NOBODY)

    assert not DeadLetter.objects.exists()


MAPPED = Companies({"events-acme": "acme"}, {"AIDAACME": "acme", "AROAGLOBEX": "globex"})


def without_company(**given: Any) -> Message:
    return make_message(make_body(payload={"appointmentId": "a1"}), **given)


@pytest.mark.parametrize(
    "given",
    [
        {"queue": "events-acme"},
        {"sender": "AIDAACME"},
        {"sender": "AROAGLOBEX:session"},
    ],
)
def test_the_company_is_that_of_the_queue_or_the_credential(given: dict[str, str]) -> None:
    file([without_company(**given)], MAPPED)

    assert Event.objects.get().company == ("globex" if "GLOBEX" in str(given) else "acme")


@pytest.mark.parametrize("top", [True, False])
def test_a_body_never_overrules_the_mapped_company(top: bool) -> None:
    place = {"companyId": "globex"} if top else {"payload": {**PAYLOAD, "companyId": "globex"}}

    file([make_message(make_body(**place), queue="events-acme")], MAPPED)

    found = only()
    assert (found.reason, found.company) == ("other_company", "acme")
    assert not Event.objects.exists()


def test_a_credential_of_one_company_on_the_queue_of_another_is_refused() -> None:
    file([without_company(queue="events-acme", sender="AROAGLOBEX:x")], MAPPED)

    assert (only().reason, only().company) == ("other_company", None)


def test_ten_broken_bodies_of_a_batch_are_ten_dead_letters() -> None:
    bodies = [with_payload('"\\u0000"'), with_payload("NaN")] * 5

    filed = file([make_message(body) for body in bodies], NOBODY)

    assert (filed.events, len(filed.dead)) == (0, 10)
    assert DeadLetter.objects.count() == 10
