"""Count what happened since the last turn into `Tally`: what `/metrics` shows as counters.

Prefork makes many processes, which come and go; their memory is no place for a counter. What is
counted are rows, by one process at a time (the mark's row lock), a few seconds after they came.

The number of tallies is bounded: so many companies and types get a label of their own, first come,
first served, and all others are counted together under `_other`. What was not counted up for 30
days gives its label back.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from counterpoint.models import TallyMark
from counterpoint.monitoring.sources import BOUNDS, OLDEST, OTHER, PATIENCE, SOURCES, Source
from subscriptions.statements import execute, fetch

EVERY = timedelta(seconds=8)  # a turn of another process counts for all
MOST_TYPES = 200
MOST_AT_ONCE = 100_000  # numbered rows in a turn
FORGET_AFTER = timedelta(days=30)
LONGEST_LABEL = 120  # characters

NOW = """
SELECT clock_timestamp(), pg_current_snapshot()::text, ({oldest})
"""

# Plans that look everything up by index: a page of what is new says little about the tables.
BY_INDEX = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off
"""

ADD = """
WITH found (family, handler, type, company, outcome, seconds) AS MATERIALIZED (
    SELECT f.family, f.handler, left(f.type, %(longest)s), left(f.company, %(longest)s), f.outcome,
        greatest(f.seconds, 0)::double precision
    FROM ({found}) AS f (family, handler, type, company, outcome, seconds)
), known AS (SELECT kind, value FROM counterpoint_tallylabel),
named AS (
    SELECT 'company' AS kind, company AS value, count(*) AS times FROM found GROUP BY company
    UNION ALL
    SELECT 'type', type, count(*) FROM found GROUP BY type
), ranked AS (
    SELECT kind, value, row_number() OVER (PARTITION BY kind ORDER BY times DESC, value) AS place
    FROM named WHERE (kind, value) NOT IN (SELECT kind, value FROM known)
), entered AS (
    INSERT INTO counterpoint_tallylabel (kind, value)
    SELECT kind, value FROM ranked
    WHERE place <= CASE kind
        WHEN 'company' THEN %(companies)s - (SELECT count(*) FROM known WHERE kind = 'company')
        ELSE %(types)s - (SELECT count(*) FROM known WHERE kind = 'type') END
    RETURNING kind, value
), shown AS (SELECT kind, value FROM known UNION ALL SELECT kind, value FROM entered)
INSERT INTO counterpoint_tally AS t
    (family, handler, type, company, outcome, bucket, count, seconds, changed_at)
-- Subqueries, not joins: those are hashed whatever the planner was told.
SELECT family, handler,
    CASE WHEN type IN (SELECT value FROM shown WHERE kind = 'type')
        THEN type ELSE %(other)s END,
    CASE WHEN company IN (SELECT value FROM shown WHERE kind = 'company')
        THEN company ELSE %(other)s END,
    outcome, width_bucket(seconds, %(bounds)s::double precision[]), count(*), sum(seconds),
    clock_timestamp()
FROM found
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (family, handler, type, company, outcome, bucket) DO UPDATE
SET count = t.count + EXCLUDED.count, seconds = t.seconds + EXCLUDED.seconds,
    changed_at = EXCLUDED.changed_at
"""

FORGET = """
WITH old AS (
    DELETE FROM counterpoint_tallylabel l
    WHERE NOT EXISTS (
        SELECT FROM counterpoint_tally t WHERE t.changed_at > clock_timestamp() - %(after)s
            AND l.value = CASE l.kind WHEN 'company' THEN t.company ELSE t.type END)
    RETURNING kind, value)
DELETE FROM counterpoint_tally t USING old
WHERE old.value = CASE old.kind WHEN 'company' THEN t.company ELSE t.type END
"""


def turn(*, every: timedelta = EVERY) -> bool:
    """Count what is new, unless another process does or has just done so; say whether it did."""
    counted = [_count(source, every=every) for source in SOURCES]
    return all(counted)


def forget(*, after: timedelta = FORGET_AFTER) -> int:
    """Give back the labels of what was not counted up for so long; return how many bars went."""
    return execute(FORGET, {"after": after})


def _count(source: Source, *, every: timedelta) -> bool:
    with transaction.atomic():
        mark = TallyMark.objects.select_for_update(skip_locked=True).filter(pk=source.name).first()
        now, snapshot, oldest = fetch(NOW.format(oldest=OLDEST), [])[0]
        if mark is None:
            # What was there before is not counted: it would take the whole of the tables.
            _begin(source, now=now, snapshot=snapshot)
            return False
        if mark.at <= now < mark.at + every:
            return False
        new, limits = _next(source, mark, now=now, snapshot=snapshot, oldest=oldest)
        if limits:
            execute(BY_INDEX, [])
            execute(ADD.format(found=source.found), {**_labels(), **limits})
        if new:
            TallyMark.objects.filter(pk=source.name).update(**new)
        return bool(new)


def _labels() -> dict[str, Any]:
    return {
        "companies": settings.METRICS_COMPANIES,
        "types": MOST_TYPES,
        "longest": LONGEST_LABEL,
        "other": OTHER,
        "bounds": list(BOUNDS),
    }


def _begin(source: Source, *, now: datetime, snapshot: str) -> None:
    number = _last(source.sequence) if source.sequence else 0
    mark = TallyMark(source=source.name, at=now, number=number, ceiling=number, snapshot=snapshot)
    # Another process may have made it, or holds it.
    TallyMark.objects.bulk_create([mark], ignore_conflicts=True)


def _last(sequence: str) -> int:
    """Return the last number that a sequence gave out, 0 if it gave none."""
    [(last,)] = fetch(
        f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}",  # noqa: S608 - ours
        [],
    )
    return int(last)


def _next(
    source: Source, mark: TallyMark, *, now: datetime, snapshot: str, oldest: datetime | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mark's new fields, and the limits of what is to be counted; {} for nothing."""
    if now < mark.at and not source.is_by_snapshot:
        return {"at": now}, {}  # the clock was set back
    if source.is_by_snapshot:
        if _is_of_another_cluster(mark.snapshot, snapshot):
            return {"at": now, "snapshot": snapshot}, {}
        return {"at": now, "snapshot": snapshot}, {"before": mark.snapshot, "now": snapshot}
    if source.sequence is None:
        # Whoever writes a time later than this one has begun since, or is waited for.
        until = max(min(now, oldest or now), now - PATIENCE)
        if until <= mark.at:
            return {}, {}
        return {"at": until}, {"since": mark.at, "until": until}
    return _next_numbers(source.sequence, mark, now=now, oldest=oldest)


def _next_numbers(
    sequence: str, mark: TallyMark, *, now: datetime, oldest: datetime | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Count up to the ceiling once all have ended that ran when it was taken; take the next."""
    last = _last(sequence)
    if last < mark.number:  # restored from a backup
        return {"at": now, "number": last, "ceiling": last}, {}
    if oldest is not None and oldest <= mark.at and now < mark.at + PATIENCE:
        return {}, {}
    ceiling = min(last, mark.ceiling + MOST_AT_ONCE)
    limits = {"number": mark.number, "ceiling": mark.ceiling} if mark.ceiling > mark.number else {}
    return {"at": now, "number": mark.ceiling, "ceiling": ceiling}, limits


def _is_of_another_cluster(before: str, now: str) -> bool:
    """Whether the snapshot is from the future: that of a cluster since restored from a backup."""
    return int(before.split(":")[1]) > int(now.split(":")[1])
