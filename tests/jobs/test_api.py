"""The API as its clients see it: a company's key in, JSON and problem details out."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from counterpoint.api import api
from jobs import keys
from jobs.models import Action, Run
from tests.jobs import flows
from tests.jobs.conftest import Post

PROBLEM = "application/problem+json"
READ_ONLY = ["runs:read"]


class Caller:
    """A client with a company's key."""

    def __init__(self, company: str, scopes: list[str] | None = None) -> None:
        self.key = keys.create(company=company, name="shop", scopes=scopes or list(keys.SCOPES))
        self.client = Client(enforce_csrf_checks=True)

    def get(self, path: str, **query: str | int) -> Any:
        return self.client.get(f"/api/v1{path}", query, headers=self.headers)

    def post(self, path: str, data: object, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1{path}",
            data if isinstance(data, bytes) else json.dumps(data),
            content_type="application/json",
            headers={**self.headers, **headers},
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key.text}"}


@pytest.fixture
def acme(post: Post) -> Caller:
    return Caller("acme")


@pytest.fixture
def globex(post: Post) -> Caller:
    return Caller("globex")


@pytest.fixture
def failed(post: Post) -> Iterator[Run]:
    """A run of acme's whose rollback is incomplete."""
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    flows.MISBEHAVIOUR["flow-a.compensate"] = flows.fail_for_good
    yield post.run_to_the_end(flows.chain.start(1, company="acme"))
    flows.MISBEHAVIOUR.clear()


def problem(answer: Any) -> dict[str, Any]:
    """Return the answer's problem details, of the form that RFC 9457 asks for."""
    assert answer.headers["Content-Type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    assert body["type"].startswith("urn:counterpoint:problem:")
    return body


def test_a_workflow_is_started_by_its_name_and_runs(acme: Caller, post: Post) -> None:
    answer = acme.post("/workflows/flow/chain", 1)

    run = Run.objects.get(pk=answer.json()["id"])
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{run.pk}"
    assert (run.company, run.env, run.input) == ("acme", "live", {"number": 1})
    assert post.run_to_the_end(run).output == 3


def test_the_same_idempotency_key_gives_the_same_run_and_another_input_a_conflict(
    acme: Caller,
) -> None:
    first = acme.post("/workflows/flow/chain", 1, **{"Idempotency-Key": "po-17"})
    again = acme.post("/workflows/flow/chain", 1, **{"Idempotency-Key": "po-17"})
    other = acme.post("/workflows/flow/chain", 2, **{"Idempotency-Key": "po-17"})

    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 409
    assert problem(other)["run_id"] == first.json()["id"]


def test_input_that_does_not_fit_is_refused_with_every_issue_and_nothing_is_stored(
    acme: Caller,
) -> None:
    order = {"supplier_id": 7, "items": [{"product_id": "bolt", "quantity": 0, "unit_cost": 1}]}

    answer = acme.post("/workflows/restock/create", order)

    assert answer.status_code == 422
    issues = problem(answer)["issues"]
    assert {tuple(issue["loc"]) for issue in issues} == {
        ("order", "supplier_id"),
        ("order", "items", 0, "quantity"),
    }
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b'"\\ud800"', b"\xff", b"[" * 100_000, b"1" * 10_000]
)
def test_what_is_no_json_is_refused(acme: Caller, body: bytes) -> None:
    answer = acme.post("/workflows/flow/chain", body)

    assert answer.status_code in (400, 422)
    assert problem(answer)["detail"]
    assert not Run.objects.exists()


