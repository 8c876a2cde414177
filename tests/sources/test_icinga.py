"""Variables of our notification command for Icinga 2: what they mean, by the notifications that 2.13.6 made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources.icinga import VARIABLES, parse_icinga

EXAMPLE = Path(__file__).parents[1] / "examples" / "icinga.conf"
SERVICE: dict[str, Any] = {
    "NOTIFICATION_TYPE": "PROBLEM",
    "NOTIFICATION_AUTHOR": "",
    "NOTIFICATION_COMMENT": "",
    "TIMET": "1795950966",
    "USER_NAME": "hookplugin",
    "HOST_NAME": "db1",
    "HOST_DISPLAY_NAME": "Database one",
    "HOST_ADDRESS": "192.0.2.7",
    "HOST_GROUPS": "linux;databases",
    "HOST_STATE": "UP",
    "HOST_LAST_STATE_CHANGE": "0",
    "SERVICE_NAME": "disk",
    "SERVICE_DISPLAY_NAME": "disk",
    "SERVICE_STATE": "CRITICAL",
    "SERVICE_LAST_STATE": "OK",
    "SERVICE_LAST_STATE_CHANGE": "1795950958",
    "SERVICE_PREVIOUS_STATE_CHANGE": "1795950955",
    "SERVICE_OUTPUT": "DISK CRITICAL\n/var 4%\n/home 60%",
    "TAG_TEAM": "storage",
}
HOST = {name: "" if name.startswith("SERVICE") else value for name, value in SERVICE.items()}


def read(payload: object, context: Context | None = None) -> Alert:
    (alert,) = parse_icinga(payload, context or Context())
    return alert


def told(**changes: str) -> Alert:
    return read(SERVICE | changes)


def test_every_field_of_a_problem_of_a_service() -> None:
    alert = told()
    assert alert.given() == {
        "source": "icinga",
        "target": "disk",
        "content": "DISK CRITICAL",
        "priority": Priority.critical,
        "status": Status.firing,
        "tags": {"host": "db1", "service": "disk", "hostgroups": "linux,databases", "team": "storage"},
        "annotations": {
            "notification": "PROBLEM",
            "state": "CRITICAL",
            "long_output": "/var 4%\n/home 60%",
            "address": "192.0.2.7",
            "contact": "hookplugin",
        },
        "first_trigger_time": 1795950958000,
        "last_trigger_time": 1795950966000,
        "fingerprint": alert.fingerprint,
        "raw": SERVICE,
    }


def test_the_ready_command_hands_over_everything_that_is_read_but_a_link() -> None:
    names = set(re.findall(r"^    (ICINGA_\w+) = ", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    variables = VARIABLES
    assert {f"ICINGA_{name}" for name in variables.names} - names == {"ICINGA_LINK"}
    assert all(variables.reads(name) for name in names)


def test_names_with_and_without_prefix_mean_the_same() -> None:
    prefixed = read({f"ICINGA_{name}": value for name, value in SERVICE.items()})
    assert prefixed.model_copy(update={"raw": None}) == told().model_copy(update={"raw": None})


def test_a_host_is_told_of_by_the_same_command() -> None:
    alert = read(HOST | {"HOST_STATE": "DOWN", "HOST_OUTPUT": "gone", "HOST_LAST_STATE_CHANGE": "1795950970.5"})
    assert (alert.target, alert.content, alert.priority) == ("db1", "gone", Priority.critical)
    assert alert.tags == {"host": "db1", "hostgroups": "linux,databases", "team": "storage"}
    assert alert.annotations["alias"] == "Database one"
    assert alert.first_trigger_time == 1795950970500


def test_a_problem_and_its_recovery_have_one_fingerprint_one_beginning_and_one_id() -> None:
    over = told(
        NOTIFICATION_TYPE="RECOVERY",
        SERVICE_STATE="OK",
        SERVICE_LAST_STATE="CRITICAL",
        SERVICE_LAST_STATE_CHANGE="1795950999",
        SERVICE_PREVIOUS_STATE_CHANGE="1795950958",
    )
    assert over.status is Status.recovered
    assert over.priority is Priority.critical
    assert (over.fingerprint, over.first_trigger_time, over.id) == (
        told().fingerprint,
        told().first_trigger_time,
        told().id,
    )
    assert told(SERVICE_LAST_STATE_CHANGE="1795951000").id != told().id


@pytest.mark.parametrize(
    ("kind", "state", "status"),
    [
        ("ACKNOWLEDGEMENT", "CRITICAL", Status.processed),
        ("DOWNTIMESTART", "OK", Status.processed),
        ("DOWNTIMECANCELLED", "OK", Status.recovered),
        ("FLAPPINGSTART", "WARNING", Status.firing),
        ("FLAPPINGEND", "OK", Status.recovered),
        ("FLAPPINGEND", "WARNING", Status.firing),
        ("CUSTOM", "OK", Status.firing),
    ],
)
def test_the_status_says_how_things_stand_after_a_notification(kind: str, state: str, status: Status) -> None:
    alert = told(NOTIFICATION_TYPE=kind, SERVICE_STATE=state, NOTIFICATION_AUTHOR="al", NOTIFICATION_COMMENT="why")
    assert alert.status is status
    assert alert.content == f"{kind} by al (why): DISK CRITICAL"


def test_a_link_is_the_operators() -> None:
    assert told(LINK="https://icinga.example.com/?host=db1").link == "https://icinga.example.com/?host=db1"


def test_the_environment_gives_what_is_read() -> None:
    environment = {f"ICINGA_{name}".encode(): value.encode() for name, value in SERVICE.items()}
    found = VARIABLES.from_environment(environment | {b"ICINGA_PASSWORD": b"S3CR3T", b"ICINGA2_X": b"S3CR3T"})
    assert found == {f"ICINGA_{name}": value for name, value in SERVICE.items()}
    assert VARIABLES.from_environment({b"ICINGA_PASSWORD": b"S3CR3T"}) is None


@pytest.mark.parametrize("payload", [{}, [], {"HOST_NAME": ""}, {"HOST_NAME": "$host.name$"}, {"HOSTNAME": "db1"}])
def test_what_names_no_host_is_no_notification(payload: object) -> None:
    with pytest.raises(ValueError, match=r"no HOST_NAME|should be an object"):
        read(payload)


@given(st.dictionaries(st.sampled_from([*SERVICE, "TAG_", "LINK"]), st.text(max_size=8) | st.integers() | st.floats()))
def test_whatever_variables_hold_there_is_an_alert(variables: dict[str, Any]) -> None:
    assert read({**variables, "HOST_NAME": "db1"}).tags["host"] == "db1"
