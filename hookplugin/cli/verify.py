"""`hookplugin verify`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from hookplugin.assembly import assemble
from hookplugin.cli.options import CommandError, ConfigOption, JsonOption, read_payload, receiver_named
from hookplugin.cli.output import clean, console, print_json
from hookplugin.config import find_file, open_document
from hookplugin.delivery.signing import SIGNERS, SignerChoice, scheme_of
from hookplugin.delivery.verification import verify as verify_signature
from hookplugin.isolation import OfferError, hiding
from hookplugin.problems import nearest
from hookplugin.references import FileSecret
from hookplugin.values import duration_text
from hookspecs import Signer, WireRequest

_TOO_OLD: Final = 300  # seconds after which receivers refuse a request (Standard Webhooks 1.0)


def verify(  # noqa: PLR0913, PLR0917 - options of the command line
    request: Annotated[
        str, typer.Argument(metavar="FILE", help="The request as it arrived, head and body; - is standard input.")
    ] = "-",
    receiver: Annotated[str | None, typer.Option("--receiver", help="Take its secret and signer.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="The secret, without a configuration.")
    ] = None,
    signer: Annotated[
        str, typer.Option("--signer", help=f"With --secret-file: {', '.join(sorted(SIGNERS))}.")
    ] = "standard",
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Check the signature of a request that a receiver has got, and say what is wrong with it."""
    if (receiver is None) == (secret_file is None):
        message = "name either a --receiver of the configuration, or a --secret-file"
        raise CommandError(message)
    if receiver is not None:
        choice, secrets, offered = _of_receiver(receiver, config)
    else:
        choice, secrets, offered = _of_file(secret_file or Path(), signer)
    found = parse_request(read_payload(request), secrets)
    try:
        with hiding(lambda: secrets):
            verdict = verify_signature(found, choice, offered)
    except (ValueError, OfferError) as error:
        cause = error.cause if isinstance(error, OfferError) else error  # its words may quote the secret
        message = f"the signer {choice.name!r} failed: {type(cause).__name__}"
        raise CommandError(message, 1) from None
    age = time.time() - found.timestamp if found.timestamp else None
    if as_json:
        said = {"ok": verdict.secret is not None, "secret": verdict.secret, "reason": verdict.reason or None}
        print_json({**said, "signer": choice.name, "timestamp": found.timestamp or None})
    elif verdict.secret is None:
        console().print(f"[red]✗[/] the signature is not right: {verdict.reason}", soft_wrap=True)
    else:
        which = f" number {verdict.secret + 1}" if len(secrets) > 1 else ""
        console().print(f"[green]✓[/] signed with the secret{which}, as {clean(choice.name)} signs", soft_wrap=True)
    if not as_json and age is not None and abs(age) > _TOO_OLD:
        when = f"{duration_text(age)} ago" if age > 0 else f"{duration_text(-age)} ahead of this clock"
        console().print(f"[yellow]it was sent {when}; a receiver refuses more than 5m[/]", soft_wrap=True)
    if verdict.secret is None:
        raise typer.Exit(1)


def _of_receiver(name: str, config: Path | None) -> tuple[SignerChoice, tuple[str, ...], Mapping[str, Signer]]:
    plugins, checked = assemble(open_document(find_file(config)))
    found = receiver_named(checked, name)
    if not found.is_signed:
        message = f"requests to {name!r} are not signed; write secret: {{file: PATH}}"
        raise CommandError(message)
    secrets = tuple(secret.get_secret_value() for secret in found.secret)
    return found.signer, secrets, plugins.registry.signers


def _of_file(path: Path, signer: str) -> tuple[SignerChoice, tuple[str, ...], Mapping[str, Signer]]:
    choice = SignerChoice(name=signer)
    scheme = scheme_of(choice)
    if scheme is None:
        message = f"unknown signer {signer!r}{nearest(signer, SIGNERS)}"
        raise CommandError(message)
    try:
        secret = FileSecret(path).get_secret_value()
        scheme.check(secret)
    except ValueError as error:
        message = f"{path}: {error}"
        raise CommandError(message) from None
    return choice, (secret,), {}


def parse_request(raw: bytes, secrets: tuple[str, ...]) -> WireRequest:
    """Read a request as it was on the wire (RFC 9112).

    Raises:
        CommandError: it is none.

    """
    head, _, content = raw.replace(b"\r\n\r\n", b"\n\n", 1).partition(b"\n\n")
    first, *lines = (line.removesuffix("\r") for line in head.decode("latin-1").split("\n"))
    words = first.split(" ")
    pairs = [line.partition(":") for line in lines]
    if len(words) != 3 or not words[2].startswith("HTTP/") or not all(colon for _, colon, _ in pairs):
        message = (
            "this is no request: it should begin like `POST /path HTTP/1.1`, then headers, an empty line, the body"
        )
        raise CommandError(message)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = headers.get("content-length", "")
    if _is_count(length):
        if len(content) < int(length):
            message = f"the body is not whole: {len(content)} of {length} bytes"
            raise CommandError(message)
        content = content[: int(length)]
    timestamp = headers.get("webhook-timestamp", "")
    return WireRequest(
        id=headers.get("webhook-id", ""),
        timestamp=int(timestamp) if _is_count(timestamp) else 0,
        method=words[0],
        url=words[1],
        headers=headers,
        content=content,
        secrets=secrets,
    )


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 20
