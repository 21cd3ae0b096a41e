"""Incidents, to be seen: rules open and close them."""

from django.contrib import admin
from unfold.admin import TabularInline

from counterpoint.models import Incident, Notice
from jobs.admin import ReadOnly, RecordedOfCompany


class NoticeInline(ReadOnly, TabularInline):  # type: ignore[misc] # as in jobs.admin
    model = Notice
    verbose_name_plural = "Messages"
    fields = ("kind", "channel", "attempts", "due_at", "sent_at", "given_up_at", "error")
    readonly_fields = fields
    ordering = ("id",)
    extra = 0


@admin.register(Incident)
class IncidentAdmin(RecordedOfCompany):
    company_field = None
    list_display = (
        *("rule", "subject", "status", "text", "value"),
        *("began_at", "opened_at", "closed_at"),
    )
    list_filter = ("status", "rule")
    search_fields = ("=subject", "=rule")
    search_help_text = "A subject or a rule, whole"
    ordering = ("-id",)
    inlines = (NoticeInline,)
