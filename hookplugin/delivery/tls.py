"""TLS: whom we trust, and who we are to receivers that want to know."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ValidationInfo, model_validator

from hookplugin.problems import shown_path
from hookplugin.references import Stamp, stamp_of
from hookplugin.values import base_directory
from hookspecs.frozen import Frozen


def _beside(path: Path, info: ValidationInfo) -> Path:
    path = (base_directory(info) / path).absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        message = f"cannot read {shown_path(path)}: {error.strerror}"
        raise ValueError(message) from None
    return path


PemFile = Annotated[Path, AfterValidator(_beside)]


class Tls(Frozen):
    """Say how a receiver and we prove to each other who we are."""

    ca: PemFile | None = None
    """The certificate authorities that are trusted for it, instead of the machine's."""
    certificate: PemFile | None = None
    """Ours, with those between it and its authority."""
    key: PemFile | None = None
    """The key of ours; it may stand in the file of the certificate."""
    verify: bool = True
    """Whether the receiver has to prove who it is; without that, anyone between us can read and answer."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.key and not self.certificate:
            message = "key needs a certificate beside it"
            raise ValueError(message)
        if self.ca and not self.verify:
            message = "ca is of no use with verify: false; remove one"
            raise ValueError(message)
        if self.ca or self.certificate:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self)
        return self

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """Return what tells these versions of the files from others."""
        return tuple(stamp_of(path) for path in (self.ca, self.certificate, self.key) if path)


MACHINES: Final = Tls()
"""What holds for receivers that say nothing else."""


def make_context(tls: Tls, kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later; about 40 ms, if it trusts the machine's authorities and certifi's.

    Args:
        tls: the settings.
        kind: of context.

    Raises:
        ValueError: the files have become unusable.

    """
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.verify
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.verify and not tls.ca:
        import certifi  # noqa: PLC0415 - only who sends needs it

        context.load_default_certs()
        context.load_verify_locations(certifi.where())
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        if tls.ca:
            context.load_verify_locations(tls.ca)
    except OSError as error:
        message = f"ca: {str(tls.ca)!r} {_trouble(error, 'holds no certificate in PEM')}"
        raise ValueError(message) from None
    try:
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key, password=_refuse)
    except _EncryptedError:
        message = f"key: {str(tls.key or tls.certificate)!r} is encrypted; `openssl pkey` writes it without a password"
        raise ValueError(message) from None
    except OSError as error:
        files = " and ".join(repr(str(path)) for path in (tls.certificate, tls.key) if path)
        message = f"certificate: {files} {_trouble(error, 'should be a certificate and its key, in PEM')}"
        raise ValueError(message) from None


class _EncryptedError(Exception):
    """Say that a key wants a password: OpenSSL would ask the terminal for it."""


def _refuse() -> bytes:
    raise _EncryptedError


def _trouble(error: OSError, otherwise: str) -> str:
    if isinstance(error, ssl.SSLError):
        return "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else otherwise
    return f"cannot be read: {error.strerror}"
