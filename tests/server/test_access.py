"""Who may send alerts, and what the others are told."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import Served

from hookplugin import Config, ConfigError, Host
from hookplugin.assembly import assemble
from hookplugin.document import read_document

Serve = Callable[..., Served]

TOKEN, OTHER, PASSWORD = "token/+S3CR3T==", "next-S3CR3T", "pass:S3CR3T ü"
BASIC = {"username": "ops", "password": PASSWORD}
GUARDED = [("POST", "/api/v1/alerts/json"), ("POST", "/api/v2/alerts"), ("GET", "/metrics")]
OPEN = ["/healthz", "/readyz", "/openapi.json"]


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def ask(served: Served, authorization: str | None, method: str = "POST", path: str = "/api/v1/alerts/json") -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    body = {"content": "x"} if "v1" in path else []
    answer = served.session.request(method, served.url(path), json=body, headers=headers, timeout=30)
    assert "S3CR3T" not in answer.text
    return answer.status_code


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_with_credentials_configured_only_they_open(serve: Serve, method: str, path: str) -> None:
    served = serve({"serve": {"bearer": [OTHER, TOKEN], "basic": BASIC}})
    for right in (f"Bearer {TOKEN}", f"bearer {OTHER}", f"Bearer  {TOKEN} ", basic("ops", PASSWORD)):
        assert ask(served, right, method, path) == 200
    wrong = [
        None, "", "Bearer", "Bearer ", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Basic",
        basic("ops", ""), basic("", PASSWORD), basic("ops", PASSWORD + "x"), basic("opS", PASSWORD),
        f"Bearer ops:{PASSWORD}".encode().decode("latin-1"), f"Digest {TOKEN}", "Basic =", "Basic \xff", "Bearer \xff",
    ]  # fmt: skip
    for one in wrong:
        assert ask(served, one, method, path) == 401


def test_the_challenge_names_what_is_configured(serve: Serve) -> None:
    served = serve({"serve": {"bearer": TOKEN, "basic": [BASIC]}})
    answer = served.post("/api/v1/alerts/json", json={})
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="hookplugin", Basic realm="hookplugin", charset="UTF-8"'
    assert answer.json() == {"error": "valid credentials are needed"}
    served.host.reload({**config_of(served), "serve": {"basic": BASIC}})
    answer = served.post("/api/v1/alerts/json", json={})
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="hookplugin", charset="UTF-8"'


@pytest.mark.parametrize("path", OPEN)
def test_what_says_nothing_of_the_configuration_is_open(serve: Serve, path: str) -> None:
    served = serve({"serve": {"bearer": TOKEN}})
    answer = served.get(path)
    assert answer.status_code == 200
    assert not {"S3CR3T", "ops", "outbox.db"} & set(answer.text.replace('"', " ").split())


def test_the_document_says_how_to_show_who_one_is(serve: Serve) -> None:
    served = serve({"serve": {"bearer": TOKEN}})
    document = served.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    assert document["paths"]["/metrics"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    served.host.reload(config_of(served))
    assert served.get("/openapi.json").json()["paths"]["/metrics"]["get"]["security"] == []


def test_a_reload_counts_at_once(serve: Serve) -> None:
    served = serve({"serve": {"bearer": TOKEN}})
    assert ask(served, f"Bearer {TOKEN}") == 200
    served.host.reload({**config_of(served), "serve": {"bearer": OTHER}})
    assert [ask(served, f"Bearer {one}") for one in (TOKEN, OTHER)] == [401, 200]


def test_a_token_in_a_file_follows_it(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    served = serve({"serve": {"bearer": {"file": str(file)}}})
    assert ask(served, f"Bearer {TOKEN}") == 200
    (tmp_path / "new").write_text(OTHER)
    (tmp_path / "new").replace(file)
    assert [ask(served, f"Bearer {one}") for one in (TOKEN, OTHER)] == [401, 200]
    file.write_text("")  # opens to nobody
    assert [ask(served, one) for one in ("Bearer ", f"Bearer {OTHER}")] == [401, 200]


def test_where_nobody_may_be_anonymous_no_credentials_open_to_nobody(serve: Serve) -> None:
    served = serve(anonymous=False)
    assert [ask(served, None, *one) for one in GUARDED] == [401, 401, 401]
    assert ask(served, "Bearer ") == 401
    assert [served.get(path).status_code for path in OPEN] == [200, 200, 200]


def test_a_page_in_a_browser_cannot_send_alerts_unless_it_has_credentials(serve: Serve) -> None:
    page = {"Origin": "http://evil.example"}
    served = serve()
    answer = served.post("/api/v1/alerts/json", json={"content": "x"}, headers=page)
    assert answer.status_code == 403
    assert served.post("/api/v1/alerts/json", data='{"content": "x"}').status_code == 415  # what needs no leave of ours
    options = served.session.options(served.url("/api/v1/alerts/json"), headers=page, timeout=30)
    assert (options.status_code, [name for name in options.headers if name.startswith("Access-")]) == (405, [])
    served.host.reload({**config_of(served), "serve": {"bearer": TOKEN}})
    headers = {**page, "Authorization": f"Bearer {TOKEN}"}
    assert served.post("/api/v1/alerts/json", json={"content": "x"}, headers=headers).status_code == 200


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "a typo": ({"baerer": TOKEN}, "serve.baerer: unknown key; did you mean 'bearer'?"),
    "a typo within": ({"basic": {**BASIC, "user": "x"}}, "serve.basic[0].user: unknown key; did you mean 'username'?"),
    "no token": ({"bearer": []}, "serve.bearer: should name at least 1"),
    "an empty token": ({"bearer": [""]}, "serve.bearer[0]: should be printable ASCII without spaces"),
    "a token with spaces": ({"bearer": f"{TOKEN} x"}, "serve.bearer[0]: should be printable ASCII without spaces"),
    "an empty password": ({"basic": {"username": "ops", "password": ""}}, "serve.basic[0].password: is empty"),
    "a colon": ({"basic": {**BASIC, "username": "o:s"}}, "serve.basic[0].username: should hold no colon"),
    "no variable": ({"bearer": {"env": "NO_SUCH"}}, "the environment variable 'NO_SUCH' is not set"),
}


@pytest.mark.parametrize(("keys", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_and_no_secret(keys: dict[str, object], mistake: str) -> None:
    with pytest.raises(ConfigError) as told:
        Host({"serve": keys})
    (problem,) = told.value.problems
    assert problem.endswith(mistake)
    assert "S3CR3T" not in problem


def test_what_is_configured_is_not_shown() -> None:
    config = Config.model_validate({"serve": {"bearer": TOKEN, "basic": BASIC}})
    assert "S3CR3T" not in repr(config) + str(config) + config.model_dump_json()


def test_the_example_of_the_readme_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_PASSWORD", PASSWORD)
    for name, token in (("next.token", OTHER), ("hookplugin.token", TOKEN)):
        (tmp_path / name).write_text(f"{token}\n", encoding="utf-8")
    text = (Path(__file__).parents[1] / "examples/serve.yaml").read_text(encoding="utf-8")
    (tmp_path / "hookplugin.yaml").write_text(text, encoding="utf-8")
    _, config = assemble(read_document(tmp_path / "hookplugin.yaml"))
    assert [one.get_secret_value() for one in config.serve.passwords] == [OTHER, TOKEN, PASSWORD]


def config_of(served: Served) -> dict[str, object]:
    """Return what the fixture has configured."""
    config = served.host.config
    return {
        "outbox": config.outbox,
        "receivers": [{"name": one.name, "url": one.address.get_secret_value()} for one in config.receivers],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }
