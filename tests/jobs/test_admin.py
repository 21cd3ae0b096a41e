"""The engine's pages, as a superuser and as others see them."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client
from django.urls import reverse

from jobs import keys
from jobs.errors import InvalidKey
from jobs.models import (
    Action,
    ApiKey,
    Attempt,
    Definition,
    Firing,
    Hold,
    Join,
    Run,
    StepRun,
    Wait,
)
from tests.jobs import flows, told
from tests.jobs.conftest import Post


@pytest.fixture
def failed(post: Post) -> Iterator[Run]:
    """A run that was undone but for one step."""
    flows.MISBEHAVIOUR["flow-b"] = flows.fail_for_good
    flows.MISBEHAVIOUR["flow-a.compensate"] = flows.fail_for_good
    yield post.run_to_the_end(flows.diamond.start(1, company="acme"))
    flows.MISBEHAVIOUR.clear()


@pytest.fixture
def waiting(post: Post) -> Run:
    """A run with items and a child run, that waits for an event."""
    run: Any = told.everything.start([1, 2, 3], company="acme")
    post.deliver_all()
    return Run.objects.get(pk=run.pk)


def client_of(*permissions: str) -> Client:
    """Return a logged-in member of staff with these permissions on the engine's rows."""
    user = User.objects.create_user("ada", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=permissions, content_type__app_label="jobs")
    )
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


def page(run: Run) -> str:
    return f"/admin/jobs/run/{run.pk}/change/"


def pull(client: Client, lever: str, *runs: Run, **fields: str) -> Any:
    """Post what a lever's page posts, and return the page that follows."""
    data = {"run": [str(run.pk) for run in runs], "reason": "ordered twice", **fields}
    return client.post(f"/admin/jobs/run/levers/{lever}/", data, follow=True)


