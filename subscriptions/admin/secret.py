"""The signing secret: shown at its first reveal, and when it is rotated; never again."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from subscriptions import secrets
from subscriptions.admin.pages import SubscriptionPages
from subscriptions.errors import SecretRefused

SHOWN = UnfoldAdminTextInputWidget({"readonly": True, "aria-label": "Signing secret"})
DONE = {"reveal": "Revealed the signing secret.", "rotate": "Rotated the signing secret."}


class SecretPages(SubscriptionPages):
    def get_urls(self) -> list[Any]:
        return [self.page_url("secret", self.secret_view), *super().get_urls()]

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what can be done; on POST do it, and show the secret on this answer alone."""
        subscription = self.own(request, object_id)
        context: dict[str, Any] = {"does": "Signing secret", "overlap": secrets.OVERLAP}
        asked = request.POST.get("do") if request.method == "POST" else None
        if asked in DONE:
            act = secrets.reveal if asked == "reveal" else secrets.rotate
            try:
                context["secret"] = SHOWN.render("secret", act(subscription.pk))
            except SecretRefused as error:
                context["problem"] = str(error)
            else:
                self.log_change(request, subscription, DONE[asked])
            subscription.refresh_from_db()
        return self.show(request, "secret", subscription, **context)
