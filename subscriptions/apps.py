"""The event system as a Django app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Offer events to the engine, then find every installed app's event types and handlers, and
        the shipped handlers.
        """
        from jobs.ports import ports
        from subscriptions import checks, handlers, runs  # noqa: F401 - registers itself

        ports.events = runs
        handlers.load_shipped()
        autodiscover_modules("events", "handlers")
