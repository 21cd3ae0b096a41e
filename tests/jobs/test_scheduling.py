"""Schedules' rows and firings: each slot once, pauses kept, overlaps decided, misses caught up."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django_celery_beat.models import (
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from pydantic import BaseModel

from jobs import Context, Cron, Every, services, step, tasks, workflow
from jobs.models import Firing, Run
from jobs.registry import registry
from jobs.schedule_rows import DECLARED, FIRE_TASK, sync
from jobs.schedules import Schedule
from jobs.scheduling import Timekeeper
from tests.jobs.conftest import Post

NAME = "scheduled/update"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Update(BaseModel):
    scheduled_for: datetime | None = None
    force: bool = False


@step(name="scheduled-note")
def note(ctx: Context, update: Update) -> str:
    return str(update.scheduled_for)


@step(name="scheduled-tick")
def tick(ctx: Context) -> None:
    pass


@workflow(name=NAME)
def update_all(update: Update) -> str:
    return note(update)


@workflow(name="scheduled/plain")
def plain() -> None:
    tick()


@pytest.fixture(autouse=True)
def only_the_test_has_schedules(transactional_db: None) -> Iterator[None]:
    """No other test's workflow is in the way, and none of these in the way of another test."""
    workflows = registry.workflows
    options = {name: one.options_ for name, one in workflows.items()}
    for one in workflows.values():
        one.options_ = replace(one.options_, schedule=None)
    yield
    for name, before in options.items():
        workflows[name].options_ = before


def declare(schedule: Schedule | None, name: str = NAME) -> None:
    """Put the schedule into the code, as a deploy would."""
    known = registry.workflow(name)
    known.options_ = replace(known.options_, schedule=schedule)


def deploy(schedule: Schedule | None, name: str = NAME) -> str:
    """As `declare`, and start a beat; return what that did about the row."""
    declare(schedule, name)
    changes = {synced.workflow: synced.change for synced in sync()}
    return changes.get(name, "nothing")


def row(name: str = NAME) -> PeriodicTask:
    found: PeriodicTask = PeriodicTask.objects.get(name=name)
    return found


def interval_of(found: PeriodicTask) -> tuple[int, str]:
    assert found.interval is not None
    return found.interval.every, found.interval.period


def crontab_of(found: PeriodicTask) -> CrontabSchedule:
    assert found.crontab is not None
    return found.crontab


class Clock:
    """The database's clock as the test would have it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def scheduled(schedule: Schedule, *, since: datetime = NOON, name: str = NAME) -> None:
    """Have a row for the schedule that is as old as `since`."""
    deploy(schedule, name)
    PeriodicTask.objects.filter(name=name).update(date_changed=since)


def fired(name: str = NAME) -> list[tuple[str, str]]:
    """Return each slot's time of day and outcome."""
    rows = Firing.objects.filter(workflow=name).order_by("slot")
    return [(f"{firing.slot:%H:%M}", firing.outcome) for firing in rows]


# The rows -----------------------------------------------------------------------------------------


def test_a_declared_schedule_becomes_a_row_once() -> None:
    assert deploy(Every(minutes=60)) == "created: every 3600 s"
    assert deploy(Every(minutes=60)) == "unchanged"

    made = row()
    assert (made.task, json.loads(made.args), made.enabled) == (FIRE_TASK, [NAME], True)
    assert interval_of(made) == (1, "hours")


def test_a_crontab_keeps_its_time_zone() -> None:
    deploy(Cron("0 0-10 * * mon-fri", timezone="Asia/Singapore"))

    crontab = crontab_of(row())
    assert (crontab.hour, crontab.day_of_week) == ("0-10", "1-5")
    assert str(crontab.timezone) == "Asia/Singapore"
    crontab.full_clean()


def test_a_change_of_the_code_is_carried_over() -> None:
    deploy(Every(minutes=60))

    assert deploy(Cron("5 * * * *")) == "changed: every 3600 s is now 5 * * * * UTC"

    assert row().interval is None
    assert crontab_of(row()).minute == "5"


