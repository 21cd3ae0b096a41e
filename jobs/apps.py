"""The workflow engine as a Django app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the authors' API to the engine, then find every installed app's `workflows`
        module.
        """
        from jobs import checks, in_step, services, tasks  # noqa: F401 - models exist from here on
        from jobs.ports import ports
        from jobs.registry import registry

        ports.engine = services
        ports.control = services
        ports.steps = in_step
        ports.register_task = tasks.register
        autodiscover_modules("workflows")
        registry.seal()
