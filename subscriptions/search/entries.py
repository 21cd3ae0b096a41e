"""What the index says of a row, made as a SEARCH subscription's config asks."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote

from subscriptions.documents import plain
from subscriptions.placeholders import Template, path_or_template, text_of, walk
from subscriptions.search.words import composed

LONGEST_TITLE = 500  # characters
LONGEST_LINK = 2000  # characters
MOST_BODY_BYTES = 100_000  # searched; PostgreSQL takes 1 MB of words
MOST_FIELDS = 32_768  # characters of JSON, which each hit brings along
# Without a title in the config, the first of these that the row has.
TITLES = (
    *("name", "title", "label", "subject", "display_name", "displayName"),
    *("full_name", "fullName", "company_name", "companyName"),
    *("code", "number", "reference", "email"),
)
# A moment says nothing about a record: by default it is no text of the body.
MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")


class Shape(Protocol):
    """The parts of the config: paths or templates over the row's columns; None is the default."""

    @property
    def title(self) -> str | None: ...
    @property
    def body(self) -> str | list[str] | None: ...
    @property
    def fields(self) -> Sequence[str]: ...
    @property
    def link(self) -> str | None: ...


@dataclass(frozen=True)
class Content:
    """What is found and shown of one record."""

    title: str
    body: str
    fields: dict[str, Any]
    link: str


@lru_cache(maxsize=1024)
def _template(text: str) -> Template:
    return path_or_template(text)


def templates(texts: str | list[str] | None) -> list[Template]:
    """Return the templates of one text or of several; raises ValueError."""
    listed = [texts] if isinstance(texts, str) else texts or []
    return [_template(text) for text in listed]


def content(
    shape: Shape, row: Mapping[str, Any], *, record_id: Any, company: str | None
) -> Content:
    """Make the entry of a row, cut to what the index takes. Raises ValueError for odd values."""

    def value(path: str) -> Any:
        return row[path] if path in row else walk(row, path)

    title = _usual_title(row) if shape.title is None else _template(shape.title).render(value)
    if shape.body is None:
        body = "\n".join(_texts(row, besides={title, company}))
    else:
        body = "\n".join(template.render(value) for template in templates(shape.body))
    link = "" if shape.link is None else _template(shape.link).render(value, quote=_in_url)
    return Content(
        title=" ".join(composed(title or text_of(record_id)).split())[:LONGEST_TITLE],
        body=_cut(composed(body)),
        fields=_checked({path: _stored(plain(value(path))) for path in shape.fields}),
        link=composed(link)[:LONGEST_LINK],
    )


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Refuse, by ValueError, values that are too large to be kept."""
    sizes = {path: len(json.dumps(value, ensure_ascii=False)) for path, value in fields.items()}
    if sum(sizes.values()) > MOST_FIELDS:
        largest = max(sizes, key=lambda path: sizes[path])
        raise ValueError(
            f"config.fields: the values have {sum(sizes.values())} characters, most of them"
            f" {largest}; at most {MOST_FIELDS} are kept: name smaller columns, or paths"
            " into them"
        )
    return fields


def _usual_title(row: Mapping[str, Any]) -> str:
    named = (row.get(name) for name in TITLES)
    return next((text_of(value) for value in named if value not in (None, "")), "")


def _texts(row: Mapping[str, Any], *, besides: set[str | None]) -> list[str]:
    return [
        value
        for value in row.values()
        if isinstance(value, str) and value not in besides and not MOMENT.fullmatch(value)
    ]


def _stored(value: Any) -> Any:
    """Return the JSON value as jsonb takes it."""
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, dict):
        return {composed(name): _stored(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_stored(item) for item in value]
    return value


def _in_url(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _cut(text: str) -> str:
    """Return as much of the text as is searched, whole characters."""
    if len(text) * 4 <= MOST_BODY_BYTES:
        return text
    return text.encode()[:MOST_BODY_BYTES].decode(errors="ignore")
