"""The compiled matcher beside one that asks every subscription."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from subscriptions.envelope import Envelope
from subscriptions.filters import contains
from subscriptions.matching import Matcher, Target

MOMENT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


def make_envelope(**fields: Any) -> Envelope:
    """An INSERT into `orders` of acme, unless fields say otherwise."""
    given_fields: dict[str, Any] = {
        "seq": 1,
        "id": UUID("018d0b3c-0000-7000-8000-000000000001"),
        "recorded_at": MOMENT,
        "timestamp": MOMENT,
        "source": "table",
        "company": "acme",
        "type": None,
        "version": None,
        "payload_text": None,
        "table": "orders",
        "operation": "INSERT",
        "record_id_text": '"1"',
        "new_text": '{"id": 1}',
        "old_text": None,
        "key": None,
        "correlation_id": None,
        "depth": 0,
    }
    return Envelope(**{**given_fields, **fields})


def make_target(pk: int = 1, **fields: Any) -> Target:
    given_fields: dict[str, Any] = {
        "company": "acme",
        "table": "orders",
        "event_type": None,
        "operations": frozenset({"INSERT", "UPDATE", "DELETE"}),
        "filter": {},
        "handler_type": "WEBHOOK",
    }
    return Target(id=pk, **{**given_fields, **fields})


def naive(target: Target, event: Envelope) -> bool:
    if event.operation == "TRUNCATE":
        return target.table == event.table and "TRUNCATE" in target.operations
    if target.company is not None and target.company != event.company:
        return False
    if event.type is not None:
        if target.event_type is None or not fnmatchcase(event.type, target.event_type):
            return False
    elif target.table != event.table or event.operation not in target.operations:
        return False
    return not target.filter or contains(event.document, target.filter)


companies = st.sampled_from([None, "acme", "other"])
values = st.sampled_from([1, True, "1", None, 2])
filters = st.dictionaries(
    st.sampled_from(["a", "b"]),
    values | st.dictionaries(st.just("c"), values, max_size=1),
    max_size=2,
)
targets = st.builds(
    lambda company, table, event_type, operations, wanted: make_target(
        company=company,
        table=None if event_type else table,
        event_type=event_type,
        operations=operations,
        filter=wanted,
    ),
    companies,
    st.sampled_from(["orders", "items"]),
    st.sampled_from([None, "booking.created", "booking.*", "*", "sale.made"]),
    st.frozensets(st.sampled_from(["INSERT", "UPDATE", "DELETE", "TRUNCATE"]), min_size=1),
    filters,
)


def text_of(value: Any) -> str:
    import json

    return json.dumps(value)


events = st.builds(
    lambda company, kind, operation, row: make_envelope(
        company=company,
        **(
            {"type": kind, "table": None, "operation": None, "payload_text": text_of(row)}
            if kind
            else {
                "operation": operation,
                "new_text": None if operation in ("DELETE", "TRUNCATE") else text_of(row),
                "old_text": text_of(row) if operation == "DELETE" else None,
            }
        ),
    ),
    companies,
    st.sampled_from([None, "booking.created", "booking.moved", "sale.made"]),
    st.sampled_from(["INSERT", "UPDATE", "DELETE", "TRUNCATE"]),
    filters,
)


@given(st.lists(targets, max_size=12), events)
def test_compiled_and_naive_agree(found: list[Target], event: Envelope) -> None:
    numbered = [make_target(pk, **fields(target)) for pk, target in enumerate(found, start=1)]

    matched = Matcher(numbered).match(event)

    assert sorted(target.id for target in matched) == [
        target.id for target in numbered if naive(target, event)
    ]


def fields(target: Target) -> dict[str, Any]:
    return {
        "company": target.company,
        "table": target.table,
        "event_type": target.event_type,
        "operations": target.operations,
        "filter": target.filter,
    }


def test_a_company_never_sees_another_companys_event() -> None:
    matcher = Matcher([make_target(1, company="acme"), make_target(2, company=None)])

    assert [target.id for target in matcher.match(make_envelope(company="other"))] == [2]


def test_a_delete_is_filtered_by_the_old_row() -> None:
    matcher = Matcher([make_target(filter={"status": "open"})])
    event = make_envelope(operation="DELETE", new_text=None, old_text='{"status": "open"}')

    assert len(matcher.match(event)) == 1


def test_the_body_keeps_every_digit() -> None:
    event = make_envelope(new_text='{"id":1,"sum":0.10000000000000000001}')

    assert event.body() == (
        '{"table": "orders", "operation": "INSERT", "recordId": "1", '
        '"new": {"id":1,"sum":0.10000000000000000001}, "old": null, '
        '"timestamp": "2024-01-15T10:30:00Z"}'
    )


def test_the_body_of_a_typed_event_has_its_type_and_id() -> None:
    event = make_envelope(type="a.b", payload_text='{"x": 1}', table=None, operation=None)

    assert event.body() == (
        '{"type": "a.b", "id": "018d0b3c-0000-7000-8000-000000000001", '
        '"payload": {"x": 1}, "timestamp": "2024-01-15T10:30:00Z"}'
    )


def test_dotted_paths_lead_into_the_event() -> None:
    event = make_envelope(new_text='{"supplier": {"id": 7}, "items": [{"n": 1}]}')

    assert event.lookup("new.supplier.id") == 7
    assert event.lookup("new.items.0.n") == 1
    assert event.lookup("company") == "acme"
    assert event.lookup("old.supplier") is None
    assert event.lookup("body.x") is None
