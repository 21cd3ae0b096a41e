"""Subscriptions as the API's clients see them: a company's key in, JSON and problem details out."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook

from counterpoint.api import api
from jobs import keys
from jobs.models import Run
from subscriptions import sealing, services
from subscriptions.deliveries import delivery
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Delivery, Event, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.jobs.test_api import problem
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.test_admin_forms import fax_app

__all__ = ["fax_app"]
pytestmark = pytest.mark.django_db(transaction=True)

HOOK = {
    "name": "hook",
    "table": "orders",
    "handler_type": "WEBHOOK",
    "config": {
        "url": "https://93.184.216.34/hook",
        "headers": {"X-Key": "very-secret"},
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    },
}
SECRETS = ("very-secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class Caller:
    """A client with a company's key."""

    def __init__(self, company: str, *scopes: str) -> None:
        key = keys.create(company=company, name="shop", scopes=scopes or keys.SCOPES)
        self.headers = {"Authorization": f"Bearer {key.text}"}

    def call(self, method: str, path: str, body: object = None) -> Any:
        answer = Client(enforce_csrf_checks=True).generic(
            method,
            f"/api/v1{path}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers=self.headers,
        )
        if not path.endswith("-secret"):
            assert not [one for one in SECRETS if one in answer.content.decode()]
        return answer

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Any:
        return self.call("POST", path, {} if body is None else body)


@pytest.fixture
def acme(transactional_db: None) -> Caller:
    return Caller("acme")


@pytest.fixture
def globex(transactional_db: None) -> Caller:
    return Caller("globex")


@pytest.fixture
def delivered(
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    httpserver: HTTPServer,
    local_receivers: None,
) -> int:
    """A subscription of acme with one delivery, which a receiver has answered."""
    httpserver.expect_request("/hook").respond_with_data("answered so")
    config = {"url": httpserver.url_for("/hook"), "headers": {"X-Key": "very-secret"}}
    pk = subscribe(config=json.dumps(config))
    sql("INSERT INTO orders VALUES (1, 'acme', 'paid')")
    relay_all(Router())
    delivery.deliver(messages.ids)
    return pk


