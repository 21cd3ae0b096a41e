"""From columns to the fields of customers and suppliers."""

from typing import Any

import pytest

from subscriptions.handlers.sync.errors import Refused
from subscriptions.handlers.sync.fields import entity_of_table, parts_of

ALL = frozenset({"name", "email", "street", "region"})


def test_columns_with_usual_names_are_found() -> None:
    row = {"id": 1, "displayName": " Ada ", "emailAddress": "", "state": True, "notes": "x"}

    assert parts_of(row, None, ALL) == {"name": "Ada", "email": None, "region": "true"}


@pytest.mark.parametrize(
    ("row", "fields", "said"),
    [
        ({"name": " "}, None, "column 'name' is empty"),
        ({"title": "Ada"}, None, "no column holds it"),
        ({"name": "Ada"}, {"legal": "name"}, "names legal, which the table does not have"),
        ({"name": ["Ada"]}, None, "holds a list or an object"),
    ],
)
def test_a_record_that_makes_no_entity_is_refused(
    row: dict[str, Any], fields: dict[str, str] | None, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        parts_of(row, fields, ALL)


def test_a_tables_name_says_its_entity() -> None:
    names = ("customer", "sales.Customers", "vendor", "suppliers", "orders")
    found = [entity_of_table(name) for name in names]

    assert found == ["customer", "customer", "supplier", "supplier", None]
