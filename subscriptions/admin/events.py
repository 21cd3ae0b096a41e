"""Events and the relay's place among them: to be seen, never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from jobs.admin import RecordedOfCompany
from jobs.admin.companies import company_of
from subscriptions.admin.chains import ChainPages
from subscriptions.admin.filters import SourceFilter
from subscriptions.matching import TRUNCATE
from subscriptions.models import Event, RelayCursor

MOST_LISTED = 100_000
UNNARROWED = frozenset({"p", "o", "all", "e"})  # of a list's address: page, order, how it looks


@dataclass(frozen=True)
class Window:
    """The newest events, which a list looks at: those after `after`, the oldest of `back_to`."""

    most: str
    after: int
    back_to: datetime | None


def newest_events() -> Window:
    """Return the window of now. Two probes of an index."""
    newest = Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    after = newest - MOST_LISTED
    oldest = Event.objects.filter(seq__gt=after).order_by("seq")
    return Window(f"{MOST_LISTED:,}", after, oldest.values_list("recorded_at", flat=True).first())


@admin.register(Event)
class EventAdmin(ChainPages):
    list_display = (
        "seq",
        "company",
        "type",
        "table",
        "operation",
        "record_id",
        "timestamp",
        "source",
    )
    list_filter = (SourceFilter, "operation")
    search_fields = ("=company", "=table", "=type", "=event_id")
    search_help_text = "A company, a table, a type or an event's id, whole"
    list_before_template = "admin/subscriptions/event/looked_at.html"  # type: ignore[assignment]  # unfold's None
    ordering = ("-seq",)
    large = ("payload", "new", "old")

    def of_company(self, rows: QuerySet[Event], company: str) -> QuerySet[Event]:
        of_all = Q(operation=TRUNCATE, company=None)
        return rows.filter(Q(company=company) | of_all)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Of a list that is not simply of all, the newest: few may be what is asked for."""
        rows: QuerySet[Event] = super().get_queryset(request)
        window = self._window(request)
        return rows if window is None else rows.filter(seq__gt=window.after)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        context = {"window": self._window(request), **(extra_context or {})}
        page: TemplateResponse = super().changelist_view(request, context)
        return page

    def _window(self, request: HttpRequest) -> Window | None:
        """Return what the request's list looks at, worked out once; None is everything."""
        route = request.resolver_match
        if route is None or not str(route.url_name).endswith("_changelist"):
            return None
        if company_of(request) is None and set(request.GET) <= UNNARROWED:
            return None
        if _is_id(request.GET.get("q", "")):
            return None
        known = vars(request)
        if "event_window" not in known:
            known["event_window"] = newest_events()
        found: Window = known["event_window"]
        return found


def _is_id(text: str) -> bool:
    try:
        UUID(text.strip())
    except ValueError:
        return False
    return True


@admin.register(RelayCursor)
class RelayCursorAdmin(RecordedOfCompany):
    company_field = None
    list_display = ("shard", "last_seq", "seen", "reading", "moved_at")
    ordering = ("shard",)
