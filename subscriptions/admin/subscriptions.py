"""The list of subscriptions; their pages are in the modules beside.

Secrets and custom headers go in and never come out: the form shows what is set, not its value.
"""

from django.contrib import admin

from subscriptions.admin.editing import EditingPages
from subscriptions.admin.levers import LeverPages
from subscriptions.admin.secret import SecretPages
from subscriptions.admin.testing import TestPages
from subscriptions.admin.whys import WhyPages
from subscriptions.models import Subscription


@admin.register(Subscription)
class SubscriptionAdmin(  # type: ignore[misc]  # as ModelAdmin itself
    LeverPages, TestPages, SecretPages, WhyPages, EditingPages
):
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

    @admin.display(description="watches")
    def source(self, subscription: Subscription) -> str:
        return subscription.table or subscription.event_type or ""
