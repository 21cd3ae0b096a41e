"""Slots: which moments a schedule names, whatever the clock of whoever asks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import Cron, Every
from jobs.errors import DefinitionError

HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(schedule: Cron | Every, after: str, until: str) -> list[str]:
    """Return the slots as `MM-DD HH:MM` in UTC."""
    found = schedule.slots_between(at(after), at(until))
    return [slot.strftime("%m-%d %H:%M") for slot in found]


def test_an_interval_is_aligned_to_the_epoch() -> None:
    hourly = Every(minutes=60)

    assert hourly.latest(at("2026-11-21T12:34:56")) == at("2026-11-21T12:00")
    assert hourly.next_after(at("2026-11-21T12:00")) == at("2026-11-21T13:00")
    assert slots(hourly, "2026-11-21T12:00", "2026-11-21T14:00") == ["11-21 13:00", "11-21 14:00"]


def test_the_same_interval_is_equal_however_it_is_written() -> None:
    assert Every(minutes=60) == Every(hours=1)
    assert hash(Every(minutes=60)) == hash(Every(hours=1))
    assert Every(minutes=60) != Every(hours=1, overlap="allow")
    assert str(Every(minutes=60)) == "every 3600 s"


def test_a_crontab_is_read_in_its_time_zone() -> None:
    daily = Cron("0 10 * * *", timezone="Asia/Singapore")

    assert daily.next_after(at("2026-11-21T12:00")) == at("2026-11-22T02:00")
    assert daily.latest(at("2026-11-21T12:00")) == at("2026-11-21T02:00")


def test_hours_of_working_days_may_be_named() -> None:
    # 2026-11-20 is a Friday; 10:00 in Singapore is 02:00 UTC, 00:00 is 16:00 of the day before.
    hours = Cron("0 0-10 * * MON-fri", timezone="Asia/Singapore")

    assert slots(hours, "2026-11-20T01:00", "2026-11-22T17:00") == [
        "11-20 02:00",
        "11-22 16:00",
        "11-22 17:00",
    ]


@pytest.mark.parametrize(
    ("expression", "normal"),
    [
        ("* * * * *", "* * * * *"),
        ("*/15 0-10/2 * * *", "*/15 0,2,4,6,8,10 * * *"),
        ("0 0 1,15,2,3 jan,DEC sun", "0 0 1-3,15 1,12 0"),
        ("05 00 * * 7", "5 0 * * 0"),
        ("0 0 * * fri-sun", "0 0 * * 0,5,6"),
        ("*/1 0 * * 0-7", "* 0 * * 0-6"),
    ],
)
def test_an_expression_has_one_normal_way_of_writing(expression: str, normal: str) -> None:
    assert str(Cron(expression)) == f"{normal} UTC"
    assert Cron(expression) == Cron(normal)


def test_either_of_two_restricted_days_is_enough() -> None:
    # As in crontab(5): the 1st and the 15th, and every Monday.
    both = Cron("0 0 1,15 * mon")

    assert slots(both, "2026-11-01T01:00", "2026-11-16T12:00") == [
        "11-02 00:00",
        "11-09 00:00",
        "11-15 00:00",
        "11-16 00:00",
    ]


def test_a_day_field_that_begins_with_a_star_must_fit_too() -> None:
    odd_mondays = Cron("0 0 */2 * mon")

    assert slots(odd_mondays, "2026-11-01T01:00", "2026-11-30T12:00") == [
        "11-09 00:00",
        "11-23 00:00",
    ]


def test_a_leap_day_is_found_years_ahead_and_back() -> None:
    leap = Cron("0 0 29 2 *")

    assert leap.next_after(at("2097-01-01T00:00")) == at("2104-02-29T00:00")
    assert leap.latest(at("2103-01-01T00:00")) == at("2096-02-29T00:00")


def test_what_falls_into_the_spring_gap_happens_once_and_late() -> None:
    # Berlin, 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC.
    nightly = Cron("30 2 * * *", timezone="Europe/Berlin")
    hourly = Cron("30 * * * *", timezone="Europe/Berlin")

    assert slots(nightly, "2026-03-28T00:00", "2026-03-30T12:00") == [
        "03-28 01:30",
        "03-29 01:30",
        "03-30 00:30",
    ]
    assert slots(hourly, "2026-03-29T00:00", "2026-03-29T03:00") == [
        "03-29 00:30",
        "03-29 01:30",
        "03-29 02:30",
    ]


def test_a_repeated_hour_in_autumn_counts_twice_only_where_every_hour_was_asked_for() -> None:
    # Berlin, 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC.
    nightly = Cron("30 2 * * *", timezone="Europe/Berlin")
    hourly = Cron("30 * * * *", timezone="Europe/Berlin")

    assert slots(nightly, "2026-10-24T12:00", "2026-10-25T12:00") == ["10-25 00:30"]
    assert slots(hourly, "2026-10-24T23:45", "2026-10-25T02:45") == [
        "10-25 00:30",
        "10-25 01:30",
        "10-25 02:30",
    ]


ZONES = ["UTC", "Asia/Singapore", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana"]
EXPRESSIONS = ["*/20 * * * *", "30 2 * * *", "0 0-10 * * 1-5", "15 0 1,15 * 1", "0 0 * * *"]
MOMENTS = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(expression=st.sampled_from(EXPRESSIONS), zone=st.sampled_from(ZONES), moment=MOMENTS)
def test_the_ways_to_ask_for_slots_agree(expression: str, zone: str, moment: datetime) -> None:
    schedule = Cron(expression, timezone=zone)

    found = list(schedule.slots_between(moment, moment + timedelta(days=8)))

    assert all(before < after for before, after in pairwise(found))
    assert schedule.next_after(moment) == found[0] > moment
    assert schedule.latest(found[0]) == found[0]
    assert schedule.latest(found[0] - timedelta(microseconds=1)) <= moment
    assert schedule.next_after(schedule.latest(moment)) == found[0]


@given(zone=st.sampled_from(ZONES), moment=MOMENTS)
def test_a_daily_slot_happens_once_each_local_day(zone: str, moment: datetime) -> None:
    schedule = Cron("30 0 * * *", timezone=zone)

    found = list(schedule.slots_between(moment, moment + timedelta(days=30)))

    days = [slot.astimezone(ZoneInfo(zone)).date() for slot in found]
    assert days == sorted(set(days))
    assert {(after - before).days for before, after in pairwise(days)} == {1}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("60 * * * *", "minute '60': 0 to 59 is allowed"),
        ("0 24 * * *", "hour '24': 0 to 23"),
        ("0 0 0 * *", "day of the month '0': 1 to 31"),
        ("0 0 * 13 *", "month '13': 1 to 12 or jan to dec"),
        ("0 0 * * monday", "day of the week 'monday': 0 to 7 or sun to sat"),
        ("0 0 * *", "it has 4 fields; five are needed"),
        ("@daily", "it has 1 field; five are needed"),
        ("5-1 * * * *", "a range goes upwards"),
        ("0 0 * * fri-mon", "a range goes upwards"),
        ("3/5 * * * *", "a step follows * or a range"),
        ("*/0 * * * *", "the step '0' must be 1 to 60"),
        ("*/90 * * * *", "the step '90' must be 1 to 60"),
        ("0 0 31 2,4 *", "day 31 does not exist in month 2,4"),
        (", * * * *", "minute ''"),
        ("٣ * * * *", "minute '٣'"),
    ],
)
def test_a_wrong_expression_is_refused_with_what_is_allowed(expression: str, words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Cron(expression)

    assert words in str(caught.value)
    assert __file__ in str(caught.value)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(DefinitionError, match="is unknown; it takes a name such as"):
        Cron("0 0 * * *", timezone=zone)


@pytest.mark.parametrize("wrong", [{}, {"seconds": 0.5}, {"seconds": 1.5}, {"days": 400}])
def test_an_interval_that_beat_could_not_keep_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DefinitionError, match="is not a whole number of seconds from 1 second"):
        Every(**wrong)  # type: ignore[arg-type] # mypy takes the values for those of all keywords


def test_a_wrong_overlap_or_catch_up_is_refused() -> None:
    with pytest.raises(DefinitionError, match="it takes one of 'skip', 'queue', 'allow'"):
        Every(hours=1, overlap="never")  # type: ignore[arg-type] # what the test is about
    with pytest.raises(DefinitionError, match="a timedelta of 0 or more"):
        Cron("0 0 * * *", catch_up=-HOUR)


NOON = "2026-11-21T12:00"


def due(schedule: Every | Cron, since: str, now: str) -> list[str]:
    found = schedule.due(since=at(since), now=at(now))
    return [slot.strftime("%H:%M") for slot in found]


def test_by_default_only_the_newest_missed_slot_is_caught_up() -> None:
    for overlap in ("skip", "queue", "allow"):
        schedule = Every(hours=1, overlap=overlap)
        assert due(schedule, "2026-11-21T08:30", "2026-11-21T12:59") == ["12:00"]
        assert due(schedule, NOON, "2026-11-21T12:59") == []


def test_a_longer_catch_up_reaches_each_missed_slot_where_none_is_skipped() -> None:
    assert due(Every(hours=1, catch_up=3 * HOUR), "2026-11-20T00:00", "2026-11-21T12:30") == [
        "12:00"
    ]
    for overlap in ("queue", "allow"):
        schedule = Every(hours=1, overlap=overlap, catch_up=3 * HOUR)
        assert due(schedule, "2026-11-20T00:00", "2026-11-21T12:30") == ["10:00", "11:00", "12:00"]
        assert due(schedule, "2026-11-21T11:00", "2026-11-21T12:30") == ["12:00"]


def test_a_slot_later_than_the_catch_up_allows_is_left_out() -> None:
    for overlap in ("skip", "allow"):
        schedule = Every(hours=1, overlap=overlap, catch_up=timedelta(minutes=20))
        assert due(schedule, "2026-11-21T11:30", "2026-11-21T12:20:01") == []
        assert due(schedule, "2026-11-21T11:30", "2026-11-21T12:19:59") == ["12:00"]


def test_a_slot_is_on_time_for_a_few_seconds_even_without_any_catch_up() -> None:
    schedule = Cron("0 12 * * *", catch_up=timedelta(0))

    assert due(schedule, "2026-11-21T11:30", "2026-11-21T12:00:05") == ["12:00"]
    assert due(schedule, "2026-11-21T11:30", "2026-11-21T12:01") == []
