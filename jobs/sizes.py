"""How large a value may be that is stored: rows hold it, and every step that uses it reads it."""

from typing import Any

from django.conf import settings

from jobs.errors import InvalidOutput
from jobs.values import to_json


def oversize(text: str) -> dict[str, Any] | None:
    """Return what is wrong with JSON text that is too large, as pydantic's issues; else None."""
    size, allowed = len(text.encode()), settings.JOBS_MAX_VALUE_BYTES
    if size <= allowed:
        return None
    message = (
        f"has {size:,} bytes as JSON, and {allowed:,} are allowed (JOBS_MAX_VALUE_BYTES):"
        " store it elsewhere and pass a reference, such as a key or an id"
    )
    return {"loc": (), "msg": message, "type": "too_large"}


def limited(value: Any, *, what: str) -> str:
    """Return the value as JSON text; what is larger than a value may be raises `InvalidOutput`."""
    text = to_json(value, what=what)
    if (issue := oversize(text)) is not None:
        raise InvalidOutput(what, [issue])
    return text
