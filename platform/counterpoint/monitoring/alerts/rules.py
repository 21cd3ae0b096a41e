"""The rules: what is looked at, and when it is too much. Thresholds are `settings.ALERT_LIMITS`.

A rule returns a finding for each subject that it fires for; it looks, and decides nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings

from counterpoint.monitoring.alerts.looking import Look
from jobs.counting import counted


class Finding(NamedTuple):
    """A subject that a rule fires for: its figure, and what to say of it in a line."""

    subject: str
    value: float
    text: str


Rule = Callable[[Look, float], Iterator[Finding]]


@dataclass(frozen=True)
class Described:
    """A rule with its place in the message: what its limit is, and what to do."""

    find: Rule
    limit: str
    advice: str


RULES: dict[str, Described] = {}


def rule(name: str, *, limit: str, advice: str) -> Callable[[Rule], Rule]:
    """Register a rule; `limit` is its threshold in words, {} standing for the number."""

    def register(find: Rule) -> Rule:
        RULES[name] = Described(find, limit, advice)
        return find

    return register


def limit_of(name: str) -> float:
    return float(settings.ALERT_LIMITS[name])


def limit_text(name: str) -> str:
    return RULES[name].limit.format(f"{limit_of(name):g}")


@rule(
    "queues-away",
    limit="SQS does not answer",
    advice="Look at the credentials, the role's policy and AWS's status.",
)
def queues_away(look: Look, limit: float) -> Iterator[Finding]:
    if look.depths.problem is not None:
        yield Finding("sqs", 1, look.depths.problem[:300])


@rule(
    "dead-letter-queue",
    limit="more than {} messages",
    advice="Look at what they are, mend the cause, and redrive the queue.",
)
def dead_letter_queue(look: Look, limit: float) -> Iterator[Finding]:
    for depth in look.queues:
        count = depth.dead_letters or 0
        if count > limit:
            text = f"{counted(count, 'message')} in the dead-letter queue of {depth.queue}"
            yield Finding(depth.queue, count, text)


@rule(
    "queue-depth",
    limit="more than {} messages wait",
    advice="Start more workers for the queue, or find what holds those up that there are.",
)
def queue_depth(look: Look, limit: float) -> Iterator[Finding]:
    for depth in look.queues:
        count = (depth.counts or {}).get("visible", 0)
        if count > limit:
            yield Finding(
                depth.queue, count, f"{counted(count, 'message')} wait in the queue {depth.queue}"
            )


@rule(
    "queue-age",
    limit="the oldest waits for more than {} s, by CloudWatch",
    advice="See whether anybody consumes the queue.",
)
def queue_age(look: Look, limit: float) -> Iterator[Finding]:
    for depth in look.queues:
        if depth.oldest is not None and depth.oldest > limit:
            text = f"the oldest message of {depth.queue} has waited for {depth.oldest:,.0f} s"
            yield Finding(depth.queue, depth.oldest, text)


@rule(
    "failures",
    limit="more than {} % of the last five minutes' fail",
    advice="The pages of deliveries and runs in the admin have the errors.",
)
def failures(look: Look, limit: float) -> Iterator[Finding]:
    for subject, (total, failed) in look.lately.items():
        if failed >= settings.ALERT_FAILURES_LEAST and 100 * failed > limit * total:
            text = f"{failed:,} of {total:,} {subject} failed in the last five minutes"
            yield Finding(subject, 100 * failed / total, text)


@rule(
    "outbox-lag",
    limit="the oldest unread event is older than {} s",
    advice="See whether `manage.py relay` runs; its log and `manage.py outbox` say more.",
)
def outbox_lag(look: Look, limit: float) -> Iterator[Finding]:
    for reader in look.readers:
        lag = reader.lag.total_seconds()
        if lag > limit:
            text = f"shard {reader.share.shard} of the outbox is {lag:,.0f} s behind"
            yield Finding(f"shard {reader.share.shard}", lag, text)


@rule(
    "relay-silent",
    limit="no relay reads a shard",
    advice="Start `manage.py relay`; with --shards N all N must run.",
)
def relay_silent(look: Look, limit: float) -> Iterator[Finding]:
    for reader in look.readers:
        if not reader.is_led:
            shard = f"shard {reader.share.shard}"
            yield Finding(shard, 1, f"no relay reads {shard} of {reader.share.shards}")


@rule(
    "beat-silent",
    limit="not seen for more than {} s",
    advice="Start `celery -A counterpoint beat`: no schedule fires without it.",
)
def beat_silent(look: Look, limit: float) -> Iterator[Finding]:
    silence = look.beat_silence.total_seconds()
    if silence > limit:
        yield Finding("beat", silence, f"beat has not been seen for {silence:,.0f} s")


@rule(
    "stuck-runs",
    limit="more than {} steps are due for long, and nobody takes them",
    advice="See whether workers consume the steps' queues, and whether their code is deployed.",
)
def stuck_runs(look: Look, limit: float) -> Iterator[Finding]:
    for workflow, count in look.stuck.items():
        if count > limit:
            late = settings.ALERT_STUCK_AFTER.total_seconds() / 60
            text = f"{counted(count, 'step')} of {workflow} due for more than {late:g} min"
            yield Finding(workflow, count, text)


@rule(
    "default-partition",
    limit="more than {} rows without a partition of their day",
    advice="The relay makes partitions ahead: see what its log says of partitions.",
)
def default_partition(look: Look, limit: float) -> Iterator[Finding]:
    yield from _above(look.in_default, limit, "{} in the DEFAULT partition of {}", "row")


@rule(
    "held-expired",
    limit="more than {} in the last hour",
    advice="Their subscriptions were paused for 30 days; a replay sends them after all.",
)
def held_expired(look: Look, limit: float) -> Iterator[Finding]:
    yield from _above(
        look.expired, limit, "{} for {} expired while held, in the last hour", "delivery"
    )


@rule(
    "dead-letters",
    limit="more than {} open ones of a reason",
    advice="Mend and replay them, or discard them, in the admin.",
)
def dead_letters(look: Look, limit: float) -> Iterator[Finding]:
    yield from _above(look.dead_letters, limit, "{} from outside not taken in: {}", "message")


@rule(
    "unroutable",
    limit="more than {} events set aside",
    advice="`manage.py outbox` lists them; mend the rows, then `manage.py outbox --route-again`.",
)
def unroutable(look: Look, limit: float) -> Iterator[Finding]:
    yield from _above(look.unroutable, limit, "{} set aside by the {}", "event")


def _above(counts: Mapping[str, int], limit: float, text: str, noun: str) -> Iterator[Finding]:
    for subject, count in counts.items():
        if count > limit:
            yield Finding(subject, count, text.format(_counted(count, noun), subject))


def _counted(count: int, noun: str) -> str:
    return counted(count, noun) if noun != "delivery" or count == 1 else f"{count:,} deliveries"
