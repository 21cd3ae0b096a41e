"""Deliveries and their attempts: what was sent, what was answered, how long it took."""

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from jobs.admin import ReadOnly, RecordedOfCompany
from jobs.admin.companies import company_of
from jobs.admin.rows import MOST_COUNTED
from subscriptions.admin.filters import HandlerTypeFilter
from subscriptions.deliveries.ownership import deliveries_of
from subscriptions.errors import SubscriptionsError
from subscriptions.examples import of_delivery
from subscriptions.models import Delivery, DeliveryAttempt, Subscription

MOST_LINKED = 200  # a line of a request has 4,094 characters at most


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
    list_filter = ("status", HandlerTypeFilter)
    search_fields = ("=company",)
    search_help_text = "A company, or a delivery's number, whole"
    ordering = ("-id",)
    inlines = (DeliveryAttemptInline,)
    actions = ("replay_deliveries",)
    fields = (
        *("status", "error", "subscription_link", "event_link", "shown_request", "company"),
        *("handler_type", "attempts", "generation", "due_at", "created_at", "finished_at"),
        *("record_key", "batch_id"),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Find by the subscriptions of a company: no index knows the companies of deliveries."""
        if not (term := search_term.strip()):
            return queryset, False
        if term.isascii() and term.isdigit():
            return queryset.filter(pk=int(term[:20])), False
        return deliveries_of(queryset, term), False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("subscriptions.change_subscription")

    @admin.action(description="Replay the chosen deliveries", permissions=["replay"])
    def replay_deliveries(
        self, request: HttpRequest, chosen: QuerySet[Delivery]
    ) -> HttpResponse | None:
        """Go to the page that counts them first."""
        found = list(chosen.values_list("subscription_id", "pk")[: MOST_LINKED + 1])
        if len({subscription_id for subscription_id, _ in found}) != 1 or len(found) > MOST_LINKED:
            text = f"Choose deliveries of one subscription, {MOST_LINKED} at most."
            self.message_user(request, text, messages.ERROR)
            return None
        page = reverse("admin:subscriptions_subscription_replay", args=(found[0][0],))
        return redirect(f"{page}?delivery={','.join(str(pk) for _, pk in found)}")

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
        replay = reverse(
            "admin:subscriptions_subscription_replay", args=(delivery.subscription_id,)
        )
        why = reverse("admin:subscriptions_subscription_why", args=(delivery.subscription_id,))
        return format_html(
            "{} · {} · {}",
            _link(page, name),
            _link(f"{why}?event={delivery.event_uuid}", "why"),
            _link(f"{replay}?delivery={delivery.pk}", "replay"),
        )

    @admin.display(description="event")
    def event_link(self, delivery: Delivery) -> str:
        page = reverse("admin:subscriptions_event_change", args=(delivery.event_id,))
        return _link(page, str(delivery.event_uuid))

    @admin.display(description="request")
    def shown_request(self, delivery: Delivery) -> str:
        """Show what the subscription, as it is now, makes of the event, and say so."""
        try:
            preview = of_delivery(delivery)
        except SubscriptionsError as error:
            return str(error)
        return render_to_string("admin/subscriptions/request.html", {"preview": preview})

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

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeliveryAttempt]:
        """Of a company, list those of its newest deliveries: to find all would read every try."""
        rows: QuerySet[DeliveryAttempt] = super().get_queryset(request)
        company, route = company_of(request), request.resolver_match
        if company is None or route is None or not str(route.url_name).endswith("_changelist"):
            return rows
        newest = deliveries_of(Delivery.objects.order_by("-pk"), company).values("pk")
        return DeliveryAttempt.objects.filter(delivery_id__in=newest[:MOST_COUNTED])
