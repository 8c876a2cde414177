"""The schema of the outbox: its tables, and what they do by themselves.

Table `outbox` holds deliveries, in these states:

    0 new       nobody has looked yet whether another of its lane is before it
    1 ready     the head of its lane: a delivery that waits to be claimed
    2 claimed   by `owner`, in attempt number `attempts`
    3 parked    behind the head of its lane
    4 delivered, 5 dead

`due` is 0 until an attempt has failed: what was not sent yet is due at once, whatever the clock says. `attempts` counts
claims, `failed` those that are known to have failed: a process may be killed in between.

A lane is what one receiver hears of one alert: first in, first out. `kept` holds bodies of requests that failed,
`attempt` failed attempts but the last; `receiver` what is the matter with a receiver, `process` who claims, and until
when that counts. `recent` holds the alerts that came in last, `seen` what is known of each by its fingerprint. `tally`
has one row, `counter` what was counted: a name, the labels as a JSON array, and a number.
Times are seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from math import inf
from typing import Final

# What comes next in the lane of a row goes on, unless the lane has another head: a dead letter that was replayed.
_GO_ON: Final = """update outbox set state = 1
        where seq = (select min(p.seq) from outbox p where p.receiver = old.receiver and p.key = old.key
                     and p.state = 3)
        and not exists (select 1 from outbox p where p.receiver = old.receiver and p.key = old.key
                        and p.state in (1, 2)); end"""

VERSION: Final = 4
"""Of the schema; stands in the file as `user_version`."""

COUNTER: Final = """create table counter(
    name text not null, labels text not null, value real not null, primary key(name, labels)) without rowid"""

# Whoever fires our own alerts may say any source: of long names, and of many, the others are counted together.
_SOURCE: Final = """case when length(cast(coalesce(new.source, '') as blob)) <= 240 and (
        (select count(*) from counter where name = 'alerts') < 50
        or exists (select 1 from counter where name = 'alerts' and labels = json_array(coalesce(new.source, ''))))
    then coalesce(new.source, '') else 'others' end"""

# A row may be damaged, and JSON has no BLOB.
_RECEIVER: Final = "cast(new.receiver as text)"
_REASON: Final = "cast(coalesce(new.reason, '') as text)"

BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
"""Upper bounds of durations that are counted together, in seconds."""


def bound_text(bound: float) -> str:
    """Write the upper bound of a bucket as it is stored; the last one is endless."""
    return f"{bound:g}"


_BUCKET: Final = (
    " ".join(f"when new.settled - new.accepted <= {bound} then '{bound_text(bound)}'" for bound in BUCKETS)
    + f" else '{bound_text(inf)}'"
)


def _count(name: str, labels: str, value: str = "1", condition: str = "true") -> str:
    """Write a statement of a trigger that adds to a counter."""
    return (
        f"insert into counter select '{name}', json_array({labels}), {value} where {condition} "
        "on conflict(name, labels) do update set value = value + excluded.value; "
    )


TABLES: Final = (
    """create table outbox(
        seq integer primary key, id text not null unique, receiver text not null, key text not null, body text not null,
        strategies text not null, via text not null default '[]', alert text not null,
        state integer not null default 0, accepted real not null, expires real not null, due real not null default 0,
        attempts integer not null default 0, failed integer not null default 0, owner text, batch text, settled real,
        reason text, status integer, milliseconds real, detail text)""",
    "create index outbox_due on outbox(receiver, due, seq) where state <= 1",
    "create unique index outbox_head on outbox(receiver, key) where state in (1, 2)",
    "create index outbox_parked on outbox(receiver, key, seq) where state = 3",
    "create index outbox_claimed on outbox(owner) where state = 2",
    "create index outbox_batch on outbox(batch) where batch is not null",
    # Neither of these changes when a delivery is claimed. The second grows at its end, and has the receiver in it so
    # that no row is read to see whose it is.
    "create index outbox_expires on outbox(expires) where settled is null",
    "create index outbox_settled on outbox(state, settled, receiver) where settled is not null",
    "create table kept(request text primary key, content blob not null, content_type text not null)",
    """create table attempt(
        seq integer primary key, delivery integer not null, at real not null,
        reason text, status integer, milliseconds real, detail text)""",
    "create index attempt_of on attempt(delivery, seq)",
    """create table receiver(
        name text primary key, failures integer not null, pause real not null, until real not null, turn real not null,
        paused integer not null, gone text, asked real not null,
        asked_for real not null)""",
    "create table process(owner text primary key, lease real not null)",
    "create table tally(pending integer not null, refused integer not null)",
    "insert into tally values (0, 0)",
    COUNTER,
    """create table recent(
        seq integer primary key, received real not null, source text, tags text not null, alert text not null,
        deliveries text not null, held text not null)""",
    """create table seen(
        seq integer primary key, fingerprint text not null unique, firing integer not null, at real not null,
        notified text not null)""",
)

TRIGGERS: Final = (
    # Whoever settles, replays or deletes a delivery need not think of this.
    "create trigger outbox_added after insert on outbox when new.settled is null begin "
    "update tally set pending = pending + 1; " + _count("accepted", _RECEIVER) + "end",
    "create trigger outbox_settles after update of settled on outbox when old.settled is null begin "
    "update tally set pending = pending - (new.settled is not null); "
    + _count("settled", f"{_RECEIVER}, new.state, {_REASON}", condition="new.settled is not null")
    + _count("latency", f"{_RECEIVER}, case {_BUCKET} end", condition="new.state = 4")
    + _count("latency_sum", _RECEIVER, "max(new.settled - new.accepted, 0)", condition="new.state = 4")
    + _GO_ON,
    """create trigger outbox_replays after update of settled on outbox when old.settled is not null begin
        update tally set pending = pending + (new.settled is null); end""",
    "create trigger outbox_forgets after delete on outbox when old.settled is null begin "
    "update tally set pending = pending - 1; " + _GO_ON,
    # All of an alert in one step.
    """create view incoming as select null as fingerprint, null as firing, null as notified, null as alert, null as at,
        null as rows, null as source, null as tags, null as recent, null as deliveries, null as held""",
    """create trigger incoming_stored instead of insert on incoming begin
        insert or replace into seen(fingerprint, firing, at, notified)
            select new.fingerprint, new.firing, new.at, new.notified where new.fingerprint is not null;
        insert into recent(received, source, tags, alert, deliveries, held)
            values (new.at, new.source, new.tags, new.recent, new.deliveries, new.held);
        """
    + _count("alerts", _SOURCE)
    + """insert into counter select 'suppressed',
            json_array(coalesce(json_extract(j.value, '$[2]'), 'unknown'),
                coalesce(json_extract(j.value, '$[0]'), '')), 1
            from json_each(new.held) j where true on conflict(name, labels) do update set value = value + 1;
        insert into outbox(id, receiver, key, body, strategies, alert, accepted, expires)
            select json_extract(j.value, '$[0]'), json_extract(j.value, '$[1]'), new.fingerprint,
                json_extract(j.value, '$[2]'), json_extract(j.value, '$[3]'), new.alert, new.at,
                json_extract(j.value, '$[4]') from json_each(new.rows) j; end""",
)

SCHEMA: Final = (*TABLES, *TRIGGERS)

OURS: Final = frozenset(text.split(maxsplit=3)[2] for text in TRIGGERS)
"""The names of triggers and of the view, of this version and the one before."""
