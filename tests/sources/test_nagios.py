"""Macros of Nagios: what they mean, by the notifications that Nagios 4.4.6 made."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin import Alert, Context, Priority, Status
from hookplugin.sources.nagios import VARIABLES, parse_nagios

SERVICE: dict[str, Any] = {
    "NOTIFICATIONTYPE": "PROBLEM",
    "HOSTNAME": "db1",
    "HOSTALIAS": "Database one",
    "HOSTADDRESS": "192.0.2.7",
    "HOSTGROUPNAMES": "linux,databases",
    "HOSTSTATE": "UP",
    "HOSTPROBLEMID": "0",
    "HOSTNOTIFICATIONID": "0",
    "LASTHOSTSTATECHANGE": "1795950987",
    "SERVICEDESC": "disk /",
    "SERVICEGROUPNAMES": "storage",
    "SERVICESTATE": "CRITICAL",
    "LASTSERVICESTATE": "OK",
    "LASTSERVICESTATECHANGE": "1795950989",
    "LASTSERVICEOK": "1795950929",
    "SERVICEOUTPUT": "DISK CRITICAL - 4% free",
    "LONGSERVICEOUTPUT": r"/var 4%\n/home 60%",
    "SERVICEPROBLEMID": "17",
    "LASTSERVICEPROBLEMID": "12",
    "SERVICENOTIFICATIONID": "40",
    "SERVICEINFOURL": "http://nagios.example.com/cgi-bin/extinfo.cgi?type=2&host=db1&service=disk+/",
    "CONTACTNAME": "hookplugin",
    "TIMET": "1795950990",
    "_HOSTTEAM": "hosts",
    "_HOSTSITE": "eu1",
    "_SERVICETEAM": "storage",
}
RECOVERY = SERVICE | {"NOTIFICATIONTYPE": "RECOVERY", "SERVICESTATE": "OK", "LASTSERVICESTATE": "CRITICAL"}
DOWN: dict[str, Any] = {
    "NOTIFICATIONTYPE": "PROBLEM",
    "HOSTNAME": "db1",
    "HOSTSTATE": "DOWN",
    "LASTHOSTSTATE": "UP",
    "HOSTOUTPUT": "PING CRITICAL",
    "HOSTPROBLEMID": "18",
    "SERVICEDESC": "$SERVICEDESC$",
    "SERVICESTATE": "",
}


def read(payload: object, context: Context | None = None) -> Alert:
    (alert,) = parse_nagios(payload, context or Context())
    return alert


def told(**changes: str) -> Alert:
    return read(SERVICE | changes)


def test_every_field_of_a_problem_of_a_service() -> None:
    alert = read(SERVICE)
    assert alert.given() == {
        "source": "nagios",
        "target": "disk /",
        "content": "DISK CRITICAL - 4% free",
        "priority": Priority.critical,
        "status": Status.firing,
        "tags": {
            "host": "db1",
            "service": "disk /",
            "hostgroups": "linux,databases",
            "servicegroups": "storage",
            "team": "storage",
            "site": "eu1",
        },
        "annotations": {
            "notification": "PROBLEM",
            "state": "CRITICAL",
            "long_output": "/var 4%\n/home 60%",
            "address": "192.0.2.7",
            "alias": "Database one",
            "contact": "hookplugin",
        },
        "first_trigger_time": 1795950929000,
        "last_trigger_time": 1795950990000,
        "link": SERVICE["SERVICEINFOURL"],
        "event_id": "40",
        "fingerprint": alert.fingerprint,
        "id": alert.id,
        "raw": SERVICE,
    }


def test_names_with_and_without_prefix_mean_the_same() -> None:
    prefixed = read({f"NAGIOS_{name}": value for name, value in SERVICE.items()})
    assert prefixed.model_copy(update={"raw": None}) == read(SERVICE).model_copy(update={"raw": None})


def test_a_problem_of_a_host_is_one_of_the_host_also_where_macros_of_services_stand_unresolved() -> None:
    alert = read(DOWN)
    assert (alert.target, alert.content, alert.priority) == ("db1", "PING CRITICAL", Priority.critical)
    assert alert.tags == {"host": "db1"}
    assert alert.fingerprint != told().fingerprint


@pytest.mark.parametrize(
    ("kind", "state", "status"),
    [
        ("PROBLEM", "WARNING", Status.firing),
        ("RECOVERY", "OK", Status.recovered),
        ("ACKNOWLEDGEMENT", "CRITICAL", Status.processed),
        ("FLAPPINGSTART", "OK", Status.firing),
        ("FLAPPINGSTOP", "OK", Status.recovered),
        ("FLAPPINGSTOP", "WARNING", Status.firing),
        ("FLAPPINGDISABLED", "OK", Status.recovered),
        ("DOWNTIMESTART", "OK", Status.processed),
        ("DOWNTIMEEND", "OK", Status.recovered),
        ("DOWNTIMEEND", "CRITICAL", Status.firing),
        ("DOWNTIMECANCELLED", "UNKNOWN", Status.firing),
        ("CUSTOM", "OK", Status.firing),
        ("", "OK", Status.recovered),
        ("", "UNKNOWN", Status.firing),
        ("SOMETHING NEW", "", Status.firing),
    ],
)
def test_the_status_says_how_things_stand_after_a_notification(kind: str, state: str, status: Status) -> None:
    alert = told(NOTIFICATIONTYPE=kind, SERVICESTATE=state)
    assert alert.status is status
    assert alert.annotations.get("notification", "") == kind


def test_all_of_one_problem_have_one_fingerprint_and_one_id() -> None:
    problem = told()
    again = told(SERVICESTATE="WARNING", LASTSERVICESTATE="CRITICAL", LASTSERVICESTATECHANGE="1795951000", TIMET="1")
    acknowledged = told(NOTIFICATIONTYPE="ACKNOWLEDGEMENT")
    over = read(RECOVERY | {"SERVICEPROBLEMID": "0", "LASTSERVICEPROBLEMID": "17"})
    assert {one.fingerprint for one in (problem, again, acknowledged, over)} == {problem.fingerprint}
    assert {one.id for one in (problem, again, acknowledged, over)} == {problem.id}
    assert told(SERVICEPROBLEMID="18").id != problem.id
    assert told(HOSTNAME="db2").fingerprint != problem.fingerprint


def test_a_custom_notification_begins_and_ends_no_problem_and_says_who_wants_to_be_heard() -> None:
    first, second = (
        told(NOTIFICATIONTYPE="CUSTOM", NOTIFICATIONAUTHOR="alice", NOTIFICATIONCOMMENT="we move the rack", TIMET=time)
        for time in ("1795951000", "1795951001")
    )
    assert first.content == "CUSTOM by alice (we move the rack): DISK CRITICAL - 4% free"
    assert first.fingerprint == second.fingerprint != told().fingerprint
    assert first.id != second.id


def test_what_people_did_stands_before_the_output() -> None:
    alert = told(NOTIFICATIONTYPE="ACKNOWLEDGEMENT", NOTIFICATIONAUTHOR="alice")
    assert alert.content == "ACKNOWLEDGEMENT by alice: DISK CRITICAL - 4% free"
    assert alert.annotations["author"] == "alice"


def test_no_output_is_said_in_words() -> None:
    assert told(SERVICEOUTPUT="").content == "db1/disk / is CRITICAL"
    assert read({"HOSTNAME": "db1"}).content == "db1 is in an unknown state"


@pytest.mark.parametrize(
    ("state", "last", "priority"),
    [
        ("CRITICAL", "OK", Priority.critical),
        ("WARNING", "CRITICAL", Priority.warning),
        ("UNKNOWN", "OK", Priority.warning),
        ("OK", "CRITICAL", Priority.critical),
        ("OK", "WARNING", Priority.warning),
        ("OK", "OK", Priority.warning),
        ("OK", "", Priority.warning),
    ],
)
def test_a_state_is_a_priority_and_a_recovery_has_that_of_its_problem(
    state: str, last: str, priority: Priority, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(SERVICESTATE=state, LASTSERVICESTATE=last).priority is priority
    assert caplog.records == []


def test_the_operator_reads_states_otherwise() -> None:
    context = Context(severities={"down": Priority.emergency, "critical": Priority.warning, "up": Priority.emergency})
    assert read(DOWN, context).priority is Priority.emergency
    assert read(SERVICE, context).priority is Priority.warning
    assert read(DOWN | {"HOSTSTATE": "UP", "LASTHOSTSTATE": "DOWN"}, context).priority is Priority.emergency


def test_an_unknown_state_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert told(SERVICESTATE="ODD").priority is Priority.warning
    assert "the severity 'odd' is read as warning" in caplog.text


@pytest.mark.parametrize(
    ("macros", "began"),
    [
        ({}, 1795950929),
        ({"LASTSERVICEOK": "0"}, 1795950989),
        ({"LASTSERVICEOK": "1795950999"}, 1795950989),
        ({"LASTSERVICEOK": "", "LASTSERVICESTATECHANGE": "soon"}, None),
        ({"SERVICESTATE": "OK"}, 1795950929),
        ({"SERVICESTATE": "OK", "LASTSERVICEOK": "1795950989"}, None),
        ({"SERVICESTATE": "OK", "LASTSERVICEOK": "0"}, None),
    ],
)
def test_a_problem_began_when_all_was_well_for_the_last_time(macros: dict[str, str], began: int | None) -> None:
    alert = told(**macros)
    assert alert.first_trigger_time == (None if began is None else began * 1000)


def test_a_link_needs_website_url() -> None:
    assert told(SERVICEINFOURL="website_url not set/cgi-bin/extinfo.cgi").link is None


def test_custom_variables_never_replace_host_and_service_and_tag_counts_before_them() -> None:
    tags = told(_SERVICEHOST="evil", _HOSTTAG_TEAM="net", TAG_SITE="us1").tags
    assert (tags["host"], tags["team"], tags["site"]) == ("db1", "storage", "us1")


def test_the_environment_gives_what_is_read_and_no_other_custom_variable_than_tags() -> None:
    environment = {f"NAGIOS_{name}".encode(): value.encode() for name, value in SERVICE.items()}
    environment |= {b"NAGIOS__SERVICEPASSWORD": b"S3CR3T", b"NAGIOS_CONTACTPAGER": b"1", b"PATH": b"/bin"}
    environment |= {
        b"NAGIOS__SERVICETAG_TEAM": b"sre",
        b"NAGIOS__HOSTTAG_ROOM": b"7",
        b"NAGIOS_SERVICEOUTPUT": b"\xff\n=",
    }
    found = VARIABLES.from_environment(environment)
    alert = read(found)
    assert alert.content == "\ufffd\n="
    assert alert.tags.items() >= {"team": "sre", "room": "7"}.items()
    assert "site" not in alert.tags
    assert "S3CR3T" not in repr(alert)
    assert isinstance(alert.raw, dict)
    assert not alert.raw.keys() & {"NAGIOS_CONTACTPAGER", "PATH"}


def test_an_environment_without_a_host_is_none() -> None:
    assert VARIABLES.from_environment({b"NAGIOS_HOME": b"/usr", b"HOSTNAME": b"x"}) is None


@pytest.mark.parametrize(
    "payload", [{}, [], "x", None, {"HOSTNAME": " "}, {"HOSTNAME": "$HOSTNAME$"}, {"HOSTNAME": {}}]
)
def test_what_names_no_host_is_no_notification(payload: object) -> None:
    with pytest.raises(ValueError, match=r"no HOSTNAME|should be an object"):
        read(payload)


VALUES = st.text(max_size=8) | st.integers() | st.floats() | st.none() | st.sampled_from(["0", "9" * 30, "-1", "1e999"])


@given(st.dictionaries(st.sampled_from([*SERVICE, "TAG_X", "TAG_", "_HOST"]), VALUES))
def test_whatever_macros_hold_there_is_an_alert(macros: dict[str, Any]) -> None:
    alert = read({**macros, "HOSTNAME": "db1"})
    assert alert.tags["host"] == "db1"
    assert alert.content
