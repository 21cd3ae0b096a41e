"""A window on events and deliveries, and the form for subscriptions.

Secrets and custom headers go in and never come out: the form shows what is set, not its value.
"""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from jobs.admin import ReadOnly, Recorded
from subscriptions import services
from subscriptions.forms import SubscriptionForm, shown_config
from subscriptions.models import Delivery, DeliveryAttempt, Event, RelayCursor, Subscription


@admin.register(Event)
class EventAdmin(Recorded):
    list_display = (
        "seq",
        "company",
        "type",
        "table",
        "operation",
        "record_id",
        "timestamp",
        "source",
    )
    list_filter = ("source", "operation")
    search_fields = ("=company", "=table", "=type")
    search_help_text = "A company, a table or a type, whole"
    ordering = ("-seq",)


class DeliveryAttemptInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = DeliveryAttempt
    fields = (
        "generation",
        "number",
        "status",
        "started_at",
        "duration",
        "status_code",
        "response",
        "error",
    )
    readonly_fields = fields
    ordering = ("id",)
    extra = 0


@admin.register(Delivery)
class DeliveryAdmin(Recorded):
    list_display = (
        "id",
        "company",
        "subscription_name",
        "handler_type",
        "status",
        "attempts",
        "due_at",
        "created_at",
    )
    list_filter = ("status", "handler_type")
    search_fields = ("=company",)
    search_help_text = "A company, whole"
    ordering = ("-id",)
    inlines = (DeliveryAttemptInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        # Not select_related: its inner join would hide the deliveries of a deleted subscription.
        name = Subscription.objects.filter(pk=OuterRef("subscription_id")).values("name")
        rows: QuerySet[Delivery] = super().get_queryset(request)
        return rows.annotate(subscription_name=Subquery(name[:1]))

    @admin.display(description="subscription", empty_value="(deleted)")
    def subscription_name(self, delivery: Delivery) -> str | None:
        name: str | None = getattr(delivery, "subscription_name", None)
        return name


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(Recorded):
    list_display = (
        "id",
        "delivery_id",
        "number",
        "status",
        "status_code",
        "started_at",
        "duration",
        "error",
    )
    list_filter = ("status",)
    ordering = ("-id",)


@admin.register(RelayCursor)
class RelayCursorAdmin(Recorded):
    list_display = ("shard", "last_seq", "seen", "reading", "moved_at")
    ordering = ("shard",)


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
