"""Mails through Django's backend, SMS through Apprise; each key is sent once, as far as one can
know: what a lost worker sent without a word is sent again, the mail under the same Message-ID.
"""

import hashlib
import smtplib
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from jobs.workflows.bookings.models import Message
from jobs.workflows.bookings.notices import Notice
from subscriptions.handlers.notify import NotTaken, notify
from subscriptions.mails import one_line

PERMANENT = 500  # codes from here on say: not this message, however often it comes


class NotSent(Exception):
    """It cannot be sent, however often one tries; the text says why."""


class Mailer:
    """Mails; a registered service, so that tests can replace it."""

    def send(self, notice: Notice, *, key: str) -> str:
        """Send the notice's mail unless the key was sent before; return its address.

        Raises NotSent, and what the connection raises.
        """
        if not settings.EMAIL_URL:
            raise NotSent("this installation sends no mail: EMAIL_URL is not set")
        address = notice.email or ""
        if not Message.objects.filter(key=key).exists():
            _deliver(_composed(notice, address, key))
            _note(notice, Message.Channel.EMAIL, address, key)
        return address


class Texts:
    """SMS; a registered service, so that tests can replace it."""

    def send(self, notice: Notice, *, key: str) -> str:
        """Send the notice's SMS unless the key was sent before; return its number.

        Raises NotSent, and ConnectionError with what the service said.
        """
        if not settings.SMS_URL:
            raise NotSent("this installation sends no SMS: SMS_URL is not set")
        number = notice.phone or ""
        if not Message.objects.filter(key=key).exists():
            text = render_to_string(f"bookings/sms/{notice.template}.txt", _context(notice))
            try:
                problem = notify(sms_url(settings.SMS_URL, number), title="", body=one_line(text))
            except NotTaken as error:
                raise NotSent(f"SMS_URL: {error}") from None
            if problem is not None:
                raise ConnectionError(problem)
            _note(notice, Message.Channel.SMS, number, key)
        return number


def sms_url(service: str, number: str) -> str:
    """Return Apprise's URL of the service with the number as its target."""
    address, mark, options = service.partition("?")
    return f"{address.rstrip('/')}/{number.removeprefix('+')}{mark}{options}"


def _context(notice: Notice) -> dict[str, object]:
    return {"notice": notice, **notice.values}


def _composed(notice: Notice, address: str, key: str) -> EmailMultiAlternatives:
    host = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    identity = hashlib.sha256(key.encode()).hexdigest()[:32]
    mail = EmailMultiAlternatives(
        subject=one_line(notice.subject)[:200],
        body=render_to_string(f"bookings/mail/{notice.template}.txt", _context(notice)),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[address],
        headers={"Message-ID": f"<{identity}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    html = render_to_string(f"bookings/mail/{notice.template}.html", _context(notice))
    mail.attach_alternative(html, "text/html")
    return mail


def _deliver(mail: EmailMultiAlternatives) -> None:
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        if code >= PERMANENT:
            raise NotSent(f"the address was refused: {code} {_text(said)}") from error
        raise
    except smtplib.SMTPDataError as error:
        if error.smtp_code >= PERMANENT:
            raise NotSent(f"refused: {error.smtp_code} {_text(error.smtp_error)}") from error
        raise


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _note(notice: Notice, channel: Message.Channel, address: str, key: str) -> None:
    Message.objects.get_or_create(
        key=key,
        defaults={
            "company": notice.company,
            "channel": channel,
            "user": notice.user,
            "address": address,
            "template": notice.template,
        },
    )
