"""Versions of an event's contract: side by side, brought forward, written down and compared."""

import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import pytest
from django.core.management import CommandError, call_command
from pydantic import BaseModel, ConfigDict, Field, create_model

from subscriptions import contracts
from subscriptions.compatibility import breaking_changes
from subscriptions.contracts import check, event, upcaster
from subscriptions.errors import BrokenContract, UnknownEventType, UnknownEventVersion, UpcastFailed
from subscriptions.event_schemas import documents
from subscriptions.models import Event
from subscriptions.outbox import publish
from tests.subscriptions.test_matching import make_envelope

NAMED = '{"name": "Ada Lovelace"}'


@pytest.fixture(autouse=True)
def declarations_are_undone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_types", "_by_model", "_upcasts"):
            patch.setattr(contracts, name, dict(getattr(contracts, name)))
        yield


def declare_two(change: Any = None) -> None:
    class First(BaseModel):
        name: str

    class Second(BaseModel):
        model_config = ConfigDict(extra="forbid")
        given_name: str = Field(alias="givenName")
        family_name: str = Field("", alias="familyName")

    event("person.named")(First)
    event("person.named", version=2)(Second)
    if change is not None:
        upcaster("person.named", from_version=1)(change)


def split(payload: dict[str, Any]) -> dict[str, Any]:
    given, _, family = payload["name"].partition(" ")
    return {"givenName": given, "familyName": family}


def test_without_an_upcaster_versions_live_side_by_side() -> None:
    declare_two()

    first = check("person.named", 1, NAMED)
    second = check("person.named", 2, '{"givenName": "Ada"}')

    assert first == (1, NAMED)
    assert second == (2, '{"givenName": "Ada"}')


def test_an_upcaster_brings_an_old_version_forward() -> None:
    declare_two(split)

    version, payload = check("person.named", 1, NAMED)

    assert version == 2
    assert json.loads(payload) == {"givenName": "Ada", "familyName": "Lovelace"}


def test_upcasters_follow_one_another() -> None:
    declare_two(split)
    third = create_model("Third", initials=(str, ...))
    event("person.named", version=3)(third)
    upcaster("person.named", from_version=2)(
        lambda payload: {"initials": payload["givenName"][0] + payload["familyName"][0]}
    )

    assert check("person.named", 1, NAMED) == (3, '{"initials":"AL"}')


def test_without_a_version_a_payload_is_of_the_newest_that_it_fits() -> None:
    declare_two()

    assert check("person.named", None, NAMED)[0] == 1
    assert check("person.named", None, '{"givenName": "Ada"}')[0] == 2


def test_a_payload_is_checked_against_its_own_version_first() -> None:
    declare_two(split)

    with pytest.raises(BrokenContract, match="name: Field required"):
        check("person.named", 1, '{"givenName": "Ada"}')
    with pytest.raises(UnknownEventVersion, match="no version 7; declared: 1, 2"):
        check("person.named", 7, "{}")
    with pytest.raises(UnknownEventType, match=r"person\.unnamed"):
        check("person.unnamed", 1, "{}")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda payload: payload["no such"], "KeyError: 'no such'"),
        (lambda _: {"givenName": 3}, "givenName: Input should be a valid string"),
    ],
)
def test_an_upcaster_that_fails_is_named_with_its_reason(change: Any, reason: str) -> None:
    declare_two(change)

    with pytest.raises(UpcastFailed, match=f"upcaster to version 2 failed: {reason}"):
        check("person.named", 1, NAMED)


def test_an_upcaster_leads_forward_and_is_the_only_one() -> None:
    declare_two(split)

    with pytest.raises(ValueError, match="from 2 back to 1"):
        upcaster("person.named", from_version=2, to_version=1)
    with pytest.raises(ValueError, match="version 1 has the upcaster split"):
        upcaster("person.named", from_version=1)(lambda payload: payload)


def test_an_event_recorded_before_the_upcaster_is_read_as_the_newer_version() -> None:
    declare_two(split)

    read = make_envelope(type="person.named", version=1, payload_text='{"name": "Ada Lovelace"}')

    assert read.version == 2
    assert read.payload == {"givenName": "Ada", "familyName": "Lovelace"}
    assert json.loads(read.body())["payload"] == read.payload


def test_a_recorded_event_that_cannot_be_brought_forward_is_told_as_it_is() -> None:
    declare_two(split)

    read = make_envelope(type="person.named", version=1, payload_text='{"name": 3}')

    assert (read.version, read.payload) == (1, {"name": 3})


@pytest.mark.django_db
def test_code_publishes_a_payload_by_its_members_public_names() -> None:
    declare_two()

    publish("person.named", {"givenName": "Ada"}, company="acme")

    assert Event.objects.get().payload == {"givenName": "Ada", "familyName": ""}


def schema_of(**fields: Any) -> dict[str, Any]:
    model: type[BaseModel] = create_model("Model", **fields)
    return model.model_json_schema()


class Line(BaseModel):
    sku: str
    rest: "list[Line]" = []


class NarrowLine(Line):
    sku: str = Field(max_length=5)


