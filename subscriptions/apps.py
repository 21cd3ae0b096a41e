"""The event system as a Django app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Find every installed app's event types and handlers, and the shipped handlers."""
        from subscriptions import checks, handlers  # noqa: F401 - registers itself

        handlers.load_shipped()
        autodiscover_modules("events", "handlers")
