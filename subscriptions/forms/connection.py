"""The form for a company's connection to an accounting provider."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from subscriptions.handlers.sync.connecting import (
    InvalidConnection,
    check_connection,
    connected_already,
)
from subscriptions.handlers.sync.shipped import PROVIDERS
from subscriptions.models import ExternalConnection


def _secret() -> UnfoldAdminPasswordWidget:
    return UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """`company_fixed` is the company of staff that belong to one."""

    company_fixed: ClassVar[str | None] = None

    provider = forms.ChoiceField(
        choices=[(name, kind.title) for name, kind in sorted(PROVIDERS.items())],
        widget=UnfoldAdminSelectWidget,
    )
    new_refresh_token = forms.CharField(
        widget=_secret(), help_text="From the provider's token endpoint. Never shown again."
    )
    new_access_token = forms.CharField(
        required=False, widget=_secret(), help_text="Empty: the first call gets one."
    )
    seconds_to_live = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=86_400,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Seconds that the access token lives.",
    )

    class Meta:
        model = ExternalConnection
        fields = ("company", "provider", "tenant_id")
        widgets = {
            "company": UnfoldAdminTextInputWidget,
            "tenant_id": UnfoldAdminTextInputWidget,
        }
        help_texts = {
            "company": "Whose books. Empty: the platform's own.",
            "tenant_id": "Xero's tenant id, QuickBooks' realm id. With another one than before,"
            " each record is made or linked anew there.",
        }

    def clean(self) -> dict[str, Any]:
        """Ask the service; it repeats no token."""
        super().clean()
        if not self.errors and "new_refresh_token" in self.cleaned_data:
            data = {**vars(self.instance), **self.cleaned_data}
            company = self.company_fixed or data.get("company") or None
            rows = ExternalConnection.objects.filter(company=company, provider=data["provider"])
            if self.instance.pk is None and rows.exists():
                self.add_error(None, connected_already(company, data["provider"]))
            try:
                check_connection(
                    company=company,
                    provider=data["provider"],
                    tenant_id=data["tenant_id"],
                    refresh_token=data["new_refresh_token"],
                    access_token=data.get("new_access_token") or "",
                )
            except InvalidConnection as error:
                self.add_error(None, str(error))
        return self.cleaned_data

    def tokens(self) -> dict[str, Any]:
        """Return refresh token, access token and its life as `connect` takes them."""
        return {
            "refresh_token": self.cleaned_data["new_refresh_token"],
            "access_token": self.cleaned_data.get("new_access_token") or "",
            "expires_in": timedelta(seconds=self.cleaned_data.get("seconds_to_live") or 0),
        }
