"""Mails about events: the shipped templates, and one message made of one of them.

A subscription names a template; nothing it holds is ever the source of one.
"""

from collections.abc import Iterator, Mapping, Sequence
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from subscriptions.envelope import Envelope
from subscriptions.operators import ABSENT
from subscriptions.placeholders import parse, text_of

# Name to what it is for; `templates/subscriptions/mail/` has each as .txt and as .html.
TEMPLATES: Mapping[str, str] = {
    "event": "what happened, with all values",
    "record_changed": "what happened, with the columns that changed: before and now",
    "brief": "what happened, without any data",
}
MOST_VALUES = 200
LONGEST_VALUE = 2000  # characters
LONGEST_SUBJECT = 200
DONE = {"INSERT": "was added", "UPDATE": "was changed", "DELETE": "was deleted"}


def compose(
    event: Envelope, *, template: str, subject: str | None, to: Sequence[str], message_id: str
) -> EmailMultiAlternatives:
    """Return the message of an event. `message_id` stays the same over tries: a receiver that gets
    it twice may know it by that. Control characters are taken out of all headers.
    """
    happened = what_happened(event)
    line = happened if subject is None else parse(subject).render(event.lookup)
    headline = one_line(line)[:LONGEST_SUBJECT]
    context = {
        "event": event,
        "happened": happened,
        "subject": headline,
        "values": list(values(event.document)),
        "changes": list(_changes(event)),
    }
    message = EmailMultiAlternatives(
        subject=headline,
        body=render_to_string(f"subscriptions/mail/{template}.txt", context),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=list(to),
        headers={
            "Message-ID": f"<{message_id}@{_own_domain()}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no answer of an absent person
        },
    )
    message.attach_alternative(
        render_to_string(f"subscriptions/mail/{template}.html", context), "text/html"
    )
    return message


def what_happened(event: Envelope) -> str:
    """Return it in one line, such as `orders 17 was changed`, without the data of the row."""
    if event.type is not None:
        return event.type
    if event.operation == "TRUNCATE":
        return f"{event.table} was emptied"
    return f"{event.table} {text_of(event.record_id)} {DONE.get(event.operation or '', '')}".strip()


def one_line(text: str) -> str:
    """Return the text in one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _own_domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"


def values(document: Any) -> Iterator[tuple[str, str]]:
    """Yield names and values as text, long ones cut."""
    rows = document.items() if isinstance(document, dict) else [("value", document)]
    for name, value in list(rows)[:MOST_VALUES]:
        yield _shown(name), _shown(value)


def _changes(event: Envelope) -> Iterator[tuple[str, str, str]]:
    before = event.before if isinstance(event.before, dict) else {}
    now = event.after if isinstance(event.after, dict) else {}
    names = [
        name
        for name in dict.fromkeys((*before, *now))
        if before.get(name, ABSENT) != now.get(name, ABSENT)
    ]
    for name in names[:MOST_VALUES]:
        yield _shown(name), _shown(before.get(name)), _shown(now.get(name))


def _shown(value: Any) -> str:
    text = text_of(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} …"
