"""API keys: made, told apart, out of use."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from jobs import keys
from jobs.errors import InvalidKey
from jobs.models import ApiKey

pytestmark = pytest.mark.django_db


def make_key(**fields: object) -> keys.NewKey:
    values = {"company": "acme", "name": "shop", "scopes": ["runs:read"], **fields}
    return keys.create(**values)  # type: ignore[arg-type]  # of any fields a test names


def pass_time(by: timedelta) -> None:
    ApiKey.objects.update(expires_at=F("expires_at") - by, last_used_at=F("last_used_at") - by)


def test_a_key_is_found_by_its_text_and_stored_as_a_digest_only() -> None:
    made = make_key()

    assert keys.authenticate(made.text) == made.row
    assert made.text.startswith(f"cpk_{made.row.prefix}_")
    secret = made.text.rpartition("_")[2]
    assert len(secret) == 43
    stored = " ".join(map(str, ApiKey.objects.values_list().get()))
    assert secret not in stored


def test_two_keys_differ_in_every_part() -> None:
    first, second = make_key().text.split("_"), make_key().text.split("_")

    assert first[1] != second[1]
    assert first[2] != second[2]


@pytest.mark.parametrize(
    "text",
    ["", "cpk", "cpk__", "cpk_nobody_secret", "Bearer", "cpk_\0_x", "cpk_é_x", "xyz_{prefix}_x"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    made = make_key()

    with pytest.raises(InvalidKey, match=r"no API key|no such API key"):
        keys.authenticate(text.replace("{prefix}", made.row.prefix))


def test_a_wrong_secret_is_refused_like_an_unknown_key() -> None:
    made = make_key(expires_in=timedelta(days=1))
    pass_time(timedelta(days=2))
    wrong = made.text[:-1] + ("x" if made.text[-1] != "x" else "y")

    with pytest.raises(InvalidKey, match="no such API key"):
        keys.authenticate(wrong)


def test_a_key_is_of_no_use_once_it_has_expired() -> None:
    made = make_key(expires_in=timedelta(days=1))
    keys.authenticate(made.text)

    pass_time(timedelta(days=1))

    with pytest.raises(InvalidKey, match="'shop' has expired"):
        keys.authenticate(made.text)


def test_a_revoked_key_is_of_no_use_and_is_revoked_once() -> None:
    made = make_key()

    assert keys.revoke(made.row.pk) == 1
    assert keys.revoke(made.row.pk) == 0

    with pytest.raises(InvalidKey, match="'shop' was revoked"):
        keys.authenticate(made.text)


def test_its_use_is_noted_at_most_once_a_minute() -> None:
    made = make_key()
    keys.authenticate(made.text)
    first = ApiKey.objects.get().last_used_at

    with CaptureQueriesContext(
        connection,
    ) as queries:
        keys.authenticate(made.text)
    assert len(queries) == 1
    assert ApiKey.objects.get().last_used_at == first

    pass_time(timedelta(minutes=1))
    keys.authenticate(made.text)
    last = ApiKey.objects.get().last_used_at
    assert first is not None
    assert last is not None
    assert last >= first


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": []},
        {"scopes": ["runs:delete"]},
        {"company": ""},
        {"company": "x" * 129},
        {"name": "a\0b"},
        {"name": ""},
    ],
)
def test_what_cannot_be_a_key_is_refused_with_what_can(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"a key's|scopes are"):
        make_key(**fields)

    assert not ApiKey.objects.exists()
