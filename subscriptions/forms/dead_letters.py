"""Which dead letters, at what rate, and why."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from subscriptions.dead_letters.choosing import Choice
from subscriptions.dead_letters.replaying import HIGHEST_RATE
from subscriptions.forms.replay import MomentInput
from subscriptions.ingest.reasons import Reason

RATE = 10


class ChoiceForm(forms.Form):
    """A filter on open dead letters; `company_fixed` is that of staff who have one."""

    reason = forms.ChoiceField(
        required=False,
        choices=[("", "any"), *((reason.value, reason.value) for reason in Reason)],
        widget=UnfoldAdminSelectWidget,
    )
    type = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Whole; empty: any."
    )
    company = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Whole; empty: any."
    )
    since = forms.DateTimeField(
        required=False, widget=MomentInput, help_text="UTC, when it was first seen."
    )
    until = forms.DateTimeField(required=False, widget=MomentInput, help_text="UTC.")
    rate = forms.FloatField(
        initial=RATE,
        min_value=0.01,
        max_value=HIGHEST_RATE,
        widget=UnfoldAdminTextInputWidget,
        help_text=f"So many a second; at most {HIGHEST_RATE:g}.",
    )

    def __init__(self, *args: Any, company_fixed: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._company = company_fixed
        if company_fixed is not None:
            del self.fields["company"]

    def choice(self) -> Choice:
        """Return what `is_valid` has found."""
        given = {name: value or None for name, value in self.cleaned_data.items() if name != "rate"}
        if self._company is not None:
            given["company"] = self._company
        return Choice(**given)


class EditForm(forms.Form):
    """The body of one, to be mended."""

    body = forms.CharField(
        strip=False,
        widget=UnfoldAdminTextareaWidget({"rows": 16, "spellcheck": "false"}),
        help_text="What was sent stays with the dead letter.",
    )


class DiscardForm(forms.Form):
    why = forms.CharField(
        max_length=2000,
        label="Reason",
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="Recorded with your name.",
    )
