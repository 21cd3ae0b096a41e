"""Events that wait for their time: what will be published when, moved and cancelled here."""

import json
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from jobs.admin import CompanyScoped, SearchedByKey
from jobs.admin.rows import CappedPaginator
from jobs.counting import counted
from subscriptions import scheduled
from subscriptions.models import ScheduledEvent
from subscriptions.scheduled import LONGEST, Moment

LEEWAY = timedelta(minutes=5)  # between this machine's clock and the database's
GONE = "Nothing was changed: it has been published, or cancelled, meanwhile."


class MoveForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Only the time: what the event says is its publisher's."""

    class Meta:
        model = ScheduledEvent
        fields = ("due_at",)

    def clean_due_at(self) -> Any:
        due_at = self.cleaned_data["due_at"]
        if not timezone.now() - LONGEST < due_at < timezone.now() + LONGEST - LEEWAY:
            raise forms.ValidationError("A year from now at most; what has passed means at once.")
        return due_at


@admin.register(ScheduledEvent)
class ScheduledEventAdmin(CompanyScoped, SearchedByKey, ModelAdmin):  # type: ignore[misc]  # overrides on purpose
    form = MoveForm
    list_display = ("type", "key", "company", "due_at", "created_at", "updated_at")
    search_fields = ("=company", "=type", "=key")
    search_help_text = "A company, a type or a key, whole"
    ordering = ("due_at", "id")
    paginator = CappedPaginator
    show_full_result_count = False
    actions = ("cancel_events",)
    fields = (
        *("due_at", "type", "key", "company", "shown_payload", "version", "id"),
        *("correlation_id", "depth", "created_at", "updated_at"),
    )

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in self.fields if name != "due_at"]

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # `cancel_events` is its name here
        return actions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="payload")
    def shown_payload(self, event: ScheduledEvent) -> str:
        payload = event.payload
        text = payload if isinstance(payload, str) else json.dumps(payload, indent=2)
        return format_html('<pre class="traceback">{}</pre>', text)

    @admin.action(description="Cancel the chosen events", permissions=["delete"])
    def cancel_events(self, request: HttpRequest, chosen: QuerySet[ScheduledEvent]) -> None:
        found = scheduled.cancel(chosen)
        self.message_user(request, f"{counted(found, 'event')} cancelled.", messages.SUCCESS)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not scheduled.move([obj.pk], moment=Moment(at=obj.due_at)):
            self.message_user(request, GONE, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        if not scheduled.cancel(ScheduledEvent.objects.filter(pk=obj.pk)):
            self.message_user(request, GONE, messages.WARNING)
