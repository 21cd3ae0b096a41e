"""What the search index holds: written by SEARCH subscriptions, repaired by `manage.py reindex`."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from jobs.admin import RecordedOfCompany
from subscriptions.models import SearchEntry


@admin.register(SearchEntry)
class SearchEntryAdmin(RecordedOfCompany):
    list_display = ("title", "company", "table", "record_key", "link", "changed_at")
    search_fields = ("company__exact", "table__exact", "record_key__exact")
    search_help_text = "A company, a table or a record's id, whole"
    ordering = ("-id",)
    large = ("body", "document", "folded")
    fields = (
        *("title", "body", "fields", "link", "company", "table", "record_id", "subscription_id"),
        *("seq", "changed_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SearchEntry]:
        rows: QuerySet[SearchEntry] = super().get_queryset(request)
        return rows.filter(is_removed=False)  # the others only say that there is nothing
