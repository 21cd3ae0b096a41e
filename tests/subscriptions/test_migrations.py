"""The models beside the tables that SQL makes for them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, migrations, models, transaction

import subscriptions
from subscriptions import AttachEventTrigger
from subscriptions.models import (
    Delivery,
    DeliveryAttempt,
    Event,
    RelayCursor,
    ScheduledEvent,
    SearchEntry,
    Subscription,
)
from tests.subscriptions.conftest import Sql

ROOT = Path(subscriptions.__file__).parent

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_migrations_say_what_the_models_say() -> None:
    call_command("makemigrations", "subscriptions", check=True, dry_run=True, verbosity=0)


MODELS: list[type[models.Model]] = [
    Event,
    Subscription,
    Delivery,
    DeliveryAttempt,
    RelayCursor,
    ScheduledEvent,
    SearchEntry,
]


@pytest.mark.parametrize("model", MODELS)
def test_the_tables_have_the_models_columns(model: type[models.Model], sql: Sql) -> None:
    found: dict[str, str] = dict(
        sql(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
            " WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped",
            model._meta.db_table,
        )
    )

    wanted = {field.column: field.db_type(connection) for field in model._meta.concrete_fields}
    for snapshot in ("seen", "reading"):  # Django sees the text of a pg_snapshot
        if snapshot in wanted:
            wanted[snapshot] = "pg_snapshot"
    assert {column: found.get(str(column)) for column in wanted} == wanted
    assert set(found) - set(wanted) <= {"xid"}  # the relay's own


def test_every_optional_column_of_a_subscription_has_a_default(sql: Sql) -> None:
    required = sql(
        "SELECT attname::text FROM pg_attribute"
        " WHERE attrelid = 'event_system_subscription'::regclass AND attnum > 0"
        " AND attnotnull AND NOT atthasdef AND attidentity = ''"
    )

    assert {name for (name,) in required} == {"name", "handler_type"}


def test_the_migration_operation_attaches_and_detaches(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table("orders", 'id int, "Tenant" text, extra text, PRIMARY KEY (id)')
    operation = AttachEventTrigger("orders", company="Tenant", exclude=["extra"], capture="always")

    with connection.schema_editor() as editor:
        operation.database_forwards("app", editor, None, None)
    assert sql(
        "SELECT company, exclude, capture, enabled FROM event_system_trigger"
        " WHERE \"table\" = 'orders'"
    ) == [("Tenant", ["extra"], "always", True)]
    with connection.schema_editor() as editor:
        operation.database_backwards("app", editor, None, None)
    assert sql("SELECT FROM event_system_trigger WHERE \"table\" = 'orders'") == []


def test_the_operation_can_be_written_into_a_migration() -> None:
    operation = AttachEventTrigger("orders", company="company", exclude=["a"])
    name, args, kwargs = operation.deconstruct()

    assert isinstance(operation, migrations.operations.base.Operation)
    assert (name, args, kwargs) == (
        "AttachEventTrigger",
        ["orders"],
        {"company": "company", "exclude": ["a"]},
    )


def test_the_capture_migrations_go_back_and_forth(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table("orders")
    make_table("loaded", "id int PRIMARY KEY, company text NOT NULL")
    make_table("strict", "id int PRIMARY KEY, company text NOT NULL")
    sql("SELECT attach_event_trigger('strict')")
    sql("SELECT attach_event_trigger('orders')")
    sql("SELECT attach_event_trigger('loaded', capture => 'statement')")

    with transaction.atomic(), connection.cursor() as cursor:
        for script in (
            "migrations/sql/0014_unroutable.reverse",
            "migrations/sql/0018_inbox_searches.reverse",
            "migrations/sql/0013_inbox.reverse",
            "capture/sql/0012_capture_hardening.reverse",
            "migrations/sql/0010_scheduled_event.reverse",
            "migrations/sql/0009_search.reverse",
            "capture/sql/0006_statement_bodies.reverse",
            "migrations/sql/0003_subscription_triggers.reverse",
            "capture/sql/0002_capture.reverse",
            "migrations/sql/0001_tables.reverse",
            "migrations/sql/0001_tables",
            "capture/sql/0002_capture",
            "capture/sql/0002_bodies",
            "migrations/sql/0003_subscription_triggers",
            "capture/sql/0006_statement_bodies",
            "capture/sql/0006_statement_capture",
            "capture/sql/0006_altered_tables",
            "migrations/sql/0009_search",
            "migrations/sql/0010_scheduled_event",
            *HARDENING,
            "migrations/sql/0013_inbox",
            "migrations/sql/0018_inbox_searches",
            "migrations/sql/0014_unroutable",
        ):
            cursor.execute((ROOT / f"{script}.sql").read_text())
        transaction.set_rollback(True)


HARDENING = [
    "capture/sql/0012_capture_hardening",
    "capture/sql/0012_asked",
    "capture/sql/0012_subscription_guards",
    "capture/sql/0012_bodies",
    "capture/sql/0012_regenerate",
]
FUNCTIONS = """
SELECT proname, pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'event\\_system\\_%' ORDER BY oid
"""


def test_what_0012_replaced_comes_back_as_it_was(orders: str) -> None:
    def run(scripts: list[str]) -> dict[str, str]:
        for script in scripts:
            cursor.execute((ROOT / f"{script}.sql").read_text())
        cursor.execute(FUNCTIONS)
        return dict(cursor.fetchall())

    back = ["capture/sql/0012_capture_hardening.reverse"]
    with transaction.atomic(), connection.cursor() as cursor:
        hardened = run(["migrations/sql/0017_gates.reverse"])  # which came after it
        before = run(back)
        again = run(HARDENING)
        after = run(back)
        transaction.set_rollback(True)

    assert again == hardened
    assert after == before != hardened
