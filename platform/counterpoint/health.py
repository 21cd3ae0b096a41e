"""`/healthz` and `/readyz`, answered before anything else looks at the request.

As middleware, because a load balancer asks by address: the check of the Host header would refuse
it.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

from counterpoint import probes

Probe = Callable[[], str | None]

REQUIRED: dict[str, Probe] = {
    "database": probes.database,
    "migrations": probes.migrations,
    "queues": probes.queues,
}
REPORTED: dict[str, Probe] = {"redis": probes.redis_server}


def healthz() -> JsonResponse:
    """Answer that the process is alive; asks nobody else."""
    return JsonResponse({"status": "alive"})


def readyz() -> JsonResponse:
    """Answer 200 if this process can serve, else 503, with what each probe found.

    Redis is reported and not required: losing it stops no work.
    """
    required = {name: probe() or "ok" for name, probe in REQUIRED.items()}
    reported = {name: probe() or "ok" for name, probe in REPORTED.items()}
    ready = all(found == "ok" for found in required.values())
    return JsonResponse(
        {"status": "ready" if ready else "unready", "checks": {**required, **reported}},
        status=200 if ready else 503,
    )


PATHS = {"/healthz": healthz, "/readyz": readyz}


class HealthMiddleware:
    """Answer the health checks' paths; pass everything else on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = PATHS.get(request.path)
        return answer() if answer is not None else self.get_response(request)
