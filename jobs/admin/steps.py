"""Steps of runs and their attempts."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from jobs.admin.companies import RecordedOfRun
from jobs.admin.rows import RUN_DATA, STEP_DATA, ReadOnly, of, summary, traceback
from jobs.models import Attempt, Join, StepRun
from jobs.plan import Kind


@admin.display(description="How far")
def _how_far(_: object, step: StepRun) -> str:
    """Return the progress, what is waited for, or the way to the items."""
    if step.kind == Kind.EACH:
        return _items_link(step)
    if step.waiting_for:
        return f"waiting for {step.waiting_for}"
    if step.progress is None:
        return ""
    return f"{step.progress:.0%} {step.progress_note or ''}".rstrip()


def _items_link(step: StepRun) -> SafeString:
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}?run={}&each={}">items</a>',
        reverse("admin:jobs_steprun_changelist"),
        step.run_id,
        step.node,
    )


class StepRunInline(ReadOnly, TabularInline):  # type: ignore[misc]
    """A run's steps; the items of an `each`, which may be thousands, have a list of their own."""

    model = StepRun
    fields = (
        *("node", "kind", "phase", "status", "how_far", "attempts", "started_at", "finished_at"),
        "worker",
    )
    readonly_fields = fields
    ordering = ("id",)
    show_change_link = True
    extra = 0
    how_far = _how_far

    def get_queryset(self, request: HttpRequest) -> QuerySet[StepRun]:
        rows: QuerySet[StepRun] = super().get_queryset(request)
        return rows.filter(each=None).defer("value", "output", "undo", "needs")


@admin.display(description="Error")
def _what(_: object, row: StepRun | Attempt) -> str:
    return summary(row.error)


@admin.display(description="Traceback")
def _where(_: object, row: StepRun | Attempt) -> str:
    return traceback(row.error)


class AttemptInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Attempt
    fields = ("number", "outcome", "what_went_wrong", "started_at", "finished_at", "worker")
    what_went_wrong = _what
    readonly_fields = fields
    ordering = ("number",)
    extra = 0


@admin.register(StepRun)
class StepRunAdmin(RecordedOfRun):
    list_display = ("node", "run", "kind", "phase", "status", "how_far", "attempts", "finished_at")
    list_filter = ("status", "phase")
    list_select_related = ("run",)
    search_fields = ("=run__id",)
    ordering = ("-id",)
    large = (*STEP_DATA, *of("run", RUN_DATA))
    inlines = (AttemptInline,)
    how_far = _how_far
    what_went_wrong = _what
    where_it_went_wrong = _where
    fields = (
        *("node", "step", "run", "kind", "phase", "status", "how_far", "what_went_wrong"),
        *("value", "output", "undo", "where_it_went_wrong", "attempts", "spent", "generation"),
        *("queue", "worker", "due_at", "wake_at", "lease_until", "started_at", "finished_at"),
        *("each", "item", "inherited", "needs", "fence", "limit_name", "limit_key"),
    )


@admin.register(Attempt)
class AttemptAdmin(RecordedOfRun):
    run_field = "step_run__run"
    list_display = ("step_run", "number", "outcome", "started_at", "finished_at", "worker")
    fields = (
        *("step_run", "number", "outcome", "what_went_wrong", "where_it_went_wrong"),
        *("started_at", "finished_at", "worker"),
    )
    what_went_wrong = _what
    where_it_went_wrong = _where
    list_filter = ("outcome",)
    list_select_related = ("step_run",)
    large = ("error", *of("step_run", STEP_DATA))
    ordering = ("-id",)


@admin.register(Join)
class JoinAdmin(RecordedOfRun):
    list_display = ("name", "run", "generation", "live")
    list_select_related = ("run",)
    large = of("run", RUN_DATA)
    ordering = ("-id",)
