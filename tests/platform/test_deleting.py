"""Acknowledged messages are deleted by tens, and what cannot be deleted breaks nothing."""

from itertools import chain
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from counterpoint import deleting, sqs
from counterpoint.deleting import Received, delete


class Client:
    """Takes requests as boto3's client does, and says what it was told to."""

    def __init__(self, answers: list[Any]) -> None:
        self.requests: list[tuple[str, list[str]]] = []
        self._answers = answers

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        self.requests.append((QueueUrl, [entry["ReceiptHandle"] for entry in Entries]))
        answer = self._answers.pop(0) if self._answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def answers() -> list[Any]:
    return []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> Client:
    made = Client(answers)
    monkeypatch.setattr(sqs, "client", lambda: made)
    monkeypatch.setattr(deleting, "_deletions", deleting._begin())
    return made


def test_each_queues_messages_go_by_tens(client: Client) -> None:
    delete(Received("orders", "first"))  # alone; what comes right behind it waits for company
    for number in range(12):
        delete(Received("orders", str(number)))
        delete(Received("mail", str(number)))

    deleting.flush()

    for url, first in (("orders", ["first"]), ("mail", [])):
        requests = [handles for found, handles in client.requests if found == url]
        assert list(chain.from_iterable(requests)) == [*first, *map(str, range(12))]
        assert len(requests) <= 3
        assert max(map(len, requests)) <= 10


@pytest.mark.parametrize(
    ("answer", "logged"),
    [
        (EndpointConnectionError(endpoint_url="sqs"), "1 message(s) of orders not deleted"),
        ({"Failed": [{"Id": "0", "Code": "InternalError"}]}, "not deleted: InternalError"),
        ({"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid"}]}, ""),
    ],
)
def test_what_cannot_be_deleted_is_logged_and_holds_up_nothing(
    client: Client, answers: list[Any], caplog: pytest.LogCaptureFixture, answer: Any, logged: str
) -> None:
    answers.append(answer)
    delete(Received("orders", "first"))
    deleting.flush()
    delete(Received("orders", "second"))
    deleting.flush()

    assert [handles for _, handles in client.requests] == [["first"], ["second"]]
    assert logged in caplog.text
    assert bool(caplog.text) == bool(logged)
