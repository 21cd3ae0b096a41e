"""The form for subscriptions and their list.

Secrets and custom headers go in and never come out: the form shows what is set, not its value.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from subscriptions import services
from subscriptions.forms import SubscriptionForm, shown_config
from subscriptions.models import Subscription


@admin.register(Subscription)
class SubscriptionAdmin(ModelAdmin):
    form = SubscriptionForm
    list_display = (
        "name",
        "company",
        "source",
        "handler_type",
        "active",
        "paused_at",
        "invalid_reason",
        "updated_at",
    )
    list_filter = ("active", "handler_type")
    search_fields = ("name", "=company", "=table", "=event_type")
    ordering = ("company", "name")
    show_full_result_count = False

    fields = (
        "name",
        "company",
        "table",
        "event_type",
        "operations",
        "filter",
        "handler_type",
        "config",
        "headers",
        "signing_secret",
        "active",
        "attempts",
        "backoff",
        "state",
    )
    readonly_fields = ("state",)

    @admin.display(description="watches")
    def source(self, subscription: Subscription) -> str:
        return subscription.table or subscription.event_type or ""

    @admin.display(description="state")
    def state(self, subscription: Subscription) -> str:
        if subscription.invalid_reason:
            return f"invalid: {subscription.invalid_reason}"
        return "has a signing secret" if subscription.secret else "no signing secret yet"

    @admin.display(description="config")
    def shown_config(self, subscription: Subscription) -> str:
        return str(shown_config(subscription))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self._can_edit(request, obj):
            return self.fields
        # What is shown without a form is the row itself: leave out what must not be read.
        kept = [name for name in self.fields if name not in ("headers", "signing_secret")]
        return ["shown_config" if name == "config" else name for name in kept]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = ("state", "shown_config")
        return fixed if obj is None else (*fixed, "name", "company")

    def _can_edit(self, request: HttpRequest, obj: Any) -> bool:
        if obj is None:
            return bool(self.has_add_permission(request))
        return bool(self.has_change_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.pk = services.save_subscription(obj).pk
