"""What must hold when all is delivered: nothing lost, nothing doubled, each record in order."""

from collections.abc import Iterator

from tests.faults.outbox.tables import CAPTURES, Connection

TOLD = """
SELECT e."table", (e.record_id #>> '{}')::int AS id, (e.new ->> 'version')::int AS version, e.seq,
    d.id AS delivery_id, d.status, d.subscription_id
FROM event_system_event e LEFT JOIN event_system_delivery d ON d.event_seq = e.seq
WHERE e."table" LIKE 'fault\\_by\\_%'
"""

# Each asks for what must not be there, and says it.
# ruff: noqa: S608 - one query, taken up by the others
CHECKS = {
    "a version has no event, or several": f"""
        SELECT t.source, t.id, v.version, count(DISTINCT told.seq)
        FROM (SELECT 'fault_by_row' AS source, * FROM fault_by_row
              UNION ALL SELECT 'fault_by_statement', * FROM fault_by_statement) AS t
        CROSS JOIN LATERAL generate_series(0, t.version) AS v (version)
        LEFT JOIN ({TOLD}) AS told
            ON told."table" = t.source AND told.id = t.id AND told.version = v.version
        GROUP BY 1, 2, 3 HAVING count(DISTINCT told.seq) <> 1""",
    "an event was rolled back": f"""
        SELECT told."table", told.id, told.version FROM ({TOLD}) AS told
        LEFT JOIN fault_by_row r ON told."table" = 'fault_by_row' AND r.id = told.id
        LEFT JOIN fault_by_statement s ON told."table" = 'fault_by_statement' AND s.id = told.id
        WHERE told.version > COALESCE(r.version, s.version)""",
    "an event has no delivery, or several": f"""
        SELECT seq, count(delivery_id), array_agg(status) FROM ({TOLD}) AS told
        GROUP BY 1 HAVING count(delivery_id) <> 1 OR array_agg(status) <> '{{delivered}}'""",
    "a record's deliveries are not in the order of its versions": f"""
        SELECT * FROM (
            SELECT "table", id, version, delivery_id, lag(version) OVER (
                PARTITION BY subscription_id, "table", id ORDER BY delivery_id) AS before
            FROM ({TOLD}) AS told WHERE delivery_id IS NOT NULL) AS ordered
        WHERE version <= before""",
    "a delivery was tried other than once": f"""
        SELECT told.seq, told.delivery_id, count(a.id) FROM ({TOLD}) AS told
        LEFT JOIN event_system_delivery_attempt a ON a.delivery_id = told.delivery_id
        GROUP BY 1, 2 HAVING count(a.id) <> 1""",
}


def expected(connection: Connection) -> int:
    """Return how many events the versions come to: one for each, the first of an INSERT."""
    counts = [
        connection.execute(f"SELECT COALESCE(sum(version + 1), 0)::int FROM {table}").fetchone()
        for table in CAPTURES
    ]
    return sum(int(str(row[0])) for row in counts if row)


def delivered(connection: Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM event_system_delivery WHERE handler_type = 'FAULT'"
        " AND status = 'delivered'"
    ).fetchone()
    return int(str(row[0])) if row else 0


def violations(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each check that finds something, with the first three rows."""
    for what, query in CHECKS.items():
        found = connection.execute(query.encode()).fetchall()
        if found:
            yield f"{what}: {len(found)} times, such as {found[:3]}"
