"""The restocking tables in the admin."""

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from jobs.admin import CompanyScoped, OwnedByCompany
from jobs.workflows.restock.models import (
    RestockOrder,
    RestockOrderItem,
    RestockRequest,
    Supplier,
    SupplierNotice,
)


@admin.register(Supplier)
class SupplierAdmin(CompanyScoped, ModelAdmin):  # type: ignore[misc]  # overrides on purpose
    company_field = None
    list_display = ("name", "id", "email", "accepts_orders")
    list_filter = ("accepts_orders",)
    search_fields = ("name",)


@admin.register(RestockRequest)
class RestockRequestAdmin(OwnedByCompany, ModelAdmin):  # type: ignore[misc]  # as above
    list_display = ("id", "company", "supplier_id", "created_at")
    ordering = ("-id",)
    show_full_result_count = False


class ItemInline(TabularInline):
    model = RestockOrderItem
    extra = 0


@admin.register(RestockOrder)
class RestockOrderAdmin(OwnedByCompany, ModelAdmin):  # type: ignore[misc]  # as above
    list_display = (
        "id",
        "company",
        "supplier",
        "status",
        "total_items",
        "total_cost",
        "created_at",
    )
    list_filter = ("status",)
    list_select_related = ("supplier",)
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (ItemInline,)


@admin.register(SupplierNotice)
class SupplierNoticeAdmin(CompanyScoped, ModelAdmin):  # type: ignore[misc]  # as above
    company_field = None
    list_display = ("supplier", "order_number", "kind", "created_at")
    list_filter = ("kind",)
    list_select_related = ("supplier",)
    ordering = ("-id",)
    show_full_result_count = False
