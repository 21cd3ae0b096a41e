"""Text with placeholders, such as `{name} ({code})`. No Django.

Between braces stands a dotted path; `{{` and `}}` are braces. Nothing is called and no attribute is
read: a path leads through JSON objects and lists alone.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from string import Formatter
from typing import Any

from subscriptions.envelope import PATH_ROOTS
from subscriptions.errors import InvalidSubscription

ROWS = frozenset({"new", "old"})


@dataclass(frozen=True)
class Template:
    """`parts` are pairs: literal text, and the path whose value follows it, None for none."""

    parts: tuple[tuple[str, str | None], ...]

    @property
    def paths(self) -> list[str]:
        return [path for _, path in self.parts if path is not None]

    def render(
        self, lookup: Callable[[str], Any], *, quote: Callable[[str], str] | None = None
    ) -> str:
        """Return the text; each value goes through `quote`, what is missing or null is empty."""
        return "".join(
            literal + ("" if path is None else _written(lookup(path), quote))
            for literal, path in self.parts
        )


def parse(text: str) -> Template:
    """Return the template of a text; raises ValueError that says what is wrong with it."""
    found: list[tuple[str, str | None]] = []
    try:
        for literal, path, options, conversion in Formatter().parse(text):
            if options or conversion:
                raise ValueError("a placeholder is a dotted path, without ':' or '!'")
            if path is not None and not all(path.split(".")):
                raise ValueError(f"{{{path}}} is no dotted path such as {{new.name}}")
            found.append((literal, path))
    except ValueError as error:
        raise ValueError(
            f"{text[:100]!r}: {error}; for a brace itself write {{{{ or }}}}"
        ) from None
    return Template(tuple(found))


def path_or_template(text: str) -> Template:
    """Return the template of a text; one without braces is a path."""
    if "{" in text or "}" in text:
        return parse(text)
    return parse(f"{{{text}}}")


def walk(document: Any, path: str) -> Any:
    """Return what a dotted path leads to in a JSON value, None if nowhere."""
    value = document
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def check_paths(
    field: str, paths: Iterable[str], *, table: str | None, columns: Collection[str] | None
) -> None:
    """Refuse a path into an event that leads nowhere, by InvalidSubscription for the field.

    `columns` are the table's, or the members of the payload; None if they are not known.
    """
    holder = "payload" if table is None else "new"
    for path in paths:
        root, _, rest = path.partition(".")
        if root not in PATH_ROOTS:
            allowed = ", ".join(sorted(PATH_ROOTS))
            raise InvalidSubscription(field, f"{path!r} must begin with one of {allowed}")
        if root not in ROWS | {"payload"}:
            continue
        if (root == "payload") != (table is None):
            raise InvalidSubscription(field, f"{path!r}: such events have {holder}, not {root}")
        column = rest.partition(".")[0]
        if column and columns is not None and column not in columns:
            there = ", ".join(f"{root}.{name}" for name in sorted(columns))
            raise InvalidSubscription(field, f"there is no {path}; there are: {there}")


def text_of(value: Any) -> str:
    """Return a JSON value as a person writes it: no quotes around text, null is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, default=_number)
    return str(value)


def _number(value: Decimal) -> str:
    return str(value)


def _written(value: Any, quote: Callable[[str], str] | None) -> str:
    text = text_of(value)
    return text if quote is None else quote(text)
