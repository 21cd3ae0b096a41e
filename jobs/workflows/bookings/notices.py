"""Notices: what a person is to be told, by which template, at which addresses."""

from datetime import UTC, datetime

from pydantic import BaseModel

from jobs.workflows.bookings.payloads import Contact

# Currencies whose smallest unit is the whole one: https://docs.stripe.com/currencies#zero-decimal
WITHOUT_CENTS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)


class Notice(BaseModel):
    """One message to one person, by mail and by SMS as far as there are addresses.

    `subject` is the mail's, `about` names what it is about in the activity log. `unneeded` says why
    nothing is sent after all.
    """

    template: str
    event_type: str
    about: str
    subject: str
    company: str | None
    user: str
    email: str | None = None
    phone: str | None = None
    values: dict[str, str] = {}
    unneeded: str | None = None


def notice(
    template: str,
    contact: Contact,
    *,
    event_type: str,
    about: str,
    subject: str,
    company: str | None,
    unneeded: str | None = None,
    **values: str | None,
) -> Notice:
    """Return the notice to a contact; values that are None are left out."""
    return Notice(
        template=template,
        event_type=event_type,
        about=about,
        subject=subject,
        company=company,
        user=contact.user_id or contact.email or contact.phone or "",
        email=contact.email,
        phone=contact.phone,
        values={
            name: value
            for name, value in {"name": contact.name, **values}.items()
            if value is not None
        },
        unneeded=unneeded,
    )


def moment(at: datetime | None) -> str | None:
    """Return a time as it is read by people, such as `15 April 2024, 14:00 UTC`."""
    return None if at is None else f"{at.astimezone(UTC):%d %B %Y, %H:%M} UTC".lstrip("0")


def money(amount: int, currency: str) -> str:
    """Return an amount given in the currency's smallest unit, such as `19.99 EUR`."""
    code = currency.upper()
    return f"{amount} {code}" if code in WITHOUT_CENTS else f"{amount / 100:.2f} {code}"
