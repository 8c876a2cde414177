import base64
import hashlib
import hmac
import time
from collections.abc import Mapping


def is_ours(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Say whether a request is signed with our secret, and not an old one that is sent again."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split())