def test_a_body_that_is_too_large_is_refused(acme: Caller, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10

    answer = acme.post("/workflows/flow/chain", "x" * 20)

    assert answer.status_code == 413
    assert "reference" in problem(answer)["detail"]


def test_a_value_that_is_too_large_is_refused_with_its_place(acme: Caller, settings: Any) -> None:
    settings.JOBS_MAX_VALUE_BYTES = 1000
    run = acme.post("/workflows/flow/chain", 1).json()["id"]
    order = {
        "supplier_id": "x" * 1000,
        "items": [{"product_id": "b", "quantity": 1, "unit_cost": 1}],
    }

    started = acme.post("/workflows/restock/create", order)
    sent = acme.post(f"/runs/{run}/events", {"type": "t", "payload": "x" * 1000})

    assert (started.status_code, sent.status_code) == (413, 413)
    assert "pass a reference" in problem(started)["issues"][0]["msg"]
    assert Run.objects.count() == 1


def test_an_unknown_workflow_is_refused_with_those_that_there_are(acme: Caller) -> None:
    answer = acme.post("/workflows/flow/nothing", 1)

    assert answer.status_code == 404
    assert "restock/create" in problem(answer)["detail"]


def test_a_run_is_told_with_its_steps(acme: Caller, failed: Run) -> None:
    run = acme.get(f"/runs/{failed.pk}").json()
    steps = acme.get(f"/runs/{failed.pk}/steps").json()

    assert (run["status"], run["rollback"]) == ("failed", "incomplete")
    assert run["input"] == {"number": 1}
    assert run["error"]["node"] == "flow-plain"
    assert "traceback" not in json.dumps(run)
    assert {(step["node"], step["status"]) for step in steps["items"]} >= {
        ("flow-a", "succeeded"),
        ("flow-plain", "failed"),
        ("flow-a.compensate", "failed"),
    }
    assert steps["next_cursor"] is None


def test_runs_are_listed_newest_first_and_page_by_page(acme: Caller) -> None:
    made = [acme.post("/workflows/flow/chain", number).json()["id"] for number in range(5)]

    found: list[str] = []
    cursor: dict[str, str] = {}
    pages = 0
    while True:
        page = acme.get("/runs", limit=2, **cursor).json()
        found += [run["id"] for run in page["items"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert found == made[::-1]
    assert pages == 3


def test_runs_are_filtered_by_workflow_status_and_env(acme: Caller, failed: Run) -> None:
    going = acme.post("/workflows/flow/chain?env=test", 1).json()["id"]

    def ids(**query: str) -> list[str]:
        return [run["id"] for run in acme.get("/runs", **query).json()["items"]]

    assert ids(status="failed") == [str(failed.pk)]
    assert ids(status="queued") == [going]
    assert ids(env="test") == [going]
    assert ids(workflow="flow/nothing") == []
    assert len(ids(workflow="flow/chain")) == 2


@pytest.mark.parametrize(
    "query", ["status=lost", "limit=0", "limit=101", "cursor=x", "workflow=%00", "env="]
)
def test_a_query_that_means_nothing_is_refused(acme: Caller, query: str) -> None:
    answer = acme.client.get(f"/api/v1/runs?{query}", headers=acme.headers)

    assert answer.status_code == 422
    assert problem(answer)["issues"]


def test_a_run_is_cancelled_with_who_and_why(acme: Caller) -> None:
    run = acme.post("/workflows/flow/chain", 1).json()["id"]

    answer = acme.post(f"/runs/{run}/cancel", {"reason": "ordered twice"})

    assert answer.status_code == 202
    assert answer.json()["status"] == "cancelled"
    action = Action.objects.get(run_id=run)
    assert (action.name, action.by, action.reason) == ("cancel", "API key shop", "ordered twice")


def test_a_run_that_has_ended_cannot_be_cancelled_and_the_answer_says_what_can(
    acme: Caller, failed: Run
) -> None:
    answer = acme.post(f"/runs/{failed.pk}/cancel", {"reason": "late"})

    assert answer.status_code == 409
    assert "it is failed" in problem(answer)["detail"]
    assert "can be cancelled" in problem(answer)["detail"]


def test_an_incomplete_rollback_is_resolved_and_then_retried(
    acme: Caller, post: Post, failed: Run
) -> None:
    why = {"reason": "undone by hand"}
    refused = acme.post(f"/runs/{failed.pk}/retry", why)
    nodes = [
        step["node"]
        for step in acme.get(f"/runs/{failed.pk}/steps").json()["items"]
        if step["phase"] == "compensation" and step["status"] == "failed"
    ]
    resolved = [
        acme.post(f"/runs/{failed.pk}/resolve", {**why, "step": node}).status_code for node in nodes
    ]
    flows.MISBEHAVIOUR.clear()
    retried = acme.post(f"/runs/{failed.pk}/retry", why)

    assert refused.status_code == 409
    assert "resolve" in problem(refused)["detail"]
    assert set(resolved) == {202}
    assert (retried.status_code, retried.json()["generation"]) == (202, 2)
    assert post.run_to_the_end(failed).status == "succeeded"


def test_an_incomplete_rollback_is_resumed(acme: Caller, post: Post, failed: Run) -> None:
    flows.MISBEHAVIOUR.clear()

    answer = acme.post(f"/runs/{failed.pk}/resume", {"reason": "the supplier is back"})

    assert answer.status_code == 202
    ended = post.run_to_the_end(failed)
    assert (ended.status, ended.rollback) == ("failed", "complete")


def test_a_fork_is_a_new_run_of_the_same_company(acme: Caller, post: Post) -> None:
    source = post.run_to_the_end(flows.chain.start(1, company="acme"))

    answer = acme.post(f"/runs/{source.pk}/fork", {"reason": "again", "from_step": "flow-plain"})

    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{made['id']}"
    assert made["forked_from"] == str(source.pk)
    assert post.run_to_the_end(Run.objects.get(pk=made["id"])).output == 3


def test_a_fork_from_a_step_that_is_not_there_is_refused(acme: Caller, post: Post) -> None:
    source = post.run_to_the_end(flows.chain.start(1, company="acme"))

    answer = acme.post(f"/runs/{source.pk}/fork", {"reason": "again", "from_step": "nowhere"})

    assert answer.status_code == 409
    assert "flow-plain" in problem(answer)["detail"]


def test_an_event_is_taken_by_a_run_that_goes_on_and_refused_by_one_that_has_ended(
    acme: Caller, failed: Run
) -> None:
    run = acme.post("/workflows/flow/chain", 1).json()["id"]
    event = {"type": "payment.settled", "payload": {"amount": 100}}

    taken = acme.post(f"/runs/{run}/events", event)
    refused = acme.post(f"/runs/{failed.pk}/events", event)

    assert taken.status_code == 202
    assert refused.status_code == 409
    assert Run.objects.get(pk=run).signals.get().payload == {"amount": 100}


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " "}, {"reason": "a\0b"}, [], 1])
def test_a_lever_asks_for_a_reason(acme: Caller, body: object) -> None:
    run = acme.post("/workflows/flow/chain", 1).json()["id"]

    answer = acme.post(f"/runs/{run}/cancel", body)

    assert answer.status_code == 422
    assert problem(answer)["issues"]
    assert Run.objects.get(pk=run).status == "queued"


