"""What the search index holds: written by SEARCH subscriptions, repaired by `manage.py reindex`."""

import json

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from jobs.admin import RecordedOfCompany
from subscriptions.models import SearchEntry


@admin.register(SearchEntry)
class SearchEntryAdmin(RecordedOfCompany):
    list_display = ("title", "company", "table", "record_id", "link", "changed_at")
    search_fields = ("pk",)  # that it is not empty shows the field; see get_search_results
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

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SearchEntry], search_term: str
    ) -> tuple[QuerySet[SearchEntry], bool]:
        """Find whole keys only; a record's id is kept as JSON."""
        if not (term := search_term.strip()):
            return queryset, False
        record = Q(record_key=term) | Q(record_key=json.dumps(term, ensure_ascii=False))
        return queryset.filter(Q(company=term) | Q(table=term) | record), False
