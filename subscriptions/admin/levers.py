"""Pause, resume and replay: what cannot be taken back is asked for twice."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from subscriptions.admin.pages import SubscriptionPages
from subscriptions.deliveries import controls
from subscriptions.deliveries.replaying import Replayed, replay
from subscriptions.errors import SubscriptionsError
from subscriptions.forms.replay import ReplayForm
from subscriptions.models import Delivery, Subscription

MOST_COUNTED = 10_000


class LeverPages(SubscriptionPages):
    def get_urls(self) -> list[Any]:
        return [
            self.page_url("pause", require_POST(self.pause_view)),
            self.page_url("resume", self.resume_view),
            self.page_url("replay", self.replay_view),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription = self.own(request, object_id)
        if controls.pause(subscription.pk):
            self._done(request, subscription, "Paused: deliveries are held, for 30 days at most.")
        else:
            self.message_user(request, "It was paused before.", messages.WARNING)
        return self.back(subscription)

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say how many are held; on POST let them go."""
        subscription = self.own(request, object_id)
        if request.method == "POST":
            released = controls.resume(subscription.pk)
            self._done(request, subscription, f"Resumed: {_counted(released)} let go.")
            return self.back(subscription)
        held = Delivery.objects.filter(
            subscription_id=subscription.pk, status=Delivery.Status.HELD
        ).values("pk")[:MOST_COUNTED]
        counts = {"held": held.count(), "most": MOST_COUNTED}
        return self.show(request, "resume", subscription, does="Resume", **counts)

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Count what would be sent again; on a second POST, send it."""
        subscription = self.own(request, object_id)
        form = ReplayForm(
            request.POST if request.method == "POST" else None,
            initial={"delivery_ids": ",".join(request.GET.getlist("delivery"))},
        )
        context: dict[str, Any] = {"does": "Replay", "form": form}
        if request.method == "POST" and form.is_valid():
            is_meant = request.POST.get("do") == "replay"
            try:
                found = replay(subscription.pk, **form.options(), dry_run=not is_meant)
            except SubscriptionsError as error:
                context["problem"] = str(error)
            else:
                if is_meant:
                    self._done(request, subscription, _told(found))
                    return self.back(subscription)
                context["found"] = found
        return self.show(request, "replay", subscription, **context)

    def _done(self, request: HttpRequest, subscription: Subscription, text: str) -> None:
        self.log_change(request, subscription, text)
        self.message_user(request, text, messages.SUCCESS)


def _told(found: Replayed) -> str:
    missed = f", {found.missed} missed ones made" if found.missed else ""
    told = f"Replayed: {_counted(found.again)} sent again{missed}."
    if found.is_whole:
        return told
    came = f"up to {found.up_to:%Y-%m-%d %H:%M:%S} UTC" if found.up_to else "to none"
    seen = f"looked at {found.looked_at:,} events, {came}"
    return f"{told} The time ran out: {seen}; go on from there."


def _counted(count: int) -> str:
    return f"{count:,} {'delivery' if count == 1 else 'deliveries'}"
