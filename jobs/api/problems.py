"""Errors of the API as problem details (RFC 9457): what was wrong, what is allowed, what to do."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import ninja.errors
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from ninja import NinjaAPI

from jobs.errors import (
    IdempotencyConflict,
    InvalidInput,
    InvalidKey,
    JobsError,
    RunRefused,
    UnknownRun,
    UnknownWorkflow,
)

MEDIA_TYPE = "application/problem+json"
STATUSES: Mapping[type[JobsError], int] = {
    InvalidKey: 401,
    UnknownRun: 404,
    UnknownWorkflow: 404,
    IdempotencyConflict: 409,
    RunRefused: 409,
    InvalidInput: 422,
}
CHALLENGE = 'Bearer realm="counterpoint"'


class Forbidden(Exception):
    """The key is good, but not for this; the text says what is needed."""


def response(status: int, detail: str, *, kind: str | None = None, **more: object) -> JsonResponse:
    """Return a problem; `kind` names it for programs, `more` are members of its own."""
    phrase = HTTPStatus(status).phrase
    kind = kind or re.sub(r"\W+", "-", phrase.lower())
    body = {
        "type": f"urn:counterpoint:problem:{kind}",
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        **more,
    }
    headers = {"WWW-Authenticate": CHALLENGE} if status == HTTPStatus.UNAUTHORIZED else {}
    return JsonResponse(body, status=status, content_type=MEDIA_TYPE, headers=headers)


SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details, RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "What kind of problem, for programs."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong and what is allowed."},
        "issues": {
            "type": "array",
            "description": "Of input that does not fit: each place and what is wrong there.",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
        "run_id": {"type": "string", "description": "Of a conflict: the run that is there."},
    },
}


def document(schema: dict[str, Any]) -> None:
    """Add the problem to every operation of an OpenAPI document."""
    schema["components"].setdefault("schemas", {})["Problem"] = SCHEMA
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    answer = {"description": "A problem", "content": {MEDIA_TYPE: problem}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = answer


def install(api: NinjaAPI) -> None:
    """Make every error of this API a problem.

    The handlers' errors are `Any`: ninja's types allow for classes in place of exceptions.
    """
    for kind in STATUSES:
        api.add_exception_handler(kind, _refused)
    api.add_exception_handler(InvalidInput, _invalid_input)
    api.add_exception_handler(ninja.errors.ValidationError, _invalid_request)
    api.add_exception_handler(ninja.errors.AuthenticationError, _no_key)
    api.add_exception_handler(ninja.errors.HttpError, _http_error)
    api.add_exception_handler(RequestDataTooBig, _too_big)
    api.add_exception_handler(Forbidden, _forbidden)


def _refused(request: HttpRequest, error: Any) -> JsonResponse:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    more = {"run_id": str(error.run_id)} if isinstance(error, IdempotencyConflict) else {}
    return response(status, str(error), kind=_kind(error), **more)


def _kind(error: Exception) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()


def _invalid_input(request: HttpRequest, error: Any) -> JsonResponse:
    is_large = any(issue["type"] == "too_large" for issue in error.issues)
    status, kind = (413, "too-large") if is_large else (422, "invalid-input")
    return response(status, str(error), kind=kind, issues=_plain(error.issues))


def _invalid_request(request: HttpRequest, error: Any) -> JsonResponse:
    issues = _plain(error.errors)
    first = issues[0]
    place = ".".join(map(str, first["loc"]))
    return response(422, f"{place}: {first['msg']}", kind="invalid-request", issues=issues)


def _plain(issues: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"loc": list(issue["loc"]), "msg": issue["msg"], "type": issue["type"]} for issue in issues
    ]


def _no_key(request: HttpRequest, error: Any) -> JsonResponse:
    return response(401, "no API key was sent: Authorization: Bearer cpk_…", kind="invalid-key")


def _forbidden(request: HttpRequest, error: Any) -> JsonResponse:
    return response(403, str(error))


def _http_error(request: HttpRequest, error: Any) -> JsonResponse:
    return response(error.status_code, error.message)


def _too_big(request: HttpRequest, error: Any) -> JsonResponse:
    return response(
        413, "the body is too large: store the data, and pass a reference to it", kind="too-large"
    )
