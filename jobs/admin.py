"""A window on runs: everything can be seen, runs can be cancelled, nothing is edited by hand."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from jobs import services
from jobs.models import Attempt, Definition, Join, Run, StepRun


class ReadOnly:
    """Rows that only the engine writes."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StepRunInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = StepRun
    fields = ("node", "phase", "status", "attempts", "started_at", "finished_at", "worker")
    readonly_fields = fields
    ordering = ("id",)
    show_change_link = True
    extra = 0


class AttemptInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Attempt
    fields = ("number", "outcome", "started_at", "finished_at", "worker", "error")
    readonly_fields = fields
    ordering = ("number",)
    extra = 0


@admin.register(Run)
class RunAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = (
        "workflow",
        "id",
        "company",
        "status",
        "rollback",
        "created_at",
        "finished_at",
    )
    list_display_links = ("workflow", "id")
    list_filter = ("status", "rollback", "workflow")
    search_fields = ("=id", "=company", "=idempotency_key")
    search_help_text = "A run's id, a company or an idempotency key, whole"
    ordering = ("-created_at",)
    show_full_result_count = False
    inlines = (StepRunInline,)
    actions = ("cancel_runs",)
    fields = (
        *("workflow", "status", "rollback", "what_went_wrong", "company", "env"),
        *("input", "output", "error", "stop", "created_at", "started_at", "finished_at"),
        *("definition", "queue", "generation", "idempotency_key", "correlation_id", "depth"),
    )

    @admin.display(description="What went wrong")
    def what_went_wrong(self, run: Run) -> str:
        if not run.error:
            return "nothing"
        return f"{run.error['node']}: {run.error['type']}: {run.error['message']}"

    @admin.action(description="Cancel the chosen runs and undo what they completed")
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        reason = f"cancelled in the admin by {request.user}"
        asked = list(queryset.values_list("pk", flat=True))
        cancelled = sum(services.cancel(pk, reason=reason) for pk in asked)
        level = messages.SUCCESS if cancelled == len(asked) else messages.WARNING
        self.message_user(
            request, f"{cancelled} of {len(asked)} runs cancelled; the others have ended.", level
        )


@admin.register(StepRun)
class StepRunAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("node", "run", "phase", "status", "attempts", "started_at", "finished_at")
    list_filter = ("status", "phase")
    list_select_related = ("run",)
    search_fields = ("=run__id",)
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (AttemptInline,)


@admin.register(Attempt)
class AttemptAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("step_run", "number", "outcome", "started_at", "finished_at", "worker")
    list_filter = ("outcome",)
    list_select_related = ("step_run",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Definition)
class DefinitionAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("workflow", "hash", "created_at")
    search_fields = ("=workflow",)
    ordering = ("-created_at",)
    show_full_result_count = False


@admin.register(Join)
class JoinAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "run", "generation", "live")
    list_select_related = ("run",)
    ordering = ("-id",)
    show_full_result_count = False
