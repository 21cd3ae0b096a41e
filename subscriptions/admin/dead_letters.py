"""Messages that could not become events, by reason; and what staff do about them."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from jobs.admin import RecordedOfCompany
from jobs.admin.companies import company_of
from subscriptions.admin.dead_letter_pages import FOLDER, DeadLetterPages
from subscriptions.admin.filters import ReasonFilter
from subscriptions.dead_letters import choosing
from subscriptions.models import DeadLetter, Inbox

MOST_SHOWN = 100_000  # bytes of a body
MOST_CHOSEN = 500  # ids of an address


@admin.register(DeadLetter)
class DeadLetterAdmin(DeadLetterPages):
    list_display = (
        *("reason", "type", "company", "short_problem", "status"),
        *("receive_count", "first_seen_at", "last_seen_at"),
    )
    list_filter = ("status", ReasonFilter)
    search_fields = ("=company", "=type", "=source_id")
    search_help_text = "A company, a type or the event's own id, else the message's, whole"
    ordering = ("-id",)
    large = ("body", "replayed_body", "attributes")
    list_before_template = f"{FOLDER}/reasons.html"  # type: ignore[assignment]  # is None there
    change_form_before_template = f"{FOLDER}/levers.html"  # type: ignore[assignment]  # likewise
    actions = ("discard_chosen",)
    fields = (
        *("status", "reason", "problem", "type", "company", "shown_body", "shown_attributes"),
        *("source", "source_id", "queue", "message_id", "receive_count", "sent_at"),
        *("first_seen_at", "last_seen_at", "replay_at", "event", "shown_replayed_body"),
        *("decided_by", "decided_at", "decision"),
    )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        more: dict[str, Any] = {
            "counts": choosing.counts(company_of(request)),
            "most": choosing.MOST_COUNTED,
            "may_change": self.may_change(request),
            "may_redrive": self.may_redrive(request),
        }
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        more = {"may_change": self.may_change(request)}
        page: HttpResponse = super().change_view(
            request, object_id, form_url, {**more, **(extra_context or {})}
        )
        return page

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return self.may_change(request)

    @admin.action(description="Discard the chosen dead letters", permissions=["discard"])
    def discard_chosen(
        self, request: HttpRequest, chosen: QuerySet[DeadLetter]
    ) -> HttpResponse | None:
        """Go to the page that asks for a reason."""
        ids = list(chosen.values_list("pk", flat=True)[: MOST_CHOSEN + 1])
        if len(ids) > MOST_CHOSEN:
            self.message_user(request, f"Choose {MOST_CHOSEN} at most.", messages.ERROR)
            return None
        page = reverse("admin:subscriptions_deadletter_discard")
        return redirect(f"{page}?ids={','.join(map(str, ids))}")

    @admin.display(description="problem")
    def short_problem(self, dead: DeadLetter) -> str:
        return Truncator(dead.problem).chars(120)

    @admin.display(description="body")
    def shown_body(self, dead: DeadLetter) -> str:
        return _pre(_text(bytes(dead.body)))

    @admin.display(description="body that was replayed")
    def shown_replayed_body(self, dead: DeadLetter) -> str:
        if dead.replayed_body is None:
            return "-"
        return _pre(_text(bytes(dead.replayed_body)))

    @admin.display(description="attributes")
    def shown_attributes(self, dead: DeadLetter) -> str:
        return _pre(json.dumps(dead.attributes, indent=2))

    @admin.display(description="event")
    def event(self, dead: DeadLetter) -> str:
        return "-" if dead.event_id is None else str(dead.event_id)


@admin.register(Inbox)
class InboxAdmin(RecordedOfCompany):
    list_display = (
        *("source", "source_id", "company", "event_id", "queue", "receive_count", "received_at"),
    )
    search_fields = ("=company", "=source_id")
    search_help_text = "A company or the event's own id, else the message's, whole"
    ordering = ("-id",)


def _text(body: bytes) -> str:
    """Return a body to be read: what is no UTF-8 as escapes, and no more than a page can hold."""
    text = body[:MOST_SHOWN].decode("utf-8", "backslashreplace")
    return f"{text}\n… {len(body):,} bytes in all" if len(body) > MOST_SHOWN else text


def _pre(text: str) -> str:
    return format_html('<pre class="traceback">{}</pre>', text)
