"""The pages of dead letters: edit and replay one, replay a filter, discard, and SQS's own queue."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from jobs.admin import RecordedOfCompany
from jobs.admin.companies import company_of
from jobs.counting import counted
from subscriptions.dead_letters import choosing, replaying
from subscriptions.dead_letters.redrive import HIGHEST_RATE, DeadLetterQueue
from subscriptions.errors import CannotReplay, QueueUnreachable
from subscriptions.forms.dead_letters import ChoiceForm, DiscardForm, EditForm
from subscriptions.models import DeadLetter

FOLDER = "admin/subscriptions/deadletter"
PERMISSION = "subscriptions.change_deadletter"
LONGEST_SHOWN = 200_000  # characters of a body in a form


class DeadLetterPages(RecordedOfCompany):
    """The base of `DeadLetterAdmin`: rows only ingest writes, and the levers on them."""

    def get_urls(self) -> list[Any]:
        return [
            self._url("replay/", self.replay_many_view, "replay"),
            self._url("discard/", self.discard_view, "discard"),
            self._url("queue/", self.queue_view, "queue"),
            self._url("<path:object_id>/replay/", self.replay_one_view, "replay_one"),
            *super().get_urls(),
        ]

    def _url(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        wrapped = self.admin_site.admin_view(view)
        return path(route, wrapped, name=f"subscriptions_deadletter_{name}")

    def may_change(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(PERMISSION))

    def may_redrive(self, request: HttpRequest) -> bool:
        """Whether the user may see SQS's queue: nobody knows whose messages are in it."""
        return self.may_change(request) and company_of(request) is None

    # One ---------------------------------------------------------------------------

    def replay_one_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the body to be edited; on POST replay it."""
        self._require(self.may_change(request))
        dead = self.get_object(request, object_id)
        if dead is None:
            raise Http404("There is no such dead letter.")
        body = bytes(dead.body).decode("utf-8", "backslashreplace")
        form = EditForm(request.POST or None, initial={"body": body})
        context: dict[str, Any] = {"form": form, "dead": dead}
        if len(body) > LONGEST_SHOWN:
            context["problem"] = "It is too long to be edited here."
        elif request.method == "POST" and form.is_valid():
            try:
                event_id = replaying.replay(
                    dead.pk,
                    by=request.user.get_username(),
                    body=_changed(form.cleaned_data["body"], body),
                    company=company_of(request),
                )
            except CannotReplay as error:
                context["problem"] = str(error)
            else:
                self._done(request, f"Replayed: it is the event {event_id}.")
                return redirect("admin:subscriptions_deadletter_change", dead.pk)
        return self._show(request, "replay_one", f"Edit and replay: {dead}", **context)

    # Many ---------------------------------------------------------------------------

    def replay_many_view(self, request: HttpRequest) -> HttpResponse:
        """Count what a filter finds; on a second POST have it replayed."""
        self._require(self.may_change(request))
        form = ChoiceForm(
            request.POST or None,
            initial={"rate": 10, "reason": request.GET.get("reason", "")},
            company_fixed=company_of(request),
        )
        context: dict[str, Any] = {"form": form, "most": choosing.MOST_COUNTED}
        if request.method == "POST" and form.is_valid():
            choice, rate = form.choice(), form.cleaned_data["rate"]
            if request.POST.get("do") == "replay":
                by = request.user.get_username()
                found = replaying.schedule(choice, rate=rate, by=by)
                self._done(
                    request,
                    f"{counted(found, 'dead letter')} will be replayed, {rate:g} a second."
                    " What cannot be an event stays open, and says why.",
                )
                return redirect("admin:subscriptions_deadletter_changelist")
            context["found"] = choice.count()
        return self._show(request, "replay_many", "Replay dead letters", **context)

    def discard_view(self, request: HttpRequest) -> HttpResponse:
        """Ask why; on POST close them."""
        self._require(self.may_change(request))
        ids = _ids(request.GET.get("ids", ""))
        own = list(
            self.get_queryset(request)
            .filter(pk__in=ids, status=DeadLetter.Status.OPEN)
            .values_list("pk", flat=True)
        )
        form = DiscardForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            by, why = request.user.get_username(), form.cleaned_data["why"]
            found = replaying.discard(own, by=by, why=why)
            self._done(request, f"{counted(found, 'dead letter')} discarded.")
            return redirect("admin:subscriptions_deadletter_changelist")
        return self._show(request, "discard", "Discard dead letters", form=form, count=len(own))

    # SQS's own ---------------------------------------------------------------------------

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """Show depth, age and some messages of a dead-letter queue; on POST move all back."""
        self._require(self.may_redrive(request))
        names = [queue.name for queue in settings.QUEUES if not queue.consumed_by_worker]
        name = request.GET.get("queue", names[0])
        if name not in names:
            raise Http404("There is no such queue of events.")
        queue = DeadLetterQueue(name)
        context: dict[str, Any] = {"names": names, "name": name, "rate": HIGHEST_RATE}
        try:
            if request.method == "POST" and request.POST.get("do") == "redrive":
                moved = queue.redrive()
                self._done(
                    request,
                    "SQS moves them back to the queue."
                    if moved.task is not None
                    else f"{counted(moved.count, 'message')} moved back to the queue.",
                )
                return redirect(f"{request.path}?queue={name}")
            context["depth"] = queue.look()
        except QueueUnreachable as error:
            context["problem"] = str(error)
        return self._show(request, "queue", f"Dead-letter queue of {name}", **context)

    # Shared ---------------------------------------------------------------------------

    def _require(self, is_allowed: bool) -> None:
        if not is_allowed:
            raise PermissionDenied

    def _done(self, request: HttpRequest, text: str) -> None:
        self.message_user(request, text, messages.SUCCESS)

    def _show(
        self, request: HttpRequest, template: str, title: str, **context: Any
    ) -> HttpResponse:
        everywhere = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(
            request,
            f"{FOLDER}/{template}.html",
            {**everywhere, **context},
            headers={"Cache-Control": "no-store"},
        )


def _changed(sent: str, shown: str) -> bytes | None:
    """Return the edited body, None if it is as it was: a browser writes line ends as CR LF."""
    if sent.replace("\r\n", "\n") == shown.replace("\r\n", "\n"):
        return None
    return sent.encode("utf-8", "surrogatepass")


def _ids(text: str) -> list[int]:
    parts = [part for part in text.split(",") if part.isascii() and part.isdigit()]
    return [number for part in parts if (number := int(part)) < 2**63]
