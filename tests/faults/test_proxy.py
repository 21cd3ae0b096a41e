"""The proxy before SQS does to messages what it was told to, on the real protocol."""

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from django.conf import settings

from tests.faults.mischief import Fate, Mischief
from tests.faults.proxy import Proxy
from tests.waiting import wait_until


class Fixed(Mischief):
    """Mischief whose fates a test sets."""

    send = receipt = deletion = visibility = Fate()
    receipts = 0

    def of_send(self) -> Fate:
        return self.send

    def of_receipt(self) -> Fate:
        self.receipts += 1
        return self.receipt

    def of_deletion(self) -> Fate:
        return self.deletion

    def of_visibility(self) -> Fate:
        return self.visibility

    def short_visibility(self) -> int | None:
        return None


class Mail:
    """One queue behind a proxy of its own."""

    def __init__(self, proxy: Proxy, fates: Fixed) -> None:
        self.proxy = proxy
        self.fates = fates
        self.client = self.connect()
        self.url = self.client.create_queue(QueueName=f"proxy-{uuid.uuid4().hex}")["QueueUrl"]

    def connect(self, **options: Any) -> Any:
        session = boto3.session.Session(region_name=settings.AWS_REGION)
        config = Config(retries={"total_max_attempts": 1}, **options)
        return session.client("sqs", endpoint_url=self.proxy.url, config=config)

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def receive(self) -> list[Any]:
        answer = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        found: list[Any] = answer.get("Messages", [])
        return found

    def bodies(self) -> list[str]:
        return sorted(message["Body"] for message in self.receive())


@pytest.fixture
def mail() -> Iterator[Mail]:
    fates = Fixed(1)
    with Proxy(settings.SQS_ENDPOINT_URL, fates) as proxy:
        yield Mail(proxy, fates)
        assert proxy.misunderstood == []


def test_a_message_passes_unchanged_when_nothing_is_done_to_it(mail: Mail) -> None:
    mail.send("ä <&> é")

    (message,) = mail.receive()
    mail.client.delete_message(QueueUrl=mail.url, ReceiptHandle=message["ReceiptHandle"])

    assert message["Body"] == "ä <&> é"
    assert mail.proxy.deleted == {message["MessageId"]}


def test_a_dropped_message_is_answered_as_sent(mail: Mail) -> None:
    mail.fates.send = Fate(copies=0)
    mail.send("lost")

    assert mail.bodies() == []


def test_a_message_is_doubled_and_delayed(mail: Mail) -> None:
    mail.fates.send = Fate(copies=2, delay=0.05)
    mail.send("twice")

    found: list[str] = []

    def have_both_come() -> bool:
        found.extend(mail.bodies())
        return len(found) == 2

    wait_until(have_both_come, what="both copies")
    assert found == ["twice", "twice"]


def test_calming_down_sends_at_once_what_was_delayed(mail: Mail) -> None:
    mail.fates.send = Fate(delay=3600.0)
    mail.send("late")

    mail.proxy.calm_down()

    assert mail.bodies() == ["late"]


def test_each_message_of_a_batch_has_its_own_fate(mail: Mail) -> None:
    fates = iter([Fate(copies=0), Fate(copies=2)])
    mail.fates.of_send = lambda: next(fates)  # type: ignore[method-assign]  # one after the other
    entries = [{"Id": body, "MessageBody": body} for body in ("lost", "twice")]

    answer = mail.client.send_message_batch(QueueUrl=mail.url, Entries=entries)

    assert [entry["Id"] for entry in answer["Successful"]] == ["lost", "twice"]
    assert mail.bodies() == ["twice", "twice"]


def test_a_received_message_is_withheld_or_comes_again(mail: Mail) -> None:
    mail.fates.receipt = Fate(copies=0)
    mail.send("withheld")
    assert mail.bodies() == []

    mail.fates.receipt = Fate(copies=2, late=True)
    mail.send("first")
    assert mail.bodies() == ["first"] * 3


def test_a_deletion_that_is_not_done_brings_the_message_back(mail: Mail) -> None:
    mail.fates.deletion = Fate(copies=0)
    mail.send("zombie")
    (message,) = mail.receive()

    mail.client.delete_message(QueueUrl=mail.url, ReceiptHandle=message["ReceiptHandle"])

    assert mail.bodies() == ["zombie"]
    assert mail.proxy.deleted == set()


@pytest.mark.parametrize("copies", [0, 1])
def test_a_change_of_visibility_is_done_or_only_said_to_be(mail: Mail, copies: int) -> None:
    mail.fates.visibility = Fate(copies=copies)
    mail.send("seen")
    (message,) = mail.receive()

    change = {"ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
    mail.client.change_message_visibility_batch(QueueUrl=mail.url, Entries=[{"Id": "1", **change}])

    assert mail.bodies() == ["seen"] * copies


def test_a_silenced_sqs_answers_with_an_error(mail: Mail) -> None:
    mail.proxy.silence(3600.0)

    with pytest.raises(ClientError, match="silenced"):
        mail.send("unheard")


def test_every_message_of_the_history_can_be_sent_again(mail: Mail) -> None:
    mail.send("one", "two")
    assert mail.bodies() == ["one", "two"]

    copies = mail.proxy.replay(limit=10)

    again = mail.receive()
    assert sorted(message["Body"] for message in again) == ["one", "two"]
    assert {message["MessageId"] for message in again} == set(copies)


def poll_and_leave(mail: Mail) -> None:
    """Ask for messages for as long as a poll may last, and be gone before there is one."""
    impatient = mail.connect(read_timeout=0.5)
    with pytest.raises(ReadTimeoutError):
        impatient.receive_message(QueueUrl=mail.url, WaitTimeSeconds=20)


def test_in_peace_what_a_dead_client_s_poll_took_comes_back_at_once(mail: Mail) -> None:
    poll_and_leave(mail)
    mail.proxy.calm_down()

    mail.send("late")

    wait_until(lambda: mail.fates.receipts, what="the poll of the dead client is answered")
    wait_until(lambda: mail.bodies() == ["late"], what="it comes back", seconds=15)
