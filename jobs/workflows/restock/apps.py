"""The shipped restocking workflow as a Django app with its own tables."""

from django.apps import AppConfig


class RestockConfig(AppConfig):
    name = "jobs.workflows.restock"
    label = "restock"
    default_auto_field = "django.db.models.BigAutoField"
