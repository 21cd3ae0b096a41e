"""What is kept beside runs: definitions, what people and clocks did, waits and limits."""

from django.contrib import admin
from unfold.admin import TabularInline

from jobs.admin.companies import RecordedOfCompany, RecordedOfRun
from jobs.admin.rows import RUN_DATA, STEP_DATA, ReadOnly, of
from jobs.models import Action, Definition, Firing, Hold, Wait


@admin.register(Definition)
class DefinitionAdmin(RecordedOfCompany):
    company_field = None  # code, which is the platform's
    list_display = ("workflow", "hash", "created_at")
    large = ("plan",)
    search_fields = ("=workflow",)
    ordering = ("-created_at",)


class ActionInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Action
    verbose_name_plural = "What people did"
    fields = ("name", "node", "by", "reason", "created_at")
    readonly_fields = fields
    ordering = ("id",)
    extra = 0


@admin.register(Action)
class ActionAdmin(RecordedOfRun):
    list_display = ("name", "run", "node", "by", "reason", "created_at")
    list_filter = ("name",)
    list_select_related = ("run",)
    large = of("run", RUN_DATA)
    search_fields = ("=run__id", "=by")
    search_help_text = "A run's id or who acted, whole"
    ordering = ("-id",)


@admin.register(Firing)
class FiringAdmin(RecordedOfRun):
    list_display = ("workflow", "slot", "outcome", "run", "created_at")
    list_filter = ("outcome",)
    list_select_related = ("run",)
    large = of("run", RUN_DATA)
    search_fields = ("=workflow",)
    search_help_text = "A workflow's name, whole"
    ordering = ("-id",)


@admin.register(Wait)
class WaitAdmin(RecordedOfRun):
    list_display = ("event_type", "match", "run", "step_run", "company", "created_at")
    list_select_related = ("run", "step_run")
    large = (*of("run", RUN_DATA), *of("step_run", STEP_DATA))
    search_fields = ("=event_type", "=company", "=run__id")
    search_help_text = "An event's type, a company or a run's id, whole"
    ordering = ("-created_at",)


@admin.register(Hold)
class HoldAdmin(RecordedOfRun):
    list_display = ("name", "key", "run", "step_run", "fence")
    list_select_related = ("run", "step_run")
    large = (*of("run", RUN_DATA), *of("step_run", STEP_DATA))
    search_fields = ("=name", "=run__id")
    search_help_text = "A limit's name or a run's id, whole"
    ordering = ("-id",)