def test_a_deploy_does_not_undo_a_pause() -> None:
    deploy(Every(minutes=60))
    PeriodicTask.objects.filter(name=NAME).update(enabled=False)

    deploy(Every(minutes=30))

    assert not row().enabled
    assert interval_of(row()) == (30, "minutes")


def test_a_deploy_does_not_undo_the_admins_interval() -> None:
    deploy(Every(minutes=60))
    admins, _ = IntervalSchedule.objects.get_or_create(every=5, period="minutes")
    PeriodicTask.objects.filter(name=NAME).update(interval=admins)

    assert deploy(Every(minutes=30)) == "kept the admin's every 300 s; the code says every 1800 s"
    assert row().interval == admins

    assert deploy(Every(minutes=5)) == "enabled: every 300 s"
    assert deploy(Every(minutes=1)) == "changed: every 300 s is now every 60 s"


def test_a_schedule_removed_from_the_code_is_disabled_until_it_comes_back() -> None:
    deploy(Every(minutes=60))

    assert deploy(None) == "disabled: the code declares no schedule for it any more"
    assert not row().enabled
    assert deploy(None) == "unchanged"

    assert deploy(Every(minutes=60)) == "enabled: every 3600 s"
    assert row().enabled


def test_a_pause_from_before_the_removal_outlasts_it() -> None:
    deploy(Every(minutes=60))
    PeriodicTask.objects.filter(name=NAME).update(enabled=False)
    deploy(None)

    deploy(Every(minutes=60))

    assert not row().enabled


def test_a_row_made_by_hand_is_left_alone_and_fires() -> None:
    interval, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    by_hand = PeriodicTask(
        name="ours", task=FIRE_TASK, args=f'["{NAME}"]', interval=interval, headers="{}"
    )
    by_hand.save()  # type: ignore[no-untyped-call] # it has no types
    PeriodicTask.objects.update(date_changed=NOON)

    assert deploy(None) == "nothing"
    Timekeeper(Clock(NOON + HOUR)).turn()

    assert row("ours").enabled
    assert fired() == [("13:00", "started")]


def test_a_name_that_another_task_has_is_reported() -> None:
    interval, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    PeriodicTask(name=NAME, task="other", interval=interval).save()  # type: ignore[no-untyped-call] # as above

    assert deploy(Every(minutes=60)).startswith("refused: another periodic task has the")
    assert row().task == "other"


def test_a_renamed_row_is_still_the_workflows() -> None:
    deploy(Every(minutes=60))
    PeriodicTask.objects.filter(name=NAME).update(name="cars, every hour")

    assert deploy(Every(minutes=60)) == "unchanged"
    assert PeriodicTask.objects.filter(task=FIRE_TASK).count() == 1


def test_the_command_says_what_it_did() -> None:
    declare(Every(minutes=60))
    out = StringIO()

    call_command("sync_schedules", stdout=out)

    assert out.getvalue() == f"{NAME}: created: every 3600 s\n"


# Firing -------------------------------------------------------------------------------------------


def test_a_new_schedule_owes_nothing_before_its_first_slot(post: Post) -> None:
    scheduled(Every(hours=1), since=NOON + 10 * MINUTE)
    clock = Clock(NOON + 11 * MINUTE)

    assert Timekeeper(clock).turn() == 5.0  # the longest pause

    assert fired() == []


def test_a_slot_starts_one_run_of_the_platform(post: Post) -> None:
    scheduled(Every(hours=1))
    keeper = Timekeeper(clock := Clock(NOON + 59 * MINUTE + timedelta(seconds=57)))

    assert keeper.turn() == pytest.approx(3.0)
    clock.now = NOON + HOUR
    keeper.turn()
    keeper.turn()

    (run,) = Run.objects.all()
    assert (run.workflow, run.company, run.env) == (NAME, None, "live")
    assert run.idempotency_key == "schedule:2026-11-21T13:00:00+00:00"
    assert Firing.objects.get().run == run
    assert (row().last_run_at, row().total_run_count) == (NOON + HOUR, 1)


def test_the_slot_reaches_a_model_that_asks_for_it(post: Post) -> None:
    scheduled(Every(hours=1))

    Timekeeper(Clock(NOON + HOUR + 7 * MINUTE)).turn()

    run = post.run_to_the_end(Run.objects.get())
    assert run.output == "2026-11-21 13:00:00+00:00"


