"""EMAIL: send a mail, made from one of the shipped templates, to fixed addresses or to those that
the event holds.
"""

import smtplib
import ssl
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Annotated, Any, Literal

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.validators import EmailValidator
from pydantic import AfterValidator, Field

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import Handler, HandlerConfig, Item, Outcome, Preview, handler
from subscriptions.mails import TEMPLATES, compose
from subscriptions.placeholders import check_paths, parse

log = structlog.get_logger(__name__)

MOST_RECIPIENTS = 50
# Codes of the server's that say: this message will not be taken, however often it comes.
PERMANENT = 500

# A server that is slow with every answer must not hold a chunk beyond its lease: it would go twice.
LONGEST_SECONDS = 60.0
COME_AGAIN = timedelta(seconds=30)
ODD = frozenset('"[]')

Refused = dict[str, tuple[int, bytes]]
_address = EmailValidator(allowlist=[])


def recipient(value: str) -> str:
    if "@" in value:
        _check_address(value)
    elif not all(value.split(".")) or not value.isprintable():
        raise ValueError(f"{value!r} is no mail address, and no path such as new.email")
    return value


def subject_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line")
    parse(value)
    return value


def _check_address(value: str) -> None:
    """Refuse also what a mail server would deliver inside of our network, such as x@[10.0.0.1] and
    root@localhost, and names in quotes, which may hold control characters.
    """
    try:
        _address(value)
    except ValidationError:
        raise ValueError(f"{value[:100]!r} is no mail address") from None
    if not ODD.isdisjoint(value) or not value.isprintable():
        raise ValueError(f"{value[:100]!r}: no names in quotes, and no hosts in brackets")


@handler("EMAIL")
class EmailHandler(Handler):
    queue = "email"
    lease = timedelta(minutes=10)
    in_background = True

    class Config(HandlerConfig):
        to: list[Annotated[str, AfterValidator(recipient)]] = Field(
            title="To",
            description="Mail addresses, or paths to them in the event: new.email.",
            min_length=1,
            max_length=MOST_RECIPIENTS,
        )
        template: Literal["event", "record_changed", "brief"] = Field(
            default="event",
            title="Template",
            description="; ".join(f"{name}: {what}" for name, what in TEMPLATES.items()) + ".",
        )
        subject: Annotated[str, AfterValidator(subject_line)] | None = Field(
            default=None,
            title="Subject",
            description="Text with paths in braces: Order {new.number} is {new.status}."
            " Unset: what happened.",
            max_length=500,
        )

    def check(self, config: Config, *, company: str | None) -> None:
        if not settings.EMAIL_URL:
            raise InvalidSubscription(
                "handler_type", "this installation sends no mail: EMAIL_URL is not set"
            )

    def check_columns(
        self, config: Config, *, table: str | None, columns: Collection[str] | None
    ) -> None:
        paths = [to for to in config.to if "@" not in to]
        check_paths("config.to", paths, table=table, columns=columns)
        if config.subject is not None:
            named = parse(config.subject).paths
            check_paths("config.subject", named, table=table, columns=columns)

    def preview(self, item: Item) -> Preview:
        try:
            message = _message(item)
        except (ValueError, ArithmeticError, RecursionError) as error:
            return Preview(f"no mail: {error}")
        return Preview(
            f"mail to {', '.join(message.to)}",
            headers={"Subject": str(message.subject)},
            body=str(message.body),
        )

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        """Send a message for each item, over one connection while that lasts.

        Those whose turn has not come within LONGEST_SECONDS are put off.
        """
        connection = get_connection()
        deadline = time.monotonic() + LONGEST_SECONDS
        try:
            for number, item in enumerate(batch):
                if number and time.monotonic() >= deadline:
                    yield Outcome.postponed(
                        item, "the mail server is slow: sent later", retry_after=COME_AGAIN
                    )
                    continue
                outcome = _outcome(item, connection)
                if not outcome.is_delivered:  # in which state it is, only the server knows
                    with suppress(OSError, smtplib.SMTPException):
                        connection.close()
                yield outcome
        finally:
            with suppress(OSError, smtplib.SMTPException):
                connection.close()