def test_a_subscription_is_made_and_saved_again_by_its_name(acme: Caller, orders: str) -> None:
    made = acme.post("/subscriptions", HOOK)
    again = acme.post("/subscriptions", {**HOOK, "filter": {"status": "paid"}, "debounce": 1.5})

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.headers["Location"] == f"/api/v1/subscriptions/{made.json()['id']}"
    stored = Subscription.objects.get()
    assert (stored.company, stored.filter) == ("acme", {"status": "paid"})
    assert stored.secret == HOOK["config"]["secret"]  # type: ignore[index]  # an object
    body = again.json()
    assert (body["debounce"], body["hidden"]) == (1.5, ["headers.X-Key"])
    assert body["config"] == {"url": "https://93.184.216.34/hook"}


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"handler_type": "FAX"}, ["handler_type"], "'WEBHOOK', 'WORKFLOW'"),
        ({"config": {"uri": "x"}}, ["config", "url"], "Field required"),
        ({"config": {"url": "ftp://x/"}}, ["config", "url"], "must have the form"),
        ({"config": {"url": "http://10.0.0.1/"}}, ["config", "url"], "is not a public address"),
        (
            {"config": {"url": "https://a.com", "headers": {"Host": "very-secret"}}},
            ["config", "headers"],
            "Host is set by the platform",
        ),
        ({"config": {"url": "https://a.com", "secret": "very-secret"}}, ["config", "secret"], "wh"),
        ({"table": "nowhere"}, ["table"], "is not watched; watched: orders"),
        ({"operations": ["insert"]}, ["operations", 0], "'INSERT', 'UPDATE'"),
        ({"filter": {"colour": 1}}, ["filter"], "there is no colour"),
        ({"filter": {"status": "a\0b"}}, ["filter"], "the character NUL"),
        ({"filter": {"status": "x" * 70_000}}, ["filter"], "at most 65536"),
        ({"filter": {"status": [[]] * 600}}, ["filter"], "more than 500 objects"),
        ({"filter": {"id": 10**300}}, ["filter"], "more than 254 digits"),
        ({"attempts": 0}, ["attempts"], "greater than or equal to 1"),
        ({"company": "globex"}, ["company"], "not permitted"),
        ({"name": ""}, ["name"], "at least 1 character"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_what_is_allowed(
    change: dict[str, Any], place: list[Any], message: str, acme: Caller, orders: str
) -> None:
    answer = acme.post("/subscriptions", {**HOOK, **change})

    assert answer.status_code == 422
    issues = problem(answer)["issues"]
    assert [one for one in issues if one["loc"] == place and message in one["msg"]], issues
    assert not Subscription.objects.exists()


@pytest.mark.parametrize("body", [1, [], "x", {}, None])
def test_a_body_that_is_no_definition_is_refused(acme: Caller, body: object) -> None:
    answer = acme.call("POST", "/subscriptions", body)

    assert answer.status_code in (400, 422)
    assert problem(answer)["detail"]


def test_a_type_that_an_app_adds_is_in_the_document_and_taken(
    acme: Caller, orders: str, fax_app: Any
) -> None:
    document = Client().get(reverse("api-v1:openapi-json")).json()
    body = document["paths"]["/api/v1/subscriptions"]["post"]["requestBody"]
    union = body["content"]["application/json"]["schema"]
    schemas = document["components"]["schemas"]
    fax = schemas["FAX.Config"]["properties"]
    answer = acme.post("/subscriptions", {**HOOK, "handler_type": "FAX", "config": {"number": "1"}})
    wrong = acme.post("/subscriptions", {**HOOK, "handler_type": "FAX"})
    types = {one["name"]: one for one in acme.get("/handler-types").json()}

    assert union["discriminator"]["mapping"]["FAX"] == "#/components/schemas/FAX.Subscription"
    assert fax["number"]["title"] == "Fax number"
    assert fax["pin"]["writeOnly"]
    assert fax["accounts"]["writeOnly"]
    assert "FAX.Subscription" in schemas
    assert answer.status_code == 201
    assert ["config", "number"] in [one["loc"] for one in problem(wrong)["issues"]]
    assert types["FAX"]["config_schema"]["required"] == ["number"]
    assert types["WEBHOOK"]["has_secret"]


def test_every_reference_of_the_document_leads_somewhere(client: Client) -> None:
    text = client.get(reverse("api-v1:openapi-json")).content.decode()
    schemas = json.loads(text)["components"]["schemas"]

    parts = text.split('"#/components/schemas/')[1:]
    assert {part.partition('"')[0] for part in parts} <= set(schemas)
    assert '"#/$defs/' not in text


def test_a_change_keeps_what_is_left_out_and_its_secrets(acme: Caller, orders: str) -> None:
    pk = acme.post("/subscriptions", HOOK).json()["id"]

    answer = acme.call(
        "PATCH", f"/subscriptions/{pk}", {"config": {"method": "PUT"}, "active": False}
    )
    odd = acme.call("PATCH", f"/subscriptions/{pk}", {"name": "other"})
    wrong = acme.call("PATCH", f"/subscriptions/{pk}", {"config": {"url": None}})

    assert answer.status_code == 200
    stored = Subscription.objects.get()
    config = sealing.unseal(handler_named("WEBHOOK"), stored.config)
    assert config["headers"] == {"X-Key": "very-secret"}
    assert (stored.config["method"], stored.active, stored.name) == ("PUT", False, "hook")
    assert stored.secret == HOOK["config"]["secret"]  # type: ignore[index]  # an object
    assert problem(odd)["issues"][0]["loc"][-1] == "name"
    assert problem(wrong)["issues"][0]["loc"] == ["config", "url"]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, sql: Sql) -> Callable[[str], None]:
    """Have somebody else write, once, while a change is being checked."""
    check = services.check_subscription

    def arrange(statement: str) -> None:
        todo = [statement]

        def checked(subscription: Subscription) -> None:
            check(subscription)
            if todo:
                sql(todo.pop())

        monkeypatch.setattr(services, "check_subscription", checked)

    return arrange


