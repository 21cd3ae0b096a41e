"""Providers on this machine, with the shapes that theirs publish: answers, faults and limits.

https://developer.xero.com/documentation/api/accounting/contacts
https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/customer
"""

import base64
import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Fault = Callable[[Request], Response | None]


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


@dataclass
class TokenEndpoint:
    """Gives tokens for the refresh token that is good now, and rotates it."""

    client: str = "the-app:the-app-secret"
    refresh_token: str = "refresh-0"
    access_token: str = "access-0"
    refreshes: int = 0
    error: str | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go.set()

    def __call__(self, request: Request) -> Response:
        self.entered.set()
        self.go.wait(10)
        form = parse_qs(request.get_data(as_text=True))
        expected = "Basic " + base64.b64encode(self.client.encode()).decode()
        if request.headers.get("authorization") != expected:
            return answer({"error": "invalid_client"}, 400)
        if self.error is not None:
            return answer({"error": self.error, "error_description": "no"}, 400)
        if form != {"grant_type": ["refresh_token"], "refresh_token": [self.refresh_token]}:
            return answer({"error": "invalid_grant"}, 400)
        self.refreshes += 1
        self.refresh_token = f"refresh-{self.refreshes}"
        self.access_token = f"access-{self.refreshes}"
        return answer(
            {
                "access_token": self.access_token,
                "refresh_token": self.refresh_token,
                "expires_in": 1800,
                "token_type": "Bearer",
            }
        )