def test_a_workflow_without_inputs_can_be_scheduled(post: Post) -> None:
    scheduled(Every(hours=1), name="scheduled/plain")

    Timekeeper(Clock(NOON + HOUR)).turn()

    assert Run.objects.get().input == {}


def test_beats_with_clocks_apart_fire_a_slot_once(post: Post) -> None:
    scheduled(Every(hours=1))

    for seconds in (0, 3, 1):
        Timekeeper(Clock(NOON + HOUR + timedelta(seconds=seconds))).turn()

    assert fired() == [("13:00", "started")]
    assert Run.objects.count() == 1


def test_beats_that_look_at_once_fire_each_slot_once(post: Post) -> None:
    scheduled(Every(minutes=1, overlap="allow", catch_up=HOUR))
    clock, start = Clock(NOON + 40 * MINUTE), threading.Barrier(4)

    def beat() -> None:
        start.wait()
        Timekeeper(clock).turn()
        connection.close()

    beats = [threading.Thread(target=beat) for _ in range(4)]
    for one in beats:
        one.start()
    for one in beats:
        one.join()

    assert [outcome for _, outcome in fired()] == ["started"] * 40
    assert Run.objects.count() == 40
    assert row().total_run_count == 40


def test_several_missed_hours_are_caught_up_once(post: Post) -> None:
    scheduled(Every(hours=1))

    for minute in (30, 31):
        Timekeeper(Clock(NOON + 5 * HOUR + minute * MINUTE)).turn()

    assert fired() == [("17:00", "started")]


def test_more_missed_slots_than_one_transaction_takes_are_all_caught_up(post: Post) -> None:
    scheduled(Every(minutes=1, overlap="allow", catch_up=4 * HOUR))
    keeper = Timekeeper(Clock(NOON + 2 * HOUR + 10 * MINUTE))

    assert keeper.turn() == 0.0
    keeper.turn()

    assert len(fired()) == 130


def test_a_pause_owes_nothing_when_it_ends(post: Post) -> None:
    scheduled(Every(hours=1))
    keeper = Timekeeper(clock := Clock(NOON + MINUTE))
    PeriodicTask.objects.update(enabled=False)
    for minutes in (30, 70):
        clock.now = NOON + minutes * MINUTE
        keeper.turn()
    PeriodicTask.objects.update(enabled=True)  # the admin's action: it leaves date_changed

    keeper.turn()
    assert fired() == []
    clock.now = NOON + 2 * HOUR
    keeper.turn()
    assert fired() == [("14:00", "started")]


def test_another_interval_counts_from_when_it_was_seen(post: Post) -> None:
    scheduled(Every(hours=2))
    keeper = Timekeeper(clock := Clock(NOON + 70 * MINUTE))
    keeper.turn()
    IntervalSchedule.objects.update(every=1)  # 13:00 is a slot of it, and has passed

    keeper.turn()
    clock.now = NOON + 2 * HOUR
    keeper.turn()

    assert fired() == [("14:00", "started")]


def test_a_clock_put_forward_and_back_goes_on_firing_and_doubles_nothing(post: Post) -> None:
    scheduled(Every(hours=1, overlap="allow"))
    keeper = Timekeeper(clock := Clock(NOON + HOUR))
    keeper.turn()

    for hours in (24, 2, 3):
        clock.now = NOON + hours * HOUR
        keeper.turn()

    assert Firing.objects.count() == 3  # what passed while the clock was ahead is not owed
    assert fired() == [("13:00", "started"), ("15:00", "started"), ("12:00", "started")]


def test_a_slot_is_skipped_and_recorded_while_the_run_before_it_goes_on(post: Post) -> None:
    scheduled(Every(hours=1))
    keeper = Timekeeper(clock := Clock())
    for hours in (1, 2):
        clock.now = NOON + hours * HOUR
        keeper.turn()
    post.run_to_the_end(Run.objects.get())

    clock.now = NOON + 3 * HOUR
    keeper.turn()

    assert fired() == [("13:00", "started"), ("14:00", "skipped"), ("15:00", "started")]