def test_what_others_change_meanwhile_stays(
    acme: Caller, orders: str, meanwhile: Callable[[str], None]
) -> None:
    path = f"/subscriptions/{acme.post('/subscriptions', HOOK).json()['id']}"

    meanwhile(
        'UPDATE event_system_subscription SET config = config || \'{"format": "cloudevents"}\','
        " filter = '{\"status\": \"paid\"}', active = false, disabled_reason = 'it is gone'"
    )
    answer = acme.call("PATCH", path, {"max_rate": 5, "config": {"method": "PUT"}})

    assert answer.status_code == 200
    stored = Subscription.objects.get()
    assert (stored.active, stored.disabled_reason) == (False, "it is gone")
    assert (stored.filter, stored.max_rate) == ({"status": "paid"}, 5)
    assert (stored.config["method"], stored.config["format"]) == ("PUT", "cloudevents")
    config = sealing.unseal(handler_named("WEBHOOK"), stored.config)
    assert config["headers"] == {"X-Key": "very-secret"}


def test_a_change_of_what_is_deleted_meanwhile_brings_nothing_back(
    acme: Caller, orders: str, meanwhile: Callable[[str], None]
) -> None:
    path = f"/subscriptions/{acme.post('/subscriptions', HOOK).json()['id']}"

    meanwhile("DELETE FROM event_system_subscription")

    assert acme.call("PATCH", path, {"max_rate": 5}).status_code == 404
    assert not Subscription.objects.exists()


def test_a_workflow_is_subscribed_by_who_may_start_it(
    acme: Caller, orders: str, subscribe: Callable[..., int]
) -> None:
    config = {"workflow": "restock/create"}
    body = {**HOOK, "name": "start", "handler_type": "WORKFLOW", "config": config}
    keeper = Caller("acme", "subscriptions:read", "subscriptions:write")
    pk = subscribe(name="made", handler_type="WORKFLOW", config=json.dumps(config))
    calls: list[tuple[str, str, object]] = [
        ("POST", "/subscriptions", body),
        ("PATCH", f"/subscriptions/{pk}", {"max_rate": 5}),
        *(("POST", f"/subscriptions/{pk}/{lever}", {}) for lever in ("resume", "replay", "test")),
    ]

    for call in calls:
        answer = keeper.call(*call)
        assert answer.status_code == 403, call
        assert "the scope runs:write" in problem(answer)["detail"]
    assert not Run.objects.exists()
    assert keeper.post(f"/subscriptions/{pk}/pause").status_code == 200
    assert acme.post("/subscriptions", body).status_code == 201


def test_subscriptions_are_listed_by_pages_and_deleted_by_id_or_name(
    acme: Caller, orders: str
) -> None:
    for name in ("one", "two", "three/3"):
        acme.post("/subscriptions", {**HOOK, "name": name})

    first = acme.get("/subscriptions?limit=2").json()
    second = acme.get(f"/subscriptions?limit=2&cursor={first['next_cursor']}").json()
    named = acme.get("/subscriptions?name=three/3").json()
    gone = acme.call("DELETE", f"/subscriptions/{first['items'][0]['id']}")
    by_name = acme.call("DELETE", "/subscriptions?name=three/3")
    again = acme.call("DELETE", "/subscriptions?name=three/3")

    assert [row["name"] for row in first["items"] + second["items"]] == ["one", "two", "three/3"]
    assert second["next_cursor"] is None
    assert [row["name"] for row in named["items"]] == ["three/3"]
    assert (gone.status_code, by_name.status_code, again.status_code) == (204, 204, 404)
    assert [row.name for row in Subscription.objects.all()] == ["two"]