def said(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


# Looking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Run, StepRun, Attempt, Definition, Join])
def test_every_list_and_every_rows_page_answer(
    admin_client: Client, failed: Run, model: type[models.Model]
) -> None:
    assert_answers(admin_client, model._default_manager.all()[0])


def test_waits_holds_firings_and_actions_have_pages_too(admin_client: Client, waiting: Run) -> None:
    step = waiting.steps.first()
    rows = [
        Wait.objects.get(),
        Hold.objects.create(name="step flow-a", key="", run=waiting, step_run=step),
        Firing.objects.create(workflow="told/all", slot=waiting.created_at, run=waiting),
        Action.objects.create(run=waiting, name="cancel", by="ada", reason="r"),
    ]

    for row in rows:
        assert_answers(admin_client, row)


def assert_answers(client: Client, row: models.Model) -> None:
    name = row._meta.model_name
    assert client.get(f"/admin/jobs/{name}/").status_code == 200
    assert client.get(f"/admin/jobs/{name}/{row.pk}/change/").status_code == 200
    assert client.get(f"/admin/jobs/{name}/add/").status_code == 403
    assert client.post(f"/admin/jobs/{name}/{row.pk}/delete/").status_code == 403


def test_a_runs_page_says_what_went_wrong_and_lists_its_steps(
    admin_client: Client, failed: Run
) -> None:
    shown = admin_client.get(page(failed)).content.decode()

    assert "flow-b: PermanentFailure: no" in shown
    assert "flow-a#4.compensate" in shown


def test_a_runs_page_shows_progress_kinds_and_related_runs_but_no_items(
    admin_client: Client, waiting: Run
) -> None:
    StepRun.objects.filter(run=waiting, node="count").update(progress=0.4, progress_note="parsed")

    shown = admin_client.get(page(waiting)).content.decode()

    child = Run.objects.get(workflow="told/child")
    assert "40% parsed" in shown
    assert "waiting for event" in shown
    assert f"/admin/jobs/run/{child.pk}/change/" in shown
    assert "flow-a[0]" not in shown
    items = admin_client.get(
        "/admin/jobs/steprun/", {"run": str(waiting.pk), "each": "flow-a"}
    ).content.decode()
    assert "flow-a[2]" in items
    assert "told/child" not in items


def test_runs_are_found_by_a_part_of_nothing_but_whole_keys(
    admin_client: Client, failed: Run
) -> None:
    found = admin_client.get("/admin/jobs/run/", {"q": "acme"}).content.decode()
    by_id = admin_client.get("/admin/jobs/run/", {"q": str(failed.pk)}).content.decode()
    missed = admin_client.get("/admin/jobs/run/", {"q": "acm"}).content.decode()

    assert str(failed.pk) in found
    assert str(failed.pk) in by_id
    assert str(failed.pk) not in missed


def test_runs_are_filtered_by_what_they_wait_for_and_by_workflow(
    admin_client: Client, waiting: Run
) -> None:
    def is_listed(**query: str) -> bool:
        return str(waiting.pk) in admin_client.get("/admin/jobs/run/", query).content.decode()

    assert is_listed(waiting_for="event")
    assert not is_listed(waiting_for="code")
    assert is_listed(workflow="told/all")
    assert not is_listed(workflow="flow/chain")


def test_nobody_adds_changes_or_deletes_a_run(admin_client: Client, failed: Run) -> None:
    assert admin_client.get("/admin/jobs/run/add/").status_code == 403
    assert admin_client.post(f"/admin/jobs/run/{failed.pk}/delete/").status_code == 403
    assert admin_client.post(page(failed), {}).status_code == 403


# Levers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lever", ["cancel", "retry", "fork", "resume", "resolve"])
def test_a_levers_page_asks_first_and_changes_nothing(
    admin_client: Client, failed: Run, lever: str
) -> None:
    before = Run.objects.values().get(pk=failed.pk)

    shown = admin_client.get(f"/admin/jobs/run/{failed.pk}/{lever}/")

    assert shown.status_code == 200
    assert 'name="reason"' in shown.content.decode()
    assert Run.objects.values().get(pk=failed.pk) == before
    assert (
        f"/admin/jobs/run/{failed.pk}/{lever}/" in admin_client.get(page(failed)).content.decode()
    )


def test_a_run_is_cancelled_with_who_and_why(admin_client: Client, post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")

    answer = pull(admin_client, "cancel", run)

    assert said(answer) == ["1 of 1 run cancelled."]
    assert Run.objects.get(pk=run.pk).status == "cancelled"
    action = Action.objects.get()
    assert (action.name, action.by, action.reason) == ("cancel", "admin", "ordered twice")
    assert "ordered twice" in admin_client.get(page(run)).content.decode()


def test_many_runs_are_asked_about_on_one_page_and_the_refused_are_told_why(
    admin_client: Client, post: Post, failed: Run
) -> None:
    going: Any = flows.chain.start(1, company="acme")
    chosen = [str(going.pk), str(failed.pk)]

    asked = admin_client.post(
        "/admin/jobs/run/", {"action": "cancel_runs", "_selected_action": chosen}
    ).content.decode()
    assert all(f'name="run" value="{pk}"' in asked for pk in chosen)
    assert Run.objects.get(pk=going.pk).status == "queued"

    answer = pull(admin_client, "cancel", going, failed)
    assert said(answer)[0] == "1 of 2 runs cancelled."
    assert "it is failed" in said(answer)[1]
    assert Run.objects.get(pk=going.pk).status == "cancelled"


def test_too_many_runs_at_once_are_refused(
    admin_client: Client, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.levers.MOST_AT_ONCE", 2)
    runs: Any = flows.chain.start_many([1, 2, 3], company="acme")

    answer = admin_client.post(
        "/admin/jobs/run/",
        {"action": "cancel_runs", "_selected_action": [str(run.pk) for run in runs]},
        follow=True,
    )

    assert said(answer) == ["Choose at most 2 runs at once."]


def test_without_a_reason_the_page_asks_again(admin_client: Client, post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")

    answer = pull(admin_client, "cancel", run, reason=" ")

    assert "This field is required" in answer.content.decode()
    assert Run.objects.get(pk=run.pk).status == "queued"


def test_a_rollback_is_resolved_step_by_step_and_the_run_retried(
    admin_client: Client, post: Post, failed: Run
) -> None:
    flows.MISBEHAVIOUR.clear()
    shown = admin_client.get(f"/admin/jobs/run/{failed.pk}/resolve/").content.decode()
    assert '<option value="flow-a.compensate">' in shown
    assert "flow-b" not in shown.partition("<select")[2].partition("</select>")[0]

    answer = pull(admin_client, "resolve", failed, node="flow-a.compensate")
    assert said(answer) == ["1 of 1 run resolved."]
    nothing = admin_client.get(f"/admin/jobs/run/{failed.pk}/resolve/").content.decode()
    assert "there is nothing to resolve" in nothing

    assert said(pull(admin_client, "retry", failed)) == ["1 of 1 run retried."]
    assert post.run_to_the_end(failed).status == "succeeded"


def test_a_rollback_is_resumed(admin_client: Client, post: Post, failed: Run) -> None:
    flows.MISBEHAVIOUR.clear()

    assert said(pull(admin_client, "resume", failed)) == ["1 of 1 run resumed."]
    assert post.run_to_the_end(failed).rollback == "complete"


def test_a_fork_leads_to_the_new_run(admin_client: Client, post: Post) -> None:
    source = post.run_to_the_end(flows.chain.start(1, company="acme"))
    shown = admin_client.get(f"/admin/jobs/run/{source.pk}/fork/").content.decode()
    assert '<option value="flow-plain">' in shown

    answer = pull(admin_client, "fork", source, node="flow-plain")

    made = Run.objects.get(forked_from=source)
    assert answer.redirect_chain[-1][0] == page(made)
    assert f"/admin/jobs/run/{source.pk}/change/" in answer.content.decode()


def test_who_may_only_look_finds_no_lever(post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")
    client = client_of("view_run", "view_steprun", "view_action")

    shown = client.get(page(run)).content.decode()
    listed = client.get("/admin/jobs/run/").content.decode()

    assert "flow-a" in shown
    assert f"/admin/jobs/run/{run.pk}/cancel/" not in shown
    assert "cancel_runs" not in listed
    assert client.get(f"/admin/jobs/run/{run.pk}/cancel/").status_code == 403
    assert pull(client, "cancel", run).status_code == 403
    assert Run.objects.get(pk=run.pk).status == "queued"


def test_who_may_change_runs_pulls_levers_under_their_own_name(post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")
    client = client_of("view_run", "change_run")

    pull(client, "cancel", run)

    assert Action.objects.get().by == "ada"


def test_a_lever_is_not_pulled_by_a_link_or_a_foreign_form(admin_user: User, post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    assert client.get("/admin/jobs/run/levers/cancel/").status_code == 405
    assert pull(client, "cancel", run).status_code == 403
    assert Run.objects.get(pk=run.pk).status == "queued"


def test_a_step_is_resolved_of_one_run_only(admin_client: Client, post: Post, failed: Run) -> None:
    other: Any = flows.chain.start(1, company="acme")

    assert pull(admin_client, "resolve", failed, other, node="flow-a").status_code == 404


def test_a_list_reads_no_inputs_and_outputs(
    admin_client: Client, waiting: Run, django_assert_max_num_queries: Any
) -> None:
    for name in ("run", "steprun", "attempt", "wait"):
        with django_assert_max_num_queries(12) as queries:
            assert admin_client.get(f"/admin/jobs/{name}/").status_code == 200

        read = " ".join(query["sql"] for query in queries.captured_queries)
        assert '"jobs_run"."input"' not in read
        assert '"jobs_steprun"."output"' not in read


@pytest.mark.parametrize("path", ["levers/lift/", "levers/cancel/"])
def test_a_lever_that_is_none_and_a_run_that_is_none_are_not_found(
    admin_client: Client, post: Post, path: str
) -> None:
    answer = admin_client.post(f"/admin/jobs/run/{path}", {"run": ["x"], "reason": "r"})

    assert answer.status_code == 404


# API keys ----------------------------------------------------------------------------------------

NEW_KEY = {"company": "acme", "name": "shop", "scopes": ["runs:read"], "expires_in_days": "30"}


def test_a_key_made_here_is_shown_once_and_works(admin_client: Client) -> None:
    assert admin_client.get("/admin/jobs/apikey/add/").status_code == 200

    answer = admin_client.post("/admin/jobs/apikey/add/", NEW_KEY)

    row = ApiKey.objects.get()
    text = answer.content.decode().partition(f"cpk_{row.prefix}_")
    secret = text[2][: keys.SECRET_LENGTH]
    assert keys.authenticate(f"{text[1]}{secret}") == row
    assert (row.company, row.name, row.scopes) == ("acme", "shop", ["runs:read"])
    assert row.expires_at is not None
    assert "no-store" in answer.headers["Cache-Control"]
    for path in ("", f"{row.pk}/change/", f"{row.pk}/history/"):
        assert secret not in admin_client.get(f"/admin/jobs/apikey/{path}").content.decode()


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"company": ""}, {"name": ""}, {"expires_in_days": "0"}]
)
def test_a_key_that_cannot_be_is_refused_on_the_form(
    admin_client: Client, wrong: dict[str, Any]
) -> None:
    answer = admin_client.post("/admin/jobs/apikey/add/", NEW_KEY | wrong)

    assert answer.status_code == 200
    assert answer.context["errors"]
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_and_never_changed_or_deleted(admin_client: Client) -> None:
    first = keys.create(company="acme", name="shop", scopes=["runs:read"])
    second = keys.create(company="acme", name="depot", scopes=["runs:read"])
    keys.revoke(second.row.pk)

    answer = admin_client.post(
        "/admin/jobs/apikey/",
        {"action": "revoke_keys", "_selected_action": [first.row.pk, second.row.pk]},
        follow=True,
    )

    assert said(answer) == ["1 of 2 keys revoked. The others were revoked before."]
    with pytest.raises(InvalidKey):
        keys.authenticate(first.text)
    change = reverse("admin:jobs_apikey_change", args=(first.row.pk,))
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, NEW_KEY).status_code == 403


def test_who_may_only_look_makes_and_revokes_no_key(transactional_db: None) -> None:
    made = keys.create(company="acme", name="shop", scopes=["runs:read"])
    client = client_of("view_apikey")

    assert client.get("/admin/jobs/apikey/").status_code == 200
    assert client.post("/admin/jobs/apikey/add/", NEW_KEY).status_code == 403
    client.post("/admin/jobs/apikey/", {"action": "revoke_keys", "_selected_action": [made.row.pk]})
    assert keys.authenticate(made.text) == made.row
