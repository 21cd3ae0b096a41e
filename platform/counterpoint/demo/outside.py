"""A service that sends JSON to SQS by boto3: good, late, repeated and broken messages, and what
became of each.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from counterpoint import sqs
from counterpoint.demo.receiver import Receiver
from counterpoint.demo.report import Line
from counterpoint.demo.scenario import wait_for
from jobs.counting import counted
from subscriptions.models import DeadLetter, Event, Inbox
from subscriptions.services import create_subscription

QUEUE = "events"
TYPE = "appointment.reminder"
PATH = "/reminders"
LATE = timedelta(days=2)


@dataclass(frozen=True)
class Sent:
    """A message, and its end: an event, or a dead letter of the reason. `is_repeated` has an id
    that another message had before.
    """

    what: str
    body: str
    source_id: str
    message_id: str
    sent_at: float
    reason: str | None = None
    is_repeated: bool = False


@dataclass
class Producer:
    """Sends as a company's own service would."""

    company: str
    url: str
    sent: list[Sent] = field(default_factory=list)
    _client: Any = field(default_factory=sqs.client)

    def send(self, what: str, body: str | Mapping[str, Any], **expected: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        own_id = None if isinstance(body, str) else body.get("id")
        answer = self._client.send_message(QueueUrl=self.url, MessageBody=text)
        message_id = answer["MessageId"]
        self.sent.append(
            Sent(what, text, own_id or message_id, message_id, time.time(), **expected)
        )

    def reminder(self, **fields: Any) -> dict[str, Any]:
        """Return a body of the short contract, with these members in place of its own."""
        return {
            "type": TYPE,
            "id": f"reminder-{uuid.uuid4()}",
            "payload": self.payload(),
            "timestamp": _now(),
            "attempts": 1,
            **fields,
        }

    def payload(self) -> dict[str, str]:
        return {
            "appointmentId": str(uuid.uuid4()),
            "companyId": self.company,
            "startTime": _now(timedelta(days=1)),
        }


def tell(receiver: Receiver, company: str) -> list[Sent]:
    """Subscribe the company to its reminders, send the messages and wait for their ends."""
    webhook = create_subscription(
        name="remind",
        company=company,
        event_type=TYPE,
        handler_type="WEBHOOK",
        config={"url": receiver.url + PATH},
    )
    webhook.refresh_from_db()
    receiver.secrets[PATH] = str(webhook.secret)
    producer = Producer(company, sqs.find(sqs.client(), QUEUE) or "")
    _send(producer)
    events = {one.source_id for one in producer.sent if one.reason is None}
    broken = [one.message_id for one in producer.sent if one.reason is not None]
    wait_for(
        lambda: (
            len(arrived(receiver)) >= len(events)
            and DeadLetter.objects.filter(message_id__in=broken).count() == len(broken)
        ),
        "every message to reach its end",
    )
    wait_for(lambda: _is_empty(producer), f"the queue {QUEUE} to be empty")
    return producer.sent


def _send(producer: Producer) -> None:
    good = producer.reminder()
    producer.send("good", good)
    producer.send("good, as CloudEvents 1.0", _cloud_event(producer))
    producer.send("two days late", producer.reminder(timestamp=_now(-LATE)))
    producer.send("the first one's id again", good, is_repeated=True)
    producer.send("broken: no JSON", "reminder: a-1", reason="not_json")
    producer.send(
        "broken: a type nobody declares",
        producer.reminder(type="appointment.remind"),
        reason="unknown_type",
    )
    producer.send(
        "broken: no startTime",
        producer.reminder(payload={"appointmentId": "a-1", "companyId": producer.company}),
        reason="broken_contract",
    )
    nobody = {name: text for name, text in producer.payload().items() if name != "companyId"}
    producer.send("broken: of no company", producer.reminder(payload=nobody), reason="no_company")


def _cloud_event(producer: Producer) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"reminder-{uuid.uuid4()}",
        "source": "/calendar",
        "type": TYPE,
        "time": _now(),
        "companyid": producer.company,
        "data": producer.payload(),
    }


def lines(sent: list[Sent], receiver: Receiver) -> Iterator[Line]:
    """Yield each message's end."""
    arrivals = arrived(receiver)
    for one in sent:
        yield _dead(one) if one.reason is not None else _taken_in(one, arrivals)


def _taken_in(one: Sent, arrivals: Mapping[str, float]) -> Line:
    """An event once, and its webhook once, however often it was sent."""
    events = list(Event.objects.filter(source_id=one.source_id))
    told = [arrivals[str(event.event_id)] for event in events if str(event.event_id) in arrivals]
    is_once = len(events) == len(told) == 1
    what = f"message {one.what}"
    if one.is_repeated:
        is_known = is_once and Inbox.objects.filter(source_id=one.source_id).count() == 1
        return Line(what, "known: no second event" if is_known else "taken twice", None, is_known)
    age = f" of {events[0].timestamp:%d %b %H:%M}" if "late" in one.what and events else ""
    found = f"{counted(len(events), 'event')}{age}, {counted(len(told), 'webhook')}"
    return Line(what, found, told[0] - one.sent_at if told else None, is_once)


def _dead(one: Sent) -> Line:
    found = DeadLetter.objects.filter(message_id=one.message_id)
    ok = [(dead.reason, bytes(dead.body)) for dead in found] == [(one.reason, one.body.encode())]
    text = f"dead letter: {found[0].reason}" if found else "no dead letter"
    seconds = found[0].first_seen_at.timestamp() - one.sent_at if found else None
    return Line(f"message {one.what}", text, seconds and max(seconds, 0), ok)


def arrived(receiver: Receiver) -> dict[str, float]:
    """Return when the webhook of each reminder arrived, by its event's id."""
    return {
        str(arrival.body["id"]): arrival.at
        for arrival in list(receiver.arrivals)
        if arrival.path == PATH and arrival.body
    }


def _is_empty(producer: Producer) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.client().get_queue_attributes(QueueUrl=producer.url, AttributeNames=names)
    return set(found["Attributes"].values()) == {"0"}


def _now(later: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + later).isoformat()
