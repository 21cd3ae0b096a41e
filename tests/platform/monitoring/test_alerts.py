"""Alerts: what each rule fires for, how often people are told, and who looks."""

import io
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Response

from counterpoint.checks import alert_rules, alert_urls
from counterpoint.models import AlertRound, Incident, Notice
from counterpoint.monitoring import heartbeats, tallies
from counterpoint.monitoring.alerts import channels, evaluating, incidents, notices
from counterpoint.monitoring.alerts.rules import RULES
from counterpoint.monitoring.depths import Depth, Depths
from jobs.models import Membership, StepRun
from subscriptions.shards import WHOLE
from tests.platform.monitoring.rows import (
    count_all,
    make_dead_letter,
    make_delivery,
    make_event,
    make_run,
    make_try,
    sql,
)

pytestmark = pytest.mark.django_db

Outbox = list[EmailMessage]


class Sqs:
    """What SQS would say of the queue `orders`."""

    def __init__(self) -> None:
        self.orders = Depth("orders", {"visible": 0, "in_flight": 0, "delayed": 0}, 0)
        self.problem: str | None = None

    def measure(self) -> Depths:
        return Depths(problem=self.problem) if self.problem else Depths([self.orders])


@pytest.fixture
def queues() -> Sqs:
    return Sqs()


@pytest.fixture
def look(queues: Sqs) -> Callable[..., None]:
    """Let minutes pass and look at the rules in each, then send what is due."""

    def look(times: int = 1) -> None:
        for _ in range(times):
            sql("UPDATE counterpoint_alertround SET at = at - interval '1 minute'")
            assert evaluating.turn(measure=queues.measure)
            notices.send_due()

    return look


@pytest.fixture(autouse=True)
def well(settings: Settings, request: pytest.FixtureRequest) -> Iterator[None]:
    """All is well and one operator has a mailbox: a relay reads, beat was seen just now."""
    settings.EMAIL_URL, settings.ALERT_MAIL_TO = "smtp://localhost", ["ops@example.com"]
    settings.ALERT_URLS, settings.ALERTS_OFF = [], []
    request.getfixturevalue("db")
    heartbeats.Pulse(heartbeats.BEAT).beat()
    sql("SELECT pg_advisory_lock(%s, %s)", *WHOLE.lock)
    sql(
        "INSERT INTO event_system_relay_cursor (shard, shards, seen, reading, system_identifier)"
        " SELECT 0, 1, pg_current_snapshot(), pg_current_snapshot(), 1"
    )
    yield
    sql("SELECT pg_advisory_unlock_all()")


def fill(queues: Sqs, *, dead: int = 0, visible: int = 0, oldest: float | None = None) -> None:
    queues.orders = Depth("orders", {"visible": visible}, dead, oldest)


def live() -> dict[tuple[str, str], str]:
    rows = Incident.objects.exclude(status="closed")
    return {(row.rule, row.subject): row.status for row in rows}


# How often people are told ------------------------------------------------------------------------


def test_an_incident_makes_one_message_and_one_at_its_end(
    queues: Sqs, look: Callable[..., None], mailoutbox: Outbox
) -> None:
    look()
    fill(queues, dead=3)
    look(10)
    assert [mail.subject for mail in mailoutbox] == [
        "Counterpoint: 3 messages in the dead-letter queue of orders"
    ]
    assert mailoutbox[0].to == ["ops@example.com"]
    assert "Rule: dead-letter-queue (more than 0 messages)" in mailoutbox[0].body
    assert "/admin/counterpoint/incident/" in mailoutbox[0].body

    fill(queues)
    look(10)

    assert [mail.subject for mail in mailoutbox[1:]] == [
        "Counterpoint: over: 3 messages in the dead-letter queue of orders"
    ]
    assert Incident.objects.get().status == "closed"


def test_what_fires_once_is_not_told(
    queues: Sqs, look: Callable[..., None], mailoutbox: Outbox
) -> None:
    fill(queues, dead=1)
    look()
    assert live() == {("dead-letter-queue", "orders"): "pending"}
    fill(queues)
    look()

    assert live() == {}
    assert mailoutbox == []


