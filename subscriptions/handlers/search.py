"""SEARCH: keep one row per record in the search index, for `subscriptions.searching.search`."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from django.db import DataError, InterfaceError, OperationalError
from pydantic import AfterValidator, Field

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import Handler, HandlerConfig, Item, Outcome, Preview, handler
from subscriptions.models import Subscription
from subscriptions.operators import FilterError
from subscriptions.patterns import Pattern, Rows, compile_filter
from subscriptions.placeholders import path_or_template
from subscriptions.search import entries, index
from subscriptions.search.index import Entry

log = structlog.get_logger(__name__)

ROW = "A column, a dotted path into one, or text with them in braces"


def template(value: str) -> str:
    path_or_template(value)
    return value


def several(value: str | list[str] | None) -> str | list[str] | None:
    for text in [value] if isinstance(value, str) else value or []:
        template(text)
    return value


def path(value: str) -> str:
    if not value or "{" in value or "}" in value or not all(value.split(".")):
        raise ValueError(f"{value!r} is no column, and no dotted path into one")
    return value


def web_link(value: str | None) -> str | None:
    """Refuse what a placeholder could turn into another host, or into a script."""
    if value is None:
        return None
    fixed = template(value).partition("{")[0]
    parts = urlsplit(fixed)
    is_path = fixed.startswith("/") and not fixed.startswith(("//", "/\\"))
    # The host ends before the first placeholder.
    is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and "/" in parts.path
    if not is_path and not is_url:
        raise ValueError("must begin with / or https://host/, before any placeholder")
    return value


@handler("SEARCH")
class SearchHandler(Handler):
    """Keep one entry per record in the company's search index."""

    queue = "default"
    chunk = 100
    sees_leaving = True

    class Config(HandlerConfig):
        title: Annotated[str, AfterValidator(template)] | None = Field(
            default=None,
            title="Title",
            description=f"{ROW}: name, address.city or {{name}} ({{code}}). Unset: name, title,"
            " code or the like, else the record's id.",
        )
        body: Annotated[str | list[str] | None, AfterValidator(several)] = Field(
            default=None,
            title="Body",
            description=f"What is searched besides the title. {ROW}; or a list of these."
            " Unset: all columns with text.",
        )
        fields: list[Annotated[str, AfterValidator(path)]] = Field(
            default_factory=list,
            title="Fields",
            description="Columns, or dotted paths into them, that a hit brings along.",
            max_length=50,
        )
        link: Annotated[str | None, AfterValidator(web_link)] = Field(
            default=None,
            title="Link",
            description="Where a hit leads: /orders/{id} or https://shop.example.com/orders/{id}.",
        )

    def check_columns(
        self, config: Config, *, table: str | None, columns: Collection[str] | None
    ) -> None:
        if table is None or columns is None:
            raise InvalidSubscription("table", "SEARCH indexes the rows of a table: name one")
        for key in ("title", "body", "link"):
            for found in entries.templates(getattr(config, key)):
                _check(f"config.{key}", found.paths, columns)
        _check("config.fields", config.fields, columns)

    def preview(self, item: Item) -> Preview:
        try:
            entry = entry_of(item)
        except (ValueError, ArithmeticError, RecursionError) as error:
            return Preview(f"index nothing: {error}")
        if entry.content is None:
            return Preview(f"remove {entry.table} {entry.record_key} from the search index")
        shown = asdict(entry.content)
        return Preview(
            f"index {entry.table} {entry.record_key}",
            body=json.dumps(shown, ensure_ascii=False, indent=2),
        )

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        """Write the entries of the whole batch in one statement; what is odd fails alone."""
        ready: list[tuple[Item, Entry]] = []
        filters = _filters({item.subscription_id for item in batch})
        for item in batch:
            if item.is_example:  # made up, or older than what the index stands for
                yield Outcome.delivered(item, response="an example: nothing was indexed")
                continue
            try:
                if item.event.operation == "TRUNCATE":
                    index.empty(
                        item.subscription_id,
                        item.event.table or "",
                        seq=item.event.seq,
                        at=item.event.timestamp,
                    )
                    yield Outcome.delivered(item)
                else:
                    meets = filters.get(item.subscription_id)
                    ready.append((item, entry_of(item, meets=meets)))
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                # Whatever is odd about an event, the others of the batch are none the worse.
                log.warning("event_not_indexed", delivery_id=item.delivery_id, error=str(error))
                yield _failed(item, error)
        yield from _put(ready)


def entry_of(item: Item, *, meets: Pattern | None = None) -> Entry:
    """Return what the index is to say after the event: nothing of a row that is gone, or does not
    meet the filter any more. Raises ValueError for what has no entry.
    """
    event = item.event
    if event.record_id_text is None or event.record_id is None or event.table is None:
        raise ValueError("the event names no record: SEARCH needs a table with a primary key")
    if item.company is not None and event.company != item.company:
        raise ValueError("the event is of another company than the subscription")
    content = None
    stays = meets is None or meets.matches(Rows(event.new, after=event.new))
    if event.operation != "DELETE" and stays:
        content = entries.content(
            item.config, event.new, record_id=event.record_id, company=event.company
        )
    return Entry(
        subscription_id=item.subscription_id,
        company=event.company,
        table=event.table,
        record_key=event.record_id_text,
        seq=event.seq,
        content=content,
        changed_at=event.timestamp,
    )


def _filters(subscription_ids: Collection[int]) -> dict[int, Pattern]:
    """Return the subscriptions' filters that ask what a row is, not how it changed. One query."""
    rows = Subscription.objects.filter(pk__in=subscription_ids).exclude(filter={})
    found: dict[int, Pattern] = {}
    for pk, given in rows.values_list("pk", "filter"):
        with suppress(FilterError):  # written by SQL meanwhile: it is marked invalid
            pattern = compile_filter(given)
            if not pattern.asks_for_changes:
                found[pk] = pattern
    return found


def _put(pairs: Sequence[tuple[Item, Entry]]) -> Iterator[Outcome]:
    """Write the entries at once; if PostgreSQL refuses one of them, each by itself."""
    if not pairs:
        return
    try:
        there = index.put([entry for _, entry in pairs])
    except (DataError, ValueError) as error:
        if len(pairs) == 1:
            yield _failed(pairs[0][0], error)
            return
        for pair in pairs:
            yield from _put([pair])
        return
    for item, _ in pairs:
        if item.subscription_id in there:
            yield Outcome.delivered(item)
        else:
            yield Outcome.failed(item, "the subscription is gone", permanent=True)


def _failed(item: Item, error: Exception) -> Outcome:
    return Outcome.failed(item, f"{type(error).__name__}: {error}"[:2000], permanent=True)


def _check(field: str, paths: Sequence[str], columns: Collection[str]) -> None:
    unknown = sorted(p for p in paths if p not in columns and p.partition(".")[0] not in columns)
    if unknown:
        raise InvalidSubscription(
            field, f"there is no {', '.join(unknown)}; there are: {', '.join(sorted(columns))}"
        )
