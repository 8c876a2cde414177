"""A host takes another configuration while it runs: all of it or nothing, and nothing is lost on the way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import hookplugin
from hookplugin import Alert, ConfigError, Host

Keys: TypeAlias = dict[str, Any]

ALERT = Alert(content="disk full", priority="critical", tags={"env": "prod"})


@pytest.fixture(scope="session")
def make_httpserver() -> Iterator[HTTPServer]:
    """Serve several requests at once."""
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture
def config(httpserver: HTTPServer) -> Keys:
    """Return a configuration whose only receiver hears of everything."""
    for path in ("/ops", "/pager"):
        httpserver.expect_request(path).respond_with_data()
    return {
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }


@pytest.fixture
def file(tmp_path: Path, config: Keys) -> Path:
    return write(tmp_path / "hookplugin.yaml", config)


def write(path: Path, config: Keys) -> Path:
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def heard(server: HTTPServer) -> list[str]:
    """Return the paths that were asked for."""
    return [request.path for request, _ in server.log]


def told(host: Host, alert: Alert = ALERT) -> list[str]:
    """Fire an alert, wait until all who are to hear of it have, and return who they are."""
    receipt = host.fire(alert)
    assert all(outcome and outcome.state == "delivered" for outcome in host.wait(receipt).values())
    return [delivery.receiver for delivery in receipt.deliveries]


def with_pager(config: Keys, server: HTTPServer) -> Keys:
    receivers = [*config["receivers"], {"name": "pager", "url": server.url_for("/pager")}]
    return config | {"receivers": receivers, "strategies": [{"name": "new", "receivers": ["pager", "ops"]}]}


def test_a_file_is_read_again_also_from_another_directory(
    httpserver: HTTPServer, file: Path, config: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    config["outbox"] = "sqlite:///outbox.db"
    write(file, config)
    with Host.from_file(file.name) as host:
        assert told(host) == ["ops"]
        monkeypatch.chdir("elsewhere")
        write(file, with_pager(config, httpserver))
        assert told(host) == ["ops"]  # not before it is asked to
        host.reload()
        assert told(host) == ["pager", "ops"]


def test_a_dict_is_read_again_also_from_another_directory(
    httpserver: HTTPServer, config: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    config["outbox"] = "sqlite:///outbox.db"
    with Host(config) as host:
        monkeypatch.chdir("elsewhere")
        config |= with_pager(config, httpserver)
        host.reload()
        assert told(host) == ["pager", "ops"]


def test_a_file_that_is_given_to_a_host_made_from_a_dict_counts_from_its_own_folder(
    config: Keys, httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "etc" / "token").write_text("from-etc", encoding="utf-8")
    (tmp_path / "run" / "token").write_text("from-run", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "run")
    config["receivers"][0]["auth"] = {"bearer": {"file": "token"}}
    write(tmp_path / "etc" / "hookplugin.yaml", config)
    with Host(config) as host:
        assert told(host) == ["ops"]
        monkeypatch.chdir(tmp_path)
        for given in ("etc/hookplugin.yaml", None):
            host.reload(given)
            assert told(host) == ["ops"]
    sent = [request.headers["Authorization"] for request, _ in httpserver.log]
    assert sent == ["Bearer from-run", "Bearer from-etc", "Bearer from-run"]


@pytest.mark.parametrize("make", [dict, hookplugin.Config.model_validate], ids=["dict", "Config"])
def test_a_configuration_that_is_given_is_taken_once(
    httpserver: HTTPServer, config: Keys, make: Callable[[Keys], Any]
) -> None:
    with Host(make(config)) as host:
        host.reload(make(with_pager(config, httpserver)))
        assert told(host) == ["pager", "ops"]
        host.reload()
        assert told(host) == ["ops"]


def test_strategies_severities_and_zones_count_at_once(config: Keys) -> None:
    page = {"alerts": [{"labels": {"alertname": "x", "severity": "page"}}]}
    hour = datetime.now(UTC).hour
    now, in_six_hours = (f"{at % 24:02}:00-{(at + 2) % 24:02}:00" for at in (hour - 1, hour + 5))
    with Host(config) as host:
        host.reload(config | {"severities": {"page": "emergency"}})
        assert [one.alert.priority.name for one in host.receive("alertmanager", page).deliveries] == ["emergency"]
        for zone, period, expected in (
            ("UTC", now, ["ops"]),
            ("Etc/GMT-6", now, []),  # six hours later there
            ("Etc/GMT-6", in_six_hours, ["ops"]),
            ("UTC", in_six_hours, []),
        ):
            strategy = {**config["strategies"][0], "period": period}
            host.reload(config | {"timezone": zone, "strategies": [strategy]})
            assert told(host) == expected


def test_dispatching_begins_and_ends_with_a_reload(httpserver: HTTPServer, config: Keys, tmp_path: Path) -> None:
    config |= {"outbox": f"sqlite:///{tmp_path}/outbox.db", "dispatch": False}
    with Host(config) as host:
        waits = host.fire(ALERT)
        assert host.wait(waits, 0.3) == dict.fromkeys(waits.accepted)
        host.reload(config | {"dispatch": True})
        assert all(host.wait(waits).values())
        assert told(host) == ["ops"]
        host.reload()
        waits = host.fire(ALERT)
        assert host.wait(waits, 0.3) == dict.fromkeys(waits.accepted)
        assert host.close() == 1
    assert heard(httpserver) == ["/ops", "/ops"]


def test_a_retry_goes_to_the_url_as_it_is_by_then_and_what_is_accepted_later_has_another_max_age(
    httpserver: HTTPServer, config: Keys
) -> None:
    failed = threading.Event()

    def fail(_: Request) -> Response:
        failed.set()
        return Response(status=503)

    httpserver.expect_request("/down").respond_with_handler(fail)
    down = {"name": "ops", "url": httpserver.url_for("/down")}
    with Host(config | {"receivers": [down]}) as host:
        first = host.fire(ALERT)
        assert failed.wait(10)
        host.reload(config)
        assert [outcome and outcome.state for outcome in host.wait(first).values()] == ["delivered"]
        host.reload(config | {"receivers": [down | {"retry": {"max_age": "500ms"}}]})
        (outcome,) = host.wait(host.fire(ALERT)).values()  # the first retry would come after that
    assert outcome
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", "server_error", 503)
    assert heard(httpserver) == ["/down", "/ops", "/down"]
    ids = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert ids[:2] == [*first.accepted] * 2


def test_a_receiver_that_answered_410_hears_again_once_its_url_has_changed(
    httpserver: HTTPServer, config: Keys
) -> None:
    httpserver.expect_request("/gone").respond_with_data("never again", status=410)
    gone = config | {"receivers": [{"name": "ops", "url": httpserver.url_for("/gone")}]}
    with Host(gone) as host:
        for status in (410, None):  # it is asked once
            (outcome,) = host.wait(host.fire(ALERT)).values()
            assert outcome
            assert (outcome.state, outcome.reason, outcome.status) == ("dead", "gone", status)
        host.reload()
        (outcome,) = host.wait(host.fire(ALERT)).values()
        assert outcome
        assert outcome.reason == "gone"
        host.reload(config)
        assert told(host) == ["ops"]
    assert heard(httpserver) == ["/gone", "/ops"]


def test_the_limits_of_a_receiver_count_at_once(httpserver: HTTPServer, config: Keys) -> None:
    three, go = threading.Barrier(3 + 1), threading.Event()

    def slow(_: Request) -> Response:
        three.wait(10)
        go.wait(10)
        return Response()

    httpserver.expect_request("/slow").respond_with_handler(slow)
    config["receivers"][0] |= {"url": httpserver.url_for("/slow"), "max_in_flight": 1}
    with Host(config) as host:
        receipt = host.fire_all(Alert(content=str(number)) for number in range(3))
        config["receivers"][0]["max_in_flight"] = 3
        host.reload()
        three.wait(10)  # three requests are on the wire at once
        go.set()
        assert all(outcome and outcome.state == "delivered" for outcome in host.wait(receipt).values())


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ("strategies: [", r":5: is not YAML"),
        ("strategis: []", r":4: strategis: unknown key; did you mean 'strategies'\?"),
        ("strategies:\n- {name: all, receivers: [op]}", r":5: strategies\[0\]\.receivers\[0\]: unknown receiver 'op'"),
        ("timezone: Mars/Olympus\nstrategies: [{name: x, receivers: [ops], repeat: soon}]", r":4: (.|\n)*:5: "),
        ("strategies: [{name: x, receivers: [ops], filters: [none]}]", r":4: .*unknown filter 'none'"),
        ("outbox: sqlite:///other.db", r":4: outbox: cannot change while the host runs; start it anew$"),
        ("plugins: {disabled: [webhook]}", r":4: plugins: cannot change while the host runs; start it anew$"),
        ("outbox: sqlite:///a.db\nplugins: {required: [webhook]}", r":4: outbox: (.|\n)*:5: plugins: cannot change"),
        ("durability: normal", r":4: durability: cannot change while the host runs; start it anew$"),
        ("max_pending: 5", r":4: max_pending: cannot change while the host runs; start it anew$"),
        ("dispatch: false", r":4: dispatch: needs an outbox file"),
        (None, r"hookplugin\.yaml: cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_host_goes_on_as_before(
    httpserver: HTTPServer, file: Path, more: str | None, mistake: str
) -> None:
    with Host(file) as host:
        before = host.context
        if more is None:
            file.unlink()
        else:
            url = httpserver.url_for("/pager")
            file.write_text(f"receivers:\n- name: ops\n  url: {url}\n{more}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=mistake) as caught:
            host.reload()
        assert all(problem.startswith(str(file)) for problem in caught.value.problems)
        assert host.context is before
        assert told(host) == ["ops"]
        assert [one.receiver for one in host.explain(ALERT).receivers] == ["ops"]
    assert heard(httpserver) == ["/ops"]


def test_variables_are_read_again(httpserver: HTTPServer, config: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    config["receivers"][0] |= {"url": {"env": "OPS_URL"}, "auth": {"bearer": {"env": "OPS_TOKEN"}}}
    monkeypatch.setenv("OPS_URL", httpserver.url_for("/ops"))
    monkeypatch.setenv("OPS_TOKEN", "first")
    with Host(config) as host:
        assert told(host) == ["ops"]
        monkeypatch.setenv("OPS_URL", httpserver.url_for("/pager"))
        monkeypatch.setenv("OPS_TOKEN", "second")
        assert told(host) == ["ops"]
        host.reload()
        assert told(host) == ["ops"]
        monkeypatch.delenv("OPS_TOKEN")
        with pytest.raises(ConfigError, match="the environment variable 'OPS_TOKEN' is not set"):
            host.reload()
    sent = [(request.path, request.headers["Authorization"]) for request, _ in httpserver.log]
    assert sent == [("/ops", "Bearer first")] * 2 + [("/pager", "Bearer second")]


def test_what_is_on_the_wire_is_delivered_as_it_was_begun(httpserver: HTTPServer, config: Keys) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_: Request) -> Response:
        begun.set()
        go.wait(10)
        return Response(status=202)

    httpserver.expect_request("/slow").respond_with_handler(slow)
    slowly = config | {"receivers": [{"name": "ops", "url": httpserver.url_for("/slow"), "max_in_flight": 1}]}
    with Host(slowly) as host:
        first, second = host.fire(ALERT), host.fire(ALERT)
        assert begun.wait(10)
        host.reload(slowly | {"receivers": [{"name": "ops", "url": httpserver.url_for("/ops"), "max_in_flight": 1}]})
        assert list(host.wait(first, 0).values()) == [None]
        go.set()
        outcomes = [outcome and outcome.status for one in (first, second) for outcome in host.wait(one).values()]
    assert outcomes == [202, 200]
    assert heard(httpserver) == ["/slow", "/ops"]


def test_what_waits_for_a_receiver_that_is_gone_is_told_and_goes_out_when_it_is_back(
    httpserver: HTTPServer, config: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_: Request) -> Response:
        begun.set()
        go.wait(10)
        return Response()

    httpserver.expect_request("/slow").respond_with_handler(slow)
    config["receivers"][0] |= {"url": httpserver.url_for("/slow"), "max_in_flight": 1}
    without = with_pager(config, httpserver)
    del without["receivers"][0]
    without["strategies"] = [{"name": "new", "receivers": ["pager"]}]
    with Host(config) as host:
        receipt = host.fire_all([ALERT] * 3)
        assert begun.wait(10)
        host.reload(without)
        assert [record.getMessage() for record in caplog.records if record.name == "hookplugin"] == [
            "for 'ops', configured no more, deliveries wait until max_age: 3"  # one of them is on the wire
        ]
        caplog.clear()
        go.set()
        assert told(host) == ["pager"]
        states = [outcome and outcome.state for outcome in host.wait(receipt, 0.1).values()]
        assert sorted(states, key=str) == [None, None, "delivered"]
        host.reload()
        assert all(host.wait(receipt).values())
        host.reload(without)  # nothing waits any more
        assert "configured no more" not in caplog.text
    assert sorted(heard(httpserver)) == ["/pager", "/slow", "/slow", "/slow"]


def test_threads_that_fire_all_the_while_lose_nothing(httpserver: HTTPServer, config: Keys) -> None:
    both = with_pager(config, httpserver)
    accepted: list[str] = []

    def fire(host: Host, name: int) -> None:
        for number in range(50):
            receipt = host.fire(Alert(content=f"{name} {number}"))
            assert {one.receiver for one in receipt.deliveries} in ({"ops"}, {"ops", "pager"})
            assert receipt.refused == ()
            accepted.extend(receipt.accepted)

    with Host(both) as host:
        threads = [threading.Thread(target=fire, args=(host, name)) for name in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20):
            host.reload({**both, "strategies": (both, config)[number % 2]["strategies"]})
        for thread in threads:
            thread.join()
    assert len(set(accepted)) >= 200
    assert sorted(accepted) == sorted(request.headers["webhook-id"] for request, _ in httpserver.log)


def test_plugins_see_the_new_zone_and_severities_and_keep_their_settings_and_state(
    config: Keys, install: Callable[..., None]
) -> None:
    install(
        "mine",
        """
        from queue import SimpleQueue

        from hookplugin import hookimpl

        seen, configured, told = [], [], SimpleQueue()

        @hookimpl
        def alert_configure(context):
            configured.append(context.settings["answer"])

        @hookimpl
        def alert_fired(context):
            context.state["mine"] = context.state.get("mine", 0) + 1
            seen.append((str(context.timezone), context.priority("page").name, dict(context.settings), context.state["mine"]))

        @hookimpl
        def alert_delivered(context):
            told.put(str(context.timezone))
        """,  # noqa: E501 - code of a plugin
    )
    config |= {"plugins": {"settings": {"mine": {"answer": 42}}}, "severities": {"page": "critical"}}
    config["timezone"] = "Asia/Tokyo"
    with Host(config, strict=True) as host:
        plugin = vars(sys.modules["hookplugin_mine"])
        told(host)
        assert plugin["told"].get(timeout=10) == "Asia/Tokyo"
        config |= {"timezone": "Europe/Berlin", "severities": {"page": "emergency"}}
        host.reload()
        assert (str(host.context.timezone), host.context.settings) == ("Europe/Berlin", {})
        told(host)
        assert plugin["told"].get(timeout=10) == "Europe/Berlin"
        with pytest.raises(ConfigError, match="plugins: cannot change"):
            host.reload(config | {"plugins": {"settings": {"mine": {"answer": 43}}}})
    assert plugin["configured"] == [42]
    assert plugin["seen"] == [
        ("Asia/Tokyo", "critical", {"answer": 42}, 1),
        ("Europe/Berlin", "emergency", {"answer": 42}, 2),
    ]
    assert plugin["told"].empty()


def test_a_host_without_our_plugin_reloads_too(config: Keys) -> None:
    config["plugins"] = {"disabled": ["webhook"]}
    with Host(config) as host:
        host.reload(config | {"timezone": "Asia/Tokyo"})
        assert str(host.context.timezone) == "Asia/Tokyo"
