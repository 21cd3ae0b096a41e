"""Xero's Accounting API: Contacts (https://developer.xero.com/documentation/api/accounting/contacts).

Customers and suppliers are one contact. IsCustomer and IsSupplier cannot be set: Xero sets them
itself when the contact gets its first invoice or bill. So a supplier with the name of a customer
is linked to the same contact, which is archived when neither of them is left.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings

from subscriptions.handlers.sync.errors import (
    DuplicateName,
    NotConnected,
    NotFound,
    Refused,
    Rejected,
    SyncFailed,
    Throttled,
    Unavailable,
)
from subscriptions.handlers.sync.fields import ENTITY_FIELDS
from subscriptions.handlers.sync.http import Reply
from subscriptions.handlers.sync.pacing import Pace
from subscriptions.handlers.sync.providers import Caller, External, OAuthApp, Parts, Payload

TEXTS = {
    "name": "Name",
    "first_name": "FirstName",
    "last_name": "LastName",
    "email": "EmailAddress",
    "tax_number": "TaxNumber",
    "account_number": "AccountNumber",
    "currency": "DefaultCurrency",
}
PHONES = {"phone": "DEFAULT", "mobile": "MOBILE"}
ADDRESS = {
    "street": "AddressLine1",
    "street2": "AddressLine2",
    "city": "City",
    "region": "Region",
    "postal_code": "PostalCode",
    "country": "Country",
}
FIELDS = frozenset({*TEXTS, *PHONES, *ADDRESS}) & ENTITY_FIELDS
# The text of the only error that a taken name has; Xero gives it no code of its own.
NAME_TAKEN = "already assigned to another contact"
WITHOUT_RETRY_AFTER = timedelta(seconds=60)


class Xero:
    name = "xero"
    title = "Xero"
    entities: Mapping[str, frozenset[str]] = {"customer": FIELDS, "supplier": FIELDS}
    # 60 calls in any minute, 5 at once, 5,000 a day for an organisation:
    # https://developer.xero.com/faq/limits
    pace = Pace(timedelta(seconds=1.2), burst=10, concurrent=5, per_day=5000)
    restoring: Payload | None = None  # the API brings no archived contact back
    shares_ids = True

    def app(self) -> OAuthApp:
        return OAuthApp(
            settings.XERO_CLIENT_ID, settings.XERO_CLIENT_SECRET, settings.XERO_TOKEN_URL
        )

    def url(self, path: str, *, tenant_id: str) -> str:
        return f"{settings.XERO_API_URL.rstrip('/')}/{path}"

    def headers(self, *, tenant_id: str) -> dict[str, str]:
        return {"xero-tenant-id": tenant_id, "accept": "application/json"}

    def failure(self, reply: Reply) -> SyncFailed | None:
        problem = _problem(reply)
        if 200 <= reply.status < 300 and problem is None:
            return None
        if reply.status == 429:
            return _throttled(reply)
        return _kind(reply.status, problem or "")(
            f"Xero: {problem or f'HTTP {reply.status}'}",
            status_code=reply.status,
            response=reply.kept,
            retry_after=reply.retry_after,
        )

    def payload(self, entity: str, parts: Parts) -> Payload:
        # "" empties a field; one that is left out stays as it is.
        found: Payload = {TEXTS[f]: parts[f] or "" for f in TEXTS if f in parts}
        if not found.get("DefaultCurrency", "x"):
            del found["DefaultCurrency"]  # not to be emptied: every contact has one
        phones = [
            {"PhoneType": kind, "PhoneNumber": parts[f] or ""}
            for f, kind in PHONES.items()
            if f in parts
        ]
        address = {ADDRESS[f]: parts[f] or "" for f in ADDRESS if f in parts}
        if phones:
            found["Phones"] = phones
        if address:
            # Xero's name for the one that invoices are addressed to.
            found["Addresses"] = [{"AddressType": "POBOX", **address}]
        return found

    def create(self, caller: Caller, entity: str, payload: Payload, *, key: str) -> External:
        reply = caller.call(
            "PUT", "Contacts", body={"Contacts": [payload]}, headers={"idempotency-key": key}
        )
        return _contact(reply)

    def update(self, caller: Caller, entity: str, known: External, payload: Payload) -> External:
        body = {"Contacts": [{"ContactID": known.id, **payload}]}
        return _contact(caller.call("POST", f"Contacts/{known.id}", body=body))

    def archive(self, caller: Caller, entity: str, known: External) -> External:
        return self.update(caller, entity, known, {"ContactStatus": "ARCHIVED"})

    def find(self, caller: Caller, entity: str, payload: Payload) -> External | None:
        name = payload["Name"]
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        # Names are unique whatever their case; `where` compares, `searchTerm` searches.
        for asked in ({"where": f'Name=="{quoted}"'}, {"searchTerm": name}):
            reply = caller.call("GET", "Contacts", params=asked)
            for contact in _list(reply.document.get("Contacts")):
                if _is_active(contact) and _same_name(contact, name):
                    return External(str(contact["ContactID"]))
        return None


def _is_active(contact: Payload) -> bool:
    return bool(contact.get("ContactID")) and contact.get("ContactStatus", "ACTIVE") == "ACTIVE"


def _same_name(contact: Payload, name: str) -> bool:
    return str(contact.get("Name")).casefold().split() == name.casefold().split()


def _contact(reply: Reply) -> External:
    contacts = _list(reply.document.get("Contacts"))
    if not contacts or not contacts[0].get("ContactID"):
        raise Unavailable("Xero's answer holds no contact", response=reply.kept)
    return External(str(contacts[0]["ContactID"]))


def _kind(status: int, problem: str) -> type[SyncFailed]:
    if status in (401, 403):  # 403: the organisation has disconnected the app
        return Rejected if status == 401 else NotConnected
    if status == 404:
        return NotFound
    if status == 408 or status >= 500:
        return Unavailable
    return DuplicateName if NAME_TAKEN in problem else Refused


def _problem(reply: Reply) -> str | None:
    """Return the messages in any of Xero's bodies: of validation, of access, of one element."""
    document = reply.document
    elements = [*_list(document.get("Elements")), *_list(document.get("Contacts"))]
    said = [
        str(error.get("Message"))
        for element in elements
        for error in _list(element.get("ValidationErrors"))
        if error.get("Message")
    ]
    if said:
        return "; ".join(dict.fromkeys(said))
    if 200 <= reply.status < 300:
        return None
    texts = [str(document[name]) for name in ("Title", "Detail", "Message") if document.get(name)]
    return ": ".join(dict.fromkeys(texts)) or None


def _throttled(reply: Reply) -> Throttled:
    limit = reply.headers.get("x-rate-limit-problem", "")
    return Throttled(
        f"Xero takes no more calls for now{f' (limit: {limit})' if limit else ''}",
        status_code=429,
        response=reply.kept,
        retry_after=reply.retry_after or WITHOUT_RETRY_AFTER,
    )


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
