"""NOTIFY: tell people by Slack, Discord, Telegram, SMS and others, through Apprise."""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import structlog
from pydantic import AfterValidator, Field

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import Handler, HandlerConfig, Item, Outcome, Preview, handler
from subscriptions.mails import one_line, values, what_happened
from subscriptions.placeholders import check_paths, parse

if TYPE_CHECKING:
    from apprise import NotifyBase

log = structlog.get_logger(__name__)

# Services whose host is their own: a URL of these cannot lead into a private network.
SERVICES = frozenset(
    {"bulksms", "clicksend", "d7sms", "dingtalk", "discord", "feishu", "flock", "gchat", "ilert"}
    | {"incidentio", "lark", "line", "msgbird", "nexmo", "opsgenie", "pagerduty", "pbul", "plivo"}
    | {"pover", "signl4", "sinch", "slack", "splunk", "squadcast", "telnyx", "tgram", "threema"}
    | {"twilio", "victorops", "vonage", "webex", "whatsapp", "wxteams"}
)
# Others name files or URLs to read, switch off checks of certificates, or make a worker wait.
OPTIONS = frozenset(
    {"action", "alias", "channel", "class", "dedup", "entity", "from", "group", "key", "method"}
    | {"ping", "preview", "priority", "region", "route", "routing_key", "secret", "severity", "sid"}
    | {"silent", "sound", "tags", "thread", "to", "token", "topic", "tts", "workspace"}
)
URL = re.compile(r"([a-z0-9]+)://[!-~]+", re.IGNORECASE)
# What services read as a call to all of a channel, or to somebody in it.
CALL = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[@!#/a-z])", re.IGNORECASE)
UNSEEN = "\u200b"
SECONDS = 30.0  # for all that a notification takes
LONGEST_TITLE = 250
LONGEST_BODY = 10_000
# Parts of a URL from this length on are taken for secrets, wherever they turn up.
SECRET_LENGTH = 5

_loading = Lock()


def apprise_url(value: str) -> str:
    """Refuse what could lead elsewhere than to a known service; never repeat the URL."""
    found = URL.fullmatch(value)
    if found is None:
        raise ValueError("must have the form service://…, such as slack://, in one line of ASCII")
    if found[1].lower() not in SERVICES:
        raise ValueError(f"must begin with one of {', '.join(f'{s}://' for s in sorted(SERVICES))}")
    options = value.partition("?")[2]
    names = {unquote(part.partition("=")[0]).lower() for part in re.split("[&;]", options) if part}
    if "?" in options or not names <= OPTIONS:
        raise ValueError(f"takes these options after '?': {', '.join(sorted(OPTIONS))}")
    return value


def template(value: str) -> str:
    parse(value)
    return value


class NotTaken(ValueError):
    """Apprise takes the URL for no service, or not for one of ours; the text is without it."""


@handler("NOTIFY")
class NotifyHandler(Handler):
    queue = "notify"
    lease = timedelta(minutes=5)
    concurrency = 4

    class Config(HandlerConfig):
        apprise: Annotated[str, AfterValidator(apprise_url)] = Field(
            title="Apprise URL",
            description="Whom to tell, as Apprise writes it: slack://tokenA/tokenB/tokenC/#channel,"
            f" tgram://bot/chat. Services: {', '.join(sorted(SERVICES))}.",
            max_length=2000,
            repr=False,
            json_schema_extra={"secret": True},
        )
        title: Annotated[str, AfterValidator(template)] | None = Field(
            default=None,
            title="Title",
            description="Text with paths in braces: Order {new.number}. Unset: what happened.",
            max_length=500,
        )
        body: Annotated[str, AfterValidator(template)] | None = Field(
            default=None,
            title="Body",
            description="Text with paths in braces. Unset: all values.",
            max_length=LONGEST_BODY,
        )

    def check(self, config: Config, *, company: str | None) -> None:
        if _service(config.apprise) is None:
            raise InvalidSubscription("config.apprise", NOT_TAKEN)

    def check_columns(
        self, config: Config, *, table: str | None, columns: Collection[str] | None
    ) -> None:
        for key in ("title", "body"):
            text = getattr(config, key)
            if text is not None:
                check_paths(f"config.{key}", parse(text).paths, table=table, columns=columns)

    def preview(self, item: Item) -> Preview:
        scheme = item.config.apprise.partition(":")[0]
        try:
            title, body = message(item)
        except (ValueError, ArithmeticError, RecursionError) as error:
            return Preview(f"nothing by {scheme}: {error}")
        return Preview(f"notify by {scheme}: {title}", body=body)

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        for item in batch:
            yield _outcome(item)


NOT_TAKEN = "Apprise does not take it: look the form of this service's URL up in its pages"


def message(item: Item) -> tuple[str, str]:
    """Return title and body, whose values call nobody. Raises ValueError for values without
    text.
    """
    config: NotifyHandler.Config = item.config
    event = item.event
    if config.title is None:
        title = calling_nobody(what_happened(event))
    else:
        title = parse(config.title).render(event.lookup, quote=calling_nobody)
    if config.body is None:
        body = "\n".join(
            calling_nobody(f"{name}: {value}") for name, value in values(event.document)
        )
    else:
        body = parse(config.body).render(event.lookup, quote=calling_nobody)
    title = one_line(title)[:LONGEST_TITLE]
    return title, body[:LONGEST_BODY] or title


def calling_nobody(text: str) -> str:
    """Return data with an unseen space in what would call people: whoever may write a row must not
    call a whole channel. The subscription's own words may.
    """
    return CALL.sub(lambda found: found[0] + UNSEEN, text)


def _outcome(item: Item) -> Outcome:
    """Make one try. Runs in a thread: touches no database."""
    url: str = item.config.apprise
    try:
        title, body = message(item)
        service = _service(url)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return Outcome.failed(item, str(error)[:500], permanent=True)
    if service is None:
        return Outcome.failed(item, NOT_TAKEN, permanent=True)
    try:
        problem = _notify(service, title=title, body=body)
    except Exception as error:
        # Without its text, which may hold the URL.
        log.warning("notification_failed", delivery_id=item.delivery_id, error=type(error).__name__)
        problem = type(error).__name__
    if problem is None:
        return Outcome.delivered(item)
    return Outcome.failed(item, without_secrets(problem, url=url)[:500])


def notify(url: str, *, title: str, body: str) -> str | None:
    """Tell whom the URL names; return None, or what went wrong, without the URL's secrets.

    For code that has an Apprise URL from the settings. Raises NotTaken.
    """
    try:
        apprise_url(url)
    except ValueError as error:
        raise NotTaken(str(error)) from None
    service = _service(url)
    if service is None:
        raise NotTaken(NOT_TAKEN)
    try:
        problem = _notify(service, title=title, body=body)
    except Exception as error:
        # Without its text, which may hold the URL.
        problem = type(error).__name__
    return None if problem is None else without_secrets(problem, url=url)[:500]


def _service(url: str) -> "NotifyBase | None":
    """Return Apprise's service for the URL, None if it takes it for none, or for another."""
    apprise, asset = _apprise()
    service: NotifyBase | None = apprise.Apprise.instantiate(url, asset=asset)
    if service is None or url.partition(":")[0].lower() not in SERVICES & _schemes(service):
        return None
    service.overflow_mode = apprise.OverflowMode.TRUNCATE
    return service


def _schemes(service: "NotifyBase") -> set[str]:
    """Return what its URLs may begin with; each of the two attributes is None, one or several."""
    found: set[str] = set()
    for given in (service.protocol, service.secure_protocol):
        named: Any = given
        found.update((named,) if isinstance(named, str) else named or ())
    return found


def _notify(service: "NotifyBase", *, title: str, body: str) -> str | None:
    """Send it; return None, or what Apprise said when it did not succeed."""
    apprise, asset = _apprise()
    client = apprise.Apprise(asset=asset)
    client.add(service)
    result = client.notify(
        body=body, title=title, body_format=apprise.NotifyFormat.TEXT, timeout=SECONDS
    )
    if result:
        return None
    said = "; ".join(dict.fromkeys(entry.message for entry in result.logs()))
    return said or f"the service did not take it: {result.status.name.lower()}"


def without_secrets(text: str, *, url: str) -> str:
    """Return the text without any longer part of the URL."""
    rest = url.partition("://")[2]
    parts = {part for given in (rest, unquote(rest)) for part in re.split(r"[^\w-]+", given)}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SECRET_LENGTH:
            text = re.sub(re.escape(part), "…", text, flags=re.IGNORECASE)
    return one_line(text)


def _apprise() -> tuple[Any, Any]:
    """Return the library and its settings: it takes a second to load, and most processes need it
    never.
    """
    with _loading:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> tuple[Any, Any]:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="Counterpoint",
        app_desc="Counterpoint",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        storage_mode="memory",
    )
    return apprise, asset
