"""Icinga 2 notifies by the command of the README."""

from __future__ import annotations

import getpass
import grp
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notifying import MORE, ODD, Monitored, order, watching
from pytest_httpserver import HTTPServer

EXAMPLE = Path(__file__).parents[1] / "examples" / "icinga.conf"
OBJECTS = """
object CheckerComponent "checker" {{ }}
object NotificationComponent "notification" {{ }}
object ExternalCommandListener "commands" {{ command_path = "{folder}/commands" }}
object CheckCommand "check" {{ command = [ "{check}" ] }}
object HostGroup "linux" {{ }}
object HostGroup "databases" {{ }}
object Host "db1" {{
  check_command = "check"
  enable_active_checks = false
  max_check_attempts = 1
  display_name = "Database one"
  address = "192.0.2.7"
  groups = [ "linux", "databases" ]
  vars.snmp_community = "S3CR3T"
}}
object Service "disk" {{
  host_name = "db1"
  check_command = "check"
  check_interval = 1s
  retry_interval = 1s
  max_check_attempts = 1
  vars.team = "storage"
}}
"""
FOLDERS = ("DataDir", "LogDir", "InitRunDir", "CacheDir", "SpoolDir", "ConfigDir")
FILES = ("PidPath", "VarsPath", "ObjectsPath", "ModAttrPath", "StatePath")


@pytest.fixture
def icinga(foreign: Callable[..., str], tmp_path: Path, httpserver: HTTPServer) -> Iterator[Monitored]:
    """Run Icinga with a host and a service, and our notifications."""
    program = foreign("icinga2", package="icinga2-bin icinga2-common")
    monitored = Monitored(tmp_path, httpserver)
    monitored.becomes(2, ODD + b"|time=3\n" + MORE)
    configuration = tmp_path / "icinga2.conf"
    objects = OBJECTS.format(folder=tmp_path, check=monitored.check)
    configuration.write_text(objects + monitored.ready(EXAMPLE), encoding="utf-8")
    places = {"RunAsUser": getpass.getuser(), "RunAsGroup": grp.getgrgid(os.getgid()).gr_name}
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    places |= {name: str(tmp_path / name) for name in FOLDERS}
    places |= {name: str(tmp_path / "DataDir" / name) for name in FILES}
    defined = [f"-D{name}={value}" for name, value in places.items()]
    with watching([program, "daemon", "-c", configuration, *defined], monitored, tmp_path):
        yield monitored


def test_a_problem_its_acknowledgement_and_its_recovery_arrive_as_icinga_tells_them(
    icinga: Monitored, tmp_path: Path
) -> None:
    firing = icinga.told(0)
    content = ODD.decode(errors="replace")
    began, told = firing.pop("first_trigger_time"), firing.pop("last_trigger_time")
    fixed: dict[str, Any] = {name: firing.pop(name) for name in ("fingerprint", "id")}
    assert firing == {
        "source": "icinga",
        "target": "disk",
        "content": content,
        "priority": "critical",
        "status": "firing",
        "tags": {"host": "db1", "service": "disk", "hostgroups": "linux,databases", "team": "storage"},
        "annotations": {
            "notification": "PROBLEM",
            "state": "CRITICAL",
            "long_output": MORE.decode(),
            "address": "192.0.2.7",
            "contact": "hookplugin",
        },
    }
    assert 0 < began <= told

    order(tmp_path / "commands", "ACKNOWLEDGE_SVC_PROBLEM;db1;disk;1;1;0;al'ice;on it, $(x) & 'me'")
    acknowledged = icinga.told(1)
    assert acknowledged["content"] == f"ACKNOWLEDGEMENT by al'ice (on it, $(x) & 'me'): {content}"
    assert (acknowledged["status"], acknowledged["priority"]) == ("processed", "critical")

    icinga.becomes(0, b"fine")
    recovered = icinga.told(2)
    assert (recovered["status"], recovered["priority"], recovered["content"]) == ("recovered", "critical", "fine")
    assert recovered["first_trigger_time"] == began
    for later in (acknowledged, recovered):
        assert {name: later[name] for name in fixed} == fixed

    order(tmp_path / "commands", "PROCESS_HOST_CHECK_RESULT;db1;1;gone")
    down = icinga.told(3)
    assert (down["target"], down["content"], down["priority"]) == ("db1", "gone", "critical")
    assert down["tags"] == {"host": "db1", "hostgroups": "linux,databases"}
    assert down["annotations"]["alias"] == "Database one"
    assert down["fingerprint"] != fixed["fingerprint"]
