"""The shipped booking workflows as a Django app with its own tables."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    name = "jobs.workflows.bookings"
    label = "bookings"
    default_auto_field = "django.db.models.BigAutoField"
