"""API keys: made here, shown once, revoked; never changed."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
)

from jobs import keys
from jobs.admin.companies import OwnedByCompany, company_of
from jobs.counting import counted
from jobs.models import ApiKey

MOST_DAYS = 3650
SHOWN = UnfoldAdminTextareaWidget({"rows": 3, "readonly": True, "aria-label": "API key"})


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in keys.SCOPES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    expires_in_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_DAYS,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Empty: never.",
    )

    class Meta:
        model = ApiKey
        fields = ("company", "name")


@admin.register(ApiKey)
class ApiKeyAdmin(OwnedByCompany, ModelAdmin):  # type: ignore[misc]  # overrides on purpose
    form = ApiKeyForm
    list_display = (
        *("name", "company", "prefix", "scopes", "created_at", "expires_at", "last_used_at"),
        "revoked_at",
    )
    search_fields = ("company__exact", "name", "prefix__exact")
    ordering = ("company", "name")
    show_full_result_count = False
    actions = ("revoke_keys",)
    shown = ("company", "name", "prefix", "scopes", "created_at", "expires_at")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            whose = ("company",) if company_of(request) is None else ()
            return (*whose, "name", "scopes", "expires_in_days")
        return (*self.shown, "last_used_at", "revoked_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_apikey")

    @admin.action(description="Revoke the chosen keys", permissions=["revoke"])
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        chosen = list(queryset.values_list("pk", flat=True))
        revoked = keys.revoke(*chosen)
        text = f"{revoked} of {counted(len(chosen), 'key')} revoked."
        if revoked < len(chosen):
            text += " The others were revoked before."
        self.message_user(request, text, messages.SUCCESS)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        days = form.cleaned_data["expires_in_days"]
        made = keys.create(
            company=company_of(request) or obj.company,
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            expires_in=None if days is None else timedelta(days=days),
        )
        obj.pk, obj.company, obj.text = made.row.pk, made.row.company, made.text

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key on this answer's page alone: neither a message nor a session holds it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key made",
            "opts": self.opts,
            "key": obj,
            "text": SHOWN.render("key", obj.text),
        }
        return TemplateResponse(
            request, "admin/jobs/apikey/made.html", context, headers={"Cache-Control": "no-store"}
        )
