"""How SQLite finds what each statement asks for: by an index, however much there is beside it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from hookplugin.outbox import statements
from hookplugin.outbox.opening import open_memory

ROWS = 4000
STATEMENTS = {
    name: text for name, text in vars(statements).items() if name.isupper() and name[0] != "_" and isinstance(text, str)
}
STATEMENTS |= {f"FORGET {number}": text for number, text in enumerate(statements.FORGET)}
with closing(open_memory()) as memory:  # what triggers do is not in the plan of what starts them
    for trigger, text in memory.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall():
        body = re.sub(r"\b(old|new)\.(\w+)", r":\1_\2", text.partition(" begin")[2].rpartition("end")[0])
        STATEMENTS |= {f"{trigger} {number}": part for number, part in enumerate(body.split(";")) if part.strip()}
ASKED_BY_PEOPLE = {
    *("RECENT", "FROM_SOURCE", "TAGS", "COUNT_UNDELIVERED"),
    *("FIND_PENDING", "FIND_SENDING", "FIND_SETTLED", "COUNT_PENDING", "COUNT_OTHERS", "OLDEST", "KNOWS"),
}
"""No alert and no round needs them."""

SMALL = {"json_each", "j", "tally", "counter", "receiver", "CONSTANT"}
"""What holds what is asked for, one row, or one for each receiver."""

SHORT_WALKS = {
    "NEXT_EXPIRY": {"SCAN outbox USING INDEX outbox_expires"},  # to the first that is not claimed
    "OWNERS": {"SCAN o USING INDEX outbox_claimed", "SCAN p LEFT-JOIN"},  # of what is claimed, and of processes
    "PICK": {"SCAN o"},  # of what was found, which has a limit
    "FORGET_OWNERS": {"SCAN process"},  # of processes, once a minute
    "FORGET_SEEN": {"SCAN seen"},  # of so many as may be too many
}

FILL = f"""
    with recursive n(x) as (select 1 union all select x + 1 from n where x < {ROWS})
    insert into outbox(id, receiver, key, body, strategies, alert, state, accepted, expires, due, owner, batch, settled)
    select 'id' || x, case x % 3 when 0 then 'ops' else 'r' || x % 100 end,
        case x % 7 when 3 then 'same' || x % 50 else x end, 'hertzbeat', '[]', 'x',
        case x % 7 when 0 then 0 when 1 then 1 when 2 then 2 when 3 then 3 when 4 then 5 else 4 end, x, x + 9, x,
        case x % 7 when 2 then 'owner' || x % 2 end, case x % 11 when 0 then x end,
        case when x % 7 > 3 then x end from n;
    insert into attempt(delivery, at) select seq, 1 from outbox;
    insert into seen(fingerprint, firing, at, notified) select id, 1, 1, '[]' from outbox;
    insert into recent(received, tags, alert, deliveries, held) select 1, '[]', 'x', '[]', '[]' from outbox;
    insert into kept select id, '', 'x' from outbox;
    insert into receiver select 'r' || seq, 0, 0, 0, 0, 0, null, 0, 0 from outbox where seq < 30;
    insert into process values ('owner0', 1), ('owner1', 2);
"""


@pytest.fixture(scope="module", params=["empty", "full", "analysed"])
def connection(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as connection:
        if request.param != "empty":
            connection.executescript(FILL)
        if request.param == "analysed":
            connection.execute("analyze")
        yield connection


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    values = dict.fromkeys(re.findall(r"(?<!:):(\w+)", statement), "[]")
    return [row[3] for row in connection.execute(f"explain query plan {statement}", values)]


def test_every_statement_is_looked_at() -> None:
    assert {
        "ACCEPT",
        "PICK",
        "TAKE",
        "MINE",
        "SETTLE",
        "incoming_stored 2",
        "EXPIRED",
        "NEXT_DUE",
        "SEEN",
    } < STATEMENTS.keys()
    assert STATEMENTS.keys() > ASKED_BY_PEOPLE | SHORT_WALKS.keys()


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - ASKED_BY_PEOPLE))
def test_no_statement_looks_at_all_there_is_or_sorts_it(connection: sqlite3.Connection, name: str) -> None:
    steps = plan(connection, STATEMENTS[name])
    scans = {step for step in steps if step.startswith("SCAN ") and step.split()[1].split("(")[0] not in {*SMALL, ""}}
    assert scans <= SHORT_WALKS.get(name, set())
    assert not [step for step in steps if "ORDER BY" in step]
