"""The application: alerts come in by HTTP, and are answered once they are stored."""

from __future__ import annotations

import logging
import time
from collections import Counter
from math import inf
from typing import Any, Final

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from hookplugin.config import Serve
from hookplugin.host import Host
from hookplugin.problems import nearest
from hookplugin.receipt import Receipt
from hookplugin.server.access import require_access, security
from hookplugin.server.answers import Answer, Health, NotStoredError, Trouble, answer_to, trouble
from hookplugin.server.documentation import ALERTS_OF_PROMETHEUS, ANY_JSON, GUARDED, POSTED, SOURCE
from hookplugin.server.intake import ENDED_EARLY, Intake, Limits, Lingering
from hookplugin.server.metrics import CONTENT_TYPE, exposition
from hookplugin.server.readiness import Readiness
from hookplugin.sources import PayloadError
from hookplugin.version import __version__

PROMETHEUS: Final = "prometheus"
"""The source of what Prometheus posts to an Alertmanager."""
PATH_OF_PROMETHEUS: Final = "/api/v2/alerts"

_LIMITS: Final = Limits()
_QUIET: Final = 60.0  # seconds between two lines about one status
_MOMENT: Final = 10.0  # seconds
_LONGEST_PATH: Final = 100  # characters
_LONGEST: Final = 500  # characters of what the log says
_PLAIN: Final = {
    "Not Found": "no such path; alerts go to POST /api/v1/alerts/SOURCE",
    "Method Not Allowed": "no such method here; alerts are sent by POST",
}
_LATER: Final = {"Retry-After": "5"}  # seconds
_log = logging.getLogger("hookplugin")


def create_app(host: Host, *, anonymous: bool = True, limits: Limits = _LIMITS) -> FastAPI:
    """Return the ASGI application that takes alerts for a host.

    Args:
        host: fires them; whoever made it closes it. Its outbox is to be a file, else nothing is stored.
        anonymous: whether anybody may send alerts while the configuration names no credentials; if not, nobody may.
        limits: of what comes in.

    """
    server = _Server(host, Intake(limits), anonymous=anonymous)
    handlers: Any = {HTTPException: server.refuse, Exception: server.refuse}
    app = FastAPI(openapi_url=None, redirect_slashes=False, exception_handlers=handlers)
    app.add_middleware(Lingering)

    # an argument `source` would be documented with an answer 422 that there is not
    @app.post("/api/v1/alerts/{source}", response_model=Answer, responses=POSTED, openapi_extra=SOURCE | ANY_JSON)  # noqa: FAST003 - as said above
    async def post_alerts(request: Request) -> Response:
        """Take what a system sends, as its source reads it; 200 once all of it is stored."""
        return await server.take(request, request.path_params["source"])

    @app.post(PATH_OF_PROMETHEUS, response_model=Answer, responses=POSTED, openapi_extra=ALERTS_OF_PROMETHEUS)
    async def post_alerts_of_prometheus(request: Request) -> Response:
        """Take what Prometheus sends to an Alertmanager; 200 once all of it is stored."""
        return await server.take(request, PROMETHEUS)

    @app.get("/healthz", response_model=Health)
    async def healthz() -> Response:
        """Say that the process lives."""
        return _json(Health(status="alive"))

    readiness = Readiness(host, server.has_refused)

    @app.get("/readyz", response_model=Health, responses={503: {"model": Trouble, "description": "Not ready"}})
    async def readyz() -> Response:
        """Say whether alerts can be stored and delivered now."""
        if reasons := await readiness.reasons():
            raise HTTPException(503, f"not ready: {'; '.join(reasons)}")
        return _json(Health(status="ready"))

    @app.get("/metrics", response_class=Response, responses=GUARDED | {200: {"content": {CONTENT_TYPE: {}}}})
    async def metrics(request: Request) -> Response:
        """Return metrics for Prometheus."""
        server.require_access(request)
        return Response(await run_in_threadpool(exposition, host, server.answered.copy()), media_type=CONTENT_TYPE)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        """Describe what is here, as it is configured now."""
        return JSONResponse(_described(app, host.config.serve))

    return app


