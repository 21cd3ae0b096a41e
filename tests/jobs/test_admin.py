"""The engine's pages, as a superuser sees them."""

import pytest
from django.test import Client

from jobs.models import Attempt, Definition, Join, Run, StepRun
from tests.jobs import flows
from tests.jobs.conftest import Post


@pytest.fixture
def failed(post: Post) -> Run:
    """A run that was undone, with rows of every kind."""
    flows.MISBEHAVIOUR["flow-b"] = flows.fail_for_good
    run = post.run_to_the_end(flows.diamond.start(1, company="acme"))
    flows.MISBEHAVIOUR.clear()
    return run


@pytest.mark.parametrize("model", [Run, StepRun, Attempt, Definition, Join])
def test_every_list_and_every_row_s_page_answer(
    admin_client: Client, failed: Run, model: type[Run]
) -> None:
    name = model._meta.model_name
    row = model._default_manager.all()[0]

    assert admin_client.get(f"/admin/jobs/{name}/").status_code == 200
    assert admin_client.get(f"/admin/jobs/{name}/{row.pk}/change/").status_code == 200


def test_a_run_s_page_says_what_went_wrong_and_lists_its_steps(
    admin_client: Client, failed: Run
) -> None:
    page = admin_client.get(f"/admin/jobs/run/{failed.pk}/change/").content.decode()

    assert "flow-b: PermanentFailure: no" in page
    assert "flow-a#4.compensate" in page


def test_runs_are_found_by_a_part_of_nothing_but_whole_keys(
    admin_client: Client, failed: Run
) -> None:
    found = admin_client.get("/admin/jobs/run/", {"q": "acme"}).content.decode()
    missed = admin_client.get("/admin/jobs/run/", {"q": "acm"}).content.decode()

    assert str(failed.pk) in found
    assert str(failed.pk) not in missed


def test_nobody_adds_changes_or_deletes_a_run(admin_client: Client, failed: Run) -> None:
    assert admin_client.get("/admin/jobs/run/add/").status_code == 403
    assert admin_client.post(f"/admin/jobs/run/{failed.pk}/delete/").status_code == 403
    assert admin_client.post(f"/admin/jobs/run/{failed.pk}/change/", {}).status_code == 403


def test_the_cancel_action_says_how_many(admin_client: Client, post: Post, failed: Run) -> None:
    going = flows.chain.start(1, company="acme")

    answer = admin_client.post(
        "/admin/jobs/run/",
        {"action": "cancel_runs", "_selected_action": [str(going.pk), str(failed.pk)]},
        follow=True,
    )

    assert "1 of 2 runs cancelled" in answer.content.decode()
    assert Run.objects.get(pk=going.pk).status == "cancelled"
