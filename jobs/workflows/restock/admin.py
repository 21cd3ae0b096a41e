"""The restocking tables in the admin."""

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from jobs.workflows.restock.models import (
    RestockOrder,
    RestockOrderItem,
    RestockRequest,
    Supplier,
    SupplierNotice,
)


@admin.register(Supplier)
class SupplierAdmin(ModelAdmin):
    list_display = ("name", "id", "email", "accepts_orders")
    list_filter = ("accepts_orders",)
    search_fields = ("name",)


@admin.register(RestockRequest)
class RestockRequestAdmin(ModelAdmin):
    list_display = ("id", "company", "supplier_id", "created_at")
    ordering = ("-id",)
    show_full_result_count = False


class ItemInline(TabularInline):
    model = RestockOrderItem
    extra = 0


@admin.register(RestockOrder)
class RestockOrderAdmin(ModelAdmin):
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
class SupplierNoticeAdmin(ModelAdmin):
    list_display = ("supplier", "order_number", "kind", "created_at")
    list_filter = ("kind",)
    list_select_related = ("supplier",)
    ordering = ("-id",)
    show_full_result_count = False
