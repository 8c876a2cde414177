"""Nagios notifies by the commands of the README."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notifying import MORE, ODD, Monitored, order, watching
from pytest_httpserver import HTTPServer

EXAMPLE = Path(__file__).parents[1] / "examples" / "nagios.cfg"
MAIN = """
cfg_file={folder}/objects.cfg
log_file={folder}/nagios.log
object_cache_file={folder}/objects.cache
status_file={folder}/status.dat
state_retention_file={folder}/retention.dat
lock_file={folder}/nagios.pid
temp_file={folder}/nagios.tmp
temp_path={folder}
check_result_path={folder}
command_file={folder}/commands
query_socket={folder}/nagios.qh
nagios_user={user}
nagios_group={user}
check_external_commands=1
check_workers=1
check_for_updates=0
enable_environment_macros={environment}
enable_flap_detection=0
interval_length=1
use_syslog=0
illegal_macro_output_chars=`~$&|'"<>
website_url=http://nagios.example.com/nagios4
"""
OBJECTS = """
define timeperiod {{
    timeperiod_name  24x7
    alias            always
    sunday           00:00-24:00
    monday           00:00-24:00
    tuesday          00:00-24:00
    wednesday        00:00-24:00
    thursday         00:00-24:00
    friday           00:00-24:00
    saturday         00:00-24:00
}}
define command {{
    command_name  check
    command_line  {check}
}}
define host {{
    host_name              db1
    alias                  Database one
    address                192.0.2.7
    check_period           24x7
    max_check_attempts     1
    contacts               hookplugin
    notification_period    24x7
    notification_interval  0
    _SNMPCOMMUNITY         S3CR3T
}}
define hostgroup {{
    hostgroup_name  linux
    members         db1
}}
define service {{
    host_name              db1
    service_description    disk /
    check_command          check
    check_interval         1
    retry_interval         1
    max_check_attempts     1
    check_period           24x7
    contacts               hookplugin
    notification_period    24x7
    notification_interval  0
    _TEAM                  storage
    _TAG_TEAM              storage
    _PASSWORD              S3CR3T
}}
"""
STRIPPED = "probe state 2 is quoted  odd (x) y : z \\n caf\ufffd"


@pytest.fixture(params=["hookplugin", "hookplugin-by-arguments"])
def nagios(
    request: pytest.FixtureRequest, foreign: Callable[..., str], tmp_path: Path, httpserver: HTTPServer
) -> Iterator[Monitored]:
    """Run Nagios with a host and a service; its contact hears by one of our two commands."""
    program = foreign("nagios4", package="nagios4-core nagios4-common")
    monitored = Monitored(tmp_path, httpserver)
    monitored.becomes(2, ODD + b"|time=3\n" + MORE)
    ready = monitored.ready(EXAMPLE)
    for kind in ("host", "service"):
        line = next(line for line in ready.splitlines() if f"{kind}_notification_commands" in line)
        ready = ready.replace(line, f"    {kind}_notification_commands  {request.param}")
    environment = int(request.param == "hookplugin")
    main = MAIN.format(folder=tmp_path, user=getpass.getuser(), environment=environment)
    (tmp_path / "nagios.cfg").write_text(main)
    (tmp_path / "objects.cfg").write_text(OBJECTS.format(check=monitored.check) + ready)
    with watching([program, tmp_path / "nagios.cfg"], monitored, tmp_path):
        yield monitored


def test_a_problem_its_acknowledgement_and_its_recovery_arrive_as_nagios_tells_them(
    nagios: Monitored, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    by_environment = "by-arguments" not in request.node.name
    firing = nagios.told(0)
    content = ODD.decode(errors="replace").replace(";", ":") if by_environment else STRIPPED
    began, told = firing.pop("first_trigger_time"), firing.pop("last_trigger_time")
    fixed: dict[str, Any] = {name: firing.pop(name) for name in ("fingerprint", "id")}
    annotations = {"notification": "PROBLEM", "state": "CRITICAL", "address": "192.0.2.7"}
    annotations["long_output"] = MORE.decode()
    only = {"alias": "Database one", "contact": "hookplugin"} if by_environment else {}
    link = "http://nagios.example.com/nagios4/cgi-bin/extinfo.cgi?type=2&host=db1&service=disk%20%2F"
    assert firing == {
        "source": "nagios",
        "target": "disk /",
        "content": content.strip(),
        "priority": "critical",
        "status": "firing",
        "tags": {"host": "db1", "service": "disk /", "hostgroups": "linux", "team": "storage"},
        "annotations": annotations | only,
        "event_id": "1",
        **({"link": link} if by_environment else {}),
    }
    assert 0 < began <= told

    order(tmp_path / "commands", "ACKNOWLEDGE_SVC_PROBLEM;db1;disk /;1;1;0;al'ice;on it; $(x) & 'me'")
    acknowledged = nagios.told(1)
    said = (
        "ACKNOWLEDGEMENT by al'ice (on it; $(x) & 'me'): "
        if by_environment
        else "ACKNOWLEDGEMENT by alice (on it; (x)  me): "
    )
    assert acknowledged["content"] == said + content.strip()
    assert (acknowledged["status"], acknowledged["priority"]) == ("processed", "critical")

    nagios.becomes(0, b"fine")
    recovered = nagios.told(2)
    assert (recovered["status"], recovered["priority"], recovered["content"]) == ("recovered", "critical", "fine")
    for later in (acknowledged, recovered):
        assert {name: later[name] for name in fixed} == fixed

    order(tmp_path / "commands", "PROCESS_HOST_CHECK_RESULT;db1;1;gone")
    down = nagios.told(3)
    assert (down["target"], down["content"], down["priority"]) == ("db1", "gone", "critical")
    assert down["tags"] == {"host": "db1", "hostgroups": "linux"}
    assert down["fingerprint"] != fixed["fingerprint"]