def addresses(item: Item) -> list[str]:
    """Return who gets the mail, each once. Raises ValueError if a path leads to no address, or all
    lead nowhere.
    """
    found: list[str] = []
    for to in item.config.to:
        named = to if "@" in to else item.event.lookup(to)
        if isinstance(named, list) and len(named) > MOST_RECIPIENTS:
            raise ValueError(
                f"{to} holds {len(named)} addresses; at most {MOST_RECIPIENTS} are told"
            )
        for address in named if isinstance(named, list) else [named]:
            if address in (None, ""):
                continue
            if not isinstance(address, str):
                raise ValueError(f"{to} is no mail address")
            try:
                _check_address(address)
            except ValueError:
                raise ValueError(f"{to} is no mail address") from None
            found.append(address)
    if not found:
        raise ValueError(f"nobody to send it to: {', '.join(item.config.to)} is empty")
    recipients = list(dict.fromkeys(found))
    if len(recipients) > MOST_RECIPIENTS:
        raise ValueError(f"{len(recipients)} addresses; at most {MOST_RECIPIENTS} are told")
    return recipients


def _message(item: Item) -> EmailMultiAlternatives:
    config: EmailHandler.Config = item.config
    return compose(
        item.event,
        template=config.template,
        subject=config.subject,
        to=addresses(item),
        message_id=item.message_id,
    )


def _outcome(item: Item, connection: BaseEmailBackend) -> Outcome:
    """Send one message; whatever it raises fails this item alone, not the batch of many."""
    try:
        message = _message(item)
        connection.open()
        with _refusals(connection) as refused:
            connection.send_messages([message])
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return Outcome.failed(
            item,
            _refused(error.recipients),
            status_code=max(codes),
            permanent=min(codes) >= PERMANENT,
        )
    except smtplib.SMTPResponseException as error:
        return _answered(item, error)
    except ssl.SSLError as error:  # its text names our mail server
        return Outcome.failed(item, f"{type(error).__name__}: {error.reason}")
    except (smtplib.SMTPException, OSError) as error:
        return Outcome.failed(item, f"{type(error).__name__}: {error}"[:500])
    except (ValueError, ArithmeticError, RecursionError) as error:
        return Outcome.failed(item, str(error)[:500], permanent=True)
    except Exception as error:
        log.exception("mail_failed", delivery_id=item.delivery_id)
        return Outcome.failed(item, f"the mail could not be made: {type(error).__name__}")
    told = f"to {', '.join(to for to in message.to if to not in refused)}"
    return Outcome.delivered(item, response=f"{told}; {_refused(refused)}" if refused else told)


@contextmanager
def _refusals(connection: BaseEmailBackend) -> Iterator[Refused]:
    """Yield what fills with the recipients that the server refuses while it takes others: to send
    again would be to send twice, and Django says nothing of them.
    """
    refused: Refused = {}
    server = getattr(connection, "connection", None)
    if not isinstance(server, smtplib.SMTP):  # another backend of Django's
        yield refused
        return
    sendmail = server.sendmail

    def watched(*args: Any, **options: Any) -> Refused:
        refused.update(sendmail(*args, **options))
        return refused

    server.sendmail = watched  # type: ignore[method-assign]  # of this connection alone
    try:
        yield refused
    finally:
        server.sendmail = sendmail  # type: ignore[method-assign]


def _refused(refused: Refused) -> str:
    return "; ".join(
        f"{address} was refused: {code} {_said(text)}" for address, (code, text) in refused.items()
    )[:500]


def _answered(item: Item, error: smtplib.SMTPResponseException) -> Outcome:
    """Judge what the server said. What it refuses of our login or sender is ours to mend, and then
    the message goes; what it refuses of the message itself stays refused.
    """
    return Outcome.failed(
        item,
        f"the mail server said {error.smtp_code} {_said(error.smtp_error)}"[:500],
        status_code=error.smtp_code,
        permanent=error.smtp_code >= PERMANENT and isinstance(error, smtplib.SMTPDataError),
    )


def _said(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text
