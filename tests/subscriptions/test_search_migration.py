"""The migration of the search index: where the extension is elsewhere, or may not be created."""

from pathlib import Path

import psycopg
import pytest

import subscriptions
from tests.subscriptions.conftest import connect

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(subscriptions.__file__).parent / "migrations" / "sql"
FORWARD, BACK = (ROOT / f"0009_search{end}.sql" for end in ("", ".reverse"))


def test_an_extension_in_a_schema_of_its_own_does() -> None:
    with connect() as owner, owner.transaction(force_rollback=True):
        owner.execute(BACK.read_bytes())
        owner.execute("CREATE SCHEMA elsewhere")
        owner.execute("ALTER EXTENSION pg_trgm SET SCHEMA elsewhere")
        owner.execute(FORWARD.read_bytes())

        found = owner.execute(
            "SELECT event_system_search_resembles('microsoft', 'microsft'),"
            " event_system_search_closeness('microsoft', 'microsoft')"
        ).fetchone()

    assert found == (True, 1.0)


def test_who_may_not_create_the_extension_is_told_what_to_do() -> None:
    with connect() as owner, owner.transaction(force_rollback=True):
        owner.execute(BACK.read_bytes())
        owner.execute("DROP EXTENSION pg_trgm")
        owner.execute("CREATE ROLE search_stranger")
        owner.execute("SET LOCAL ROLE search_stranger")

        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            owner.execute(FORWARD.read_bytes())

    assert "needs the extension pg_trgm, which search_stranger may not create" in str(refused.value)
    assert refused.value.diag.message_hint is not None
    assert "Run CREATE EXTENSION pg_trgm in database " in refused.value.diag.message_hint


def test_entries_go_with_their_subscriptions_also_when_all_are_truncated() -> None:
    with connect() as owner, owner.transaction(force_rollback=True):
        owner.execute(
            'INSERT INTO event_system_search_entry (subscription_id, "table", record_key, seq)'
            " VALUES (1, 't', '1', 1)"
        )
        owner.execute("TRUNCATE event_system_subscription")

        assert owner.execute("SELECT FROM event_system_search_entry").fetchall() == []
