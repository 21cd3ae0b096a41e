"""`/metrics`: not public. Prometheus brings a token, people are logged in as staff."""

from collections.abc import Callable
from secrets import compare_digest

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from counterpoint.monitoring.collector import registry
from jobs.admin.companies import company_of

PATH = "/metrics"


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer staff; refuse others. Who is held to a company sees no other's figures here."""
    user = request.user
    if user.is_active and user.is_staff and company_of(request) is None:
        return answer()
    return HttpResponse(
        "Not allowed: send the METRICS_TOKEN as 'Authorization: Bearer <token>', or log in to the"
        " admin as staff of the platform.\n",
        status=401,
        content_type="text/plain; charset=utf-8",
        headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
    )


def answer() -> HttpResponse:
    """Return all metrics in Prometheus's text format."""
    return HttpResponse(
        generate_latest(registry),
        content_type=CONTENT_TYPE_PLAIN_0_0_4,
        headers={"Cache-Control": "no-store"},
    )


class MetricsMiddleware:
    """Answer who brings the token, before the check of the Host header: Prometheus asks each
    process by its address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == PATH and request.method in ("GET", "HEAD") and has_token(request):
            return answer()
        return self.get_response(request)


def has_token(request: HttpRequest) -> bool:
    """Whether the request brings the token of the settings; never true where there is none."""
    given = request.headers.get("Authorization", "").encode()
    wanted = f"Bearer {settings.METRICS_TOKEN}".encode()
    return bool(settings.METRICS_TOKEN) and compare_digest(given, wanted)