def operations() -> list[tuple[str, str]]:
    """Return every method and path of the OpenAPI document that is about runs."""
    document = api.get_openapi_schema(path_prefix="/api/v1/")
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith(("/api/v1/runs", "/api/v1/workflows"))
    ]


BODIES = {
    "fork": {"reason": "r", "from_step": "flow-plain"},
    "resolve": {"reason": "r", "step": "flow-a"},
    "events": {"type": "t", "payload": 1},
}


def call(method: str, path: str, *, run: object, headers: dict[str, str] | None = None) -> Any:
    name = path.rpartition("/")[2]
    body = BODIES.get(name, {"reason": "r"})
    filled = path.replace("{run_id}", str(run)).replace("{name}", "flow/chain")
    data = 1 if "{name}" in path else body
    return Client(enforce_csrf_checks=True).generic(
        method, filled, json.dumps(data), content_type="application/json", headers=headers
    )


@pytest.mark.parametrize(("method", "path"), operations())
def test_no_endpoint_shows_another_companys_run(
    method: str, path: str, globex: Caller, failed: Run
) -> None:
    before = Run.objects.values().get(pk=failed.pk)

    answer = call(method, path, run=failed.pk, headers=globex.headers)
    unknown = call(method, path, run=uuid4(), headers=globex.headers)

    assert str(failed.pk) not in answer.content.decode().replace(f"no run {failed.pk}", "no run")
    if "{run_id}" in path:
        assert answer.status_code == unknown.status_code == 404
        assert problem(answer)["type"] == problem(unknown)["type"]
    else:
        assert answer.status_code in (200, 202)
    assert Run.objects.values().get(pk=failed.pk) == before
    assert not Action.objects.exists()


