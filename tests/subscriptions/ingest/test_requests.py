"""Events sent over HTTP: recorded all or not at all, and once."""

import json
from typing import Any

import pytest
from django.test import Client

from jobs import keys
from subscriptions.models import Event

pytestmark = pytest.mark.django_db

VISIT = {"type": "visit.reminder", "payload": {"appointmentId": "a-1", "total": 12.5}}


def send(
    body: Any, *, company: str = "acme", key: str | None = None, scope: str = "events:write"
) -> Any:
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    headers = {
        "Authorization": f"Bearer {keys.create(company=company, name='x', scopes=[scope]).text}"
    }
    if key is not None:
        headers["Idempotency-Key"] = key
    return Client(enforce_csrf_checks=True).post(
        "/api/v1/events", text, content_type="application/json", headers=headers
    )


def issues(answer: Any) -> dict[tuple[Any, ...], str]:
    assert answer.status_code == 422, answer.content
    assert not Event.objects.exists()
    return {tuple(issue["loc"]): issue["type"] for issue in answer.json()["issues"]}


def test_an_event_is_recorded_for_the_keys_company() -> None:
    answer = send({**VISIT, "timestamp": "2024-04-14T14:00:00Z", "key": "a-1"})

    assert answer.status_code == 201, answer.content
    [told] = answer.json()
    stored = Event.objects.get()
    assert told == {"id": str(stored.event_id), "source_id": stored.source_id, "is_new": True}
    assert (stored.company, stored.source, stored.type, stored.key) == (
        "acme",
        "api",
        "visit.reminder",
        "a-1",
    )
    assert stored.payload == VISIT["payload"]


def test_a_list_is_recorded_in_its_order_and_every_envelope_is_taken() -> None:
    cloud = {"specversion": "1.0", "id": "c", "source": "/shop", "type": "visit.reminder"}
    bridge = {"detail-type": "visit.reminder", "source": "shop", "id": "e"}

    answer = send(
        [
            VISIT,
            {**cloud, "data": {"appointmentId": "a-2"}},
            {**bridge, "detail": {"appointmentId": "a-3"}},
        ]
    )

    assert answer.status_code == 201
    stored = Event.objects.order_by("seq")
    assert [event.payload["appointmentId"] for event in stored] == ["a-1", "a-2", "a-3"]
    assert [event.source for event in stored] == ["api", "api:/shop", "api:shop"]
    assert [one["id"] for one in answer.json()] == [str(event.event_id) for event in stored]


def test_the_same_id_is_taken_once_by_each_company() -> None:
    first = send({**VISIT, "id": "1"}).json()

    again = send([{**VISIT, "id": "1"}, {**VISIT, "id": "2"}, {**VISIT, "id": "2"}]).json()
    other = send({**VISIT, "id": "1"}, company="globex").json()

    assert again[0] == {**first[0], "is_new": False}
    assert [one["is_new"] for one in again] == [False, True, False]
    assert other[0]["is_new"]
    assert Event.objects.count() == 3


def test_a_request_with_a_key_is_answered_again_and_recorded_once() -> None:
    first = send([VISIT, VISIT], key="k")

    again = send([VISIT, VISIT], key="k")

    assert [one["id"] for one in again.json()] == [one["id"] for one in first.json()]
    assert [one["is_new"] for one in again.json()] == [False, False]
    assert Event.objects.count() == 2


def test_a_key_with_another_body_is_a_conflict_and_records_nothing() -> None:
    send(VISIT, key="k")

    answer = send([VISIT, VISIT], key="k")

    assert answer.status_code == 409
    assert "came with another body" in answer.json()["detail"]
    assert Event.objects.count() == 1


def test_without_id_or_key_each_request_is_an_event() -> None:
    send(VISIT)
    send(VISIT)

    assert Event.objects.count() == 2


def test_one_event_that_cannot_be_refuses_all_and_each_is_named() -> None:
    answer = send([VISIT, {"type": "no.such", "payload": {}}, {**VISIT, "payload": {}}])

    assert issues(answer) == {("body", 1): "unknown_type", ("body", 2): "broken_contract"}
    assert "nothing was recorded: event 1" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not_json"),
        ("nonsense", "not_json"),
        ("[1]", "not_json"),
        ('[{"type": "visit.reminder"},]', "not_json"),
        ('[{"type": 1} {"type": 2}]', "not_json"),
        ("[]", "too_large"),
        ("[" * 10_000, "too_deep"),
        ('{"type": "visit.reminder", "payload": {"a": NaN}}', "not_json"),
        ('{"type": "visit.reminder", "type": "b"}', "duplicate_name"),
        (json.dumps([VISIT] * 1001), "too_large"),
        (json.dumps({**VISIT, "companyId": "globex"}), "other_company"),
        (
            json.dumps({**VISIT, "payload": {"appointmentId": "a", "x": "\\u0000"}}).replace(
                "\\\\u0000", "\\u0000"
            ),
            "refused_by_database",
        ),
    ],
)
def test_a_body_that_cannot_be_is_refused_with_its_reason(body: str, reason: str) -> None:
    assert set(issues(send(body)).values()) == {reason}


def test_the_event_that_the_database_refuses_is_named() -> None:
    bad = json.dumps({**VISIT, "payload": {"appointmentId": "NUL"}}).replace("NUL", "\\u0000")

    answer = send(f"[{json.dumps(VISIT)}, {bad}]")

    assert issues(answer) == {("body", 1): "refused_by_database"}


def test_bytes_that_are_no_text_are_refused() -> None:
    assert send(b"\xff").status_code == 400


def test_it_needs_its_own_scope() -> None:
    assert send(VISIT, scope="runs:write").status_code == 403
