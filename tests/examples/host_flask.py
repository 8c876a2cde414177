from collections.abc import Mapping
from typing import Any

from flask import Flask, got_request_exception, request

from hookplugin import Alert, Host

HOOKPLUGIN = {
    "outbox": "sqlite:///outbox.db",  # in the working directory
    "receivers": [{"name": "ops", "url": {"env": "OPS_URL"}}],
    "strategies": [{"name": "urgent", "receivers": ["ops"], "priorities": ["emergency", "critical"]}],
}
prices = {1: 5}


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping({"HOOKPLUGIN": HOOKPLUGIN}, **(config or {}))
    host = app.extensions["hookplugin"] = Host(app.config["HOOKPLUGIN"])

    @got_request_exception.connect_via(app)
    def tell(_: Flask, exception: BaseException, **_more: object) -> None:
        content = f"{type(exception).__name__}: {exception}"
        host.fire(Alert(content=content, target=request.path, priority="critical", tags={"app": app.name}))

    @app.get("/prices/<int:number>")
    def price(number: int) -> str:
        return f"{prices[number]} EUR"

    return app
