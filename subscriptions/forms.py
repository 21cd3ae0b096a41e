"""The admin's form for a subscription: what the service refuses is shown at its field."""

import json
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from subscriptions import services
from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import registered
from subscriptions.models import Operation, Subscription, row_operations

NOT_SHOWN = frozenset({"headers", "secret"})


def shown_config(subscription: Subscription) -> dict[str, Any]:
    """Return the config without the values that are never rendered."""
    config = subscription.config if isinstance(subscription.config, dict) else {}
    return {name: value for name, value in config.items() if name not in NOT_SHOWN}


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]
    operations = forms.MultipleChoiceField(
        choices=Operation.choices,
        initial=row_operations,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Of a table's rows. A typed event has none.",
    )
    handler_type = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    filter = forms.JSONField(
        required=False,
        initial=dict,
        widget=UnfoldAdminTextareaWidget,
        help_text='{"status": "confirmed"}; {} matches all. Operators stand where values do:'
        ' {"total": {"numeric": [">", 100]}, "status": {"changed_to": "paid"}}.',
    )
    config = forms.JSONField(required=False, initial=dict, widget=UnfoldAdminTextareaWidget)
    headers = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text='JSON such as {"Authorization": "Bearer …"}. Never shown; empty keeps them.',
    )
    signing_secret = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="whsec_ and base64 of 24 to 64 bytes. Empty: made, or kept.",
    )

    class Meta:
        model = Subscription
        fields = (
            "name",
            "company",
            "table",
            "event_type",
            "operations",
            "filter",
            "handler_type",
            "config",
            "active",
            "attempts",
            "backoff",
        )
        widgets = dict.fromkeys(
            ("name", "company", "table", "event_type"), UnfoldAdminTextInputWidget
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "handler_type" not in self.fields:  # shown without a form
            return
        kinds = self.fields["handler_type"]
        assert isinstance(kinds, forms.ChoiceField)  # noqa: S101 - declared above
        kinds.choices = [(name, name) for name in registered()]
        self.fields["config"].help_text = "; ".join(
            f"{name}: {', '.join(set(kind.Config.model_fields) - NOT_SHOWN) or 'nothing'}"
            for name, kind in registered().items()
        )
        if self.instance.pk:
            self.initial["config"] = shown_config(self.instance)

    def clean(self) -> dict[str, Any]:
        """Ask the service; its error names the field."""
        super().clean()
        cleaned = self.cleaned_data
        for name in ("company", "table", "event_type"):
            if name in cleaned:
                cleaned[name] = cleaned[name] or None
        for name in ("filter", "config", "backoff"):
            if name in cleaned and cleaned[name] is None:
                cleaned[name] = {}
        if isinstance(cleaned.get("config"), dict):
            cleaned["config"] = self._whole_config(cleaned["config"])
        return cleaned

    def _whole_config(self, config: dict[str, Any]) -> dict[str, Any]:
        kept = self.instance.config if self.instance.pk else {}
        whole = {**{k: v for k, v in kept.items() if k == "headers"}, **config}
        if text := self.cleaned_data.get("headers"):
            try:
                whole["headers"] = json.loads(text)
            except ValueError:
                self.add_error("headers", "This is not JSON.")
        if secret := self.cleaned_data.get("signing_secret"):
            whole["secret"] = secret
        return whole

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            services.check_subscription(self.instance)
        except InvalidSubscription as error:
            field, _, key = error.field.partition(".")
            if key.partition(".")[0] in ("headers", "secret"):
                field = "headers" if key.startswith("headers") else "signing_secret"
            self.add_error(
                field if field in self.fields else None, f"{error.field}: {error.problem}"
            )
