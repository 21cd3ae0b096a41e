"""`manage.py start`, `run`, `prune` and `create_api_key`, as an operator uses them."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models.functions import Now
from rich.console import Console

from jobs import keys, services
from jobs.management import terminal
from jobs.management.commands import start
from jobs.models import Action, Firing, Run
from tests.jobs import flows, told
from tests.jobs.conftest import Post

BAD_ORDER = '{"supplier_id": 7, "items": [{"product_id": "b", "quantity": 0, "unit_cost": 1}]}'


@pytest.fixture
def failed(post: Post) -> Iterator[Run]:
    """A run whose rollback is incomplete."""
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    flows.MISBEHAVIOUR["flow-a.compensate"] = flows.fail_for_good
    yield post.run_to_the_end(flows.chain.start(1, company="acme"))
    flows.MISBEHAVIOUR.clear()


@pytest.fixture
def waiting(post: Post) -> Run:
    """A run with items and a child run, that waits for an event."""
    run: Any = told.everything.start([1, 2, 3], company="acme")
    post.deliver_all()
    return Run.objects.get(pk=run.pk)


def call(*arguments: object) -> str:
    """Return what the command printed."""
    printed = io.StringIO()
    call_command(*map(str, arguments), stdout=printed, stderr=printed)
    return printed.getvalue()


def refusal(*arguments: object) -> tuple[int, str]:
    """Return the exit code of the command and what it said."""
    with pytest.raises(CommandError) as raised:
        call(*arguments)
    return raised.value.returncode, str(raised.value)


# start -------------------------------------------------------------------------------------------


def test_start_prints_the_id_of_the_run(post: Post) -> None:
    printed = call("start", "flow/chain", "--input", "1", "--company", "acme", "--env", "test")

    run = Run.objects.get(pk=printed.strip())
    assert (run.company, run.env, run.input) == ("acme", "test", {"number": 1})


def test_the_input_may_come_from_a_file_or_standard_input(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input.json").write_text("2")
    monkeypatch.setattr(sys, "stdin", io.StringIO("3"))

    call("start", "flow/chain", "--input", f"@{tmp_path}/input.json")
    call("start", "flow/chain", "--input", "-")

    inputs = Run.objects.order_by("pk").values_list("input", flat=True)
    assert list(inputs) == [{"number": 2}, {"number": 3}]


def test_the_same_idempotency_key_gives_the_same_run(post: Post) -> None:
    arguments = ("start", "flow/chain", "--idempotency-key", "k", "--input")

    assert call(*arguments, "1") == call(*arguments, "1")
    assert refusal(*arguments, "2")[0] == 2


def test_input_that_does_not_fit_is_told_issue_by_issue(post: Post) -> None:
    code, text = refusal("start", "restock/create", "--input", BAD_ORDER)

    assert code == 2
    lines = text.splitlines()
    assert lines[0] == "input of restock/create does not fit:"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  order.supplier_id",
        "  order.items.0.quantity",
    ]
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("flow/nothing", "1", "restock/create"),
        ("flow/chain", "{", "--input is no JSON"),
        ("flow/chain", "@/nowhere.json", "No such file"),
    ],
)
def test_bad_use_says_what_is_allowed(post: Post, name: str, given: str, said: str) -> None:
    code, text = refusal("start", name, "--input", given)

    assert code == 2
    assert said in text


def test_watch_follows_the_run_to_its_end(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_pause", post.deliver_one)

    lines = call("start", "flow/chain", "--input", "1", "--watch").splitlines()

    assert lines[0].startswith("flow/chain ")
    assert "flow-a#2  succeeded" in "\n".join(lines)
    assert len(lines) == len(set(lines))
    assert [line.split("  ")[1] for line in lines if line.startswith("flow/chain")] == [
        "queued",
        "running",
        "succeeded",
    ]


def test_watching_a_run_that_fails_ends_with_exit_code_1(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(flows.MISBEHAVIOUR, "flow-plain", flows.fail_for_good)
    monkeypatch.setattr(start, "_pause", post.deliver_one)
    printed = io.StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("start", "flow/chain", input="1", watch=True, stdout=printed)

    assert ended.value.code == 1
    assert "flow-plain  failed" in printed.getvalue()
    assert "flow-plain: attempt 1  failed" in printed.getvalue()
    assert "PermanentFailure: no" in printed.getvalue()
    assert "flow-a: compensation  succeeded" in printed.getvalue()
    assert "failed, rollback complete" in printed.getvalue()


def test_an_interrupted_watch_leaves_the_run_going(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "_pause", interrupt)
    said = io.StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("start", "flow/chain", input="1", watch=True, stdout=said, stderr=said)

    assert ended.value.code == 130
    assert f"manage.py run show {Run.objects.get().pk}" in said.getvalue()
    assert Run.objects.get().status == "queued"


def test_on_a_terminal_the_tree_is_drawn_in_colours(post: Post) -> None:
    run: Any = flows.chain.start(1, company=None)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system="standard")

    ended = terminal.follow(run.pk, on=console, pause=post.deliver_one)

    assert ended.status == "succeeded"
    assert "└── " in screen.getvalue()
    assert "\x1b[32msucceeded" in screen.getvalue()


# run show ----------------------------------------------------------------------------------------


def test_show_draws_steps_attempts_compensations_and_the_error(failed: Run) -> None:
    printed = call("run", "show", failed.pk)

    assert f"flow/chain {failed.pk}  failed, rollback incomplete  company acme" in printed
    assert "├── flow-a  succeeded" in printed
    assert "compensation  failed" in printed
    assert "PermanentFailure: no" in printed


def test_show_tells_items_child_runs_and_waits(waiting: Run) -> None:
    printed = call("run", "show", waiting.pk)

    child = Run.objects.get(workflow="told/child")
    assert "3 items  3 succeeded" in printed
    assert f"told/child {child.pk}  succeeded" in printed
    assert "waiting for event" in printed
    assert "event payment.settled with {'order': 7}" in printed


def test_show_tells_what_people_did(post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")
    services.cancel(run.pk, reason="ordered twice", by="ada")

    assert "ordered twice" in call("run", "show", run.pk)
    assert "by ada" in call("run", "show", run.pk)


def test_show_draws_no_control_characters(post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")
    services.cancel(run.pk, reason="\x1b[2Jgone", by="ada")

    printed = call("run", "show", run.pk)

    assert "\x1b" not in printed
    assert r"\x1b[2Jgone" in printed


def test_show_as_json_holds_every_attempt(failed: Run) -> None:
    told_run = json.loads(call("run", "show", failed.pk, "--json"))

    assert told_run["rollback"] == "incomplete"
    tries = {step["node"]: step["tries"] for step in told_run["steps"]}
    assert tries["flow-plain"][0]["error"]["message"] == "no"


def test_show_as_json_holds_items_waits_and_child_runs(waiting: Run) -> None:
    told_run = json.loads(call("run", "show", waiting.pk, "--json"))

    assert len([step for step in told_run["steps"] if step["each"]]) == 3
    assert told_run["waits"][0]["event_type"] == "payment.settled"
    assert told_run["children"][0]["workflow"] == "told/child"


def test_a_long_list_is_told_in_as_many_queries_as_a_short_one(
    post: Post, django_assert_max_num_queries: Any
) -> None:
    run: Any = told.everything.start(list(range(300)), company="acme")
    post.deliver_all()

    with django_assert_max_num_queries(10):
        printed = call("run", "show", run.pk)

    assert "300 items  300 succeeded" in printed
    assert len(printed.splitlines()) < 20


@pytest.mark.parametrize("verb", ["show", "cancel", "retry", "resume"])
def test_a_run_that_is_not_there_is_one_line(transactional_db: None, verb: str) -> None:
    unknown = uuid4()
    more = () if verb == "show" else ("--reason", "r")

    assert refusal("run", verb, unknown, *more) == (1, f"no run {unknown}")


# levers ------------------------------------------------------------------------------------------


def test_cancel_stops_the_run_and_records_who_and_why(post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")

    printed = call("run", "cancel", run.pk, "--reason", "ordered twice", "--by", "ada")

    assert printed.strip() == f"run {run.pk} cancelled; it is cancelled"
    action = Action.objects.get()
    assert (action.name, action.by, action.reason) == ("cancel", "ada", "ordered twice")


def test_who_acted_is_the_systems_user_unless_told(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    run: Any = flows.chain.start(1, company="acme")

    call("run", "cancel", run.pk, "--reason", "r")

    assert Action.objects.get().by == "grace"


def test_an_incomplete_rollback_is_resumed(post: Post, failed: Run) -> None:
    flows.MISBEHAVIOUR.clear()

    call("run", "resume", failed.pk, "--reason", "the supplier is back")

    assert post.run_to_the_end(failed).rollback == "complete"


def test_steps_are_resolved_and_the_run_retried(post: Post, failed: Run) -> None:
    why = ("--reason", "by hand")
    assert refusal("run", "retry", failed.pk, *why)[0] == 1

    for step in ("flow-a", "flow-a#2.compensate"):
        flows.MISBEHAVIOUR.clear()
        left = Run.objects.get(pk=failed.pk).steps.filter(
            phase="compensation", status="failed", node__startswith=step.partition(".")[0]
        )
        if left.exists():
            call("run", "resolve", failed.pk, "--step", step, *why)
    call("run", "retry", failed.pk, *why)

    assert post.run_to_the_end(failed).status == "succeeded"


def test_a_fork_is_named(post: Post) -> None:
    source = post.run_to_the_end(flows.chain.start(1, company="acme"))

    printed = call("run", "fork", source.pk, "--from", "flow-plain", "--reason", "again")

    made = Run.objects.get(forked_from=source)
    assert f"as run {made.pk}" in printed
    assert f"forked to {made.pk}" in call("run", "show", source.pk)
    assert f"forked from {source.pk}" in call("run", "show", made.pk)


def test_what_the_runs_state_forbids_is_one_line_that_says_what_is_allowed(failed: Run) -> None:
    code, text = refusal("run", "cancel", failed.pk, "--reason", "r")

    assert code == 1
    assert len(text.splitlines()) == 1
    assert "can be cancelled" in text


@pytest.mark.parametrize(
    "arguments", [("cancel",), ("cancel", "x", "--reason", "r"), ("fork", uuid4()), ("lift",)]
)
def test_a_lever_is_not_pulled_without_what_it_needs(arguments: tuple[object, ...]) -> None:
    with pytest.raises(CommandError, match="Error: "):
        call("run", *arguments)


# prune, create_api_key ---------------------------------------------------------------------------


def test_prune_removes_finished_runs_past_their_retention_in_batches(post: Post) -> None:
    old = [post.run_to_the_end(flows.chain.start(n, company="acme")) for n in range(5)]
    kept = post.run_to_the_end(flows.chain.start(9, company="acme"))
    live: Any = flows.chain.start(1, company="acme")
    Run.objects.filter(pk__in=[run.pk for run in old]).update(expires_at=Now() - timedelta(1))

    assert call("prune", "--batch", 2).strip() == "5 runs removed"
    assert set(Run.objects.values_list("pk", flat=True)) == {kept.pk, live.pk}
    assert refusal("prune", "--batch", 0)[0] == 2
    assert refusal("prune", "--batch", 1001)[0] == 2


def test_prune_tells_of_the_slots_that_it_removed(db: None) -> None:
    for slot in ("2020-01-01T00:00Z", "2020-01-02T00:00Z"):
        Firing.objects.create(workflow="old", slot=slot, outcome="skipped", created_at=slot)

    assert call("prune").strip() == "0 runs removed, and 1 slot of schedules"


def test_a_key_is_printed_once_and_opens_the_api(transactional_db: None) -> None:
    printed = io.StringIO()

    call_command(
        *("create_api_key", "acme", "--name", "shop", "--scope", "runs:read", "--expires", "30"),
        stdout=printed,
        stderr=io.StringIO(),
    )

    row = keys.authenticate(printed.getvalue().strip())
    assert (row.company, row.name, row.scopes) == ("acme", "shop", ["runs:read"])
    assert row.expires_at is not None
    assert row.expires_at - row.created_at == timedelta(days=30)


@pytest.mark.parametrize(
    "more", [("--scope", "all"), (), ("--scope", "runs:read", "--expires", "0")]
)
def test_a_key_needs_a_scope_and_a_sensible_end(
    transactional_db: None, more: tuple[str, ...]
) -> None:
    with pytest.raises(CommandError, match=r"runs:read|--scope|days"):
        call("create_api_key", "acme", "--name", "shop", *more)


# as a process ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "first"),
    [
        (("start", "restock/create", "--input", BAD_ORDER), 2, "CommandError: input of restock"),
        (("run", "show", str(uuid4())), 1, "CommandError: no run"),
        (("run", "show", "17"), 2, "usage:"),
        (("check_runs",), 0, ""),
    ],
)
def test_the_process_ends_with_the_exit_code_and_no_traceback(
    process_environment: Mapping[str, str], arguments: tuple[str, ...], code: int, first: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=process_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == code
    assert ended.stderr.startswith(first)
    assert "Traceback" not in ended.stderr