def test_what_comes_and_goes_is_one_incident(
    queues: Sqs, look: Callable[..., None], mailoutbox: Outbox, settings: Settings
) -> None:
    settings.ALERT_AFTER, settings.ALERT_CLEAR_AFTER = 2, 3
    fill(queues, dead=1)
    look(2)
    for _ in range(5):
        fill(queues)
        look(2)
        fill(queues, dead=1)
        look(2)

    assert len(mailoutbox) == 1
    assert live() == {("dead-letter-queue", "orders"): "open"}


def test_a_second_incident_after_the_end_is_told_again(
    queues: Sqs, look: Callable[..., None], mailoutbox: Outbox
) -> None:
    for _ in range(2):
        fill(queues, dead=1)
        look(2)
        fill(queues)
        look(5)

    assert len(mailoutbox) == 4
    assert Incident.objects.filter(status="closed").count() == 2


def test_a_rule_that_is_switched_off_ends_its_incident(
    queues: Sqs, look: Callable[..., None], settings: Settings
) -> None:
    fill(queues, dead=1)
    look(2)
    settings.ALERTS_OFF = ["dead-letter-queue"]
    look(5)

    assert live() == {}


def test_what_cannot_be_looked_at_leaves_incidents_as_they_are(
    queues: Sqs, look: Callable[..., None], mailoutbox: Outbox
) -> None:
    fill(queues, dead=1)
    look(2)
    queues.problem = "SQS does not serve us: no route"
    look(10)

    assert live() == {("dead-letter-queue", "orders"): "open", ("queues-away", "sqs"): "open"}
    assert len(mailoutbox) == 2
    assert AlertRound.objects.get().problems.keys() >= {"dead-letter-queue", "queue-depth"}


def test_incidents_are_kept_for_ninety_days_after_their_end(
    queues: Sqs, look: Callable[..., None]
) -> None:
    for _ in range(2):
        fill(queues, dead=1)
        look(2)
        fill(queues)
        look(5)
    sql(
        "UPDATE counterpoint_incident SET closed_at = now() - interval '91 days'"
        " WHERE mod(id, 2) = 0"
    )

    incidents.forget()

    assert Incident.objects.count() == 1


# Who looks ----------------------------------------------------------------------------------------


def test_only_one_process_looks_in_a_minute(queues: Sqs, look: Callable[..., None]) -> None:
    look()
    sql("UPDATE counterpoint_alertround SET at = date_trunc('minute', clock_timestamp())")

    assert evaluating.turn(measure=queues.measure) is False


def test_a_clock_that_was_set_back_keeps_nobody_from_looking(
    queues: Sqs, look: Callable[..., None]
) -> None:
    look()
    sql("UPDATE counterpoint_alertround SET at = at + interval '1 hour'")

    assert evaluating.turn(measure=queues.measure) is True


def test_who_was_overtaken_by_the_next_minute_decides_nothing(
    queues: Sqs, look: Callable[..., None]
) -> None:
    look()
    fill(queues, dead=1)

    def slow() -> Depths:
        sql("UPDATE counterpoint_alertround SET at = at + interval '1 minute'")
        return queues.measure()

    sql("UPDATE counterpoint_alertround SET at = at - interval '1 minute'")

    assert evaluating.turn(measure=slow) is False
    assert live() == {}


@pytest.mark.django_db(transaction=True)
def test_processes_that_look_and_send_at_once_tell_once(
    queues: Sqs, look: Callable[..., None], httpserver: HTTPServer, settings: Settings
) -> None:
    settings.ALERT_URLS = [told_to(httpserver)]
    settings.ALERT_MAIL_TO = []
    settings.ALERT_AFTER = 1
    look()
    sql("UPDATE counterpoint_alertround SET at = at - interval '1 minute'")
    fill(queues, dead=1)
    barrier, looked = threading.Barrier(6), []

    def process() -> None:
        try:
            barrier.wait(20)
            looked.append(evaluating.turn(measure=queues.measure))
            barrier.wait(20)
            notices.send_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=process) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(looked) == [False] * 5 + [True]
    assert len(httpserver.log) == 1


# Sending ------------------------------------------------------------------------------------------


def told_to(httpserver: HTTPServer, *, status: int = 200) -> str:
    httpserver.expect_request("/hook").respond_with_response(Response("", status=status))
    return f"json://{httpserver.host}:{httpserver.port}/hook"


