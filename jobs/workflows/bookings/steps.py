"""The steps that all booking workflows share: one mail, one SMS, one line of the activity log.

They are one step each for all of them, so that a user's limit on a channel holds over all.
"""

from datetime import timedelta

from jobs import Context, PermanentFailure, Rate, Skip, register_service, step
from jobs.workflows.bookings.models import Activity
from jobs.workflows.bookings.notices import Notice
from jobs.workflows.bookings.sending import Mailer, NotSent, Texts

register_service(Mailer, Mailer)
register_service(Texts, Texts)

HOUR = timedelta(hours=1)
MAILS_AN_HOUR = 10
TEXTS_AN_HOUR = 5


def user_of(notice: Notice) -> str:
    """Return what channel limits count by: the company's user, or the address if none is named.

    Whoever cannot be reached at all has a limit of his own: nobody waits behind him.
    """
    return f"{notice.company or ''}/{notice.user or notice.about}"


@step(
    name="bookings/send-email",
    queue="email",
    attempts=5,
    backoff=timedelta(seconds=30),
    permanent_on=(NotSent,),
    on_failure="continue",
    rate=Rate(MAILS_AN_HOUR, per=HOUR, key=user_of),
)
def send_email(ctx: Context, notice: Notice) -> str:
    """Mail the notice; return the address."""
    _check_needed(notice, notice.email, "mail address")
    return ctx.services.get(Mailer).send(notice, key=ctx.idempotency_key)


@step(
    name="bookings/send-sms",
    queue="notify",
    attempts=5,
    backoff=timedelta(seconds=30),
    permanent_on=(NotSent,),
    on_failure="continue",
    rate=Rate(TEXTS_AN_HOUR, per=HOUR, key=user_of),
)
def send_sms(ctx: Context, notice: Notice) -> str:
    """Send the notice as an SMS; return the number."""
    _check_needed(notice, notice.phone, "phone number")
    return ctx.services.get(Texts).send(notice, key=ctx.idempotency_key)


def _check_needed(notice: Notice, address: str | None, what: str) -> None:
    if notice.unneeded is not None:
        raise Skip(notice.unneeded)
    if not address:
        raise Skip(f"no {what} is known")


@step(name="bookings/log-sent", atomic=True)
def log_sent(ctx: Context, notice: Notice, mailed: str | None, texted: str | None = None) -> str:
    """Write into the activity log who was told; fail if nobody was."""
    if notice.unneeded is not None:
        raise Skip(notice.unneeded)
    told = [address for address in (mailed, texted) if address is not None]
    if not told:
        raise PermanentFailure(f"nobody was told: {notice.about} by neither mail nor SMS")
    return log(ctx, notice.event_type, notice.about, f"told {' and '.join(told)}")


def log(ctx: Context, event_type: str, subject: str, text: str) -> str:
    """Write a line of the company's activity log, once for this step; return its text."""
    Activity.objects.get_or_create(
        key=f"{ctx.idempotency_key}/{event_type}"[:300],
        defaults={
            "company": ctx.company,
            "event_type": event_type,
            "subject": subject[:200],
            "text": text,
        },
    )
    return text
