"""One turn of a receiver, on a real queue: what is deleted, what stays, what is given back."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings
from structlog.testing import capture_logs

from jobs import sqs
from subscriptions.ingest import inbox
from subscriptions.ingest.companies import Companies
from subscriptions.ingest.filing import Filed, file
from subscriptions.ingest.outage import Outage
from subscriptions.ingest.queue import EventQueue
from subscriptions.ingest.receiving import Crew, Receiver
from subscriptions.models import Event, Inbox
from tests.subscriptions.ingest.messages import make_body, make_message

pytestmark = pytest.mark.django_db

# What no message is to blame for, as far as anybody can tell.
BROKEN_TABLE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'a trigger of theirs'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON event_system_inbox FOR EACH ROW
    WHEN (NEW.source_id = 'poison') EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def client(settings: Settings) -> Any:
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    found = sqs.client()
    found.create_queue(QueueName=sqs.full_name("events"))
    return found


def send(client: Any, *bodies: str) -> None:
    url = sqs.find(client, "events")
    entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
    client.send_message_batch(QueueUrl=url, Entries=entries)


def left(client: Any) -> tuple[int, int]:
    """Return how many messages can be received, and how many somebody holds."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client.get_queue_attributes(QueueUrl=sqs.find(client, "events"), AttributeNames=names)
    visible, held = (int(found["Attributes"][name]) for name in names)
    return visible, held


def make_receiver(stop: threading.Event | None = None) -> Receiver:
    stop = stop or threading.Event()
    crew = Crew(stop, Outage(stop), Companies(), lambda filed: None, threading.Event())
    return Receiver("events", crew)


def test_a_batch_is_filed_and_deleted(client: Any) -> None:
    send(client, make_body(id="a"), "{", make_body(id="b"))

    assert make_receiver().turn() == 3

    assert left(client) == (0, 0)
    assert Event.objects.count() == 2


def test_one_that_fails_for_no_reason_of_its_own_holds_up_no_other(client: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(BROKEN_TABLE)
    send(client, make_body(id="a"), make_body(id="poison"), make_body(id="b"))

    with capture_logs() as logs:
        assert make_receiver().turn() == 2

    assert set(Event.objects.values_list("source_id", flat=True)) == {"a", "b"}
    assert left(client) == (0, 1)  # it comes again when its time is up
    assert [one["event"] for one in logs] == ["message_not_filed"]


def test_told_to_stop_it_gives_back_what_it_has_received(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    receiver = make_receiver(stop)
    receive = EventQueue.receive

    def receive_late(queue: EventQueue, *, wait_seconds: int) -> Any:
        found = receive(queue, wait_seconds=wait_seconds)
        stop.set()
        return found

    monkeypatch.setattr(EventQueue, "receive", receive_late)
    send(client, make_body())

    assert receiver.turn() == 0

    assert left(client) == (1, 0)
    assert not Event.objects.exists()


def test_entries_that_sqs_does_not_delete_are_tried_again(client: Any) -> None:
    send(client, make_body(id="a"), make_body(id="b"))
    queue = EventQueue("events")
    messages = queue.receive(wait_seconds=1)
    requests: list[list[str]] = []

    def fail_once(params: Any, **_: Any) -> None:
        requests.append([entry["Id"] for entry in params["Entries"]])
        if len(requests) == 1:
            del params["Entries"][0]

    def tell(parsed: Any, **_: Any) -> None:
        if len(requests) == 1:
            parsed["Failed"] = [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]

    events = queue._client.meta.events
    events.register("provide-client-params.sqs.DeleteMessageBatch", fail_once)
    events.register("after-call.sqs.DeleteMessageBatch", tell)

    assert queue.delete(messages) == 0

    assert requests == [["0", "1"], ["0"]]
    assert left(client) == (0, 0)


def test_a_queue_that_is_not_there_is_named(settings: Settings) -> None:
    settings.SQS_QUEUE_PREFIX = "nothing-here-"

    with pytest.raises(LookupError, match="nothing-here-events does not exist"):
        make_receiver().turn()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_takes_nothing_is_waited_for_and_said_once() -> None:
    outage = Outage(threading.Event())
    with connection.cursor() as cursor:  # of this session; the next one, after the look, may write
        cursor.execute("SET default_transaction_read_only = on")

    with capture_logs() as logs:
        assert outage.wait()
        outage.doubt()
        assert outage.wait()

    assert [(one["event"], one.get("error")) for one in logs] == [
        ("ingest_waits_for_database", "it is read-only"),
        ("ingest_goes_on", None),
    ]


def test_old_ids_are_forgotten_and_young_ones_are_not() -> None:
    assert file([make_message(), make_message()], Companies()) == Filed(events=2)
    old = Inbox.objects.order_by("pk")[0]
    Inbox.objects.filter(pk=old.pk).update(received_at=Now() - timedelta(days=31))

    assert inbox.prune(timedelta(days=30)) == 1

    assert Inbox.objects.get().pk != old.pk