def test_queued_slots_start_one_after_the_other(post: Post) -> None:
    scheduled(Every(hours=1, overlap="queue"))
    keeper = Timekeeper(clock := Clock())
    for hours in (1, 2, 3):
        clock.now = NOON + hours * HOUR
        keeper.turn()
    assert fired() == [("13:00", "started"), ("14:00", "queued"), ("15:00", "queued")]

    post.run_to_the_end(Firing.objects.get(slot=NOON + HOUR).run)
    assert keeper.turn() == 1.0  # soon, to see whether the next may start
    keeper.turn()
    assert fired() == [("13:00", "started"), ("14:00", "started"), ("15:00", "queued")]

    post.run_to_the_end(Firing.objects.get(slot=NOON + 2 * HOUR).run)
    keeper.turn()
    assert [outcome for _, outcome in fired()] == ["started"] * 3


def test_queued_slots_stay_queued_during_a_pause(post: Post) -> None:
    scheduled(Every(hours=1, overlap="queue"))
    keeper = Timekeeper(clock := Clock())
    for hours in (1, 2):
        clock.now = NOON + hours * HOUR
        keeper.turn()
    post.run_to_the_end(Run.objects.get())
    PeriodicTask.objects.update(enabled=False)

    keeper.turn()

    assert fired() == [("13:00", "started"), ("14:00", "queued")]


def test_slots_may_overlap_where_that_is_allowed(post: Post) -> None:
    scheduled(Every(hours=1, overlap="allow"))
    keeper = Timekeeper(clock := Clock())
    for hours in (1, 2):
        clock.now = NOON + hours * HOUR
        keeper.turn()

    assert fired() == [("13:00", "started"), ("14:00", "started")]


