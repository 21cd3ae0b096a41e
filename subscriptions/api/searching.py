"""Searching what SEARCH subscriptions have indexed."""

from datetime import datetime
from typing import Annotated

from ninja import Query, Router, Schema
from pydantic import JsonValue

from jobs.api.schemas import Name
from jobs.api.security import KeyRequest
from subscriptions.api.security import READ
from subscriptions.searching import DEEPEST, LONGEST_TEXT, MOST_HITS, Hit, search

router = Router(tags=["search"], auth=READ)


class HitOut(Schema):
    """A record; `marked_title` and `snippet` are HTML, escaped, with what matches in `<mark>`."""

    table: str
    record_id: JsonValue
    title: str
    marked_title: str
    snippet: str
    fields: dict[str, JsonValue]
    link: str
    changed_at: datetime


@router.get("/search", response=list[HitOut], operation_id="search")
def search_records(
    request: KeyRequest,
    q: Annotated[str, Query(min_length=1, max_length=LONGEST_TEXT)],
    table: Annotated[Name | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_HITS)] = 20,
    offset: Annotated[int, Query(ge=0, le=DEEPEST)] = 0,
) -> list[Hit]:
    """Find the company's records by words, or by what they begin with; typing errors are borne."""
    return search(request.auth.company, q, table=table, limit=limit, offset=offset)
