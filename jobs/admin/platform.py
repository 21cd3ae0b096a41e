"""Pages that other apps bring: users, schedules and results are the platform's, of no company."""

from importlib import import_module

from django.apps import apps
from django.contrib import admin

from jobs.admin.companies import CompanyScoped

APPS = ("django.contrib.auth", "django_celery_beat", "django_celery_results")


def keep_from_companies(app: str) -> None:
    """Register the app's pages anew: staff who belong to one company see none of them.

    Who could change users there would make themselves one who sees everything.
    """
    import_module(f"{app}.admin")
    for model in apps.get_app_config(app.rpartition(".")[2]).get_models():
        if not admin.site.is_registered(model):
            continue
        kind = type(admin.site.get_model_admin(model))
        admin.site.unregister(model)
        scoped = type(kind.__name__, (CompanyScoped, kind), {"company_field": None})
        admin.site.register(model, scoped)


for name in APPS:
    if apps.is_installed(name):
        keep_from_companies(name)
