"""Why a subscription gets an event, or does not."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from jobs.admin.companies import company_of
from subscriptions import explanations
from subscriptions.admin.pages import SubscriptionPages
from subscriptions.documents import UNREADABLE
from subscriptions.errors import UnknownEvent
from subscriptions.explanations import Reason


class WhyPages(SubscriptionPages):
    def get_urls(self) -> list[Any]:
        return [self.page_url("why", self.why_view), *super().get_urls()]

    def why_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for an event's id, and show every reason."""
        subscription = self.own(request, object_id, is_changed=False)
        asked = request.GET.get("event", "").strip()
        context: dict[str, Any] = {"does": "Why", "asked": asked}
        if asked:
            try:
                event_id = UUID(asked)
                explanations.check_visible(event_id, company=company_of(request))
                context["explanation"] = found = explanations.why(subscription, event_id)
                context["reasons"] = [_shown(reason) for reason in found.reasons]
            except ValueError:
                context["problem"] = "An event's id is a UUID, as its page and webhook-id show it."
            except UnknownEvent as error:
                context["problem"] = str(error)
        return self.show(request, "why", subscription, **context)


def _shown(reason: Reason) -> Reason:
    """Return the reason with its values as JSON, which is how filters are written."""
    return replace(reason, wanted=_json(reason.wanted), found=_json(reason.found))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except UNREADABLE as error:
        return f"cannot be shown: {type(error).__name__}"
