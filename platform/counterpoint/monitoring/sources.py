"""What is counted, and how each source is read on from where it was left.

Nothing here scans a table: every statement reads by an index what has come since the last turn. No
row is counted twice, and none is left out because its transaction was still open when rows after it
were counted: a source is read up to what no open transaction can write any more. A transaction that
stays open for longer than `PATIENCE` is waited for no longer; what it writes may then be missed,
except for events, which are told apart by snapshots as the relay does.
"""

from dataclasses import dataclass
from datetime import timedelta

PATIENCE = timedelta(seconds=60)
PLATFORM, OTHER = "_platform", "_other"
# Seconds; the last bar has no bound.
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)

# When the oldest transaction began that may still write, without our own. Of other roles one sees
# nothing; the platform's tables have one writer's role.
OLDEST = """
SELECT min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True)
class Source:
    """`found` returns (family, handler, type, company, outcome, seconds) of what is new.

    Its parameters are the mark's: %(number)s and %(ceiling)s, or %(since)s and %(until)s, or
    %(before)s and %(now)s, two snapshots. `sequence` is the one that numbers the rows.
    """

    name: str
    found: str
    sequence: str | None = None
    is_by_snapshot: bool = False


EVENTS = Source(
    "events",
    f"""
SELECT 'events' AS family, '' AS handler, COALESCE(e.type, e."table", '') AS type,
    COALESCE(e.company, '{PLATFORM}') AS company, '' AS outcome, 0.0 AS seconds
FROM (
    SELECT xid, type, "table", company FROM event_system_event
    WHERE xid >= pg_snapshot_xmax(%(before)s::pg_snapshot)
    UNION ALL
    SELECT xid, type, "table", company FROM event_system_event
    WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(before)s::pg_snapshot)))
) AS e WHERE pg_visible_in_snapshot(e.xid, %(now)s::pg_snapshot)
""",  # noqa: S608 - constants
    is_by_snapshot=True,
)

# A delivery is in the partition of its event's time. That is nearly always within a day before the
# try, which spares looking into all the others.
TRIES = Source(
    "tries",
    f"""
SELECT b.family, d.handler_type, COALESCE(e.type, e."table", ''),
    COALESCE(d.company, '{PLATFORM}'), t.status,
    CASE b.family WHEN 'attempts' THEN t.seconds
        -- One that was sent again is as old as its event.
        ELSE CASE t.generation WHEN 1
            THEN extract(epoch FROM t.started_at - d.event_at) + t.seconds ELSE t.seconds END END
FROM (
    SELECT delivery_id, generation, status, started_at, extract(epoch FROM duration) AS seconds
    FROM event_system_delivery_attempt WHERE id > %(number)s AND id <= %(ceiling)s
) AS t
CROSS JOIN LATERAL (
    SELECT handler_type, company, event_seq, event_at FROM event_system_delivery
    WHERE id = t.delivery_id AND event_at > t.started_at - interval '1 day'
        AND event_at <= t.started_at + interval '1 minute'
    UNION ALL
    SELECT handler_type, company, event_seq, event_at FROM event_system_delivery
    WHERE id = t.delivery_id LIMIT 1
) AS d
LEFT JOIN event_system_event e ON e.seq = d.event_seq AND e.recorded_at = d.event_at
JOIN (VALUES ('attempts'), ('deliveries')) AS b (family)
    ON b.family = 'attempts' OR t.status = 'delivered'
""",  # noqa: S608 - constants
    sequence="event_system_attempt_seq",
)

# The delivered ones are known by their tries; of the others an index is kept.
ENDS = Source(
    "ends",
    f"""
SELECT 'deliveries', d.handler_type, COALESCE(e.type, e."table", ''),
    COALESCE(d.company, '{PLATFORM}'), d.status,
    extract(epoch FROM COALESCE(d.finished_at, d.created_at) - d.event_at)
FROM event_system_delivery d
LEFT JOIN event_system_event e ON e.seq = d.event_seq AND e.recorded_at = d.event_at
WHERE d.status IN ('dead', 'expired', 'canceled', 'blocked', 'superseded')
    AND COALESCE(d.finished_at, d.created_at) >= %(since)s
    AND COALESCE(d.finished_at, d.created_at) < %(until)s
""",  # noqa: S608 - constants
)

RUNS = Source(
    "runs",
    f"""
SELECT 'runs', '', workflow, COALESCE(company, '{PLATFORM}'), status,
    extract(epoch FROM finished_at - created_at)
FROM jobs_run WHERE finished_at >= %(since)s AND finished_at < %(until)s
""",  # noqa: S608 - constants
)

SOURCES = (EVENTS, TRIES, ENDS, RUNS)
