"""Declared event types: a name, a version and the pydantic model of the payload. No Django here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from subscriptions.errors import BrokenContract, UnknownEventType, UnknownEventVersion

M = TypeVar("M", bound=BaseModel)

SHOWN = 5  # problems of a payload


@dataclass(frozen=True)
class EventType:
    name: str
    version: int
    model: type[BaseModel]


_types: dict[str, dict[int, EventType]] = {}
_by_model: dict[type[BaseModel], EventType] = {}


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


def known_types() -> list[str]:
    return sorted(_types)


def versions_of(name: str) -> list[EventType]:
    """Return the type's versions, the newest first; none if it is not declared."""
    versions = _types.get(name, {})
    return [versions[number] for number in sorted(versions, reverse=True)]


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
    came: every digit, and members that the model does not know.

    Raises UnknownEventType, UnknownEventVersion and BrokenContract; what a model's own validators
    raise, other than ValueError and AssertionError, goes through.
    """
    versions = versions_of(name)
    if not versions:
        raise UnknownEventType(name, known_types())
    if version is not None:
        known = sorted(declared.version for declared in versions)
        versions = [declared for declared in versions if declared.version == version]
        if not versions:
            raise UnknownEventVersion(name, version, known)
    refusals = []
    for declared in versions:
        try:
            declared.model.model_validate_json(payload_text)
        except ValidationError as error:
            refusals.append(BrokenContract(name, declared.version, _told(error)))
        else:
            return declared.version, payload_text
    raise refusals[0]


def _told(error: ValidationError) -> str:
    """Return the first problems, each with its place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'payload'}: {one['msg']}" for one in found[:SHOWN]]
    if len(found) > SHOWN:
        told.append(f"and {len(found) - SHOWN} more")
    return "; ".join(told)
