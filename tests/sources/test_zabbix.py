"""Variables of our media types for Zabbix: what they mean, by what Zabbix documents of its macros."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from commands import COMMAND
from hypothesis import given
from hypothesis import strategies as st

from hookplugin import Alert, Context, Host, Priority, Status
from hookplugin.sources.zabbix import VARIABLES, parse_zabbix

EXAMPLES = Path(__file__).parents[1] / "examples"
MESSAGE = (EXAMPLES / "zabbix.txt").read_text(encoding="utf-8")
MACROS = {
    "{EVENT.ID}": "1234",
    "{EVENT.VALUE}": "1",
    "{EVENT.UPDATE.STATUS}": "0",
    "{EVENT.ACK.STATUS}": "No",
    "{EVENT.SEVERITY}": "High",
    "{EVENT.NSEVERITY}": "4",
    "{EVENT.DATE}": "2026.11.29",
    "{EVENT.TIME}": "11:16:29",
    "{TRIGGER.ID}": "18000",
    "{TRIGGER.URL}": "",
    "{$ZABBIX.URL}": "https://zabbix.example.com",
    "{HOST.NAME}": "db1",
    "{HOST.IP}": "192.0.2.7",
    "{TRIGGER.HOSTGROUP.NAME}": "Databases, Linux servers",
    "{EVENT.TAGSJSON}": json.dumps(
        [{"tag": tag, "value": value} for tag, value in (("scope", "capacity"), ("team", "storage"), ("team", "dba"))]
    ),
    "{EVENT.NAME}": "Disk space is low (used > 90%)",
    "{EVENT.OPDATA}": "Space used: 9 GB of 10 GB\n(95 %)",
}
RECOVERED = {
    "{EVENT.VALUE}": "0",
    "{EVENT.RECOVERY.ID}": "1300",
    "{EVENT.RECOVERY.DATE}": "2026.11.29",
    "{EVENT.RECOVERY.TIME}": "12:00:00",
}
ACKNOWLEDGED = {
    "{EVENT.UPDATE.STATUS}": "1",
    "{EVENT.UPDATE.ACTION}": "acknowledged, commented",
    "{EVENT.UPDATE.MESSAGE}": "on it\nEVENT_VALUE=0",
    "{EVENT.ACK.STATUS}": "Yes",
    "{USER.FULLNAME}": "Alice (alice)",
}
ZONE = Context(timezone=ZoneInfo("Europe/Berlin"))


def expanded(macros: Mapping[str, str], text: str) -> str:
    """Put values in the place of macros, as Zabbix does: what is not known stays."""
    return re.sub(r"\{[$A-Z.]+\}", lambda found: (MACROS | dict(macros)).get(found[0], found[0]), text)


def by_message(macros: Mapping[str, str] | None = None) -> dict[str, str]:
    return VARIABLES.from_lines(expanded(macros or {}, MESSAGE).encode())


def read(payload: object, context: Context = ZONE) -> Alert:
    (alert,) = parse_zabbix(payload, context)
    return alert


def told(**changes: str) -> Alert:
    return read(by_message() | changes)


def test_every_field_of_a_problem() -> None:
    alert = told()
    assert alert.given() == {
        "source": "zabbix",
        "target": "db1",
        "content": "Disk space is low (used > 90%)",
        "priority": Priority.critical,
        "status": Status.firing,
        "tags": {"host": "db1", "hostgroups": "Databases, Linux servers", "scope": "capacity", "team": "storage,dba"},
        "annotations": {
            "severity": "High",
            "address": "192.0.2.7",
            "data": "Space used: 9 GB of 10 GB\n(95 %)",
        },
        "first_trigger_time": 1795947389000,
        "link": "https://zabbix.example.com/tr_events.php?triggerid=18000&eventid=1234",
        "event_id": "1234",
        "fingerprint": alert.fingerprint,
        "id": 1234,
        "raw": by_message(),
    }


def test_a_recovery_and_an_acknowledgement_are_of_the_same_problem() -> None:
    over, acknowledged = read(by_message(RECOVERED)), read(by_message(ACKNOWLEDGED))
    assert (over.status, over.event_id, over.last_trigger_time) == (Status.recovered, "1300", 1795950000000)
    assert acknowledged.status is Status.processed
    assert acknowledged.content == (
        "acknowledged, commented by Alice (alice) (on it\nEVENT_VALUE=0): Disk space is low (used > 90%)"
    )
    assert acknowledged.annotations.items() >= {"author": "Alice (alice)", "comment": "on it\nEVENT_VALUE=0"}.items()
    for one in (over, acknowledged):
        assert (one.fingerprint, one.id, one.first_trigger_time) == (told().fingerprint, 1234, 1795947389000)
    assert read(by_message({"{EVENT.ID}": "1235"})).fingerprint != told().fingerprint


@pytest.mark.parametrize(
    ("macros", "status"),
    [
        (ACKNOWLEDGED | {"{EVENT.ACK.STATUS}": "No"}, Status.firing),
        (ACKNOWLEDGED | {"{EVENT.VALUE}": "0"}, Status.recovered),
        ({"{EVENT.ACK.STATUS}": "Yes"}, Status.firing),
        ({"{EVENT.VALUE}": "{EVENT.VALUE}"}, Status.firing),
    ],
)
def test_an_update_says_how_the_problem_stands(macros: dict[str, str], status: Status) -> None:
    assert read(by_message(macros)).status is status


def test_what_the_webhook_posts_is_read_alike(caplog: pytest.LogCaptureFixture) -> None:
    (media,) = yaml.safe_load((EXAMPLES / "zabbix-webhook.yaml").read_text(encoding="utf-8"))["zabbix_export"][
        "media_types"
    ]
    parameters = {one["name"]: one["value"] for one in media["parameters"]}
    ours = ("url", "token")
    assert "\n".join(f"{name}={value}" for name, value in parameters.items() if name not in ours) + "\n" == MESSAGE
    posted = {name: expanded({}, value) for name, value in parameters.items() if name not in ours}
    assert read(posted) == told()
    assert caplog.records == []


def test_the_message_gives_everything_that_is_read_but_what_the_operator_may_add() -> None:
    more = {"TRIGGER_DESCRIPTION", "ITEM_NAME", "ITEM_VALUE"}
    assert {line.partition("=")[0] for line in MESSAGE.splitlines()} == VARIABLES.names - more


def test_the_script_hands_over_the_message_as_it_is(tmp_path: Path) -> None:
    config = tmp_path / "hookplugin.yaml"
    config.write_text("outbox: sqlite:///outbox.db\n")
    script = (EXAMPLES / "zabbix.sh").read_text(encoding="utf-8")
    for path, ours in (("/opt/hookplugin/bin/hookplugin", COMMAND), ("/etc/hookplugin/hookplugin.yaml", config)):
        assert path in script
        script = script.replace(path, str(ours))
    (tmp_path / "zabbix.sh").write_text(script)
    odd = {"{EVENT.NAME}": 'it\'s "odd" $(x) `y` \\n %s\n; |'}
    message = expanded(odd, MESSAGE).encode() + b"\xff"
    done = subprocess.run(["/bin/sh", tmp_path / "zabbix.sh", message], capture_output=True, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"nobody hears of it: no strategy matched\n"
    with Host(config, dispatch=False) as host:
        (stored,) = _recent(host)
    assert stored.content == odd["{EVENT.NAME}"]


def _recent(host: Host) -> list[Alert]:
    from hookplugin.webhook import webhook_of

    webhook = webhook_of(host.context)
    assert webhook
    return [one.alert for one in webhook.store.recent(0)]


@pytest.mark.parametrize(
    ("severity", "number", "priority"),
    [
        ("Not classified", "0", Priority.warning),
        ("Information", "1", Priority.warning),
        ("Warning", "2", Priority.warning),
        ("Average", "3", Priority.warning),
        ("High", "4", Priority.critical),
        ("Disaster", "5", Priority.emergency),
        ("Katastrophe", "5", Priority.emergency),
        ("Disaster", "{EVENT.NSEVERITY}", Priority.emergency),
        ("*UNKNOWN*", "4", Priority.critical),
    ],
)
def test_severities_are_priorities_by_number_since_names_can_be_changed(
    severity: str, number: str, priority: Priority, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(EVENT_SEVERITY=severity, EVENT_NSEVERITY=number).priority is priority
    assert caplog.records == []


def test_the_operator_reads_severities_otherwise() -> None:
    assert read(by_message(), Context(severities={"high": Priority.emergency})).priority is Priority.emergency


def test_an_unknown_severity_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert told(EVENT_SEVERITY="Odd", EVENT_NSEVERITY="").priority is Priority.warning
    assert "the severity 'odd' is read as warning" in caplog.text


@pytest.mark.parametrize(
    ("changes", "began"),
    [
        ({"EVENT_TIMESTAMP": "1795950000"}, 1795950000000),
        ({"EVENT_TIME": "soon"}, None),
        ({"EVENT_DATE": "{EVENT.DATE}"}, None),
    ],
)
def test_a_time_is_a_time_or_none(changes: dict[str, str], began: int | None) -> None:
    assert told(**changes).first_trigger_time == began


@pytest.mark.parametrize("tags", ['[{"tag":"a","value', "[" * 10_000])
def test_tags_that_were_cut_cost_no_alert(tags: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert told(EVENT_TAGSJSON=tags).tags == {"host": "db1", "hostgroups": "Databases, Linux servers"}
    assert "told without its tags" in caplog.text


def test_a_link_needs_the_address_of_the_frontend_or_one_of_the_trigger() -> None:
    unknown = by_message({"{$ZABBIX.URL}": "{$ZABBIX.URL}"})
    assert read(unknown).link is None
    assert read(unknown | {"TRIGGER_URL": "https://wiki.example.com/disk"}).link == "https://wiki.example.com/disk"


def test_an_event_without_id_is_known_by_its_trigger() -> None:
    first, second = (told(EVENT_ID=text) for text in ("*UNKNOWN*", ""))
    assert first.fingerprint == second.fingerprint != told(EVENT_ID="", TRIGGER_ID="7").fingerprint
    assert told(EVENT_ID="9" * 40).id != told(EVENT_ID="9" * 41).id


@pytest.mark.parametrize("payload", [{}, [], {"EVENT_ID": "1"}, {"EVENT_NAME": "{EVENT.NAME}"}, {"event": "x"}])
def test_what_does_not_say_what_happened_is_no_event(payload: object) -> None:
    with pytest.raises(ValueError, match=r"no EVENT_NAME|should be an object"):
        read(payload)


TAGS = st.lists(st.dictionaries(st.sampled_from(["tag", "value"]), st.text(max_size=3) | st.none() | st.integers()))
VALUES = st.text(max_size=8) | st.integers() | st.floats() | st.none() | TAGS


@given(st.dictionaries(st.sampled_from(sorted(VARIABLES.names)), VALUES))
def test_whatever_variables_hold_there_is_an_alert(variables: dict[str, Any]) -> None:
    alert = read({**variables, "EVENT_NAME": "x", "HOST_NAME": "db1"})
    assert alert.tags["host"] == "db1"
    assert alert.content.endswith("x")


@given(st.binary(max_size=60))
def test_lines_are_read_or_refused(raw: bytes) -> None:
    variables = VARIABLES
    assert variables.from_lines(b"EVENT_NAME=" + raw).keys() >= {"EVENT_NAME"}
    try:
        found = variables.from_lines(raw)
    except ValueError:
        return
    assert found.keys() <= variables.names


def test_the_environment_of_zabbix_says_nothing() -> None:
    assert VARIABLES.from_environment({**os.environb, b"EVENT_NAME": b"x"}) is None
