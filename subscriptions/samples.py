"""Values that look like those of a column or of a JSON Schema. No Django here."""

from collections.abc import Mapping
from typing import Any

MOMENT = "2026-01-31T09:30:00Z"
UUID = "00000000-0000-4000-8000-000000000001"
BY_TYPE: Mapping[str, Any] = {
    "bool": True,
    "date": MOMENT[:10],
    "json": {},
    "jsonb": {},
    "time": "09:30:00",
    "timestamp": MOMENT[:-1],
    "timestamptz": MOMENT,
    "uuid": UUID,
}
BY_FORMAT: Mapping[str, Any] = {
    "date": MOMENT[:10],
    "date-time": MOMENT,
    "email": "somebody@example.com",
    "time": "09:30:00",
    "uri": "https://example.com/",
    "uuid": UUID,
}
DEEPEST = 8  # a schema may refer to itself


def sample(type_name: str, category: str) -> Any:
    """Return a value of a PostgreSQL type (pg_type's `typname` and `typcategory`)."""
    if type_name in BY_TYPE:
        return BY_TYPE[type_name]
    return {"N": 1, "A": [], "S": "example"}.get(category, "example")


def sample_of_schema(schema: Mapping[str, Any]) -> Any:
    """Return a value that a JSON Schema describes, its defaults and examples where it has them."""
    return _sample(schema, schema.get("$defs", {}), DEEPEST)


def _sample(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    if depth == 0:
        return None
    if "$ref" in schema:
        return _sample(definitions.get(schema["$ref"][8:], {}), definitions, depth - 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _sample(schema[name][0], definitions, depth - 1)
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _sample(one, definitions, depth - 1) for name, one in properties.items()}
    if kind == "array":
        return [_sample(schema["items"], definitions, depth - 1)] if "items" in schema else []
    if kind == "string":
        return BY_FORMAT.get(schema.get("format", ""), "example")
    least = schema.get("minimum", 1)
    return {"integer": least, "number": least, "boolean": True}.get(str(kind))


def fitting(pattern: Any) -> dict[str, Any]:
    """Return the plain values that a filter asks for, so that an example looks like a match."""
    if not isinstance(pattern, dict):
        return {}
    return {
        name: value
        for name, value in pattern.items()
        if not name.startswith("$") and not isinstance(value, dict | list)
    }
