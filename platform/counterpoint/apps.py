"""The project as a Django app: what it counts, and what it tells operators of."""

from django.apps import AppConfig


class CounterpointConfig(AppConfig):
    name = "counterpoint"

    def ready(self) -> None:
        """Have the relay's process count, and see to the alerts, beside its work."""
        from counterpoint import checks  # noqa: F401 - registers itself
        from counterpoint.monitoring import watch
        from subscriptions import relaying

        relaying.BESIDE.append(watch.begin)
