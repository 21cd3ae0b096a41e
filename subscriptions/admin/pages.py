"""What the pages of one subscription share: whose it is, who may, and how they look."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from jobs.admin import CompanyScoped
from subscriptions.models import Subscription


class SubscriptionPages(CompanyScoped, ModelAdmin):  # type: ignore[misc]  # overrides on purpose
    """The base of the mixins that give `SubscriptionAdmin` its pages."""

    class Media:
        css = {"all": ("jobs/admin.css", "subscriptions/admin.css")}

    def own(self, request: HttpRequest, object_id: str, *, is_changed: bool = True) -> Subscription:
        """Return the subscription if the user may see it (or, unless said otherwise, change it)."""
        found: Subscription | None = self.get_object(request, object_id)
        if found is None:
            raise Http404("There is no such subscription.")
        may = self.has_change_permission if is_changed else self.has_view_permission
        if not may(request, found):
            raise PermissionDenied
        return found

    def page_url(self, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Return the route of a page of one subscription, such as `…/7/test/`."""
        wrapped = self.admin_site.admin_view(view)
        return path(f"<path:object_id>/{name}/", wrapped, name=f"subscriptions_subscription_{name}")

    def show(
        self, request: HttpRequest, template: str, subscription: Subscription, **context: Any
    ) -> HttpResponse:
        """Render a page; nobody keeps a copy of it."""
        everywhere = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "subscription": subscription,
            "title": f"{context.pop('does')}: {subscription}",
        }
        return TemplateResponse(
            request,
            f"admin/subscriptions/subscription/{template}.html",
            {**everywhere, **context},
            headers={"Cache-Control": "no-store"},
        )

    def back(self, subscription: Subscription) -> HttpResponse:
        return redirect("admin:subscriptions_subscription_change", subscription.pk)
