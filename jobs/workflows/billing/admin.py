"""The billing tables in the admin: to be seen, never changed."""

from django.contrib import admin

from jobs.admin import RecordedOfCompany
from jobs.workflows.billing.models import Customer, CustomerProduct


@admin.register(Customer)
class CustomerAdmin(RecordedOfCompany):
    list_display = ("customer_id", "company", "env", "name", "email", "created_at")
    list_filter = ("env",)
    search_fields = ("=customer_id", "=company")
    search_help_text = "A customer's id or a company, whole"
    ordering = ("-id",)


@admin.register(CustomerProduct)
class CustomerProductAdmin(RecordedOfCompany):
    company_field = "customer__company"
    list_display = (
        *("customer_product_id", "customer", "product_id", "status", "quantity"),
        *("started_at", "canceled_at"),
    )
    list_filter = ("status",)
    list_select_related = ("customer",)
    search_fields = ("=customer_product_id",)
    search_help_text = "The id of a customer's product, whole"
    ordering = ("-id",)