OPTIONAL: dict[str, Any] = {"amount": (int | None, None)}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ({}, {"name": (str, ...)}, "name is required, and was not"),
        ({"name": (str, "")}, {"name": (str, ...)}, "name is required, and was not"),
        ({"name": (str, "")}, {}, "name is gone"),
        ({"n": (str, ...)}, {"n": (int, ...)}, "n takes integer only, and took string"),
        ({"n": (float, ...)}, {"n": (int, ...)}, "n takes integer only, and took number"),
        ({"n": (Any, ...)}, {"n": (int, ...)}, "n takes integer only, and took anything"),
        (OPTIONAL, {"amount": (int, 0)}, "amount no longer takes null"),
        (
            {"s": (Literal["a", "b"], ...)},
            {"s": (Literal["a", "c"], ...)},
            "s no longer takes 'b'",
        ),
        ({"s": (str, ...)}, {"s": (Literal["a", "b"], ...)}, "takes only 'a', 'b', and took any"),
        (
            {"n": (int, ...)},
            {"n": (int, Field(ge=1))},
            "n has minimum 1, and had none",
        ),
        (
            {"n": (str, Field(max_length=9))},
            {"n": (str, Field(max_length=5))},
            "n has maxLength 5, and had 9",
        ),
        ({"n": (str, ...)}, {"n": (str, Field(pattern="^a"))}, "another pattern: '\\^a'"),
        (
            {"lines": (list[Line], ...)},
            {"lines": (list[NarrowLine], ...)},
            r"lines\[\].sku has maxLength 5, and had none",
        ),
        ({"of": (dict[str, int], ...)}, {"of": (dict[str, bool], ...)}, r"of.\* takes boolean"),
    ],
)
def test_a_change_that_breaks_says_what_it_breaks(
    before: dict[str, Any], after: dict[str, Any], change: str
) -> None:
    found = breaking_changes(schema_of(**before), schema_of(**after))

    assert len(found) == 1
    assert re.search(change, found[0]), found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"name": (str, "")}),
        ({"name": (str, ...)}, {"name": (str, "")}),
        ({"n": (int, ...)}, {"n": (float, ...)}),
        ({"n": (int, ...)}, {"n": (Any, ...)}),
        ({"amount": (int, 0)}, OPTIONAL),
        ({"n": (int | str, ...)}, {"n": (int | str | None, ...)}),
        ({"s": (Literal["a"], ...)}, {"s": (Literal["a", "b"], ...)}),
        ({"n": (int, Field(ge=1))}, {"n": (int, Field(ge=0))}),
        ({"n": (int, Field(ge=1))}, {"n": (int, ...)}),
        ({"lines": (list[NarrowLine], ...)}, {"lines": (list[Line], ...)}),
        ({"lines": (list[Line], ...)}, {"lines": (list[Line], ...)}),
    ],
)
def test_a_change_that_takes_more_than_before_breaks_nothing(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert breaking_changes(schema_of(**before), schema_of(**after)) == []


def test_a_model_that_takes_no_other_members_any_more_breaks() -> None:
    open_schema = schema_of(name=(str, ""))

    found = breaking_changes(open_schema, {**open_schema, "additionalProperties": False})

    assert found == ["* takes less than before"]


def write(directory: Path, *options: str) -> str:
    output = StringIO()
    call_command("event_schemas", *options, directory=directory, stdout=output)
    return output.getvalue()


def test_the_command_writes_each_version_and_one_document_of_all(tmp_path: Path) -> None:
    declare_two()

    write(tmp_path)

    first = json.loads((tmp_path / "person.named" / "1.json").read_text())
    assert first["$id"] == "urn:event:person.named:1"
    assert first["required"] == ["name"]
    document = json.loads((tmp_path / "asyncapi.json").read_text())
    message = document["components"]["messages"]["person.named.v2"]["payload"]["schema"]
    assert message["required"] == ["payload", "type", "version"]
    assert "givenName" in message["properties"]["payload"]["properties"]
    assert "0 files changed" in write(tmp_path, "--check")


def test_every_reference_of_the_document_leads_somewhere() -> None:
    class Order(BaseModel):
        lines: list[Line]

    event("order.placed")(Order)
    document = documents()["asyncapi.json"]

    references = _references(document)

    assert any("Line" in reference for reference in references)
    for reference in references:
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if "$ref" in value else []
    return own + [found for item in value.values() for found in _references(item)]


def test_a_breaking_change_is_neither_written_nor_passed(tmp_path: Path) -> None:
    declare_two()
    write(tmp_path)
    before = (tmp_path / "person.named" / "1.json").read_text()
    changed = create_model("First", title=(str, ...))
    contracts._types["person.named"][1] = contracts.EventType("person.named", 1, changed)

    for options in ([], ["--check"]):
        with pytest.raises(CommandError, match=r"person.named version 1: name is gone"):
            write(tmp_path, *options)

    assert (tmp_path / "person.named" / "1.json").read_text() == before


def test_a_version_that_is_no_longer_declared_is_told(tmp_path: Path) -> None:
    declare_two()
    write(tmp_path)
    del contracts._types["person.named"][1]

    with pytest.raises(CommandError, match=r"person.named version 1: is no longer declared"):
        write(tmp_path, "--check")


def test_a_new_version_must_be_written_before_the_check_passes(tmp_path: Path) -> None:
    write(tmp_path)
    declare_two()

    with pytest.raises(CommandError, match=r"out of date: person.named/1.json, person.named/2"):
        write(tmp_path, "--check")

    assert "0 files changed" not in write(tmp_path)
    write(tmp_path, "--check")
