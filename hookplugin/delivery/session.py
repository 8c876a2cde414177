"""Sessions: what the requests of one thread share, as `requests` has it."""

from __future__ import annotations

import logging
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Final, TypeAlias

import requests
from pydantic import SecretStr

from hookplugin.delivery.connection import Call, GuardedAdapter, GuardedContext
from hookplugin.delivery.guard import Guard
from hookplugin.delivery.tls import Tls, make_context
from hookplugin.references import Stamp

_log = logging.getLogger("hookplugin")

_Version: TypeAlias = "tuple[ssl.SSLContext | None, str | None]"


class _Session(requests.Session):
    """Know nothing of redirects, netrc, cookies, and of no proxy but the operator's."""

    def __init__(self, adapter: GuardedAdapter, proxy: str | None) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none: `requests` would read and decompress the whole body of a redirect otherwise."""


class Sessions:
    """Hold one session for each thread: it is not safe to share, and each keeps connections open."""

    def __init__(self, guard: Guard, tls: Tls | None = None, proxy: SecretStr | None = None) -> None:
        """Open no connection yet.

        Args:
            guard: says what may be reached.
            tls: for https; none where there is only http: a TLS context takes 40 ms to make.
            proxy: through which all goes.

        Raises:
            ValueError: the files of `tls` have become unusable.

        """
        self._guard: Final = guard
        self._tls: Final = tls
        self._proxy: Final = proxy
        self._stamps: tuple[Stamp, ...] = tls.stamps if tls else ()
        self._context = make_context(tls, GuardedContext) if tls else None
        self._threads: Final = threading.local()

    @property
    def is_proxied(self) -> bool:
        """Say whether all goes through a proxy."""
        return self._proxy is not None

    def of_this_thread(self) -> tuple[requests.Session, Call]:
        """Return this thread's session, and what its connections know of the current request."""
        version = self._version()
        try:
            known, session, call = self._threads.known
        except AttributeError:
            known = None
        else:
            if known == version:
                return session, call
            session.close()
        context, proxy = version
        adapter = GuardedAdapter(self._guard, context)
        session, call = _Session(adapter, proxy), adapter.call
        self._threads.known = version, session, call
        return session, call

    def _version(self) -> _Version:
        """Return what a session depends on, as files have it now."""
        if self._stamps and self._tls and self._stamps != (stamps := self._tls.stamps):
            self._stamps = stamps
            try:
                self._context = make_context(self._tls, GuardedContext)
            except ValueError as error:  # one file has been replaced, and the other is about to be
                _log.warning("TLS files have changed, and the former ones are kept: %s", error)
        return self._context, self._proxy.get_secret_value() if self._proxy else None