@pytest.mark.parametrize(("method", "path"), operations())
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer cpk_a_b"},
     {"Authorization": "Basic YWRtaW46YWRtaW4="}],
)  # fmt: skip
def test_every_endpoint_asks_for_a_key(
    method: str, path: str, headers: dict[str, str], failed: Run
) -> None:
    answer = call(method, path, run=failed.pk, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert problem(answer)["detail"]


def test_a_session_is_no_key(admin_client: Client, failed: Run) -> None:
    answer = admin_client.get(f"/api/v1/runs/{failed.pk}")

    assert answer.status_code == 401


def test_a_key_that_may_only_read_changes_nothing(failed: Run) -> None:
    reader = Caller("acme", READ_ONLY)
    answers = {
        (method, path): call(method, path, run=failed.pk, headers=reader.headers)
        for method, path in operations()
    }

    for (method, _), answer in answers.items():
        assert answer.status_code == (200 if method == "GET" else 403)
        if method != "GET":
            assert "runs:write" in problem(answer)["detail"]


def test_a_revoked_key_is_refused(acme: Caller) -> None:
    keys.revoke(acme.key.row.pk)

    answer = acme.get("/runs")

    assert answer.status_code == 401
    assert "revoked" in problem(answer)["detail"]


def test_a_run_of_the_platform_itself_is_nobodys(acme: Caller) -> None:
    run: Any = flows.chain.start(1, company=None)

    assert acme.get(f"/runs/{run.pk}").status_code == 404
    assert acme.get("/runs").json()["items"] == []


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/runs/1", "/api/v2"])
def test_a_path_that_leads_nowhere_is_a_problem(path: str, acme: Caller) -> None:
    answer = acme.client.get(path, headers=acme.headers)

    assert answer.status_code == 404
    assert "openapi.json" in problem(answer)["detail"]


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(acme: Caller) -> None:
    answer = acme.client.delete("/api/v1/runs", headers=acme.headers)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"
    assert "it takes GET" in problem(answer)["detail"]


def test_a_crash_is_a_problem_without_its_insides(
    acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.client.raise_request_exception = False
    monkeypatch.setattr(keys, "authenticate", lambda text: 1 / 0)

    answer = acme.get("/runs")

    assert answer.status_code == 500
    assert "division" not in problem(answer)["detail"]


def test_errors_outside_the_api_stay_pages(client: Client) -> None:
    answer = client.get("/nowhere")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_the_document_describes_every_error_as_a_problem(client: Client) -> None:
    document = client.get(reverse("api-v1:openapi-json")).json()

    for methods in document["paths"].values():
        for operation in methods.values():
            assert PROBLEM in operation["responses"]["default"]["content"]
            assert operation["security"]
    statuses = document["components"]["schemas"]["RunOut"]["properties"]["status"]["enum"]
    assert "compensating" in statuses
    steps = document["components"]["schemas"]["StepOut"]["properties"]["status"]["enum"]
    assert "resolved" in steps


def test_the_documentation_page_loads_nothing_from_outside(client: Client) -> None:
    page = client.get("/api/v1/docs").content.decode()

    assert "swagger-ui" in page
    assert "https://" not in page


def test_run_ids_are_uuids(acme: Caller) -> None:
    assert UUID(acme.post("/workflows/flow/chain", 1).json()["id"]).version == 7
