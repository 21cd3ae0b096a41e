"""What a handler's Config says of itself: its JSON Schema, and which of its keys are secret.

A key is secret if its field has `repr=False`, or a type such as `SecretStr`: it goes in and never
comes out, of forms, of the API or of errors.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo

from subscriptions.handlers.contract import Handler

LOCAL = "#/$defs/{model}"


def secret_keys(handler: Handler) -> frozenset[str]:
    """Return the keys of the config that never come out."""
    properties = _schema(handler).get("properties", {})
    fields = {info.alias or name: info for name, info in handler.Config.model_fields.items()}
    return frozenset(
        key
        for key, info in fields.items()
        if _is_secret(info) or _is_write_only(properties.get(key))
    )


def visible(handler: Handler, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config without the values that are never shown."""
    hidden = secret_keys(handler)
    return {key: value for key, value in config.items() if key not in hidden}


def config_schema(handler: Handler, *, ref_template: str = LOCAL) -> dict[str, Any]:
    """Return the JSON Schema of the config, with `writeOnly` at what never comes out."""
    schema = _schema(handler, ref_template)
    for key in secret_keys(handler):
        if key in (properties := schema.get("properties", {})):
            properties[key] = {**properties[key], "writeOnly": True}
            properties[key].pop("default", None)
    return schema


def description(handler: Handler) -> str:
    """Return what the type does in a sentence: of its class's docstring, or its module's."""
    kind = type(handler)
    text = kind.__dict__.get("__doc__") or getattr(sys.modules[kind.__module__], "__doc__", None)
    first, _, _ = inspect.cleandoc(text or "").partition("\n\n")
    told = " ".join(first.split()).removeprefix(f"{handler.name}: ").replace("`", "")
    return told[:1].upper() + told[1:]


def _schema(handler: Handler, ref_template: str = LOCAL) -> dict[str, Any]:
    try:
        return handler.Config.model_json_schema(ref_template=ref_template)
    except PydanticInvalidForJsonSchema:  # a type of its own, that JSON Schema has no word for
        return {"type": "object"}


def _is_secret(info: FieldInfo) -> bool:
    return info.repr is False or any(
        _is_secret(inner)
        for model in _models(info.annotation)
        for inner in model.model_fields.values()
    )


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _is_write_only(schema: Any) -> bool:
    if isinstance(schema, dict):
        return schema.get("writeOnly") is True or any(map(_is_write_only, schema.values()))
    return isinstance(schema, list) and any(map(_is_write_only, schema))
