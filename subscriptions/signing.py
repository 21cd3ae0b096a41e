"""Signatures and secrets of webhooks: Standard Webhooks 1.0.0, symmetric scheme."""

import base64
import binascii
from datetime import datetime
from secrets import token_bytes

from standardwebhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32


def make_secret() -> str:
    """Return a new secret: whsec_ and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(token_bytes(SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether the text is whsec_ and base64 of 24 to 64 bytes."""
    if not text.startswith(PREFIX):
        return False
    try:
        content = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return False
    return 24 <= len(content) <= 64


def signature_headers(
    *secrets: str, message_id: str, moment: datetime, body: str
) -> dict[str, str]:
    """Return the three headers; `moment` (aware) is when the attempt is made, in whole seconds.

    Of several secrets each gives a signature, so that receivers may take over a new one at leisure.
    """
    stamp = int(moment.timestamp())
    # The library takes the datetime's wall clock for UTC.
    at = datetime.utcfromtimestamp(stamp)  # noqa: DTZ004
    signatures = [Webhook(secret).sign(message_id, at, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": " ".join(signatures),
    }
