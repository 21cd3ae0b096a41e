"""The watched tables: records that count their own changes, one table for each way of capture."""

import psycopg

CAPTURES = {"fault_by_row": "row", "fault_by_statement": "statement"}
RECORDS = 200  # few enough to be fought over
COMPANIES = 4

Connection = psycopg.Connection[tuple[object, ...]]


def make(connection: Connection) -> None:
    """Make the tables, watch them, subscribe each company to each, and insert the records."""
    for table, capture in CAPTURES.items():
        connection.execute(
            f"CREATE TABLE {table} (id int PRIMARY KEY, company text NOT NULL, version int)"
        )
        connection.execute("SELECT attach_event_trigger(%s, capture => %s)", [table, capture])
        connection.execute(
            'INSERT INTO event_system_subscription (name, company, "table", handler_type)'
            " SELECT %s, 'company ' || n, %s, 'FAULT' FROM generate_series(0, %s) n",
            [table, table, COMPANIES - 1],
        )
        connection.execute(
            f"INSERT INTO {table}"  # noqa: S608 - ours
            " SELECT n, 'company ' || n %% %s, 0 FROM generate_series(1, %s) n",
            [COMPANIES, RECORDS],
        )


def drop(connection: Connection) -> None:
    connection.execute("DELETE FROM event_system_subscription WHERE handler_type = 'FAULT'")
    for table in CAPTURES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
