"""The shipped billing jobs as a Django app with its own tables."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "jobs.workflows.billing"
    label = "billing"
    default_auto_field = "django.db.models.BigAutoField"
