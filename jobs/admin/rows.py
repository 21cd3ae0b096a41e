"""What all pages of the engine's own rows share."""

from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.admin import ModelAdmin

MOST_COUNTED = 10_000
RUN_DATA = ("input", "output", "error", "rollback_plan")
STEP_DATA = ("value", "output", "undo", "error", "needs")


def of(relation: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names as fields of a related row."""
    return tuple(f"{relation}__{name}" for name in names)


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than 10,000 rows: an exact figure would read the whole table."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)  # noqa: S101 - what the admin gives
        return rows.order_by().values("pk")[:MOST_COUNTED].count()


class ReadOnly:
    """Rows that only the engine writes."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SearchedByKey:
    """Finds whole keys only, by index: the admin's own way compares texts in any case, row by row.

    Every name in `search_fields` begins with `=`. Put it before `ModelAdmin`.
    """

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        wanted = Q()
        for name in self.get_search_fields(request):  # type: ignore[attr-defined]  # ModelAdmin's
            key = {name.removeprefix("="): term}
            with suppress(ValueError, ValidationError):  # a text that is no UUID, say
                queryset.filter(**key)
                wanted |= Q(**key)
        return (queryset.filter(wanted) if wanted else queryset.none()), False


class Recorded(SearchedByKey, ReadOnly, ModelAdmin):  # type: ignore[misc]
    """The pages of such rows, fast however many there are."""

    paginator = CappedPaginator
    show_full_result_count = False
    # Not read for a list: each may be a megabyte long.
    large: tuple[str, ...] = ()

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer(*self.large)


def summary(error: dict[str, str] | None) -> str:
    """Return an error of a run, step or attempt in a line."""
    if not error:
        return ""
    node = f"{error['node']}: " if error.get("node") else ""
    return f"{node}{error['type']}: {error['message']}"


def traceback(error: dict[str, str] | None) -> str:
    """Return an error's traceback as it is read, not as JSON."""
    if not error or not error.get("traceback"):
        return ""
    return format_html('<pre class="traceback">{}</pre>', error["traceback"])
