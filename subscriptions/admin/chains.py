"""The page that shows an event's chain: from what began to all that came of it."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from jobs.admin import RecordedOfCompany
from jobs.admin.companies import company_of
from subscriptions.chains import Chain, Node, chain_of
from subscriptions.models import Delivery, Event, Subscription


@dataclass(frozen=True)
class Shown:
    """A node as the page has it; `tone` is a kind of status: good, bad or open."""

    kind: str
    title: str
    url: str
    details: str
    status: str
    tone: str
    is_asked: bool
    children: list["Shown"]


BAD = frozenset({"dead", "blocked", "expired", "failed", "canceled", "cancelled"})
GOOD = frozenset({"delivered", "succeeded", "superseded"})


class ChainPages(RecordedOfCompany):
    actions_detail: Any = ("chain",)

    @action(description="What came of it", url_path="chain", permissions=["view"])  # type: ignore[operator]  # as unfold is typed
    def chain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the tree that the event belongs to."""
        event: Event | None = self.get_object(request, object_id)
        if event is None:
            raise Http404("There is no such event.")
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        correlation = event.correlation_id or str(event.event_id)
        found = chain_of(correlation, since=event.recorded_at, company=company_of(request))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"What came of it: {event}",
            "event": event,
            "chain": found,
            "roots": _shown_of(found, event),
        }
        return TemplateResponse(request, "admin/subscriptions/event/chain.html", context)


def _shown_of(chain: Chain, asked: Event) -> list[Shown]:
    return [_shown(node, asked) for node in chain.roots]


def _shown(node: Node, asked: Event) -> Shown:
    children = [_shown(child, asked) for child in node.children]
    if node.event is not None:
        return _shown_event(node.event, asked, children)
    if node.delivery is not None:
        return _shown_delivery(node.delivery, node.subscription, children)
    run = node.run
    assert run is not None  # noqa: S101 - a node has one of the three
    url = reverse("admin:jobs_run_change", args=[run.pk])
    details = f"depth {run.depth}"
    return Shown("Run", run.workflow, url, details, run.status, _tone(run.status), False, children)


def _shown_event(event: Event, asked: Event, children: list[Shown]) -> Shown:
    record = "" if event.record_id is None else f" {event.record_id}"
    title = event.type or f"{event.table} {event.operation}{record}"
    url = reverse("admin:subscriptions_event_change", args=[event.pk])
    details = f"{event.recorded_at:%Y-%m-%d %H:%M:%S} UTC, depth {event.depth}, from {event.source}"
    return Shown("Event", title, url, details, "", "", event.pk == asked.pk, children)


def _shown_delivery(
    delivery: Delivery, subscription: Subscription | None, children: list[Shown]
) -> Shown:
    name = "a subscription that is gone" if subscription is None else subscription.name
    url = reverse("admin:subscriptions_delivery_change", args=[delivery.pk])
    details = delivery.error[:200]
    status = delivery.status
    title = f"{delivery.handler_type}: {name}"
    return Shown("Delivery", title, url, details, status, _tone(status), False, children)


def _tone(status: str) -> str:
    return "bad" if status in BAD else "good" if status in GOOD else "open"
