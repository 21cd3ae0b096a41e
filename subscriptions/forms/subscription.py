"""The admin's form for a subscription: what the service refuses is shown at its field."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.utils.html import escape
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from subscriptions import services
from subscriptions.contracts import known_types
from subscriptions.errors import InvalidSubscription
from subscriptions.explanations import Trial, try_filter
from subscriptions.forms.config import OMITTED, PREFIX, ConfigField, config_fields
from subscriptions.forms.lines import DocumentField
from subscriptions.forms.widgets import FilterWidget, SuggestingInput
from subscriptions.handlers.configs import visible
from subscriptions.handlers.contract import Handler
from subscriptions.models import Operation, Subscription, row_operations
from subscriptions.sealing import masked
from subscriptions.storable import check_document
from subscriptions.validation import watched_columns

MATCHING = ("company", "table", "event_type", "operations", "filter")
EMPTY_IS_NONE = ("company", "table", "event_type", "owner")


class BackoffField(DocumentField):
    """`standard` needs no quotes."""

    def to_python(self, value: Any) -> Any:
        text = value.strip() if isinstance(value, str) else value
        return text if text == "standard" else super().to_python(value)


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """The fields that every type has; `form_for` adds those of one handler type.

    `company_fixed` is the company of staff that belong to one. With `is_trial`, the form is never
    valid: it looks what the filter would have met, `trial`, and is shown again.
    """

    handler_fields: ClassVar[tuple[ConfigField, ...]] = ()
    handler: ClassVar[Handler | None] = None
    company_fixed: ClassVar[str | None] = None
    is_trial: ClassVar[bool] = False
    trial: Trial | None = None

    handler_type = forms.CharField(widget=forms.HiddenInput)
    table = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="A watched table. Unless it is captured always, a subscription sees nothing of it"
        " from before somebody subscribed.",
    )
    event_type = forms.CharField(
        required=False,
        widget=SuggestingInput,
        help_text="Or a declared type; booking.* stands for all that begin so.",
    )
    operations = forms.MultipleChoiceField(
        choices=Operation.choices,
        initial=row_operations,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Of a table's rows. A typed event has none.",
    )
    filter = DocumentField(
        required=False,
        initial=dict,
        widget=FilterWidget({"rows": 4}),
        help_text='{"status": "confirmed"}; {} matches all. Operators stand where values do:'
        ' {"total": {"numeric": ["&gt;", 100]}, "status": {"changed_to": "paid"}}.',
    )
    backoff = BackoffField(
        required=False,
        initial=dict,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="{}: 1 s, doubled each time, with jitter. standard: eight tries over 28 hours,"
        ' whatever the attempts. Or {"base": 5, "factor": 3, "longest": 600}, in seconds.',
    )
    owner = forms.EmailField(
        required=False,
        widget=UnfoldAdminEmailInputWidget,
        help_text="Told by mail when the platform disables the subscription.",
    )

    class Meta:
        model = Subscription
        fields = (
            *("name", "company", "table", "event_type", "operations", "filter", "handler_type"),
            *("active", "ordering", "max_rate", "attempts", "backoff", "batch_size", "debounce"),
            "owner",
        )
        widgets = {
            "name": UnfoldAdminTextInputWidget,
            "company": UnfoldAdminTextInputWidget,
            "active": UnfoldBooleanSwitchWidget,
            "ordering": UnfoldAdminSelectWidget,
            "max_rate": UnfoldAdminIntegerFieldWidget,
            "attempts": UnfoldAdminIntegerFieldWidget,
            "batch_size": UnfoldAdminIntegerFieldWidget,
            "debounce": UnfoldAdminTextInputWidget,
        }
        help_texts = {
            "company": "Empty: the platform itself, which sees every company's events.",
            "active": "Off: nothing is captured for it, and what waits is canceled.",
            "ordering": "record: later events of a record wait for the earlier ones.",
            "max_rate": "Deliveries a second; empty: no limit.",
            "attempts": "1 to 100, the first one counted.",
            "batch_size": "How many deliveries the handler gets at once, 1 to 1000.",
            "debounce": "Seconds of silence (or HH:MM:SS) after which the last event of a record is"
            " delivered alone; empty: every event is.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = dict(self._kept)
        for found in self.handler_fields:
            if found.name in self.fields and not found.is_secret and found.key in self._kept:
                self.initial[found.name] = self._kept[found.key]
        if isinstance(table := self.fields.get("table"), forms.ChoiceField):
            names = {*watched_columns(), *filter(None, [self.instance.table])}
            table.choices = [("", "—"), *((name, name) for name in sorted(names))]
            if "table" in self.data:  # what is not watched is refused by the service, which says so
                given = self.data["table"]
                table.choices = [*table.choices, (given, given)]
        if (event_type := self.fields.get("event_type")) is not None:
            event_type.widget.suggestions = known_types()

    @property
    def _kept(self) -> Mapping[str, Any]:
        """The config that there is, if it is of this handler type."""
        is_same = self.handler is None or self.instance.handler_type == self.handler.name
        return self.instance.config if self.instance.pk and is_same else {}

    def is_valid(self) -> bool:
        return super().is_valid() and not self.is_trial

    def clean(self) -> dict[str, Any]:
        """Put the config together."""
        super().clean()
        cleaned = self.cleaned_data
        for name in EMPTY_IS_NONE:
            if name in cleaned:
                cleaned[name] = cleaned[name] or None
        for name in ("filter", "backoff"):
            if name in cleaned and cleaned[name] is None:
                cleaned[name] = {}
        if self.handler is not None:
            cleaned["handler_type"] = self.handler.name
        return cleaned

    def _config(self) -> dict[str, Any]:
        values = {
            found.key: found.value(self.cleaned_data.get(found.name), self._kept)
            for found in self.handler_fields
        }
        return {key: value for key, value in values.items() if value is not OMITTED}

    @property
    def config_changes(self) -> dict[str, Any]:
        """The keys of the config that the form sets, and with None those that it removes."""
        before, now = self._before, self.instance.config
        return {key: now.get(key) for key in {*before, *now} if before.get(key) != now.get(key)}

    def _post_clean(self) -> None:
        if self.company_fixed is not None:
            self.instance.company = self.company_fixed
        super()._post_clean()  # type: ignore[misc]  # ModelForm's own, which the stubs leave out
        if self.handler is not None:
            self.instance.config = self._config()
        if self.is_trial:
            self._try()
        elif not self.errors:
            self._check()

    def _try(self) -> None:
        """Ask past events; what has nothing to do with matching need not be right yet."""
        for name in [name for name in self.errors if name not in MATCHING]:
            del self.errors[name]
        if not self.errors:
            try:
                check_document("filter", self.instance.filter)
                self.trial = try_filter(self.instance)
            except InvalidSubscription as error:
                self._add(error)

    def _check(self) -> None:
        if self.instance.pk is None and self._is_taken():
            self.add_error("name", "The company has a subscription of this name already.")
            return
        try:
            services.check_subscription(self.instance)
        except InvalidSubscription as error:
            self._add(error)

    def _is_taken(self) -> bool:
        wanted = {"company": self.instance.company, "name": self.instance.name}
        return Subscription.objects.filter(**wanted).exists()

    def _add(self, error: InvalidSubscription) -> None:
        field, _, key = error.field.partition(".")
        named = PREFIX + key.partition(".")[0]
        field = named if field == "config" and named in self.fields else field
        is_shown = field in self.fields and not self.fields[field].widget.is_hidden
        self.add_error(field if is_shown else None, f"{error.field}: {error.problem}")


def form_for(
    handler: Handler | None,
    subscription: Subscription | None,
    *,
    company_fixed: str | None = None,
    is_trial: bool = False,
) -> type[SubscriptionForm]:
    """Return the form for a handler type; one that no code registers has no
    fields of its own, and the service refuses to save it."""
    is_same = handler is not None and subscription and subscription.handler_type == handler.name
    config = subscription.config if subscription and is_same else {}
    own = () if handler is None else tuple(config_fields(handler, config))
    members: dict[str, Any] = {
        "handler_fields": own,
        "handler": handler,
        "company_fixed": company_fixed,
        "is_trial": is_trial,
        **{found.name: found.field for found in own},
    }
    return type("SubscriptionForm", (SubscriptionForm,), members)


def shown_config(subscription: Subscription, handler: Handler | None) -> str:
    """Return the config as text without what is never shown; of an unknown type its keys alone."""
    config = subscription.config if isinstance(subscription.config, dict) else {}
    if handler is None:
        return escape(", ".join(config))
    return escape(str({**visible(handler, config), **masked(handler, config)}))
