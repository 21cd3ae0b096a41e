"""Read settings from the environment, strictly: a value that cannot be right is refused by name.

Only `settings.py` calls this. Every refusal is a `SettingError` whose one line names the variable,
what was found and what is allowed; `manage.py` and the Celery app print it and exit with code 2.
"""

import os
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class SettingError(Exception):
    """Say which setting is wrong and what it takes; the text is one line."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name


def text(name: str, default: str | None = None) -> str:
    """Return the variable's text; without a default it must be set and not empty."""
    value = os.environ.get(name, "")
    if value:
        return value
    if default is None:
        raise SettingError(name, "is not set; see .env.example for what it takes")
    return default


def flag(name: str, *, default: bool) -> bool:
    """Return a boolean: 1, true, yes, on or 0, false, no, off in any case."""
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise SettingError(name, f"{value!r} is neither {'|'.join(sorted(TRUE | FALSE))}")


def number(name: str, *, default: float, minimum: float = 0.0, maximum: float = 1e9) -> float:
    """Return a decimal number between minimum and maximum, both allowed."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        parsed = float(value)
    except ValueError:
        raise SettingError(name, f"{value!r} is not a number") from None
    if not minimum <= parsed <= maximum:  # also refuses NaN
        raise SettingError(name, f"{value!r} is not between {minimum:g} and {maximum:g}")
    return parsed


def names(name: str) -> list[str]:
    """Return the comma-separated names, blanks around them removed; unset or empty is []."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def pairs(name: str) -> dict[str, str]:
    """Return comma-separated pairs such as a=1,b=2 as a mapping; unset or empty is {}."""
    found: dict[str, str] = {}
    for part in names(name):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise SettingError(name, f"{part!r} is no pair such as name=value")
        if found.setdefault(key, value) != value:
            raise SettingError(name, f"{key!r} has two values, {found[key]!r} and {value!r}")
    return found


def url(name: str, *, schemes: tuple[str, ...], default: str | None = None) -> str:
    """Return a URL with one of the schemes and a host; without a default it must be set."""
    value = text(name, default)
    if value == default == "":
        return ""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise SettingError(name, f"is not a URL ({error})") from None
    if parts.scheme not in schemes or not parts.hostname:
        allowed = " or ".join(f"{scheme}://host[:port]/…" for scheme in schemes)
        # The value itself may hold a password: never repeat it.
        raise SettingError(name, f"is not a URL of the form {allowed}")
    return value


def mail_address(name: str, *, default: str) -> str:
    """Return a mail address, with or without a name: a@example.com or Shop <a@example.com>."""
    value = text(name, default)
    address = parseaddr(value)[1]
    host = address.rpartition("@")[2]
    if not value.isprintable() or not address.rpartition("@")[0] or not host or " " in address:
        raise SettingError(name, f"{value!r} is no address such as Shop <shop@example.com>")
    return value


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Return the comma-separated CIDRs; unset or empty is []."""
    found = []
    for part in names(name):
        try:
            found.append(ip_network(part))
        except ValueError as error:
            raise SettingError(name, f"{error}; it takes CIDRs such as 10.1.0.0/16") from None
    return found
