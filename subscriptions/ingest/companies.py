"""Whose a message is: the queue's or the credential's by setting, else what the body says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from subscriptions.errors import RefusedMessage
from subscriptions.ingest.message import Message
from subscriptions.ingest.reasons import Reason

LONGEST = 128  # characters


@dataclass(frozen=True)
class Companies:
    """Companies by the name of a queue, and by the id of an AWS principal that sends.

    SQS tells of each message who sent it (`SenderId`): a user's id, or a role's with the session's
    name after a colon. A role is mapped with or without that.
    """

    by_queue: Mapping[str, str] = field(default_factory=dict)
    by_sender: Mapping[str, str] = field(default_factory=dict)

    def mapped(self, message: Message) -> str | None:
        """Return the company that the settings name for the message; None if they name none.

        Raises RefusedMessage if queue and credential are different companies'.
        """
        of_queue = self.by_queue.get(message.queue)
        of_sender = self.by_sender.get(message.sender)
        if of_sender is None:
            of_sender = self.by_sender.get(message.sender.partition(":")[0])
        if of_queue is not None and of_sender is not None and of_queue != of_sender:
            problem = f"the queue is {of_queue!r}'s, the credential that sent it {of_sender!r}'s"
            raise RefusedMessage(Reason.OTHER_COMPANY, problem)
        return of_queue if of_queue is not None else of_sender


def configured() -> Companies:
    return Companies(settings.INGEST_QUEUE_COMPANIES, settings.INGEST_SENDER_COMPANIES)


def named(claims: list[Any]) -> str | None:
    """Return the one company that a body names, in one place or several; None if it names none."""
    found = {_checked(claim) for claim in claims if claim is not None}
    if len(found) > 1:
        shown = " and ".join(repr(name) for name in sorted(found))
        raise RefusedMessage(Reason.OTHER_COMPANY, f"the body names two companies, {shown}")
    return found.pop() if found else None


def agreed(mapped: str | None, claimed: str | None) -> str:
    """Return whose it is: the body may name the mapped company, and no other."""
    if mapped is None and claimed is None:
        problem = "neither the body (companyId) nor a setting for queue or sender names a company"
        raise RefusedMessage(Reason.NO_COMPANY, problem)
    if mapped is not None and claimed is not None and mapped != claimed:
        problem = f"the body names {claimed!r}; queue or credential are {mapped!r}'s"
        raise RefusedMessage(Reason.OTHER_COMPANY, problem)
    return mapped or claimed or ""


def _checked(claim: Any) -> str:
    if not isinstance(claim, str) or not 0 < len(claim) <= LONGEST or not claim.isprintable():
        problem = f"a company is a text of 1 to {LONGEST} printable characters"
        raise RefusedMessage(Reason.BAD_ENVELOPE, problem)
    return claim
