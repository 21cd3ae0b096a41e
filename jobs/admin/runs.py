"""Runs: the list, a run's page, and the levers on both."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs.admin.levers import LeverPages
from jobs.admin.records import ActionInline
from jobs.admin.rows import RUN_DATA, summary, traceback
from jobs.admin.steps import StepRunInline
from jobs.models import Run
from jobs.registry import registry

MOST_LINKS = 20


class WorkflowFilter(admin.SimpleListFilter):
    """The registered workflows: asking the table for those that it holds would read all of it."""

    title = "workflow"
    parameter_name = "workflow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in sorted(registry.workflows)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset if self.value() is None else queryset.filter(workflow=self.value())


class WaitingForFilter(admin.SimpleListFilter):
    """What live runs wait for; however many have ended, `jobs_run_deadline` finds them."""

    title = "waiting for"
    parameter_name = "waiting_for"
    live = (Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.WAITING)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return Run.WaitingFor.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() is None:
            return queryset
        return queryset.filter(waiting_for=self.value(), stop=None, status__in=self.live)


@admin.register(Run)
class RunAdmin(LeverPages):
    list_display = (
        *("workflow", "id", "company", "status", "waiting_for", "rollback"),
        *("created_at", "finished_at"),
    )
    list_display_links = ("workflow", "id")
    list_filter = ("status", WaitingForFilter, "rollback", WorkflowFilter)
    search_fields = ("pk",)  # that it is not empty shows the field; see get_search_results
    search_help_text = "A run's id, a company or an idempotency key, whole"
    ordering = ("-created_at",)
    large = RUN_DATA
    inlines = (StepRunInline, ActionInline)
    fields = (
        *("workflow", "status", "waiting_for", "rollback", "what_went_wrong", "company", "env"),
        *(
            "input",
            "output",
            "where_it_went_wrong",
            "stop",
            "created_at",
            "started_at",
            "finished_at",
        ),
        *("deadline_at", "expires_at", "related_runs", "definition", "queue", "priority"),
        *("generation", "pivoted", "idempotency_key", "correlation_id", "depth"),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Find whole keys only, by index; the admin's own way compares texts in any case."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            return queryset.filter(Q(company=term) | Q(idempotency_key=term)), False

    def get_inlines(self, request: HttpRequest, obj: Run | None = None) -> Any:
        is_acted_on = obj is not None and obj.actions.exists()
        return self.inlines if is_acted_on else (StepRunInline,)

    @admin.display(description="What went wrong")
    def what_went_wrong(self, run: Run) -> str:
        return summary(run.error) or "nothing"

    @admin.display(description="Traceback")
    def where_it_went_wrong(self, run: Run) -> str:
        return traceback(run.error)

    @admin.display(description="Related runs")
    def related_runs(self, run: Run) -> str:
        """Link to the run that started this one, its child runs and its forks."""
        related: list[tuple[str, Any]] = []
        if run.parent is not None:
            related.append(("started by", run.parent.run_id))
        if run.forked_from_id is not None:
            related.append(("forked from", run.forked_from_id))
        children = Run.objects.filter(parent__run=run).order_by("pk")[:MOST_LINKS]
        related += [("child", pk) for pk in children.values_list("pk", flat=True)]
        forks = run.forks.order_by("pk")[:MOST_LINKS]
        related += [("forked to", pk) for pk in forks.values_list("pk", flat=True)]
        return format_html_join("", "<div>{} {}</div>", [(what, _link(pk)) for what, pk in related])


def _link(pk: UUID) -> SafeString:
    page = reverse("admin:jobs_run_change", args=(pk,))
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', page, pk
    )