def test_a_filter_is_tried_and_an_event_explained(acme: Caller, delivered: int) -> None:
    event = Event.objects.get()

    tried = acme.post("/subscriptions/try", {"table": "orders", "filter": {"status": "paid"}})
    odd = acme.post("/subscriptions/try", {"table": "orders", "filter": {"colour": 1}})
    why = acme.get(f"/subscriptions/{delivered}/why/{event.event_id}")

    assert (tried.json()["examined"], tried.json()["matched"]) == (1, 1)
    assert json.loads(tried.json()["shown"][0]["body"])["new"]["status"] == "paid"
    assert problem(odd)["issues"][0]["loc"] == ["filter"]
    assert why.json()["matches"] is True
    assert {reason["asks"] for reason in why.json()["reasons"]} >= {"company", "table"}


def test_deliveries_are_listed_and_shown_with_their_tries_and_request(
    acme: Caller, delivered: int
) -> None:
    listed = acme.get(f"/deliveries?subscription_id={delivered}&status=delivered").json()
    others = acme.get("/deliveries?status=dead").json()
    shown = acme.get(f"/deliveries/{listed['items'][0]['id']}").json()
    state = acme.get(f"/subscriptions/{delivered}").json()

    assert [row["status"] for row in listed["items"]] == ["delivered"]
    assert others["items"] == []
    assert shown["tries"][0]["response"] == "answered so"
    assert shown["request"]["headers"]["x-key"] == "•••"
    assert shown["request"]["title"].startswith("POST http://")
    assert state["last_day"] == {"delivered": 1, "failed": 0, "open": 0, "percent": 100.0}
    assert state["breaker"] == {"failures": 0, "open_until": None}


def test_pause_resume_and_replay(acme: Caller, delivered: int) -> None:
    path = f"/subscriptions/{delivered}"

    assert acme.post(f"{path}/pause").json() == {"changed": True}
    assert acme.post(f"{path}/pause").json() == {"changed": False}
    assert acme.post(f"{path}/resume").json() == {"released": 0}
    counted = acme.post(f"{path}/replay", {"again": True, "dry_run": True}).json()
    assert (counted["again"], Delivery.objects.get().status) == (1, "delivered")
    assert acme.post(f"{path}/replay").json()["again"] == 0
    assert acme.post(f"{path}/replay", {"again": True}).json()["again"] == 1
    assert Delivery.objects.get().status == "pending"
    assert problem(acme.post(f"{path}/replay", {"missed": True}))["issues"][0]["loc"] == ["since"]
    for odd in (2**63, -1):
        answer = acme.post(f"{path}/replay", {"delivery_ids": [odd]})
        assert (answer.status_code, problem(answer)["issues"][0]["loc"][-1]) == (422, 0)


def test_the_test_sends_an_example_and_shows_the_answer(
    acme: Caller, delivered: int, httpserver: HTTPServer
) -> None:
    answer = acme.post(f"/subscriptions/{delivered}/test").json()

    assert (answer["delivered"], answer["status_code"]) == (True, 200)
    assert (answer["response"], answer["is_real"]) == ("answered so", True)
    assert answer["request"]["headers"]["x-key"] == "•••"
    assert len(httpserver.log) == 2
    assert Delivery.objects.count() == 1


def test_a_secret_is_revealed_once_and_both_sign_after_a_rotation(
    acme: Caller, delivered: int, httpserver: HTTPServer
) -> None:
    path = f"/subscriptions/{delivered}"

    old = acme.post(f"{path}/reveal-secret").json()["secret"]
    again = acme.post(f"{path}/reveal-secret")
    new = acme.post(f"{path}/rotate-secret").json()["secret"]
    acme.post(f"{path}/test")

    assert again.status_code == 409
    assert "rotate" in problem(again)["detail"]
    request, _ = httpserver.log[-1]
    for secret in (old, new):
        Webhook(secret).verify(request.data, dict(request.headers))


