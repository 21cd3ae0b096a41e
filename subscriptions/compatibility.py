"""Whether a contract may change as it did without a new version.

It may take more than before: an optional field, a wider type, a looser bound. A field that became
required, or that is gone, or that takes less than it did breaks a producer or a consumer.
Compared are JSON Schemas as pydantic writes them; what cannot be compared counts as breaking.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

# A bound breaks if it is new or has moved this way.
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT = ("pattern", "format", "multipleOf", "uniqueItems", "discriminator", "prefixItems", "not")
CHOICES = ("anyOf", "oneOf")
# Instances of the first are instances of the second.
WIDER = {"integer": "number"}


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Say what in `new` refuses what `old` takes, or lacks what it promises; empty if nothing."""
    return list(_Comparison(old, new).of(old, new, ""))


class _Comparison:
    """Two documents: a reference is looked up in its own."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self._compared: set[tuple[str, str]] = set()

    def of(self, old: Any, new: Any, place: str) -> Iterator[str]:
        pair = (_reference(old), _reference(new))
        if all(pair):
            if pair in self._compared:
                return
            self._compared.add(pair)
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        if new is True or new == {} or old is False:
            return
        if not isinstance(old, dict) or not isinstance(new, dict):
            if old != new:
                yield f"{_at(place)} takes less than before"
            return
        if any(choice in schema for choice in CHOICES for schema in (old, new)):
            yield from self._choices(old, new, place)
            return
        yield from _values(old, new, place)
        yield from _bounds(old, new, place)
        yield from self._members(old, new, place)
        yield from self._items(old, new, place)

    def _choices(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        """Each thing that could stand there must still be taken by one of those that can."""
        for taken in _alternatives(old):
            if not any(self._takes(taken, offered, place) for offered in _alternatives(new)):
                yield f"{_at(place)} no longer takes {_name(_resolved(taken, self._old))}"

    def _takes(self, old: Any, new: Any, place: str) -> bool:
        compared = set(self._compared)
        is_taken = not any(self.of(old, new, place))
        if not is_taken:
            self._compared = compared
        return is_taken

    def _members(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        before, now = old.get("properties", {}), new.get("properties", {})
        for name in sorted(before.keys() - now.keys()):
            yield f"{_at(_below(place, name))} is gone"
        required = set(new.get("required", ())) - set(old.get("required", ()))
        for name in sorted(required):
            yield f"{_at(_below(place, name))} is required, and was not"
        for name in sorted(before.keys() & now.keys()):
            yield from self.of(before[name], now[name], _below(place, name))
        yield from self.of(
            old.get("additionalProperties", True),
            new.get("additionalProperties", True),
            _below(place, "*"),
        )

    def _items(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        yield from self.of(old.get("items", True), new.get("items", True), f"{place}[]")


def _values(old: Schema, new: Schema, place: str) -> Iterator[str]:
    types, allowed = _types(old), _types(new)
    if allowed and not all(kind in allowed or WIDER.get(kind) in allowed for kind in types or {""}):
        now = " or ".join(sorted(allowed))
        yield f"{_at(place)} takes {now} only, and took {' or '.join(sorted(types)) or 'anything'}"
    values, permitted = _enumerated(old), _enumerated(new)
    if permitted is None:
        return
    if values is None:
        yield f"{_at(place)} takes only {_listed(permitted)}, and took any"
    elif lost := [value for value in values if value not in permitted]:
        yield f"{_at(place)} no longer takes {_listed(lost)}"


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for name in LOWER_BOUNDS + UPPER_BOUNDS:
        before, now = old.get(name), new.get(name)
        if now is None:
            continue
        if before is None or (now > before if name in LOWER_BOUNDS else now < before):
            yield f"{_at(place)} has {name} {now}, and had {_or_none(before)}"
    for name in EXACT:
        before, now = old.get(name), new.get(name)
        if now is not None and now != before:
            yield f"{_at(place)} has another {name}: {now!r}, and had {_or_none(before)}"


def _alternatives(schema: Schema) -> list[Any]:
    for choice in CHOICES:
        if choice in schema:
            return list(schema[choice])
    return [schema]


def _types(schema: Schema) -> set[str]:
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _enumerated(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _reference(schema: Any) -> str:
    return str(schema.get("$ref", "")) if isinstance(schema, dict) else ""


def _resolved(schema: Any, document: Schema) -> Any:
    while reference := _reference(schema):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _name(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "anything"
    return str(schema.get("title") or schema.get("const") or schema.get("type") or "what it took")


def _listed(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values)


def _or_none(value: Any) -> str:
    return "none" if value is None else repr(value)


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _at(place: str) -> str:
    return place or "the payload"
