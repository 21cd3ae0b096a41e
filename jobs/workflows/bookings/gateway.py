"""The payment gateway: asked to try a payment again."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import httpx
from django.conf import settings

SECONDS = 20.0
BUSY = frozenset({408, 409, 425, 429})

Answer = Literal["paid", "declined", "refused"]


class GatewayUnavailable(Exception):
    """The gateway is away or busy: the same question may be asked again, under the same key."""


@dataclass(frozen=True)
class Answered:
    """`declined`: not now; `refused`: never, there is nothing to try again."""

    answer: Answer
    text: str


class PaymentGateway:
    """The gateway at PAYMENT_GATEWAY_URL; a registered service, so that tests can replace it."""

    def retry(self, payment_id: str, *, company: str | None, key: str) -> Answered:
        """Ask for one more try of a payment; the same key asks for the same try.

        `POST {url}/payments/{id}/retry` with `Idempotency-Key`; the answer is a JSON object with
        `status` (`paid` or `declined`) and perhaps `reason`; 402 means declined, too. Raises
        GatewayUnavailable.
        """
        if not settings.PAYMENT_GATEWAY_URL:
            return Answered("refused", "no gateway: PAYMENT_GATEWAY_URL is not set")
        path = f"/payments/{quote(payment_id, safe='')}/retry"
        headers = {"Idempotency-Key": key}
        if settings.PAYMENT_GATEWAY_TOKEN:
            headers["Authorization"] = f"Bearer {settings.PAYMENT_GATEWAY_TOKEN}"
        try:
            response = httpx.post(
                f"{settings.PAYMENT_GATEWAY_URL.rstrip('/')}{path}",
                json={"company": company},
                headers=headers,
                timeout=SECONDS,
            )
        except httpx.HTTPError as error:
            raise GatewayUnavailable(f"{type(error).__name__}: {error}"[:500]) from error
        return _read(response)


def _read(response: httpx.Response) -> Answered:
    code = response.status_code
    if code >= 500 or code in BUSY:
        raise GatewayUnavailable(f"the gateway answered {code}")
    if code != 402 and not response.is_success:
        return Answered("refused", f"the gateway answered {code}")
    try:
        found = response.json()
    except ValueError:
        found = None
    said = found if isinstance(found, dict) else {}
    reason = str(said.get("reason") or "")[:1000]
    if code == 402 or said.get("status") == "declined":
        return Answered("declined", reason or "declined")
    if said.get("status") == "paid":
        return Answered("paid", reason or "paid")
    raise GatewayUnavailable(f"the gateway answered {code} without a status of paid or declined")
