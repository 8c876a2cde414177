"""A program's own logging: what becomes of a record, and what a handler must never do to its program."""

from __future__ import annotations

import json
import logging
import logging.config
import logging.handlers
import os
import subprocess
import sys
import textwrap
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Priority
from hookplugin.hosts.logging import LONGEST_LINE, LONGEST_TEXT, AlertHandler, alert_of

Config: TypeAlias = dict[str, Any]
Attach: TypeAlias = Callable[[logging.Handler], None]

EXAMPLE = Path(__file__).parents[1] / "examples/program.py"
PATIENCE = 30.0
LOGGER = "shop.orders"


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Add handlers to a logger of the program's own; they are closed at the end."""
    logger, attached = logging.getLogger(LOGGER), list[logging.Handler]()

    def add(handler: logging.Handler) -> None:
        attached.append(handler)
        logger.addHandler(handler)

    yield add
    for handler in attached:
        logger.removeHandler(handler)
        handler.close()


def heard(server: HTTPServer) -> list[dict[str, Any]]:
    return [json.loads(request.get_data()) for request, _ in server.log]


def record(
    message: object = "x", *arguments: object, level: int = logging.ERROR, **others: object
) -> logging.LogRecord:
    made = logging.LogRecord(LOGGER, level, "/srv/shop/orders.py", 88, message, arguments, None, "pay")
    made.__dict__.update(others)
    return made


# What becomes of a record


def test_an_error_arrives_field_by_field(config: Config, attach: Attach, httpserver: HTTPServer) -> None:
    names = ("content", "target", "source", "tags", "annotations", "last_trigger_time", "first_trigger_time")
    told = {name: f"{{{{ alert.{name} }}}}" for name in names}
    config["bodies"] = [{"name": "all", "json": {**told, "priority": "{{ alert.priority.name }}"}}]
    config["receivers"][0]["body"] = "all"
    handler = AlertHandler(config)
    attach(handler)
    message = "no such card"
    try:
        raise ValueError(message)  # noqa: TRY301 - the subject
    except ValueError:
        logging.getLogger(LOGGER).exception(
            "order %d could not be paid\nit waits", 7, extra={"tags": {"env": "prod", "shop": 3}}
        )
        written = traceback.format_exc()
    handler.close()
    (body,) = heard(httpserver)
    assert isinstance(body.pop("last_trigger_time"), int)
    assert body["annotations"].pop("place").startswith(f"{__file__}:")
    assert body == {
        "content": "order 7 could not be paid",
        "target": LOGGER,
        "source": "logging",
        "priority": "critical",
        "tags": {"logger": LOGGER, "level": "ERROR", "env": "prod", "shop": 3},
        "annotations": {
            "message": "order 7 could not be paid\nit waits",
            "exception": "ValueError: no such card",
            "traceback": written,
        },
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, Priority.warning),
        (logging.WARNING, Priority.warning),
        (logging.ERROR - 1, Priority.warning),
        (logging.ERROR, Priority.critical),
        (logging.CRITICAL, Priority.critical),
    ],
)
def test_errors_and_worse_are_critical_and_the_level_is_a_tag(level: int, priority: Priority) -> None:
    alert = alert_of(record(level=level))
    assert alert.priority is priority
    assert alert.tags["level"] == logging.getLevelName(level)


def test_only_records_of_the_level_fire(config: Config, attach: Attach, httpserver: HTTPServer) -> None:
    errors, warnings = AlertHandler(config), AlertHandler(config, level="WARNING")
    logger = logging.getLogger(LOGGER)
    attach(errors)
    logger.warning("only a warning")
    logger.error("first")
    errors.close()
    logger.removeHandler(errors)
    attach(warnings)
    logger.info("nothing")
    logger.warning("second")
    warnings.close()
    assert [body["content"] for body in heard(httpserver)] == ["first", "second"]


def test_the_same_place_with_other_arguments_is_the_same_alert() -> None:
    first, second = alert_of(record("order %d failed", 1)), alert_of(record("order %d failed", 2, lineno=99))
    assert first.content != second.content
    assert first.fingerprint == second.fingerprint
    assert first.id == second.id


@pytest.mark.parametrize(
    "other",
    [
        record("payment %d failed", 1),
        record("order %d failed", 1, name="shop.payments"),
        record("order %d failed", 1, exc_info=(ValueError, ValueError("x"), None)),
        record("order %d failed", 1, tags={"shop": 2}),
    ],
    ids=["message", "logger", "exception", "tags"],
)
def test_another_message_logger_exception_or_tag_is_another_alert(other: logging.LogRecord) -> None:
    assert alert_of(other).fingerprint != alert_of(record("order %d failed", 1, tags={})).fingerprint


def test_a_storm_is_told_once_within_repeat(config: Config, attach: Attach, httpserver: HTTPServer) -> None:
    config["strategies"] = [{"name": "all", "receivers": ["ops"], "repeat": "1h"}]
    handler = AlertHandler(config)
    attach(handler)
    for number in range(50):
        logging.getLogger(LOGGER).error("order %d failed", number)
    logging.getLogger(LOGGER).error("another thing failed")
    handler.close()
    assert [body["content"] for body in heard(httpserver)] == ["order 0 failed", "another thing failed"]


