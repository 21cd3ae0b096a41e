"""The test button: an example event through the real handler, its answer shown."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse

from subscriptions import examples
from subscriptions.admin.pages import SubscriptionPages
from subscriptions.errors import SubscriptionsError
from subscriptions.recent import milliseconds


class TestPages(SubscriptionPages):
    def get_urls(self) -> list[Any]:
        return [self.page_url("test", self.test_view), *super().get_urls()]

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would be sent; on POST send it, and show what was answered."""
        subscription = self.own(request, object_id)
        context: dict[str, Any] = {"does": "Test"}
        try:
            if request.method == "POST":
                context["sent"] = sent = examples.send(subscription)
                context["example"], context["preview"] = sent.example, sent.preview
                context["took"] = milliseconds(sent.outcome.duration or timedelta())
                self.log_change(request, subscription, "Sent an example event.")
            else:
                context["example"] = chosen = examples.example(subscription)
                context["preview"] = examples.preview(subscription, chosen.event)
        except SubscriptionsError as error:
            context["problem"] = str(error)
        return self.show(request, "test", subscription, **context)