def test_a_firing_that_fails_leaves_nothing_and_stops_no_other(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(Every(hours=1))
    scheduled(Every(hours=1), name="scheduled/plain")
    keeper = Timekeeper(clock := Clock(NOON + HOUR))
    start_workflow = services.start_workflow

    def start(name: str, *args: Any, **options: Any) -> Run:
        run = start_workflow(name, *args, **options)
        if name == NAME:
            raise RuntimeError("killed between the run and the commit")
        return run

    monkeypatch.setattr(services, "start_workflow", start)
    keeper.turn()
    assert (fired(), fired("scheduled/plain")) == ([], [("13:00", "started")])
    assert Run.objects.count() == 1

    monkeypatch.undo()
    clock.now += MINUTE
    keeper.turn()
    assert fired() == [("13:00", "started")]


def test_a_row_that_cannot_be_read_stops_no_other(post: Post) -> None:
    scheduled(Every(hours=1))
    scheduled(Every(hours=1), name="scheduled/plain")
    solar = SolarSchedule.objects.create(event="sunset", latitude=1, longitude=103)
    PeriodicTask.objects.filter(name=NAME).update(interval=None, solar=solar)

    Timekeeper(Clock(NOON + HOUR)).turn()

    assert (fired(), fired("scheduled/plain")) == ([], [("13:00", "started")])


def test_the_rows_own_limits_hold(post: Post) -> None:
    scheduled(Every(hours=1, overlap="allow", catch_up=10 * HOUR))
    PeriodicTask.objects.update(start_time=NOON + 2 * HOUR, expires=NOON + 3 * HOUR)

    Timekeeper(Clock(NOON + 5 * HOUR)).turn()

    assert fired() == [("14:00", "started"), ("15:00", "started")]


def test_a_one_off_row_is_disabled_once_it_has_fired(post: Post) -> None:
    scheduled(Every(hours=1, overlap="allow"))
    PeriodicTask.objects.update(one_off=True)
    keeper = Timekeeper(clock := Clock())
    for hours in (1, 2):
        clock.now = NOON + hours * HOUR
        keeper.turn()

    assert fired() == [("13:00", "started")]
    assert not row().enabled


def test_run_selected_tasks_of_the_admin_starts_a_run_now(post: Post) -> None:
    tasks.fire_schedule.apply(args=(NAME,), task_id="task-1", throw=True)
    tasks.fire_schedule.apply(args=(NAME,), task_id="task-1", throw=True)

    assert Run.objects.get().idempotency_key == "by-hand:task-1"


# Backfill -----------------------------------------------------------------------------------------


def backfill(first: str, end: str, name: str = NAME) -> str:
    out = StringIO()
    call_command("backfill", name, "--from", first, "--to", end, stdout=out, stderr=out)
    return out.getvalue().strip()


def test_a_backfill_starts_each_slot_once(post: Post) -> None:
    declare(Cron("0 10 * * *", timezone="Asia/Singapore"))

    first = backfill("2025-11-01", "2025-11-08")
    again = backfill("2025-10-31", "2025-11-08")

    assert first == f"{NAME} (0 10 * * * Asia/Singapore): 7 started, 0 existing"
    assert again == f"{NAME} (0 10 * * * Asia/Singapore): 1 started, 7 existing"
    assert Run.objects.count() == 8
    slots = Firing.objects.order_by("slot").values_list("slot", flat=True)
    assert [slot.isoformat() for slot in slots][:2] == [
        "2025-10-31T02:00:00+00:00",
        "2025-11-01T02:00:00+00:00",
    ]


def test_a_backfill_includes_its_beginning_and_not_its_end(post: Post) -> None:
    declare(Every(hours=1))

    backfill("2025-11-01T10:00", "2025-11-01T12:00+00:00")

    assert fired() == [("10:00", "started"), ("11:00", "started")]


def test_a_backfill_leaves_what_beat_fired_and_fills_what_it_skipped(post: Post) -> None:
    past = NOON.replace(year=2025)
    scheduled(Every(hours=1), since=past)
    keeper = Timekeeper(clock := Clock(past))
    for hours in (1, 2):
        clock.now = past + hours * HOUR
        keeper.turn()
    assert fired() == [("13:00", "started"), ("14:00", "skipped")]

    report = backfill("2025-11-21T13:00", "2025-11-21T15:00")

    assert report.endswith("1 started, 1 existing")
    assert fired() == [("13:00", "started"), ("14:00", "started")]
    assert Firing.objects.filter(run=None).count() == 0


def test_a_slot_whose_run_was_pruned_is_not_started_again(post: Post) -> None:
    declare(Every(hours=1))
    backfill("2025-11-01T10:00", "2025-11-01T12:00")
    Firing.objects.update(run=None)

    assert backfill("2025-11-01T10:00", "2025-11-01T12:00").endswith("0 started, 2 existing")


def test_a_backfill_follows_the_row_where_the_admin_changed_it(post: Post) -> None:
    deploy(Every(hours=1))
    IntervalSchedule.objects.update(every=2)

    report = backfill("2025-11-01T00:00", "2025-11-02T00:00")

    assert report == f"{NAME} (every 7200 s): 12 started, 0 existing"


def test_slots_to_come_are_left_to_beat(post: Post) -> None:
    declare(Every(days=300))

    report = backfill("2024-01-01", "2099-01-01")

    assert "the slots to come are left to beat" in report
    assert Firing.objects.filter(slot__gt=datetime.now(UTC)).count() == 0
    assert Firing.objects.count() >= 1


@pytest.mark.parametrize(
    ("first", "end", "words"),
    [
        ("yesterday", "2025-11-02", "'yesterday' is no moment: it takes ISO 8601"),
        ("2025-11-02", "2025-11-02", "must be later than --from 2025-11-02"),
    ],
)
def test_a_wrong_span_is_refused(first: str, end: str, words: str) -> None:
    declare(Every(hours=1))

    with pytest.raises(CommandError, match=words):
        backfill(first, end)


def test_a_backfill_without_a_schedule_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="has no schedule: declare @workflow"):
        backfill("2025-11-01", "2025-11-02")
    with pytest.raises(CommandError, match="no workflow 'nowhere'"):
        backfill("2025-11-01", "2025-11-02", name="nowhere")


def test_the_header_remembers_what_the_code_said() -> None:
    deploy(Every(minutes=60))

    assert json.loads(row().headers) == {DECLARED: "every 3600 s"}
