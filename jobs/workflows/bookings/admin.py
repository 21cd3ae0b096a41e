"""The booking tables in the admin: to be seen, never changed."""

from django.contrib import admin

from jobs.admin import RecordedOfCompany
from jobs.workflows.bookings.models import Activity, Appointment, Message, Payment


@admin.register(Appointment)
class AppointmentAdmin(RecordedOfCompany):
    list_display = (
        *("appointment_id", "company", "status", "starts_at", "name", "reminded_for"),
        "changed_at",
    )
    list_filter = ("status",)
    search_fields = ("=appointment_id", "=company")
    search_help_text = "An appointment's id or a company, whole"
    ordering = ("-id",)


@admin.register(Activity)
class ActivityAdmin(RecordedOfCompany):
    list_display = ("event_type", "subject", "text", "company", "created_at")
    search_fields = ("=subject", "=company")
    search_help_text = "What it is about, such as a booking's id, or a company, whole"
    ordering = ("-id",)


@admin.register(Message)
class MessageAdmin(RecordedOfCompany):
    list_display = ("channel", "user", "address", "template", "company", "sent_at")
    list_filter = ("channel",)
    search_fields = ("=user", "=address", "=company")
    search_help_text = "A user, an address or a company, whole"
    ordering = ("-id",)


@admin.register(Payment)
class PaymentAdmin(RecordedOfCompany):
    list_display = (
        *("payment_id", "company", "status", "amount", "currency", "tries"),
        *("last_answer", "updated_at"),
    )
    list_filter = ("status",)
    search_fields = ("=payment_id", "=company")
    search_help_text = "A payment's id or a company, whole"
    ordering = ("-id",)
