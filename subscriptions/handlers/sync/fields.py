"""From a row's columns to the fields that customers and suppliers have at every provider."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from subscriptions.handlers.sync.errors import Refused

NAME = "name"

# The columns that a field is taken from if the subscription does not say: the first that is there.
DEFAULT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    NAME: ("name", "company_name", "companyName", "display_name", "displayName"),
    "first_name": ("first_name", "firstName"),
    "last_name": ("last_name", "lastName"),
    "email": ("email", "email_address", "emailAddress"),
    "phone": ("phone", "phone_number", "phoneNumber"),
    "mobile": ("mobile", "mobile_phone", "mobilePhone"),
    "website": ("website",),
    "tax_number": ("tax_number", "taxNumber", "tax_id", "taxId", "vat_number", "vatNumber"),
    "account_number": ("account_number", "accountNumber"),
    "currency": ("currency", "currency_code", "currencyCode"),
    "street": ("street", "address", "address_line1", "addressLine1"),
    "street2": ("street2", "address_line2", "addressLine2"),
    "city": ("city",),
    "region": ("region", "state", "state_province", "stateProvince"),
    "postal_code": ("postal_code", "postalCode", "postcode", "zip"),
    "country": ("country", "country_code", "countryCode"),
    "notes": ("notes",),
}
ENTITY_FIELDS = frozenset(DEFAULT_COLUMNS)
_ENTITY_OF_TABLE = {
    **dict.fromkeys(("customer", "customers"), "customer"),
    **dict.fromkeys(("supplier", "suppliers", "vendor", "vendors"), "supplier"),
}


def entity_of_table(table: str) -> str | None:
    """Return the entity that a table of this name holds, None if its name does not say."""
    return _ENTITY_OF_TABLE.get(table.rpartition(".")[2].lower())


def parts_of(
    row: Mapping[str, Any], fields: Mapping[str, str] | None, allowed: frozenset[str]
) -> dict[str, str | None]:
    """Return the record's parts by entity field: what `fields` (column to field) names, else the
    columns with a usual name.

    Raises Refused if a column is missing, holds no plain value, or the name is empty.
    """
    columns = _default_columns(row, allowed) if fields is None else _given(row, fields)
    parts = {field: _text(column, row[column]) for field, column in columns.items()}
    if not parts.get(NAME):
        where = f"column {columns[NAME]!r} is empty" if NAME in columns else "no column holds it"
        raise Refused(
            f"a record needs a name and {where}: fill it, or map another column to"
            f" {NAME!r} in config.fields"
        )
    return parts


def _default_columns(row: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, str]:
    found = {
        field: next((name for name in usual if name in row), None)
        for field, usual in DEFAULT_COLUMNS.items()
        if field in allowed
    }
    return {field: column for field, column in found.items() if column is not None}


def _given(row: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    missing = sorted(set(fields) - set(row))
    if missing:
        raise Refused(
            f"config.fields names {', '.join(missing)}, which the table does not have;"
            f" there are: {', '.join(sorted(row))}"
        )
    return {field: column for column, field in fields.items()}


def _text(column: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal):
        return str(value).strip() or None
    raise Refused(f"column {column!r} holds a list or an object: map a column with plain text")
