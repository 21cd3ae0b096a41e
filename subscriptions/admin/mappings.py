"""Records at accounting providers, and the companies' connections to those."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.admin import ModelAdmin

from jobs.admin import CompanyScoped, RecordedOfCompany, SearchedByKey
from jobs.admin.companies import company_of
from jobs.counting import counted
from subscriptions.admin.filters import EntityFilter, ProviderFilter
from subscriptions.forms.connection import ConnectionForm
from subscriptions.handlers.sync.connecting import connect
from subscriptions.handlers.sync.resending import send_again
from subscriptions.models import ExternalConnection, ExternalMapping


@admin.register(ExternalMapping)
class ExternalMappingAdmin(RecordedOfCompany):
    list_display = (
        *("record_id", "company", "entity", "provider", "external_id", "status"),
        *("short_error", "last_synced_at"),
    )
    list_filter = ("status", ProviderFilter, EntityFilter)
    search_fields = ("=company", "=record_id", "=external_id")
    search_help_text = "A company, a record's id or its id at the provider, whole"
    ordering = ("-id",)
    large = ("pending_payload",)
    actions = ("send_records_again",)
    fields = (
        *("status", "last_error", "company", "entity", "table", "record_id", "provider"),
        "tenant_id",
        *("external_id", "last_synced_at", "delivery", "created_at", "updated_at"),
    )

    @admin.display(description="last error")
    def short_error(self, mapping: ExternalMapping) -> str:
        return Truncator(mapping.last_error).chars(120)

    @admin.display(description="last delivery")
    def delivery(self, mapping: ExternalMapping) -> str:
        if mapping.delivery_id is None:
            return "-"
        page = reverse("admin:subscriptions_delivery_change", args=(mapping.delivery_id,))
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
            page,
            mapping.delivery_id,
        )

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("subscriptions.change_externalmapping")

    @admin.action(description="Send the chosen records again", permissions=["send"])
    def send_records_again(self, request: HttpRequest, queryset: QuerySet[ExternalMapping]) -> None:
        chosen = list(queryset.values_list("pk", flat=True))
        result = send_again(chosen)
        text = f"{result.sent} of {counted(len(chosen), 'record')} on the way."
        level = messages.WARNING if result.problems else messages.SUCCESS
        self.message_user(request, " ".join([text, *result.problems]), level)


@admin.register(ExternalConnection)
class ExternalConnectionAdmin(CompanyScoped, SearchedByKey, ModelAdmin):  # type: ignore[misc]  # overrides on purpose
    """Tokens go in and never come out; a saved form replaces them."""

    form = ConnectionForm
    list_display = (
        *("company", "provider", "tenant_id", "status", "error", "expires_at"),
        *("refreshed_at", "connected_at"),
    )
    list_filter = (ProviderFilter, "status")
    search_fields = ("=company", "=tenant_id")
    ordering = ("company", "provider")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExternalConnection]:
        rows: QuerySet[ExternalConnection] = super().get_queryset(request)
        return rows.defer("access_token", "refresh_token")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)  # a class of its own
        form.company_fixed = company_of(request) if obj is None else None
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["company", "provider", "tenant_id"]
        if obj is None and company_of(request) is not None:
            fields.remove("company")
        if obj is None or self.has_change_permission(request, obj):
            fields += ["new_refresh_token", "new_access_token", "seconds_to_live"]
        return fields if obj is None else [*fields, "status", "error", "expires_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("company", "provider", "status", "error", "expires_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        tokens = form.tokens()
        company = obj.company or None
        if not change and (own := company_of(request)) is not None:
            company = own
        obj.pk = connect(
            company=company,
            provider=obj.provider,
            tenant_id=obj.tenant_id,
            over=change,
            **tokens,
        ).pk
