"""The context: what a plugin gets to know of its host."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from hookspecs import Alert, Context, Delivery, Outcome, Priority

SEVERITIES = {"page": Priority.emergency, "critical": Priority.warning}


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("emergency", Priority.emergency),
        (" Emergency ", Priority.emergency),
        ("page", Priority.emergency),
        ("PAGE", Priority.emergency),
        ("critical", Priority.warning),
        ("warning", Priority.warning),
    ],
)
def test_a_severity_is_read_as_the_operator_says_or_else_by_its_name(
    severity: str, expected: Priority, caplog: pytest.LogCaptureFixture
) -> None:
    assert Context(severities=SEVERITIES).priority(severity) is expected
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("severity", "said", "key"),
    [
        ("Info", "the severity 'info'", "info"),
        ("0", "the severity '0'", '"0"'),
        ("", "an alert without a severity", '""'),
        (None, "an alert without a severity", '""'),
        (3, "an alert without a severity", '""'),
    ],
)
def test_an_unknown_severity_is_a_warning_and_said_once(
    severity: object, said: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = Context(severities=SEVERITIES)
    view = context.with_settings({})
    assert [context.priority(severity), context.priority(severity), view.priority(severity)] == [Priority.warning] * 3
    message = f"{said} is read as warning; the configuration can say otherwise: severities: {{{key}: critical}}"
    assert caplog.record_tuples == [("hookplugin", logging.WARNING, message)]


def test_what_is_said_of_a_missing_severity_works() -> None:
    assert Context(severities={"": Priority.critical}).priority(None) is Priority.critical


def test_two_hosts_say_it_each() -> None:
    one, other = Context(), Context()
    one.state["mine"] = 1
    assert other.state == {}
    assert one.registry is not other.registry


def test_a_view_shows_its_own_settings_and_shares_the_rest() -> None:
    context = Context(settings={"token": "theirs"}, severities=SEVERITIES)
    view = context.with_settings({"file": "a.log"})
    assert (view.settings, context.settings) == ({"file": "a.log"}, {"token": "theirs"})
    assert view.registry is context.registry
    assert view.state is context.state
    assert view.severities is context.severities


@pytest.mark.parametrize("field", ["registry", "settings", "severities", "state", "other"])
def test_a_context_cannot_be_changed(field: str) -> None:
    context = Context()
    with pytest.raises((FrozenInstanceError, TypeError)):
        setattr(context, field, {})
    assert context.settings == {}


def test_outcomes_are_announced_to_whom_the_host_names_and_to_nobody_else() -> None:
    delivery = Delivery(id="1", alert=Alert(content="a"), receiver="ops", body="hertzbeat")
    heard: list[Any] = []
    context = Context(announce=lambda *told: heard.append(told)).with_settings({})
    assert context.announce
    context.announce(delivery, Outcome(state="dead"))
    assert heard == [(delivery, Outcome(state="dead"))]
    assert Context().announce is None