@pytest.mark.parametrize(
    ("message", "arguments", "content"),
    [
        ("\n\n  second line \n third", (), "second line"),
        ("%d apples", ("no",), "%d apples"),
        ("%d apples", (), "%d apples"),
        ({"not": "text"}, (), "{'not': 'text'}"),
        ("", (), "ERROR"),
        ("y" * 5000, (), "y" * (LONGEST_LINE - 1) + "…"),
    ],
)
def test_the_content_is_the_first_line_that_says_something(
    message: object, arguments: tuple[object, ...], content: str
) -> None:
    assert alert_of(record(message, *arguments)).content == content


def test_without_a_message_the_exception_speaks() -> None:
    assert alert_of(record("", exc_info=(KeyError, KeyError("card"), None))).content == "KeyError: 'card'"


def test_of_a_long_traceback_the_end_is_kept() -> None:
    error = ValueError("x" * 2 * LONGEST_TEXT + "the end")
    kept = alert_of(record(exc_info=(ValueError, error, None))).annotations["traceback"]
    assert isinstance(kept, str)
    assert len(kept) == LONGEST_TEXT
    assert kept.endswith("xthe end\n")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)


TAGS = ANYTHING | st.dictionaries(st.text() | st.integers() | st.none(), ANYTHING, max_size=4)


@given(message=ANYTHING, arguments=st.lists(ANYTHING, max_size=2), tags=TAGS)
def test_whatever_a_program_logs_becomes_an_alert(message: object, arguments: list[object], tags: object) -> None:
    alert = alert_of(record(message, *arguments, tags=tags))
    assert isinstance(alert, Alert)
    assert len(alert.content) <= LONGEST_LINE
    assert alert.content


# What it must never do


@pytest.mark.parametrize("name", ["hookplugin", "hookplugin.outbox", "requests.sessions", "urllib3.connectionpool"])
def test_records_of_ours_and_of_what_sends_for_us_fire_nothing(
    name: str, config: Config, httpserver: HTTPServer
) -> None:
    handler = AlertHandler(config)
    handler.handle(logging.makeLogRecord({"name": name, "levelno": logging.ERROR, "msg": "no"}))
    handler.handle(logging.makeLogRecord({"name": "requests_of_shops", "levelno": logging.ERROR, "msg": "yes"}))
    handler.close()
    assert [body["content"] for body in heard(httpserver)] == ["yes"]


PLUGIN = """
    import logging
    from hookplugin import hookimpl

    log = logging.getLogger("plugin_that_logs")

    @hookimpl
    def alert_configure(context):
        log.error("configured")

    @hookimpl
    def alert_fired(alert, context):
        log.error("fired")

    @hookimpl
    def alert_delivered(delivery, outcome, context):
        log.error("delivered")
"""


def test_what_is_logged_while_one_is_fired_or_delivered_fires_nothing(
    config: Config, install: Callable[..., None], httpserver: HTTPServer
) -> None:
    install("talkative", PLUGIN, target="plugin_that_logs", package="plugin-that-logs")
    seen = logging.handlers.BufferingHandler(100)
    handler = AlertHandler(config)
    logger = logging.getLogger("plugin_that_logs")
    logger.addHandler(seen)
    logger.addHandler(handler)
    try:
        logger.error("one thing")
        handler.close()
    finally:
        logger.removeHandler(handler)
        logger.removeHandler(seen)
    assert [one.getMessage() for one in seen.buffer] == ["one thing", "configured", "fired", "delivered"]
    assert [body["content"] for body in heard(httpserver)] == ["one thing"]


def test_a_configuration_that_is_wrong_is_logged_and_the_program_goes_on(
    attach: Attach, caplog: pytest.LogCaptureFixture
) -> None:
    attach(AlertHandler({"receivers": [{"nam": "ops"}]}))
    with caplog.at_level(logging.ERROR, "hookplugin"):
        logging.getLogger(LOGGER).error("first")
    (said,) = [one.getMessage() for one in caplog.records if one.name == "hookplugin"]
    assert "receivers[0].nam: unknown key; did you mean 'name'?" in said


class _Hostile:
    def __str__(self) -> str:
        message = "no text of mine"
        raise RuntimeError(message)


