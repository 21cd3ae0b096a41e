"""The tables of connections and mappings, as the models and the migration say."""

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
        for script in ("0008_external_mapping.reverse", "0008_external_mapping"):
            cursor.execute((SCRIPTS / f"{script}.sql").read_text())
        transaction.set_rollback(True)


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
    ExternalMapping.objects.create(**common, record_id="3")
    ExternalMapping.objects.create(**common, record_id="4")
