"""What to send again."""

from typing import Any

from django import forms
from django.forms.widgets import DateTimeInput
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from subscriptions.forms.lines import DocumentField

LOCAL = "%Y-%m-%dT%H:%M:%S"
MOST_CHOSEN = 1000


class MomentInput(DateTimeInput):
    """A browser's own field for a date and a time."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        attrs = {"class": " ".join(INPUT_CLASSES), "step": "1"}
        super().__init__(attrs=attrs, format=LOCAL)


class ReplayForm(forms.Form):
    delivery_ids = forms.CharField(
        required=False,
        label="Deliveries",
        widget=UnfoldAdminTextInputWidget,
        help_text="Their numbers, with commas; empty: all that the rest names.",
    )
    since = forms.DateTimeField(
        required=False, widget=MomentInput, help_text="UTC, when the event was recorded."
    )
    until = forms.DateTimeField(required=False, widget=MomentInput, help_text="UTC.")
    filter = DocumentField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="Such as the subscription's own; empty: all.",
    )
    missed = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Missed events, too",
        help_text="Those that match and have no delivery; says from when on.",
    )
    again = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Delivered ones, too",
        help_text="Their receiver gets them a second time.",
    )

    def clean_delivery_ids(self) -> list[int] | None:
        parts = self.cleaned_data["delivery_ids"].replace(",", " ").split()
        if len(parts) > MOST_CHOSEN or not all(p.isascii() and p.isdigit() for p in parts):
            raise forms.ValidationError(f"Give numbers of deliveries, {MOST_CHOSEN:,} at most.")
        found = [int(part) for part in parts]
        if any(number >= 2**63 for number in found):
            raise forms.ValidationError("There is no delivery of such a number.")
        return found or None

    def options(self) -> dict[str, Any]:
        """Return what `replay` takes."""
        return dict(self.cleaned_data)
