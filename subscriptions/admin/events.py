"""Events and the relay's place among them: to be seen, never changed."""

from django.contrib import admin

from jobs.admin import RecordedOfCompany
from subscriptions.admin.filters import SourceFilter
from subscriptions.models import Event, RelayCursor


@admin.register(Event)
class EventAdmin(RecordedOfCompany):
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
    search_fields = ("=company", "=table", "=type")
    search_help_text = "A company, a table or a type, whole"
    ordering = ("-seq",)


@admin.register(RelayCursor)
class RelayCursorAdmin(RecordedOfCompany):
    company_field = None
    list_display = ("shard", "last_seq", "seen", "reading", "moved_at")
    ordering = ("shard",)
