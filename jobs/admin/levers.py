"""The pages that ask for a reason before a lever is pulled, and the pulling."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.http import require_POST
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from jobs.admin.companies import RecordedOfCompany
from jobs.controls import LEVERS, Lever
from jobs.counting import counted
from jobs.errors import JobsError
from jobs.models import Run, StepRun
from jobs.plan import Plan

MOST_AT_ONCE = 500  # a form may have 1,000 fields (DATA_UPLOAD_MAX_NUMBER_FIELDS)
MOST_REASONS = 10  # told of runs that were refused
MOST_CHOICES = 1000


class WhyForm(forms.Form):
    """Why, and of a lever that takes a step: which."""

    reason = forms.CharField(
        max_length=2000,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="Recorded with your name.",
    )

    def __init__(self, *args: Any, nodes: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if nodes is not None:
            self.fields["node"] = forms.ChoiceField(
                label="Step",
                choices=[(name, name) for name in nodes],
                widget=UnfoldAdminSelectWidget(),
            )
            self.order_fields(["node", "reason"])


def nodes_for(lever: Lever, runs: Sequence[Run]) -> list[str] | None:
    """Return the steps that the lever can be given; None if it takes none."""
    if lever.takes is None:
        return None
    (run,) = runs
    if lever.name == "fork":
        return [node.name for node in Plan.from_json(run.definition.plan).nodes]
    left = run.steps.filter(
        generation=run.generation,
        phase=StepRun.Phase.COMPENSATION,
        status=StepRun.Status.FAILED,
    )
    return list(left.order_by("pk").values_list("node", flat=True)[:MOST_CHOICES])


def _asks_of_many(name: str, description: str) -> Any:
    """Return the list's action for the lever."""

    def ask(pages: "LeverPages", request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        return pages.ask_of_many(request, LEVERS[name], runs)

    ask.__name__ = f"{name}_runs"
    return admin.action(ask, description=description, permissions=["lever"])


def _asks_of_one(name: str) -> Any:
    """Return the link on a run's page for the lever."""

    def ask(pages: "LeverPages", request: HttpRequest, object_id: str) -> HttpResponse:
        return pages.ask_of_one(request, LEVERS[name], object_id)

    ask.__name__ = f"{name}_run"
    return action(ask, description=LEVERS[name].title, permissions=["lever"], url_path=name)


class LeverPages(RecordedOfCompany):
    """The levers of the runs' admin: a page each, which posts to `levers/<lever>/`."""

    actions = ("cancel_runs", "retry_runs", "resume_runs")
    actions_detail: Any = ("cancel_run", "retry_run", "fork_run", "resume_run", "resolve_run")

    def has_lever_permission(self, request: HttpRequest, *_: Any) -> bool:
        return request.user.has_perm("jobs.change_run")

    def get_urls(self) -> list[Any]:
        pull = self.admin_site.admin_view(require_POST(self.pull_view))
        return [path("levers/<str:name>/", pull, name="jobs_run_pull"), *super().get_urls()]

    cancel_runs = _asks_of_many("cancel", "Cancel the chosen runs")
    retry_runs = _asks_of_many("retry", "Retry the chosen runs")
    resume_runs = _asks_of_many("resume", "Resume the rollback of the chosen runs")
    cancel_run = _asks_of_one("cancel")
    retry_run = _asks_of_one("retry")
    fork_run = _asks_of_one("fork")
    resume_run = _asks_of_one("resume")
    resolve_run = _asks_of_one("resolve")

    def ask_of_many(
        self, request: HttpRequest, lever: Lever, runs: QuerySet[Run]
    ) -> HttpResponse | None:
        """Show the page that asks for the reason; None, which is the list, for too many."""
        chosen = list(runs[: MOST_AT_ONCE + 1])
        if len(chosen) > MOST_AT_ONCE:
            text = f"Choose at most {MOST_AT_ONCE:,} runs at once."
            self.message_user(request, text, messages.ERROR)
            return None
        return self._page(request, lever, chosen)

    def ask_of_one(self, request: HttpRequest, lever: Lever, object_id: str) -> HttpResponse:
        return self._page(request, lever, self._runs(request, [object_id]))

    def pull_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Pull the lever on the runs posted, or ask again if no reason was given."""
        if not self.has_lever_permission(request):
            raise PermissionDenied
        if name not in LEVERS:
            raise Http404
        lever, runs = LEVERS[name], self._runs(request, request.POST.getlist("run"))
        if lever.takes is not None and len(runs) > 1:
            raise Http404  # a step is one run's
        form = WhyForm(request.POST, nodes=nodes_for(lever, runs))
        if not form.is_valid():
            return self._page(request, lever, runs, form)
        return self._pull(request, lever, runs, **form.cleaned_data)

    def _runs(self, request: HttpRequest, ids: Sequence[str]) -> list[Run]:
        """Return those of the runs that the user may see; raises Http404 if there are none."""
        try:
            wanted = [UUID(pk) for pk in ids]
        except ValueError:
            raise Http404 from None
        seen = self.get_queryset(request).select_related("definition")
        found = seen.filter(pk__in=wanted[:MOST_AT_ONCE])
        if not (runs := list(found.order_by("-created_at"))):
            raise Http404
        return runs

    def _page(
        self, request: HttpRequest, lever: Lever, runs: Sequence[Run], form: WhyForm | None = None
    ) -> HttpResponse:
        nodes = nodes_for(lever, runs)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{lever.title}: {counted(len(runs), 'run')}",
            "opts": self.opts,
            "lever": lever,
            "runs": runs,
            "form": WhyForm(nodes=nodes) if form is None else form,
            "has_nothing": nodes == [],
        }
        return TemplateResponse(request, "admin/jobs/run/lever.html", context)

    def _pull(
        self,
        request: HttpRequest,
        lever: Lever,
        runs: Sequence[Run],
        *,
        reason: str,
        node: str | None = None,
    ) -> HttpResponse:
        pulled, refused = [], []
        for run in runs:
            try:
                by = request.user.get_username()
                pulled.append(lever.pull(run.pk, reason=reason, by=by, node=node))
            except JobsError as error:
                refused.append(str(error))
        self._report(request, lever, len(pulled), refused)
        if len(runs) > 1:
            return redirect("admin:jobs_run_changelist")
        return redirect("admin:jobs_run_change", (pulled or runs)[0].pk)

    def _report(
        self, request: HttpRequest, lever: Lever, pulled: int, refused: Sequence[str]
    ) -> None:
        level = messages.WARNING if refused else messages.SUCCESS
        text = f"{pulled} of {counted(pulled + len(refused), 'run')} {lever.done}."
        self.message_user(request, text, level)
        for why in refused[:MOST_REASONS]:
            self.message_user(request, why, messages.WARNING)
        if len(refused) > MOST_REASONS:
            more = f"… and {len(refused) - MOST_REASONS} more."
            self.message_user(request, more, messages.WARNING)
