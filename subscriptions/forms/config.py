"""The fields of a handler's config, made from its JSON Schema: no handler type is known here.

Texts, numbers, switches, choices, lists (a line each) and objects of texts (`name: value` lines)
have fields of their own; any other shape is written as JSON. What is secret is never rendered.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.html import escape
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from subscriptions.forms.lines import DocumentField, LinesField, PairsField, SecretTextarea
from subscriptions.handlers.configs import config_schema, secret_keys
from subscriptions.handlers.contract import Handler

PREFIX = "config_"
LONG = 200  # characters from which a text gets several lines
OMITTED: Any = object()
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class ConfigField:
    """One key of the config and the form's field for it."""

    key: str
    field: forms.Field
    is_secret: bool
    default: Any = OMITTED

    @property
    def name(self) -> str:
        return PREFIX + self.key

    def value(self, cleaned: Any, kept: Mapping[str, Any]) -> Any:
        """Return what the config holds after this input; OMITTED: the key is left out.

        `kept` is the config that there is: an empty secret keeps its own, and of pairs each line
        sets or removes one.
        """
        before = kept.get(self.key, OMITTED)
        if self.is_secret:
            if cleaned in self.field.empty_values:
                return before
            if isinstance(self.field, PairsField):
                merged = {**(before if isinstance(before, dict) else {}), **cleaned}
                return {name: text for name, text in merged.items() if text != ""}
            return cleaned
        if cleaned in self.field.empty_values:
            return OMITTED
        return OMITTED if before is OMITTED and cleaned == self.default else cleaned


def config_fields(handler: Handler, config: Mapping[str, Any]) -> list[ConfigField]:
    """Return a field for each key that the handler takes; `config` is what is set already."""
    whole = config_schema(handler)
    required, hidden = whole.get("required", ()), secret_keys(handler)
    found = []
    for key, declared in whole.get("properties", {}).items():
        schema, is_optional = _resolved(declared, whole.get("$defs", {}))
        is_secret = key in hidden
        field = _field(schema, is_secret=is_secret, is_optional=is_optional)
        field.label = str(declared.get("title", key))
        field.required = key in required and not (is_secret and key in config)
        if isinstance(field, forms.BooleanField):
            field.required = False
        default = declared.get("default", OMITTED)
        field.initial = None if default is OMITTED else default
        field.help_text = _help(declared, field, is_secret=is_secret, set_now=config.get(key))
        found.append(ConfigField(key, field, is_secret, default))
    return found


def _resolved(schema: Schema, definitions: Schema) -> tuple[Schema, bool]:
    """Follow references, and take the null off what may be null; return whether there was one."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = {**definitions.get(name, {}), **{k: v for k, v in schema.items() if k != "$ref"}}
    choices = schema.get("anyOf", ())
    left = [choice for choice in choices if choice.get("type") != "null"]
    if len(left) == 1 and len(choices) == 2:
        return _resolved(left[0], definitions)[0], True
    return schema, False


def _field(schema: Schema, *, is_secret: bool, is_optional: bool) -> forms.Field:
    kind = schema.get("type")
    items = schema.get("items", {})
    if is_secret:
        return _secret_field(schema)
    if "enum" in schema or "const" in schema:
        return _choice_field(schema.get("enum", [schema.get("const")]), is_optional=is_optional)
    if kind == "string":
        return forms.CharField(widget=_text_widget(schema))
    if kind == "integer":
        return forms.IntegerField(
            min_value=schema.get("minimum"),
            max_value=schema.get("maximum"),
            widget=UnfoldAdminIntegerFieldWidget(),
        )
    if kind == "number":
        return forms.FloatField(widget=UnfoldAdminTextInputWidget())
    if kind == "boolean" and not is_optional:
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget())
    if kind == "array" and "enum" in items:
        choices = [(value, str(value)) for value in items["enum"]]
        return forms.MultipleChoiceField(
            choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget()
        )
    if kind == "array" and items.get("type") == "string":
        return LinesField(widget=UnfoldAdminTextareaWidget({"rows": 3}))
    if _is_pairs(schema):
        return PairsField(widget=UnfoldAdminTextareaWidget({"rows": 3}))
    return DocumentField(widget=UnfoldAdminTextareaWidget({"rows": 4}))


def _secret_field(schema: Schema) -> forms.Field:
    if schema.get("type") == "string":
        return forms.CharField(
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
        )
    if _is_pairs(schema):
        return PairsField(widget=SecretTextarea({"rows": 3}))
    return DocumentField(widget=SecretTextarea({"rows": 3}))


def _is_pairs(schema: Schema) -> bool:
    more = schema.get("additionalProperties")
    return (
        schema.get("type") == "object"
        and "properties" not in schema
        and isinstance(more, dict)
        and more.get("type") == "string"
    )


def _choice_field(values: list[Any], *, is_optional: bool) -> forms.Field:
    """Return a select; its values go through JSON, so that a number stays one."""
    choices = [(json.dumps(value), str(value)) for value in values]
    if is_optional:
        choices.insert(0, ("", "—"))
    return ChosenField(choices=choices, widget=UnfoldAdminSelectWidget())


class ChosenField(forms.TypedChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(coerce=json.loads, empty_value=None, **options)

    def prepare_value(self, value: Any) -> Any:
        """Show the config's value as its choice; what a browser sent is one already."""
        is_sent = isinstance(value, str) and self.valid_value(value)
        return value if value is None or is_sent else json.dumps(value)


def _text_widget(schema: Schema) -> forms.Widget:
    if schema.get("format") == "textarea" or schema.get("maxLength", 0) > LONG:
        return UnfoldAdminTextareaWidget({"rows": 4})
    return UnfoldAdminTextInputWidget()


def _help(declared: Schema, field: forms.Field, *, is_secret: bool, set_now: Any) -> str:
    """Return the field's help: what its author says, and how it is written. Escaped: the theme
    renders help as HTML.
    """
    parts = [str(declared.get("description", ""))]
    if isinstance(field, PairsField):
        removes = "; without value, that name is removed" if is_secret else ""
        parts.append(f"A line for each, name: value{removes}.")
    elif isinstance(field, LinesField):
        parts.append("A line for each.")
    elif isinstance(field, DocumentField):
        parts.append("As JSON.")
    if is_secret:
        named = isinstance(set_now, dict) and isinstance(field, PairsField)
        is_set = f"Set now: {', '.join(map(str, set_now))}." if named and set_now else ""
        parts.append(is_set or ("Set now." if set_now else ""))
        parts.append("Never shown; empty keeps what there is.")
    return escape(" ".join(part for part in parts if part))
