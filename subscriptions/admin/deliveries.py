"""Deliveries and their attempts: what was sent, what was answered, how long it took."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from jobs.admin import ReadOnly, RecordedOfCompany
from subscriptions.errors import SubscriptionsError
from subscriptions.examples import of_delivery
from subscriptions.models import Delivery, DeliveryAttempt, Subscription


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


def deliveries_of(rows: QuerySet[Any], company: str) -> QuerySet[Any]:
    """Return the deliveries to the company's own subscriptions.

    A delivery's `company` is its event's: a subscription of the platform gets those of all.
    """
    own = Subscription.objects.filter(company=company)
    return rows.filter(subscription_id__in=own.values("pk"))


@admin.register(Delivery)
class DeliveryAdmin(RecordedOfCompany):
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
    fields = (
        *("status", "error", "subscription_link", "event_link", "shown_request", "company"),
        *("handler_type", "attempts", "generation", "due_at", "created_at", "finished_at"),
        *("record_key", "batch_id"),
    )

    def of_company(self, rows: QuerySet[Delivery], company: str) -> QuerySet[Delivery]:
        return deliveries_of(rows, company)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        # Not select_related: its inner join would hide the deliveries of a deleted subscription.
        name = Subscription.objects.filter(pk=OuterRef("subscription_id")).values("name")
        rows: QuerySet[Delivery] = super().get_queryset(request)
        return rows.annotate(subscription_name=Subquery(name[:1]))

    @admin.display(description="subscription", empty_value="(deleted)")
    def subscription_link(self, delivery: Delivery) -> str | None:
        name = self.subscription_name(delivery)
        if name is None:
            return None
        page = reverse("admin:subscriptions_subscription_change", args=(delivery.subscription_id,))
        why = reverse("admin:subscriptions_subscription_why", args=(delivery.subscription_id,))
        return format_html(
            "{} · {}", _link(page, name), _link(f"{why}?event={delivery.event_uuid}", "why")
        )

    @admin.display(description="event")
    def event_link(self, delivery: Delivery) -> str:
        page = reverse("admin:subscriptions_event_change", args=(delivery.event_id,))
        return _link(page, str(delivery.event_uuid))

    @admin.display(description="request")
    def shown_request(self, delivery: Delivery) -> str:
        """What the subscription, as it is now, makes of the event."""
        try:
            preview = of_delivery(delivery)
        except SubscriptionsError as error:
            return str(error)
        except Exception as error:  # an event or a config that a handler stumbles over
            return f"cannot be shown: {type(error).__name__}"
        return render_to_string("admin/subscriptions/preview.html", {"preview": preview})

    @admin.display(description="subscription", empty_value="(deleted)")
    def subscription_name(self, delivery: Delivery) -> str | None:
        name: str | None = getattr(delivery, "subscription_name", None)
        return name


def _link(page: str, text: str) -> SafeString:
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', page, text
    )


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(RecordedOfCompany):
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

    def of_company(
        self, rows: QuerySet[DeliveryAttempt], company: str
    ) -> QuerySet[DeliveryAttempt]:
        own = deliveries_of(Delivery.objects.filter(pk=OuterRef("delivery_id")), company)
        return rows.filter(Exists(own))
