"""List filters with values that are known: asking a table for those it holds would read all of
it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from subscriptions.handlers.contract import registered
from subscriptions.handlers.sync.shipped import PROVIDERS
from subscriptions.ingest.reasons import Reason


def known(field: str, values: Callable[[], Iterable[str]]) -> type[admin.SimpleListFilter]:
    """Return a filter on the field, which offers these values."""

    class Known(admin.SimpleListFilter):
        title = field.replace("_", " ")
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(value, value) for value in values()]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            chosen = self.value()
            return queryset if chosen is None else queryset.filter(**{field: chosen})

    return Known


HandlerTypeFilter = known("handler_type", registered)
SourceFilter = known("source", lambda: ("table", "code", "run", "sqs", "api"))
ReasonFilter = known("reason", lambda: [reason.value for reason in Reason])
ProviderFilter = known("provider", lambda: PROVIDERS)
EntityFilter = known("entity", lambda: ("customer", "supplier"))
