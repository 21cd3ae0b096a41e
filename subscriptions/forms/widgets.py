"""Widgets of the subscription's form; none of them needs a script."""

from collections.abc import Sequence
from typing import Any

from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget


class FilterWidget(UnfoldAdminTextareaWidget):
    """A filter, with the button that tries it on past events."""

    template_name = "subscriptions/widgets/filter.html"


class SuggestingInput(UnfoldAdminTextInputWidget):
    """A text with suggestions, which need not be taken."""

    template_name = "subscriptions/widgets/suggesting.html"
    suggestions: Sequence[str] = ()

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        widget = context["widget"]
        widget["attrs"]["list"] = f"{widget['attrs'].get('id', name)}_suggestions"
        widget["suggestions"] = self.suggestions
        return context