def test_a_message_that_could_not_be_sent_is_sent_later(
    queues: Sqs, look: Callable[..., None], httpserver: HTTPServer, settings: Settings
) -> None:
    settings.ALERT_URLS = [told_to(httpserver, status=503)]
    settings.ALERT_MAIL_TO = []
    fill(queues, dead=1)
    look(2)
    notice = Notice.objects.get()
    assert (notice.attempts, notice.sent_at) == (1, None)
    assert notice.error

    httpserver.clear()
    told_to(httpserver)
    assert notices.send_due() == 0  # it is not due yet
    sql("UPDATE counterpoint_notice SET due_at = clock_timestamp()")
    assert notices.send_due() == 1
    assert notices.send_due() == 0

    notice.refresh_from_db()
    assert notice.sent_at is not None
    [(request, _)] = httpserver.log
    assert "dead-letter queue of orders" in request.get_json()["title"]


def test_the_end_is_told_after_the_beginning(
    queues: Sqs, look: Callable[..., None], httpserver: HTTPServer, settings: Settings
) -> None:
    settings.ALERT_URLS = [told_to(httpserver, status=503)]
    settings.ALERT_MAIL_TO, settings.ALERT_CLEAR_AFTER = [], 1
    fill(queues, dead=1)
    look(2)
    fill(queues)
    look()
    httpserver.clear()
    told_to(httpserver)
    sql("UPDATE counterpoint_notice SET due_at = clock_timestamp()")

    notices.send_due()

    titles = [request.get_json()["title"] for request, _ in httpserver.log]
    assert ["over" in title for title in titles] == [False, True]


def test_one_channel_that_fails_keeps_no_other_from_being_told(
    queues: Sqs,
    look: Callable[..., None],
    httpserver: HTTPServer,
    settings: Settings,
    mailoutbox: Outbox,
) -> None:
    settings.ALERT_URLS = [told_to(httpserver, status=500)]
    fill(queues, dead=1)
    look(2)

    assert len(mailoutbox) == 1
    assert Notice.objects.filter(sent_at=None).count() == 1


def test_what_could_not_be_sent_for_a_day_is_given_up(
    queues: Sqs, look: Callable[..., None], httpserver: HTTPServer, settings: Settings
) -> None:
    settings.ALERT_URLS, settings.ALERT_MAIL_TO = [told_to(httpserver, status=500)], []
    fill(queues, dead=1)
    look(2)
    sql(
        "UPDATE counterpoint_notice SET due_at = clock_timestamp(),"
        " created_at = clock_timestamp() - interval '25 hours'"
    )
    notices.send_due()

    assert Notice.objects.get().given_up_at is not None


def test_no_secret_of_a_url_is_written_down(
    queues: Sqs, look: Callable[..., None], settings: Settings, caplog: Any
) -> None:
    settings.ALERT_URLS = ["json://user:verysecret@127.0.0.1:9/alsosecret"]
    settings.ALERT_MAIL_TO = []
    fill(queues, dead=1)
    look(2)

    notice = Notice.objects.get()
    assert notice.error
    for text in (notice.error, notice.channel, caplog.text, repr(channels.channels())):
        assert "secret" not in text


# Rules --------------------------------------------------------------------------------------------


@pytest.fixture
def fires(look: Callable[..., None]) -> Callable[[], dict[str, tuple[str, str]]]:
    """Look once and return what fires: rule to subject and text."""

    def fires() -> dict[str, tuple[str, str]]:
        look()
        return {row.rule: (row.subject, row.text) for row in Incident.objects.all()}

    return fires


Fires = Callable[[], dict[str, tuple[str, str]]]


def test_nothing_fires_while_all_is_well(fires: Fires) -> None:
    make_run(status="running")
    make_delivery(make_event())

    assert fires() == {}
    assert AlertRound.objects.get().problems == {}


def test_a_full_queue_and_an_old_message_fire(queues: Sqs, fires: Fires) -> None:
    fill(queues, visible=10_001, oldest=901.0)

    assert fires() == {
        "queue-depth": ("orders", "10,001 messages wait in the queue orders"),
        "queue-age": ("orders", "the oldest message of orders has waited for 901 s"),
    }


