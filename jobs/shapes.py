"""What an annotation says of a value's structure: its alternatives, its fields and its items.

Only what is certain is used: whatever cannot be told is `Any`, and fits everywhere.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from pydantic import BaseModel, RootModel
from typing_extensions import ReadOnly, TypeAliasType, is_typeddict

from jobs.counting import counted

SCALARS = (str, bytes, int, float, Decimal, UUID, date, time, timedelta, Enum, PurePath)
WRAPPERS = (Annotated, Required, NotRequired, ReadOnly)


class NoSuchField(LookupError):
    """The annotation is known, and has no such field or item; the text says what it has."""


def plain(annotation: Any) -> Any:
    """Return the annotation without what pydantic wraps around a type."""
    while True:
        if get_origin(annotation) in WRAPPERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif isinstance(annotation, type) and issubclass(annotation, RootModel):
            annotation = annotation.model_fields["root"].annotation
        elif isinstance(annotation, str | ForwardRef | TypeVar) or annotation is object:
            return Any
        else:
            return NoneType if annotation is None else annotation


def alternatives(annotation: Any) -> list[Any]:
    """Return the members of a union, flat; of anything else itself."""
    found = plain(annotation)
    if get_origin(found) in (Union, UnionType):
        return [inner for member in get_args(found) for inner in alternatives(member)]
    return [found]


def union(members: Collection[Any]) -> Any:
    """Return the union of the annotations; `Any` if one of them is that."""
    return Any if not members or Any in members else Union[tuple(members)]  # noqa: UP007 - computed


def is_array(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type) or issubclass(kind, str | bytes) or is_mapping(kind):
        return False
    return issubclass(kind, Collection)


def is_mapping(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Mapping) and not is_typeddict(kind)


def is_scalar(annotation: Any) -> bool:
    return get_origin(annotation) is Literal or (
        isinstance(annotation, type) and issubclass(annotation, SCALARS)
    )


def item_of(annotation: Any) -> Any:
    """Return the annotation of an array's items; `Any` where it does not say."""
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    return union(arguments)


def fields_of(annotation: Any) -> dict[str, Any] | None:
    """Return the fields of a model, dataclass, TypedDict or NamedTuple; None for other types."""
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return None
    if issubclass(kind, BaseModel):
        return _model_fields(kind)
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    if not (dataclasses.is_dataclass(kind) or is_typeddict(kind) or is_named_tuple):
        return None
    try:
        hints = get_type_hints(kind, include_extras=True)
    except NameError:  # an annotation that names something defined later
        hints = dict.fromkeys(kind.__annotations__, Any)
    if dataclasses.is_dataclass(kind):
        return {field.name: hints.get(field.name, Any) for field in dataclasses.fields(kind)}
    return hints


def _model_fields(kind: type[BaseModel]) -> dict[str, Any]:
    complete = kind.__pydantic_complete__
    found = {
        name: field.annotation if complete else Any for name, field in kind.model_fields.items()
    }
    computed = kind.model_computed_fields
    return found | {name: field.return_type for name, field in computed.items()}


def child(annotation: Any, key: str | int, *, is_attribute: bool) -> tuple[str | int, Any]:
    """Return the field's or item's key in JSON, and its annotation; raises `NoSuchField`."""
    found, refused = [], []
    for option in alternatives(annotation):
        if option is NoneType:  # the field of nothing is nothing
            continue
        try:
            found.append(_child(option, key, is_attribute=is_attribute))
        except NoSuchField as error:
            refused.append(error)
    if refused and not found:
        raise refused[0]
    keys = {known for known, _ in found} or {key}
    return keys.pop() if len(keys) == 1 else key, union([inner for _, inner in found])


def _child(option: Any, key: str | int, *, is_attribute: bool) -> tuple[str | int, Any]:
    if (fields := fields_of(option)) is not None:
        return _field(option, fields, key)
    if is_mapping(option):
        if is_attribute:
            raise NoSuchField(f"a dict's items are taken as [{key!r}], not as .{key}")
        return str(key), (get_args(option) or (Any, Any))[1]
    if is_array(option):
        return _item(option, key)
    if is_scalar(option):
        raise NoSuchField(f"{name_of(option)} has no fields or items as JSON")
    return key, Any


def _field(option: Any, fields: Mapping[str, Any], key: str | int) -> tuple[str | int, Any]:
    if isinstance(option, type) and issubclass(option, tuple):  # a NamedTuple is an array in JSON
        position = list(fields).index(str(key)) if key in fields else key
        if isinstance(position, int) and -len(fields) <= position < len(fields):
            return position, list(fields.values())[position]
    elif key in fields:
        return key, fields[str(key)]
    elif getattr(option, "model_config", {}).get("extra") == "allow":
        return key, Any
    raise NoSuchField(f"{name_of(option)} has {', '.join(fields) or 'no fields'}")


def _item(option: Any, key: str | int) -> tuple[str | int, Any]:
    if not isinstance(key, int):
        raise NoSuchField(f"{name_of(option)} has items, taken by number as [0], and no fields")
    arguments = get_args(option)
    if get_origin(option) is not tuple or Ellipsis in arguments:
        return key, item_of(option)
    if not -len(arguments) <= key < len(arguments):
        raise NoSuchField(f"{name_of(option)} has {counted(len(arguments), 'item')}")
    return key, arguments[key]


def name_of(annotation: Any) -> str:
    """Return the annotation as an author writes it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def callable_hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """Return a callable's resolved annotations, `return` among them; empty where it has none."""
    if isinstance(fn, type):
        return {"return": fn}
    try:
        return get_type_hints(fn, include_extras=True)
    except (NameError, TypeError):
        return {}