def _described(app: FastAPI, access: Serve) -> dict[str, Any]:
    """Return the OpenAPI document; it is made once, but for who may send."""
    schemes = security(access)
    any_of_them: list[dict[str, list[str]]] = [{name: []} for name in schemes]
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(title="hookplugin", version=__version__, routes=app.routes)
    found = app.openapi_schema
    paths = {
        path: {
            method: one | ({"security": any_of_them} if "401" in one["responses"] else {}) for method, one in of.items()
        }
        for path, of in found["paths"].items()
    }
    return found | {"paths": paths, "components": found["components"] | {"securitySchemes": schemes}}


class _Server:
    """Take alerts for a host."""

    def __init__(self, host: Host, intake: Intake, *, anonymous: bool) -> None:
        self._host: Final = host
        self._anonymous: Final = anonymous
        self._intake: Final = intake
        self._limiter: Final = anyio.CapacityLimiter(intake.limits.requests)  # what hangs here holds up nothing else
        self._said = ""
        """Why alerts could not be stored, the last time."""
        self._refused_at = -inf
        self._logged_at: Final[dict[int, float]] = {}
        """When each status was logged last: strangers must not fill the log."""
        self.answered: Final[Counter[tuple[str, str]]] = Counter()
        """Requests, by source and status."""

    def has_refused(self) -> bool:
        """Say whether alerts could not be stored a moment ago."""
        return time.monotonic() - self._refused_at < _MOMENT

    def require_access(self, request: Request) -> None:
        require_access(request, self._host.config.serve, anonymous=self._anonymous)

    async def take(self, request: Request, source: str) -> Response:
        """Store the alerts of a request, and say what became of them."""
        self.require_access(request)
        sources = self._host.context.registry.sources
        if source not in sources:
            raise HTTPException(404, f"unknown source {source!r}{nearest(source, sources)}")
        async with self._intake.body(request) as body:
            try:
                answer = answer_to(await anyio.to_thread.run_sync(self._receive, source, body, limiter=self._limiter))
            except PayloadError as error:
                raise HTTPException(400, str(error)) from None
            except NotStoredError as error:
                if str(error) != self._said:
                    _log.error("alerts are refused with 503: %s", error)
                self._said, self._refused_at = str(error), time.monotonic()
                raise HTTPException(503, str(error), _LATER) from None
        if self._said:
            _log.warning("alerts are taken again")
        self._said, self._refused_at = "", -inf
        self.answered[source, "200"] += 1
        return _json(answer)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer what is wrong, in one shape."""
        if not isinstance(error, HTTPException):  # Uvicorn logs it, and closes the connection
            self.answered[self._source_of(request), "500"] += 1
            return _json(trouble("an error of ours; the log has it"), 500, {"Connection": "close"})
        status, said = error.status_code, trouble(_PLAIN.get(error.detail, error.detail))
        self.answered[self._source_of(request), str(status)] += 1
        now = time.monotonic()
        said_lately = now - self._logged_at.get(status, -inf) < _QUIET
        if status < 500 and error.detail != ENDED_EARLY and request.method in {"GET", "POST"} and not said_lately:
            self._logged_at[status] = now
            who, path = request.client.host if request.client else "somebody", request.url.path[:_LONGEST_PATH]
            _log.warning("%s was answered %d to %s %r: %s", who, status, request.method, path, said.error[:_LONGEST])
        return _json(said, status, dict(error.headers or {}))

    def _source_of(self, request: Request) -> str:
        if request.url.path == PATH_OF_PROMETHEUS:
            return PROMETHEUS
        source: str = request.path_params.get("source", "")
        return source if source in self._host.context.registry.sources else ""

    def _receive(self, source: str, body: bytearray) -> Receipt:
        parsed = self._intake.parse(body)
        return self._host.receive(source, body if isinstance(parsed, str) else parsed)  # text would be parsed again


def _json(answer: Answer | Health | Trouble, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(answer.model_dump_json(), status, headers, "application/json")