def test_a_failure_spike_fires_by_handler_type_and_workflow(
    look: Callable[..., None], fires: Fires, settings: Settings
) -> None:
    settings.ALERT_FAILURES_LEAST = 3
    tallies.turn()
    delivery = make_delivery(make_event())
    for _ in range(10):
        make_try(delivery)
    count_all()
    look()
    for _ in range(3):
        make_try(delivery, status="failed")
        make_run(workflow="book", status="failed")
    make_run(workflow="pay", status="failed")
    count_all()

    found = fires()

    # 3 of 13 have failed since ever, 3 of 3 lately.
    assert set(found) == {"failures"}
    assert {(row.subject, row.text) for row in Incident.objects.all()} == {
        ("tries of WEBHOOK", "3 of 3 tries of WEBHOOK failed in the last five minutes"),
        ("runs of book", "3 of 3 runs of book failed in the last five minutes"),
    }


def test_a_few_failures_are_no_spike(look: Callable[..., None], fires: Fires) -> None:
    tallies.turn()
    look()
    make_run(status="failed")
    count_all()

    assert fires() == {}


def test_rows_in_a_default_partition_fire(fires: Fires) -> None:
    sql(
        "INSERT INTO event_system_event (source, recorded_at)"
        " VALUES ('test', now() + interval '400 days')"
    )

    assert fires()["default-partition"] == (
        "event_system_event",
        "1 row in the DEFAULT partition of event_system_event",
    )


def test_an_outbox_that_nobody_reads_fires(fires: Fires) -> None:
    sql("SELECT pg_advisory_unlock_all()")

    assert fires()["relay-silent"] == ("shard 0", "no relay reads shard 0 of 1")


@pytest.mark.django_db(transaction=True)
def test_an_outbox_that_is_behind_fires(fires: Fires) -> None:
    sql("UPDATE event_system_relay_cursor SET seen = pg_current_snapshot(), reading = seen")
    sql(
        "INSERT INTO event_system_event (source, recorded_at)"
        " VALUES ('test', clock_timestamp() - interval '90 s')"
    )

    assert fires()["outbox-lag"][0] == "shard 0"


def test_a_beat_that_is_silent_fires(fires: Fires) -> None:
    sql("UPDATE counterpoint_heartbeat SET seen_at = clock_timestamp() - interval '200 s'")

    assert fires()["beat-silent"][0] == "beat"


def test_a_beat_that_never_was_fires_after_a_while(look: Callable[..., None], fires: Fires) -> None:
    sql("DELETE FROM counterpoint_heartbeat")
    assert fires() == {}
    sql("UPDATE counterpoint_alertround SET began_at = clock_timestamp() - interval '200 s'")

    assert "beat-silent" in fires()


@pytest.mark.parametrize(
    ("status", "due", "wake", "created"),
    [
        ("ready", -20, 0.01, -20),  # the sweep sends it, nobody comes
        ("ready", -20, -20, -20),  # nobody sweeps
        ("running", -20, -20, -20),
        ("waiting", 0, 0.01, -20),  # for its code, and looked at again and again
    ],
)
def test_a_step_that_nobody_takes_fires(
    fires: Fires, status: str, due: float, wake: float, created: float
) -> None:
    run = make_run(workflow="book", status="running")
    StepRun.objects.create(run=run, node="a", step="a", queue="default")
    sql(
        "UPDATE jobs_steprun SET status = %(status)s,"
        " due_at = clock_timestamp() + %(due)s, wake_at = clock_timestamp() + %(wake)s,"
        " created_at = clock_timestamp() + %(created)s,"
        " lease_until = CASE %(status)s WHEN 'running' THEN clock_timestamp() + %(due)s END,"
        " waiting_for = CASE %(status)s WHEN 'waiting' THEN 'code' END",
        status=status,
        due=timedelta(minutes=due),
        wake=timedelta(minutes=wake),
        created=timedelta(minutes=created),
    )

    assert fires()["stuck-runs"] == ("book", "1 step of book due for more than 15 min")


def test_a_step_that_waits_for_long_by_intent_is_not_stuck(fires: Fires) -> None:
    run = make_run(workflow="book", status="waiting")
    StepRun.objects.create(run=run, node="a", step="a", queue="default", status="waiting")
    sql(
        "UPDATE jobs_steprun SET waiting_for = 'time', created_at = now() - interval '9 days',"
        " due_at = now() + interval '10 s', wake_at = now() + interval '10 s'"
    )

    assert fires() == {}


def test_held_deliveries_that_expired_fire_for_an_hour(fires: Fires) -> None:
    seq = make_event()
    make_delivery(seq, status="expired", ended=timedelta(minutes=59))
    make_delivery(make_event(), status="expired", ended=timedelta(minutes=61))

    assert fires()["held-expired"] == (
        "WEBHOOK",
        "1 delivery for WEBHOOK expired while held, in the last hour",
    )