def test_a_record_that_cannot_be_written_is_logged_and_the_next_one_fires(
    config: Config, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    handler = AlertHandler(config)
    handler.handle(record(_Hostile()))
    handler.handle(record("next"))
    handler.close()
    assert f"a record of the logger '{LOGGER}' fired no alert: RuntimeError: no text of mine" in caplog.messages
    assert [body["content"] for body in heard(httpserver)] == ["next"]


def test_a_dead_receiver_does_not_hold_the_program(config: Config, attach: Attach, httpserver: HTTPServer) -> None:
    answered = threading.Event()

    def hang(_: object) -> Any:
        answered.wait(PATIENCE)

    httpserver.clear()
    httpserver.expect_request("/ops").respond_with_handler(hang)
    attach(AlertHandler(config))
    for number in range(20):
        logging.getLogger(LOGGER).error("order %d failed", number)
    assert not answered.is_set()  # nobody has answered, and all of them returned
    answered.set()


def test_threads_may_log_at_once(config: Config, attach: Attach, httpserver: HTTPServer) -> None:
    handler = AlertHandler(config)
    attach(handler)
    logger, begin = logging.getLogger(LOGGER), threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait(PATIENCE)
        for _ in range(5):
            logger.error("thread %d failed", number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    handler.close()
    assert Counter(body["content"] for body in heard(httpserver)) == {f"thread {n} failed": 5 for n in range(8)}


def test_a_queue_handler_may_stand_before_it(config: Config, attach: Attach, httpserver: HTTPServer) -> None:
    queue: SimpleQueue[Any] = SimpleQueue()
    handler = AlertHandler(config)
    listener = logging.handlers.QueueListener(queue, handler, respect_handler_level=True)
    attach(logging.handlers.QueueHandler(queue))
    listener.start()
    logging.getLogger(LOGGER).warning("not this")
    logging.getLogger(LOGGER).error("order %d failed", 7)
    listener.stop()
    handler.close()
    assert [body["content"] for body in heard(httpserver)] == ["order 7 failed"]


def test_a_filter_may_reject_records_and_add_tags(config: Config, httpserver: HTTPServer) -> None:
    class Tag(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            record.tags = {"env": "prod"}
            return "noise" not in record.getMessage()

    handler = AlertHandler(config)
    handler.addFilter(Tag())
    assert not handler.handle(record("noise"))
    assert handler.handle(record("signal"))
    handler.close()
    ((body,),) = [heard(httpserver)]
    assert (body["content"], body["tags"]["env"]) == ("signal", "prod")


def test_nothing_is_loaded_before_the_first_record(tmp_path: Path) -> None:
    handler = AlertHandler(tmp_path / "missing.yaml")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hookplugin-")]
    handler.close()


# Whole programs


def run(code: str, config: Config, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that finds its configuration, and ends by itself."""
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "HOOKPLUGIN_CONFIG"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_a_program_configures_it_by_a_dict_and_what_it_logs_last_arrives(
    config: Config, tmp_path: Path, httpserver: HTTPServer
) -> None:
    del config["outbox"]  # in memory: it has to be delivered before the program ends
    code = """
        import atexit, logging.config
        logging.config.dictConfig({
            "version": 1,
            "handlers": {"alerts": {"class": "hookplugin.hosts.logging.AlertHandler", "level": "WARNING"}},
            "root": {"handlers": ["alerts"]},
        })
        logging.info("nothing")
        logging.warning("going down")
        raise SystemExit(3)
    """
    done = run(code, config, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert [(body["content"], body["target"]) for body in heard(httpserver)] == [("going down", "root")]


def test_the_configuration_may_stand_inside_of_the_dict(config: Config, tmp_path: Path, httpserver: HTTPServer) -> None:
    handlers = {"alerts": {"class": "hookplugin.hosts.logging.AlertHandler", "config": config}}
    settings = {"version": 1, "handlers": handlers, "root": {"handlers": ["alerts"]}}
    code = f"import logging.config; logging.config.dictConfig({settings!r}); logging.error('inside')"
    done = run(code, {}, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [body["content"] for body in heard(httpserver)] == ["inside"]


def test_the_example_fires(config: Config, tmp_path: Path, httpserver: HTTPServer) -> None:
    done = run(EXAMPLE.read_text(encoding="utf-8"), config, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "order 7 could not be paid\n")
    (body,) = heard(httpserver)
    assert body["tags"] == {"logger": "shop", "level": "ERROR", "env": "prod"}


def test_a_program_that_forks_fires_from_parent_and_children(
    config: Config, tmp_path: Path, httpserver: HTTPServer
) -> None:
    code = """
        import logging, os
        from hookplugin.hosts.logging import AlertHandler
        logging.getLogger().addHandler(AlertHandler())
        logging.error("before")
        children = []
        for number in range(3):
            child = os.fork()
            if not child:
                logging.error("child %d", number)
                logging.shutdown()
                os._exit(0)
            children.append(child)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
        logging.error("after")
    """
    done = run(code, config, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(body["content"] for body in heard(httpserver)) == ["after", "before", "child 0", "child 1", "child 2"]


def test_what_is_logged_when_all_is_closed_harms_nobody(config: Config, tmp_path: Path, httpserver: HTTPServer) -> None:
    code = """
        import logging
        from hookplugin.hosts.logging import AlertHandler
        class Late:
            def __del__(self):
                logging.error("too late")
        logging.getLogger().addHandler(AlertHandler())
        logging.error("in time")
        late = Late()
    """
    done = run(code, config, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [body["content"] for body in heard(httpserver)][:1] == ["in time"]
