"""QuickBooks Online's Accounting API: Customer and Vendor.

https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/customer
Each change names the SyncToken of what was read; names are unique over customers, vendors and
employees together.
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
    StaleVersion,
    SyncFailed,
    Throttled,
    Unavailable,
)
from subscriptions.handlers.sync.http import Reply
from subscriptions.handlers.sync.pacing import Pace
from subscriptions.handlers.sync.providers import Caller, External, OAuthApp, Parts, Payload

MINOR_VERSION = "75"
RESOURCES = {"customer": "Customer", "supplier": "Vendor"}
# The path of each field in the API's object.
PATHS = {
    "name": ("DisplayName",),
    "first_name": ("GivenName",),
    "last_name": ("FamilyName",),
    "email": ("PrimaryEmailAddr", "Address"),
    "phone": ("PrimaryPhone", "FreeFormNumber"),
    "mobile": ("Mobile", "FreeFormNumber"),
    "website": ("WebAddr", "URI"),
    "currency": ("CurrencyRef", "value"),
    "street": ("BillAddr", "Line1"),
    "street2": ("BillAddr", "Line2"),
    "city": ("BillAddr", "City"),
    "region": ("BillAddr", "CountrySubDivisionCode"),
    "postal_code": ("BillAddr", "PostalCode"),
    "country": ("BillAddr", "Country"),
}
OWN_PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "customer": {"notes": ("Notes",), "tax_number": ("PrimaryTaxIdentifier",)},
    "supplier": {"account_number": ("AcctNum",), "tax_number": ("TaxIdentifier",)},
}
STALE, DUPLICATE_NAME, NOT_FOUND = "5010", "6240", "610"
THROTTLED = frozenset({"3001", "003001"})
# What Intuit asks for after a 429: https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles
WITHOUT_RETRY_AFTER = timedelta(seconds=60)
MOST_READS = 3


class QuickBooks:
    name = "quickbooks"
    title = "QuickBooks"
    entities: Mapping[str, frozenset[str]] = {
        entity: frozenset({*PATHS, *own}) for entity, own in OWN_PATHS.items()
    }
    # 500 calls a minute and 10 a second for a company, 10 at once.
    pace = Pace(timedelta(seconds=0.125), burst=2, concurrent=10)
    restoring: Payload | None = {"Active": True}
    shares_ids = False  # customer 5 and vendor 5 are two

    def app(self) -> OAuthApp:
        return OAuthApp(
            settings.QUICKBOOKS_CLIENT_ID,
            settings.QUICKBOOKS_CLIENT_SECRET,
            settings.QUICKBOOKS_TOKEN_URL,
        )

    def url(self, path: str, *, tenant_id: str) -> str:
        return f"{settings.QUICKBOOKS_API_URL.rstrip('/')}/v3/company/{tenant_id}/{path}"

    def headers(self, *, tenant_id: str) -> dict[str, str]:
        return {"accept": "application/json"}

    def failure(self, reply: Reply) -> SyncFailed | None:
        faults = _faults(reply)
        # An answer of 200 may hold a fault as well.
        if 200 <= reply.status < 300 and not faults:
            return None
        codes = {code for code, _ in faults}
        if reply.status == 429 or codes & THROTTLED:
            return _throttled(reply)
        said = "; ".join(f"{text} ({code})" if code else text for code, text in faults)
        return _kind(reply.status, codes)(
            f"QuickBooks: {said or f'HTTP {reply.status}'}",
            status_code=reply.status,
            response=reply.kept,
            retry_after=reply.retry_after,
        )

    def payload(self, entity: str, parts: Parts) -> Payload:
        found: Payload = {}
        for field, path in {**PATHS, **OWN_PATHS[entity]}.items():
            if field not in parts or (field == "currency" and not parts[field]):
                continue
            place = found
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = parts[field] or ""  # in a sparse update "" empties a field
        return found

    def create(self, caller: Caller, entity: str, payload: Payload, *, key: str) -> External:
        return _send(caller, entity, payload, {"requestid": key})

    def update(self, caller: Caller, entity: str, known: External, payload: Payload) -> External:
        # The currency is set once and for all.
        changed = {name: value for name, value in payload.items() if name != "CurrencyRef"}
        for _ in range(MOST_READS):
            if not known.version:
                known = _read(caller, entity, known.id)
            body = {**changed, "Id": known.id, "SyncToken": known.version, "sparse": True}
            try:
                return _send(caller, entity, body, {})
            except StaleVersion as error:
                stale, known = error, External(known.id)
        raise stale

    def archive(self, caller: Caller, entity: str, known: External) -> External:
        return self.update(caller, entity, known, {"Active": False})

    def find(self, caller: Caller, entity: str, payload: Payload) -> External | None:
        name = payload["DisplayName"].replace("\\", "\\\\").replace("'", "\\'")
        resource = RESOURCES[entity]
        query = f"select * from {resource} where DisplayName = '{name}'"  # noqa: S608 - not SQL
        reply = caller.call("GET", "query", params={**_params(), "query": query})
        answer = reply.document.get("QueryResponse")
        found = answer.get(resource) if isinstance(answer, dict) else None
        if not isinstance(found, list) or not found:
            return None
        return _external(found[0], reply)


def _params() -> dict[str, str]:
    return {"minorversion": MINOR_VERSION}


def _send(caller: Caller, entity: str, body: Payload, params: dict[str, str]) -> External:
    resource = RESOURCES[entity]
    reply = caller.call("POST", resource.lower(), params={**_params(), **params}, body=body)
    return _external(reply.document.get(resource), reply)


def _read(caller: Caller, entity: str, external_id: str) -> External:
    resource = RESOURCES[entity]
    reply = caller.call("GET", f"{resource.lower()}/{external_id}", params=_params())
    return _external(reply.document.get(resource), reply)


def _external(found: Any, reply: Reply) -> External:
    if not isinstance(found, dict) or not found.get("Id"):
        raise Unavailable("QuickBooks' answer holds no record", response=reply.kept)
    return External(str(found["Id"]), str(found.get("SyncToken", "")))


def _faults(reply: Reply) -> list[tuple[str, str]]:
    """Return code and text of each error. The gateway writes the names in lower case."""
    document = reply.document
    fault = _lowered(document.get("Fault") or document.get("fault"))
    errors = fault.get("error")
    found = []
    for error in map(_lowered, errors if isinstance(errors, list) else []):
        texts = [str(error[name]) for name in ("message", "detail") if error.get(name)]
        found.append((str(error.get("code", "")), ": ".join(dict.fromkeys(texts))))
    return found


def _kind(status: int, codes: set[str]) -> type[SyncFailed]:
    if status in (401, 403):
        return Rejected if status == 401 else NotConnected
    if STALE in codes:
        return StaleVersion
    if DUPLICATE_NAME in codes:
        return DuplicateName
    if NOT_FOUND in codes or status == 404:
        return NotFound
    return Unavailable if status == 408 or status >= 500 else Refused


def _lowered(value: Any) -> dict[str, Any]:
    return {str(k).lower(): v for k, v in value.items()} if isinstance(value, dict) else {}


def _throttled(reply: Reply) -> Throttled:
    return Throttled(
        "QuickBooks takes no more calls for now",
        status_code=429,
        response=reply.kept,
        retry_after=reply.retry_after or WITHOUT_RETRY_AFTER,
    )
