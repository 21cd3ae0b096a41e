"""The parsers of settings: what they take, and that they name what they refuse."""

from ipaddress import ip_network

import pytest

from counterpoint import env

NAME = "SOME_SETTING"


def test_text_without_default_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "")

    with pytest.raises(env.SettingError, match=r"^SOME_SETTING: is not set"):
        env.text(NAME)


def test_text_prefers_the_value_to_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "value")

    assert env.text(NAME, "default") == "value"


@pytest.mark.parametrize(("value", "meaning"), [("1", True), ("Yes", True), ("OFF", False)])
def test_flag_takes_words_in_any_case(
    value: str, meaning: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, value)

    assert env.flag(NAME, default=not meaning) is meaning


def test_flag_refuses_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "ture")

    with pytest.raises(env.SettingError, match=r"SOME_SETTING: 'ture' is neither"):
        env.flag(NAME, default=False)


@pytest.mark.parametrize("value", ["-1", "11", "nan", "inf", "ten", "1,5"])
def test_number_refuses_what_is_outside_or_none(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, value)

    with pytest.raises(env.SettingError, match=NAME):
        env.number(NAME, default=5, minimum=0, maximum=10)


@pytest.mark.parametrize("value", ["0", "10", " 2.5 "])
def test_number_takes_its_bounds_and_fractions(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, value)

    assert env.number(NAME, default=5, minimum=0, maximum=10) == float(value)


def test_names_drops_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, " a, ,b ")

    assert env.names(NAME) == ["a", "b"]


@pytest.mark.parametrize(
    "value", ["host/db", "postgresql:///db", "mysql://host/db", "postgresql://host:x/db"]
)
def test_url_refuses_another_form_without_repeating_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, value.replace("host", "user:hunter2@host"))

    with pytest.raises(env.SettingError, match=NAME) as refused:
        env.url(NAME, schemes=("postgresql",))

    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_url_may_be_empty_if_that_is_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)

    assert env.url(NAME, schemes=("http",), default="") == ""


def test_networks_takes_cidrs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "10.1.0.0/16, ::1/128")

    assert env.networks(NAME) == [ip_network("10.1.0.0/16"), ip_network("::1/128")]


def test_networks_refuses_host_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "10.1.2.3/16")

    with pytest.raises(env.SettingError, match=r"SOME_SETTING: .*host bits"):
        env.networks(NAME)


@pytest.mark.parametrize("value", ["a@example.com", "Shop <a@example.com>", "a@localhost"])
def test_a_mail_address_may_have_a_name(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, value)

    assert env.mail_address(NAME, default="x@localhost") == value


@pytest.mark.parametrize("value", ["shop", "Shop <shop>", "@example.com", "a@b.c\nBcc: x@y.z"])
def test_what_is_no_mail_address_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, value)

    with pytest.raises(env.SettingError, match="is no address such as Shop"):
        env.mail_address(NAME, default="x@localhost")


def test_pairs_are_names_with_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRS", " events-acme = acme ,AROAX=globex,")

    assert env.pairs("PAIRS") == {"events-acme": "acme", "AROAX": "globex"}
    assert env.pairs("UNSET") == {}


@pytest.mark.parametrize("value", ["acme", "=acme", "events=", "a=1,a=2"])
def test_what_is_no_pair_or_two_of_one_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("PAIRS", value)

    with pytest.raises(env.SettingError, match="PAIRS: "):
        env.pairs("PAIRS")
