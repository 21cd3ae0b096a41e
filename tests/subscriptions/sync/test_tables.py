"""The tables of connections and mappings, as the models and the migration say."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, models, transaction

import subscriptions
from subscriptions.models import ExternalConnection, ExternalMapping
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPTS = Path(subscriptions.__file__).parent / "migrations" / "sql"
MODELS: list[type[models.Model]] = [ExternalConnection, ExternalMapping]


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
    assert found == wanted


def test_the_migration_goes_back_and_forth() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for script in (
            "0011_external_identity.reverse",
            "0008_external_mapping.reverse",
            "0008_external_mapping",
            "0011_external_identity",
        ):
            cursor.execute((SCRIPTS / f"{script}.sql").read_text())
        transaction.set_rollback(True)


def test_going_back_keeps_of_what_is_double_then_what_was_synced_last() -> None:
    common = {"company": None, "provider": "xero", "entity": "customer"}
    for table, record_id, tenant_id, external_id, day in [
        ("a", "1", "t", "x", 2),
        ("b", "1", "t", "y", 1),
        ("a", "2", "old", "x", 1),
    ]:
        ExternalMapping.objects.create(
            **common,
            table=table,
            record_id=record_id,
            tenant_id=tenant_id,
            external_id=external_id,
            last_synced_at=datetime(2026, 1, day, tzinfo=UTC),
        )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute((SCRIPTS / "0011_external_identity.reverse.sql").read_text())
        cursor.execute("SELECT record_id, external_id FROM event_system_external_mapping")
        kept = sorted(cursor.fetchall())
        transaction.set_rollback(True)

    assert kept == [("1", "x"), ("2", None)]


def test_a_mapping_gets_the_table_of_its_subscription(
    orders: str, subscribe: Callable[..., int]
) -> None:
    pk = subscribe(table=orders)
    common = {"company": "acme", "provider": "xero", "entity": "customer", "table": "x"}
    ExternalMapping.objects.create(**common, record_id="1", subscription_id=pk, delivery_id=0)
    ExternalMapping.objects.create(**common, record_id="2", subscription_id=pk + 1, delivery_id=7)
    with transaction.atomic(), connection.cursor() as cursor:
        for script in ("0011_external_identity.reverse", "0011_external_identity"):
            cursor.execute((SCRIPTS / f"{script}.sql").read_text())
        rows = ExternalMapping.objects.order_by("record_id").values_list("table", "delivery_id")
        found = list(rows)
        transaction.set_rollback(True)

    assert found == [(orders, None), ("", 7)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "same",
    [
        {"record_id": "2", "external_id": "x"},
        {"record_id": "1", "external_id": "y"},
        {"record_id": "1", "external_id": None},
    ],
)
@pytest.mark.parametrize("company", ["acme", None])
def test_a_record_and_an_external_id_have_one_row(
    same: dict[str, str], company: str | None
) -> None:
    common = {"company": company, "provider": "xero", "entity": "customer"}
    ExternalMapping.objects.create(**common, record_id="1", external_id="x")

    with pytest.raises(IntegrityError), transaction.atomic():
        ExternalMapping.objects.create(**common, **same)

    ExternalMapping.objects.create(**{**common, "company": "globex"}, **same)
    ExternalMapping.objects.create(**common, table="other", tenant_id="other", **same)
    ExternalMapping.objects.create(**common, record_id="3")
    ExternalMapping.objects.create(**common, record_id="4")
