"""What a connection may be."""

from typing import Any

import pytest
from pytest_django import Settings

from subscriptions.handlers.sync.checks import providers_are_set_up
from subscriptions.handlers.sync.connecting import InvalidConnection, connect


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"provider": "sage"}, "one of quickbooks, xero"),
        ({"company": ""}, "company must not be empty"),
        ({"tenant_id": "../other"}, "letters, digits and -"),
        ({"refresh_token": ""}, "a refresh token is needed"),
        ({"refresh_token": "two\nlines"}, "one line of ASCII"),
    ],
)
def test_a_connection_that_cannot_be_right_is_refused(wrong: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {"company": "acme", "provider": "xero", "tenant_id": "t"}

    with pytest.raises(InvalidConnection, match=said):
        connect(**{**good, "refresh_token": "r", **wrong})


def test_tokens_never_travel_in_the_clear(settings: Settings) -> None:
    settings.XERO_API_URL = "http://127.0.0.1:1/api"
    assert providers_are_set_up() == []
    settings.XERO_API_URL = "http://xero.example/api"
    settings.QUICKBOOKS_CLIENT_ID = "app"

    assert [message.id for message in providers_are_set_up()] == [
        "subscriptions.W010",
        "subscriptions.E010",
    ]