def test_dead_letters_fire_by_their_reason(fires: Fires) -> None:
    make_dead_letter("1")
    make_dead_letter("2")
    make_dead_letter("3", status="discarded")

    assert fires()["dead-letters"] == (
        "unknown_type",
        "2 messages from outside not taken in: unknown_type",
    )


def test_an_event_set_aside_fires(fires: Fires) -> None:
    sql(
        "INSERT INTO event_system_unroutable (event_seq, event_id, reason)"
        " VALUES (1, gen_random_uuid(), 'x')"
    )

    assert fires()["unroutable"] == ("relay", "1 event set aside by the relay")


def test_every_rule_has_a_limit(settings: Settings) -> None:
    assert set(settings.ALERT_LIMITS) == set(RULES)


def test_an_unknown_name_in_the_settings_is_refused(settings: Settings) -> None:
    settings.ALERTS_OFF = ["queue-age", "quue-depth"]

    [error] = alert_rules()

    assert error.id == "counterpoint.E001"
    assert "quue-depth" in error.msg


def test_what_is_no_url_is_refused_without_being_repeated(settings: Settings) -> None:
    settings.ALERT_URLS = ["slack://token/secret", "secret@example.com"]

    [error] = alert_urls()

    assert error.id == "counterpoint.E002"
    assert "number 2" in error.msg
    assert "secret" not in error.msg
    settings.ALERT_URLS = []
    assert alert_urls() == []


# What operators use -------------------------------------------------------------------------------


def run_command(*arguments: str) -> str:
    output = io.StringIO()
    call_command("alerts", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_shows_rules_states_and_channels(
    queues: Sqs, look: Callable[..., None], settings: Settings
) -> None:
    settings.ALERTS_OFF = ["queue-age"]
    fill(queues, dead=2)
    look(2)
    fill(queues, dead=2, visible=20_000)
    look()

    lines = run_command().splitlines()

    def line_of(name: str) -> str:
        return next(line for line in lines if name in line)

    assert "OPEN" in line_of("dead-letter-queue")
    assert "2 messages in the dead-letter queue of orders" in line_of("dead-letter-queue")
    assert "fires, 1 of 2" in line_of("queue-depth")
    assert "off" in line_of("queue-age")
    assert "ok" in line_of("beat-silent")
    assert "told by: mail" in lines


def test_the_command_works_before_anybody_has_looked() -> None:
    assert run_command().startswith("never looked at")


def test_the_command_sends_a_test_by_each_channel(
    httpserver: HTTPServer, settings: Settings, mailoutbox: Outbox
) -> None:
    settings.ALERT_URLS = [told_to(httpserver)]

    said = run_command("--test")

    assert said == f"{channels.name_of(settings.ALERT_URLS[0])}: sent\nmail: sent\n"
    assert len(httpserver.log) == len(mailoutbox) == 1
    assert Notice.objects.count() == 0


def test_a_test_that_fails_says_so(httpserver: HTTPServer, settings: Settings) -> None:
    settings.ALERT_URLS = [told_to(httpserver, status=403), "nonsense://x"]

    with pytest.raises(CommandError, match="2 of 3 channels did not take it"):
        run_command("--test")


def test_a_test_without_channels_says_what_to_set(settings: Settings) -> None:
    settings.ALERT_MAIL_TO = []

    with pytest.raises(CommandError, match="set ALERT_URLS, or ALERT_MAIL_TO"):
        run_command("--test")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def test_the_admin_lists_incidents_with_their_messages(
    queues: Sqs, look: Callable[..., None], staff: Client
) -> None:
    fill(queues, dead=2)
    look(2)

    listed = staff.get("/admin/counterpoint/incident/").content.decode()
    page = f"/admin/counterpoint/incident/{Incident.objects.get().pk}/change/"
    shown = staff.get(page).content.decode()

    assert "2 messages in the dead-letter queue of orders" in listed
    assert "opened" in shown
    assert staff.get("/admin/counterpoint/incident/add/").status_code == 403


def test_staff_held_to_a_company_sees_no_incident(client: Client) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    Membership.objects.create(user=user, company="acme")
    client.force_login(user)

    assert client.get("/admin/counterpoint/incident/").status_code == 403
