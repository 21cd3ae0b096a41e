"""Making and changing subscriptions: the type is chosen first, then its form is shown."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from jobs.admin.companies import company_of
from jobs.admin.rows import CappedPaginator
from subscriptions import services
from subscriptions.admin.pages import SubscriptionPages
from subscriptions.admin.panel import panel
from subscriptions.errors import ChangedMeanwhile, UnknownSubscription
from subscriptions.forms import SubscriptionForm, form_for
from subscriptions.forms.subscription import shown_config
from subscriptions.handlers.configs import description
from subscriptions.handlers.contract import Handler, registered
from subscriptions.models import Subscription

MATCHING = ("table", "event_type", "operations", "filter")
DELIVERY = (
    *("active", "ordering", "max_rate", "attempts", "backoff", "batch_size", "debounce"),
    "owner",
)


class EditingPages(SubscriptionPages):
    """The add and the change page of `SubscriptionAdmin`."""

    form = SubscriptionForm
    paginator = CappedPaginator
    show_full_result_count = False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Ask for the handler type, unless the address or the form names it."""
        if self.handler(request, None) is None and self.has_add_permission(request):
            return self._choose(request)
        page: HttpResponse = super().add_view(request, form_url, extra_context)
        return page

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show how it has been doing above the form."""
        found = self.get_object(request, object_id)
        above = {} if found is None else {"panel": panel(found)}
        context = {**above, **(extra_context or {})}
        try:
            page: HttpResponse = super().change_view(request, object_id, form_url, context)
        except (ChangedMeanwhile, UnknownSubscription) as error:  # while it was being saved
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:subscriptions_subscription_changelist")
        return page

    def _choose(self, request: HttpRequest) -> HttpResponse:
        kept = request.GET.dict()
        kinds = [
            {
                "name": name,
                "description": description(kind),
                "query": urlencode({**kept, "handler_type": name}),
            }
            for name, kind in registered().items()
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Add subscription: choose its type",
            "opts": self.opts,
            "kinds": kinds,
        }
        return TemplateResponse(request, "admin/subscriptions/subscription/choose.html", context)

    def handler(self, request: HttpRequest, obj: Subscription | None) -> Handler | None:
        """Return the handler whose form is shown; None if no code registers it."""
        if obj is not None:
            return registered().get(obj.handler_type)
        named = request.POST.get("handler_type") or request.GET.get("handler_type") or ""
        return registered().get(named)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        company = company_of(request) if obj is None else None
        kwargs["form"] = form_for(
            self.handler(request, obj),
            obj,
            company_fixed=company,
            is_trial=request.method == "POST" and "_try" in request.POST,
        )
        return super().get_form(request, obj, change=change, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        handler = self.handler(request, None)
        return {
            **super().get_changeform_initial_data(request),
            "handler_type": "" if handler is None else handler.name,
        }

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        handler = self.handler(request, obj)
        name = handler.name if handler else getattr(obj, "handler_type", "")
        who = ("name",) if company_of(request) is not None else ("name", "company")
        if not self._can_edit(request, obj):
            return [
                (None, {"fields": who}),
                ("Which events", {"fields": MATCHING}),
                (f"What happens: {name}", {"fields": ("shown_config",)}),
                ("How it is delivered", {"fields": DELIVERY}),
            ]
        own = [] if handler is None else form_for(handler, obj).handler_fields
        told = description(handler) if handler else "No code here registers this type."
        return [
            (None, {"fields": (*who, "handler_type")}),
            ("Which events", {"fields": MATCHING}),
            (
                f"What happens: {name}",
                {"fields": [found.name for found in own], "description": told},
            ),
            ("How it is delivered", {"fields": DELIVERY}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("shown_config",) if obj is None else ("shown_config", "name", "company")

    def _can_edit(self, request: HttpRequest, obj: Any) -> bool:
        if obj is None:
            return bool(self.has_add_permission(request))
        return bool(self.has_change_permission(request, obj))

    def shown_config(self, subscription: Subscription) -> str:
        return shown_config(subscription, registered().get(subscription.handler_type))

    shown_config.short_description = "config"  # type: ignore[attr-defined]  # the admin's way

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store what is new, or those fields that the form changed and no others."""
        if not change:
            obj.pk = services.save_subscription(obj).pk
            return
        changed = [name for name in services.DEFINITION if name in form.changed_data]
        services.change_subscription(
            obj.pk, {name: getattr(obj, name) for name in changed}, config=form.config_changes
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.delete_subscription(obj.pk)
