"""A signer after RFC 9421, HTTP Message Signatures: HMAC over method, path, id and the digest of the body."""

import base64
import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from hookplugin import Registry, WireRequest, hookimpl


def binary(data: bytes) -> str:
    return f":{base64.b64encode(data).decode()}:"


def sign(request: WireRequest) -> WireRequest:
    if not request.secrets:
        message = "the receiver has no secret to sign with"
        raise ValueError(message)  # what cannot be signed is not sent
    signed = {
        '"@method"': request.method,
        '"@path"': urlsplit(request.url).path or "/",
        '"webhook-id"': request.id,
        '"content-digest"': f"sha-256={binary(sha256(request.content).digest())}",
    }
    parameters = f'({" ".join(signed)});created={request.timestamp};keyid="hookplugin"'
    base = "\n".join(f"{name}: {value}" for name, value in {**signed, '"@signature-params"': parameters}.items())
    mac = hmac.digest(request.secrets[0].encode(), base.encode(), sha256)
    digest = signed['"content-digest"']
    headers = {"Content-Digest": digest, "Signature-Input": f"sig={parameters}", "Signature": f"sig={binary(mac)}"}
    return request.with_headers(headers)


@hookimpl
def alert_register(registry: Registry) -> None:
    registry.signer("rfc9421", sign)
