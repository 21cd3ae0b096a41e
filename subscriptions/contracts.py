"""Declared event types: a name, a version and the pydantic model of the payload; and how a payload
of an old version becomes one of a newer. No Django here.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from subscriptions.errors import (
    BrokenContract,
    UnknownEventType,
    UnknownEventVersion,
    UpcastFailed,
)

M = TypeVar("M", bound=BaseModel)
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

FIRST_VERSION = 1

SHOWN = 5  # problems of a payload


@dataclass(frozen=True)
class EventType:
    name: str
    version: int
    model: type[BaseModel]


class Upcast(NamedTuple):
    """What turns a payload of one version into one of the version `to`."""

    to: int
    change: Upcaster


_types: dict[str, dict[int, EventType]] = {}
_by_model: dict[type[BaseModel], EventType] = {}
_upcasts: dict[tuple[str, int], Upcast] = {}


def event(name: str, *, version: int = 1) -> Callable[[type[M]], type[M]]:
    """Declare a pydantic model as the payload of events of this type and version.

    Raises ValueError if another model has the same name and version.
    """

    def declare(model: type[M]) -> type[M]:
        declared = EventType(name, version, model)
        before = _types.setdefault(name, {}).setdefault(version, declared)
        if before.model.__qualname__ != model.__qualname__:
            raise ValueError(
                f"event {name!r} version {version} is {before.model.__qualname__} already"
            )
        _types[name][version] = declared
        _by_model[model] = declared
        return model

    return declare


def upcaster(
    name: str, *, from_version: int, to_version: int | None = None
) -> Callable[[Upcaster], Upcaster]:
    """Declare the function that turns a payload of `from_version` (JSON data) into one of
    `to_version`, the next number if none is given.

    Where there is one, events of the old version are taken in and read as the newer: filters,
    handlers and workflows see one version. Without one, versions live side by side.

    Raises ValueError if it leads backwards, or if the version has an upcaster already.
    """
    to = from_version + 1 if to_version is None else to_version
    if to <= from_version:
        raise ValueError(f"an upcaster of {name!r} leads from {from_version} back to {to}")

    def declare(change: Upcaster) -> Upcaster:
        before = _upcasts.get((name, from_version))
        if before is not None and before.change.__qualname__ != change.__qualname__:
            raise ValueError(
                f"{name!r} version {from_version} has the upcaster {before.change.__qualname__}"
            )
        _upcasts[name, from_version] = Upcast(to, change)
        return change

    return declare


def is_outdated(name: str, version: int) -> bool:
    """Whether an upcaster leads on from this version."""
    return (name, version) in _upcasts


def known_types() -> list[str]:
    return sorted(_types)


def versions_of(name: str) -> list[EventType]:
    """Return the type's versions, the newest first; none if it is not declared."""
    versions = _types.get(name, {})
    return [versions[number] for number in sorted(versions, reverse=True)]


def declared_versions() -> list[EventType]:
    """Return every version of every type, by name and number."""
    return [
        versions[number] for _, versions in sorted(_types.items()) for number in sorted(versions)
    ]


def version_named(name: str, version: int) -> EventType:
    """Return that version of the type, or raise UnknownEventType or UnknownEventVersion."""
    type_named(name)
    if version not in _types[name]:
        raise UnknownEventVersion(name, version, sorted(_types[name]))
    return _types[name][version]


def type_named(name: str) -> EventType:
    """Return the newest version of the type, or raise UnknownEventType."""
    versions = versions_of(name)
    if not versions:
        raise UnknownEventType(name, known_types())
    return versions[0]


def type_of(model: type[BaseModel]) -> EventType:
    """Return the type that the model was declared as, or raise UnknownEventType."""
    declared = _by_model.get(model)
    if declared is None:
        raise UnknownEventType(model.__qualname__, known_types())
    return declared


def check(name: str, version: int | None, payload_text: str) -> tuple[int, str]:
    """Return the version and the payload, as JSON text, of an event that comes from outside.

    Without a version it is of the newest one that the payload fits. The text is returned as it
    came, every digit, and members that the model does not know; where an upcaster leads on from its
    version, as the newest version that they lead to.

    Raises UnknownEventType, UnknownEventVersion, BrokenContract and UpcastFailed; what a model's
    own validators raise, other than ValueError and AssertionError, goes through.
    """
    versions = versions_of(name) if version is None else [version_named(name, version)]
    if not versions:
        raise UnknownEventType(name, known_types())
    refusals = []
    for declared in versions:
        try:
            declared.model.model_validate_json(payload_text)
        except ValidationError as error:
            refusals.append(BrokenContract(name, declared.version, _told(error)))
        else:
            return bring_forward(declared, payload_text)
    raise refusals[0]


def bring_forward(declared: EventType, payload_text: str) -> tuple[int, str]:
    """Return the newest version that upcasters lead to from this one, and the payload as that.

    Without an upcaster both are as they were. Raises BrokenContract, UpcastFailed.
    """
    while (upcast := _upcasts.get((declared.name, declared.version))) is not None:
        newer = version_named(declared.name, upcast.to)
        try:
            payload_text = _changed(declared, upcast.change, newer, payload_text)
        except ValidationError as error:
            raise UpcastFailed(declared.name, declared.version, upcast.to, _told(error)) from error
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise UpcastFailed(declared.name, declared.version, upcast.to, problem) from error
        declared = newer
    return declared.version, payload_text


def _changed(old: EventType, change: Upcaster, new: EventType, payload_text: str) -> str:
    """Return the payload as its new version; what the upcaster sees has its defaults filled in."""
    content = old.model.model_validate_json(payload_text)
    changed = change(content.model_dump(mode="json", by_alias=True))
    return new.model.model_validate_json(json.dumps(changed)).model_dump_json(by_alias=True)


def _told(error: ValidationError) -> str:
    """Return the first problems, each with its place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'payload'}: {one['msg']}" for one in found[:SHOWN]]
    if len(found) > SHOWN:
        told.append(f"and {len(found) - SHOWN} more")
    return "; ".join(told)