def test_records_are_found_by_their_own_company_only(
    acme: Caller,
    globex: Caller,
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
) -> None:
    subscribe(handler_type="SEARCH", config='{"title": "status"}')
    sql("INSERT INTO orders VALUES (7, 'acme', 'copper bolts')")
    relay_all(Router())
    delivery.deliver(messages.ids)

    [hit] = acme.get("/search?q=coper").json()
    wrong = acme.get("/search?q=bolts&limit=0")

    assert (hit["table"], hit["record_id"], hit["title"]) == ("orders", "7", "copper bolts")
    assert acme.get("/search?q=bolts&table=nowhere").json() == []
    assert globex.get("/search?q=bolts").json() == []
    assert problem(wrong)["issues"][0]["loc"][-1] == "limit"


def operations() -> list[tuple[str, str]]:
    """Return every method and path of this app's part of the document."""
    document = api.get_openapi_schema(path_prefix="/api/v1/")
    return [
        (method.upper(), path.removeprefix("/api/v1"))
        for path, methods in document["paths"].items()
        for method in methods
        if not path.startswith(("/api/v1/runs", "/api/v1/workflows"))
    ]


def filled(path: str, *, subscription: object, made: object) -> str:
    path = path.replace("{subscription_id}", str(subscription)).replace("{delivery_id}", str(made))
    return path.replace("{event_id}", str(uuid4()))


def test_no_endpoint_shows_or_changes_anything_of_another_company(
    globex: Caller, delivered: int
) -> None:
    made = Delivery.objects.get()
    before = (list(Subscription.objects.values()), list(Delivery.objects.values()))

    for method, path in operations():
        query = "?q=paid" if path == "/search" else "?name=all" if method == "DELETE" else ""
        address = filled(path, subscription=delivered, made=made.pk) + query
        answer = globex.call(method, address, {"table": "orders"})

        if "{" in path or method == "DELETE":
            assert answer.status_code == 404, path
        else:
            assert answer.status_code in (200, 422), path
            assert "paid" not in answer.content.decode()
    assert (list(Subscription.objects.values()), list(Delivery.objects.values())) == before


def test_every_endpoint_asks_for_a_key_with_its_scope(transactional_db: None) -> None:
    stranger = Caller("acme", "runs:read", "runs:write")
    reader = Caller("acme", "subscriptions:read")
    nobody = Caller("acme")
    nobody.headers = {}

    for method, path in operations():
        address = filled(path, subscription=1, made=1)
        assert stranger.call(method, address, {}).status_code == 403, path
        assert nobody.call(method, address, {}).status_code == 401, path
        is_reading = method == "GET" or path == "/subscriptions/try"
        read = reader.call(method, address, {})
        assert (read.status_code == 403) is not is_reading, path


def test_an_event_of_another_company_is_unknown(
    acme: Caller, delivered: int, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("globex")
    sql("INSERT INTO orders VALUES (2, 'globex', 'x')")
    other = Event.objects.get(company="globex")

    answer = acme.get(f"/subscriptions/{delivered}/why/{other.event_id}")

    assert answer.status_code == 404


def test_deliveries_of_the_platform_s_subscriptions_are_not_the_company_s(
    acme: Caller, delivered: int, sql: Sql, subscribe: Callable[..., int], messages: Messages
) -> None:
    subscribe(None, name="platform")
    sql("INSERT INTO orders VALUES (3, 'acme', 'x')")
    relay_all(Router())

    listed = acme.get("/deliveries").json()["items"]

    assert Delivery.objects.filter(company="acme").count() == 3
    assert {row["subscription_id"] for row in listed} == {delivered}
