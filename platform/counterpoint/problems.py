"""Errors below `/api/` that the API never saw: unknown paths, wrong methods, a crash."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from jobs.api import problems

ROOT = "/api/"
DETAILS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "nothing is at {path}; /api/v1/openapi.json lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "{path} does not take {method}; it takes {allowed}",
}
REFUSED = "the request is malformed"
CRASH = "something went wrong here, not in the request; it is logged"


class ProblemMiddleware:
    """Make problem details of every error below `/api/` that is not one yet."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        if answer.status_code < HTTPStatus.BAD_REQUEST or not request.path.startswith(ROOT):
            return answer
        if answer.headers.get("Content-Type", "").startswith(problems.MEDIA_TYPE):
            return answer
        if settings.DEBUG and answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return answer  # the traceback is what a developer wants
        return _problem(request, answer)


def _problem(request: HttpRequest, answer: HttpResponseBase) -> HttpResponse:
    allowed = answer.headers.get("Allow", "")
    is_ours = answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    text = DETAILS.get(answer.status_code, CRASH if is_ours else REFUSED)
    detail = text.format(path=request.path, method=request.method, allowed=allowed)
    made = problems.response(answer.status_code, detail)
    if allowed:
        made.headers["Allow"] = allowed
    return made
