"""The list of subscriptions; their pages are in the modules beside.

Secrets and custom headers go in and never come out: the form shows what is set, not its value.
"""

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest

from subscriptions.admin.editing import EditingPages
from subscriptions.admin.filters import HandlerTypeFilter
from subscriptions.admin.levers import LeverPages
from subscriptions.admin.secret import SecretPages
from subscriptions.admin.testing import TestPages
from subscriptions.admin.whys import WhyPages
from subscriptions.models import Gate, Subscription

# Asked for the rows of the page alone: of each subscription the newest hundred, by index.
ARRIVED = """
(SELECT round(100.0 * count(*) FILTER (WHERE d.status IN ('delivered', 'superseded'))
    / NULLIF(count(*), 0), 1)
FROM (
    SELECT status FROM event_system_delivery
    WHERE subscription_id = event_system_subscription.id ORDER BY id DESC LIMIT 100
) AS d WHERE d.status IN ('delivered', 'superseded', 'dead', 'expired', 'blocked'))
"""


@admin.register(Subscription)
class SubscriptionAdmin(  # type: ignore[misc]  # as ModelAdmin itself
    LeverPages, TestPages, SecretPages, WhyPages, EditingPages
):
    list_display = (
        *("name", "company", "source", "handler_type", "state", "arrived", "updated_at"),
    )
    list_filter = ("active", HandlerTypeFilter)
    search_fields = ("name", "company__exact", "table__exact", "event_type__exact")
    ordering = ("company", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        broken = Gate.objects.filter(pk=OuterRef("pk"), open_until__isnull=False)
        rows: QuerySet[Subscription] = super().get_queryset(request)
        return rows.annotate(is_broken=Exists(broken), percent=RawSQL(ARRIVED, []))  # noqa: S611 - a constant

    @admin.display(description="watches")
    def source(self, subscription: Subscription) -> str:
        return subscription.table or subscription.event_type or ""

    @admin.display(description="state")
    def state(self, subscription: Subscription) -> str:
        """What keeps it from delivering, the gravest first."""
        if subscription.invalid_reason:
            return "invalid"
        if not subscription.active:
            return "disabled" if subscription.disabled_reason else "not active"
        if subscription.paused_at is not None:
            return "paused"
        return "breaker open" if getattr(subscription, "is_broken", False) else "active"

    @admin.display(description="arrived of last 100", empty_value="—")
    def arrived(self, subscription: Subscription) -> str | None:
        percent = getattr(subscription, "percent", None)
        return None if percent is None else f"{percent} %"
