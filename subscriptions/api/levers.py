"""Acting on a subscription: pause, resume, replay, test, and its signing secret."""

from ninja import Router

from jobs.api.security import KeyRequest
from subscriptions import examples, secrets
from subscriptions.api.definitions import own_subscription
from subscriptions.api.schemas import Paused, ReplayIn, ReplayOut, Resumed, SecretOut, TestOut
from subscriptions.api.security import WRITE, allow, note
from subscriptions.deliveries import controls
from subscriptions.deliveries.replaying import Replayed, replay
from subscriptions.models import Subscription

router = Router(tags=["subscriptions"], auth=WRITE)
PATH = "/subscriptions/{int:subscription_id}"


def own_deliverable(request: KeyRequest, subscription_id: int) -> Subscription:
    """Return the company's subscription if the key may have its deliveries made."""
    found = own_subscription(request, subscription_id)
    allow(request, found.handler_type)
    return found


@router.post(f"{PATH}/pause", response=Paused, operation_id="pause_subscription")
def pause(request: KeyRequest, subscription_id: int) -> dict[str, bool]:
    """Hold its deliveries, for 30 days at most."""
    changed = controls.pause(own_subscription(request, subscription_id).pk)
    note(request, "paused", subscription_id, changed=changed)
    return {"changed": changed}


@router.post(f"{PATH}/resume", response=Resumed, operation_id="resume_subscription")
def resume(request: KeyRequest, subscription_id: int) -> dict[str, int]:
    """Deliver again, what was held first."""
    released = controls.resume(own_deliverable(request, subscription_id).pk)
    note(request, "resumed", subscription_id, released=released)
    return {"released": released}


@router.post(f"{PATH}/replay", response=ReplayOut, operation_id="replay_subscription")
def replay_subscription(request: KeyRequest, subscription_id: int, what: ReplayIn) -> Replayed:
    """Send again what failed, with the same webhook-id; with `dry_run`, only count it."""
    found = replay(own_deliverable(request, subscription_id).pk, **what.model_dump())
    if not what.dry_run:
        note(request, "replayed", subscription_id, again=found.again, missed=found.missed)
    return found


@router.post(f"{PATH}/test", response=TestOut, operation_id="test_subscription")
def test(request: KeyRequest, subscription_id: int) -> dict[str, object]:
    """Send an example event through the real handler; no delivery is recorded."""
    sent = examples.send(own_deliverable(request, subscription_id))
    note(request, "tested", subscription_id, delivered=sent.outcome.is_delivered)
    return TestOut.of(sent)


@router.post(f"{PATH}/reveal-secret", response=SecretOut, operation_id="reveal_secret")
def reveal_secret(request: KeyRequest, subscription_id: int) -> dict[str, str]:
    """Show the signing secret, this once; after that, rotate it."""
    secret = secrets.reveal(own_subscription(request, subscription_id).pk)
    note(request, "secret revealed", subscription_id)
    return {"secret": secret}


@router.post(f"{PATH}/rotate-secret", response=SecretOut, operation_id="rotate_secret")
def rotate_secret(request: KeyRequest, subscription_id: int) -> dict[str, str]:
    """Make a new signing secret and show it; the one before signs, too, for a day."""
    secret = secrets.rotate(own_subscription(request, subscription_id).pk)
    note(request, "secret rotated", subscription_id)
    return {"secret": secret}
