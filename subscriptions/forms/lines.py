"""Lists and objects as lines of text, and as JSON."""

import json
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from unfold.widgets import UnfoldAdminTextareaWidget


class SecretTextarea(UnfoldAdminTextareaWidget):
    """Takes lines and renders none, not even those just sent."""

    def format_value(self, value: Any) -> str:
        return ""


class DocumentField(forms.JSONField):
    """JSON, shown again as it was written: what no page can hold may stand in it as an escape."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        return None if data is None else InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class LinesField(forms.Field):
    """A list of texts, one in each line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str] | None:
        lines = [line.strip() for line in str(value or "").splitlines()]
        return [line for line in lines if line] or None


class PairsField(forms.Field):
    """An object of texts: lines of `name: value`, or JSON."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if all(isinstance(text, str) and "\n" not in text for text in value.values()):
            return "\n".join(f"{name}: {text}" for name, text in value.items())
        return json.dumps(value, ensure_ascii=False, indent=2)

    def to_python(self, value: Any) -> dict[str, Any] | None:
        text = str(value or "").strip()
        if text.startswith("{"):
            return self._parsed(text)
        pairs = {}
        # The input is not repeated in an error: it may hold what must not be shown.
        for number, line in enumerate(text.splitlines(), 1):
            name, colon, content = line.partition(":")
            if line.strip() and not (colon and name.strip()):
                raise forms.ValidationError(f"Line {number} is not of the form name: value.")
            if line.strip():
                pairs[name.strip()] = content.strip()
        return pairs or None

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise forms.ValidationError("This is not JSON; lines of name: value do.") from None
        return dict(found)
