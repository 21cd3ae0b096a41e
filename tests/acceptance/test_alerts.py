"""Real processes notice that another is gone, and tell of it once."""

from pytest_httpserver import HTTPServer

from counterpoint.models import Incident
from tests.acceptance.conftest import Platform
from tests.platform.monitoring.rows import sql
from tests.waiting import wait_until


def told(httpserver: HTTPServer) -> list[str]:
    return [request.get_json()["title"].partition(" for ")[0] for request, _ in httpserver.log]


def test_the_relay_tells_of_a_silent_beat_and_beat_of_a_relay_that_is_gone(
    platform: Platform, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    settings = {
        "ALERT_URLS": f"json://{httpserver.host}:{httpserver.port}/hook",
        "ALERT_AFTER": "1",
        "METRICS_CLOUDWATCH": "off",
    }
    sql("INSERT INTO counterpoint_heartbeat VALUES ('beat', now() - interval '1 hour')")
    platform.start("relay", **settings)
    silent = Incident.objects.filter(rule="beat-silent", status="open")
    wait_until(silent.exists, what="the relay has noticed")
    wait_until(lambda: len(told(httpserver)) == 1, what="somebody is told")

    platform.start("beat", **settings)
    seen = "SELECT 1 FROM counterpoint_heartbeat WHERE seen_at > now() - interval '1 minute'"
    wait_until(lambda: sql(seen), what="beat is seen")
    platform.kill("relay")
    sql("UPDATE counterpoint_alertround SET at = at - interval '5 minutes'")
    gone = Incident.objects.filter(rule="relay-silent", status="open")
    wait_until(gone.exists, what="beat has noticed")
    wait_until(lambda: len(told(httpserver)) == 2, what="somebody is told")

    assert told(httpserver) == [
        "Counterpoint: beat has not been seen",
        "Counterpoint: no relay reads shard 0 of 1",
    ]