@dataclass
class Fake:
    """What both have in common: a log of calls, and faults that come before any answer.

    `lost` are answers to throw away after the call had its effect.
    """

    server: HTTPServer
    tokens: TokenEndpoint = field(default_factory=TokenEndpoint)
    calls: list[tuple[str, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lost: int = 0
    remembered: dict[str, Response] = field(default_factory=dict)

    def take(self, request: Request) -> Response:
        self.calls.append((request.method, request.path))
        request.get_data()  # kept with the request
        self.requests.append(request)
        if self.faults and (fault := self.faults.pop(0)(request)) is not None:
            return fault
        if request.headers.get("authorization") != f"Bearer {self.tokens.access_token}":
            return self.unauthorized()
        found = self.respond(request)
        if self.lost:
            self.lost -= 1
            return Response("", 504)
        return found

    def remember(self, key: str | None, make: Callable[[], Response]) -> Response:
        """Answer the same to the same idempotency key."""
        if key is None:
            return make()
        if key not in self.remembered:
            self.remembered[key] = make()
        kept = self.remembered[key]
        return Response(kept.get_data(), kept.status_code, content_type=kept.content_type)

    def unauthorized(self) -> Response:
        raise NotImplementedError

    def respond(self, request: Request) -> Response:
        raise NotImplementedError


@dataclass
class FakeXero(Fake):
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server.expect_request("/xero/token").respond_with_handler(self.tokens)
        self.server.expect_request(re.compile("/xero/api/.*")).respond_with_handler(self.take)

    def unauthorized(self) -> Response:
        return answer(
            {"Type": None, "Title": "Unauthorized", "Status": 401, "Detail": "TokenExpired"}, 401
        )

    def respond(self, request: Request) -> Response:
        assert request.headers["xero-tenant-id"]
        path = request.path.removeprefix("/xero/api/")
        if request.method == "GET":
            return answer({"Contacts": self.found(request)})
        [contact] = json.loads(request.get_data())["Contacts"]
        if request.method == "PUT":
            key = request.headers.get("idempotency-key")
            return self.remember(key, lambda: self.save({**contact}, str(uuid.uuid4())))
        external_id = path.removeprefix("Contacts/")
        if external_id not in self.contacts:
            return answer({"Title": "NotFound", "Detail": "The resource cannot be found"}, 404)
        return self.save({**self.contacts[external_id], **contact}, external_id)

    def found(self, request: Request) -> list[dict[str, Any]]:
        if "searchTerm" in request.args:
            term = request.args["searchTerm"].casefold()
            return [c for c in self.contacts.values() if term in c["Name"].casefold()]
        [wanted] = re.findall(r'^Name=="(.*)"$', request.args["where"])
        return [c for c in self.contacts.values() if c["Name"] == wanted.replace('\\"', '"')]

    def save(self, contact: dict[str, Any], external_id: str) -> Response:
        contact = {"ContactStatus": "ACTIVE", **contact, "ContactID": external_id}
        same = [
            other
            for other in self.contacts.values()
            if other["Name"].casefold() == contact["Name"].casefold()
            and other["ContactStatus"] == "ACTIVE"
            and other["ContactID"] != external_id
        ]
        if same and contact["ContactStatus"] == "ACTIVE":
            return self.invalid(
                f"The contact name {contact['Name']} is already assigned to another contact."
                " The contact name must be unique across all active contacts."
            )
        if "@" not in (contact.get("EmailAddress") or "@"):
            return self.invalid("Email address must be valid.")
        self.contacts[external_id] = contact
        return answer({"Id": str(uuid.uuid4()), "Status": "OK", "Contacts": [contact]})

    def invalid(self, message: str) -> Response:
        return answer(
            {
                "ErrorNumber": 10,
                "Type": "ValidationException",
                "Message": "A validation exception occurred",
                "Elements": [{"ValidationErrors": [{"Message": message}]}],
            },
            400,
        )


@dataclass
class FakeQuickBooks(Fake):
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server.expect_request("/qbo/token").respond_with_handler(self.tokens)
        self.server.expect_request(re.compile("/qbo/api/.*")).respond_with_handler(self.take)

    def unauthorized(self) -> Response:
        error = {"message": "AuthenticationFailed", "detail": "Token expired", "code": "3200"}
        return answer({"fault": {"error": [error], "type": "AUTHENTICATION"}}, 401)

    def respond(self, request: Request) -> Response:
        assert request.args["minorversion"] == "75"
        resource, _, external_id = re.sub(
            "^/qbo/api/v3/company/[0-9]+/", "", request.path
        ).partition("/")
        if resource == "query":
            return self.query(request.args["query"])
        kind = resource.capitalize()
        if request.method == "GET":
            row = self.rows.get((kind, external_id))
            return answer({kind: row}) if row else self.fault("610", "Object Not Found", "gone")
        body = json.loads(request.get_data())
        if "Id" in body:
            return self.change(kind, body)
        return self.remember(request.args.get("requestid"), lambda: self.add(kind, body))

    def query(self, text: str) -> Response:
        [(kind, name)] = re.findall(r"^select \* from (\w+) where DisplayName = '(.*)'$", text)
        name = name.replace("\\'", "'")
        found = [
            row
            for (k, _), row in self.rows.items()
            if k == kind and row["DisplayName"] == name and row["Active"]
        ]
        return answer({"QueryResponse": {kind: found} if found else {}, "time": "now"})

    def add(self, kind: str, body: dict[str, Any]) -> Response:
        if any(row["DisplayName"] == body["DisplayName"] for row in self.rows.values()):
            return self.fault(
                "6240",
                "Duplicate Name Exists Error",
                "The name supplied already exists. : Another customer, vendor or employee is"
                " already using this name.",
            )
        external_id = str(len(self.rows) + 1)
        row = {"Active": True, **body, "Id": external_id, "SyncToken": "0"}
        self.rows[kind, external_id] = row
        return answer({kind: row, "time": "now"})

    def change(self, kind: str, body: dict[str, Any]) -> Response:
        row = self.rows[kind, body["Id"]]
        assert body.pop("sparse") is True
        if body["SyncToken"] != row["SyncToken"]:
            return self.fault("5010", "Stale Object Error", "Stale Object Error : You and ...")
        row |= {**body, "SyncToken": str(int(row["SyncToken"]) + 1)}
        return answer({kind: row, "time": "now"})

    def fault(self, code: str, message: str, detail: str) -> Response:
        error = {"Message": message, "Detail": detail, "code": code, "element": ""}
        return answer({"Fault": {"Error": [error], "type": "ValidationFault"}, "time": "now"}, 400)
