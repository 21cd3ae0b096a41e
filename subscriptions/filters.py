"""Containment as PostgreSQL's `jsonb @>` defines it, in pure Python.

Objects contain objects whose every member they contain, arrays contain arrays whose every element
some element of theirs contains, scalars contain equals: 1 and 1.0 are equal, 1 and "1" and true
are not. An array contains a bare scalar at the top level only. Numbers are int or Decimal (see
`documents`).
"""

from decimal import Decimal
from typing import Any

Scalar = tuple[str, Any]
Path = tuple[str, ...]


def scalar(value: Any) -> Scalar:
    """Tag a scalar with its JSON type: in Python True equals 1, as a key of a dict too."""
    if value is None:
        return ("null", None)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, float):  # of a filter, read by Django; 0.1 is not Decimal("0.1")
        return ("number", Decimal(repr(value)))
    if isinstance(value, int | Decimal):
        return ("number", value)
    return ("string", value)


def is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def contains(document: Any, pattern: Any) -> bool:
    """Whether `document @> pattern`."""
    if isinstance(document, list) and is_scalar(pattern):
        return _has_element(document, pattern)
    return _contains(document, pattern)


def _contains(document: Any, pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(document, dict) and all(
            name in document and _contains(document[name], wanted)
            for name, wanted in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(document, list) and all(
            _has_element(document, wanted) for wanted in pattern
        )
    return is_scalar(document) and scalar(document) == scalar(pattern)


def _has_element(elements: list[Any], wanted: Any) -> bool:
    return any(_contains(element, wanted) for element in elements)


def value_at(document: Any, path: Path) -> Scalar | None:
    """Return the tagged scalar at the path, or None if there is none."""
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return None
        document = document[name]
    return scalar(document) if is_scalar(document) else None


DEEPEST = 100


def check_depth(pattern: Any, left: int = DEEPEST) -> None:
    """Raise ValueError for a pattern nested deeper than 100 levels: matching it would recurse too
    far.
    """
    if left == 0:
        raise ValueError(f"is nested deeper than {DEEPEST} levels")
    if isinstance(pattern, dict | list):
        for part in pattern.values() if isinstance(pattern, dict) else pattern:
            check_depth(part, left - 1)
