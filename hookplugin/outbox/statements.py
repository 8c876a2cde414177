"""The outbox in SQL: its tables, and what is done with them.

Table `outbox` holds deliveries: 0 waiting, 2 claimed, 4 delivered, 5 dead. Table `recent` holds the alerts that came in
last; `seen` what is known of an alert by its fingerprint, `notified` what each receiver was told of it last. Times are
seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2
"""Of the schema; stands in the file as `user_version`."""

SCHEMA: Final = (
    """create table if not exists outbox(
        seq integer primary key, id text not null unique, receiver text not null, body text not null,
        strategies text not null, alert text not null, state integer not null default 0,
        accepted real not null, due real not null default 0,
        attempts integer not null default 0, owner text, settled real,
        reason text, status integer, milliseconds real, detail text)""",
    "create index if not exists outbox_due on outbox(receiver, due, seq) where state = 0",
    "create index if not exists outbox_claimed on outbox(owner) where state = 2",
    """create table if not exists recent(
        seq integer primary key, received real not null, source text, tags text not null, alert text not null,
        deliveries text not null, held text not null)""",
    """create table if not exists seen(
        seq integer primary key, fingerprint text not null unique, firing integer not null, at real not null)""",
    """create table if not exists notified(
        fingerprint text not null, receiver text not null, body text not null default '',
        status integer not null, priority integer not null, trigger_times text not null, at real not null,
        pause real not null, firing integer not null, recovery text not null,
        delivery text not null, lost integer not null,
        primary key(fingerprint, receiver, body))""",
)

# It is due at once, whatever the time: a clock that is set back must not make it wait.
ACCEPT: Final = """insert into outbox(id, receiver, body, strategies, alert, accepted)
    values (:id, :receiver, :body, :strategies, :alert, :accepted)"""

CLAIM: Final = """update outbox set state = 2, owner = :owner, attempts = attempts + 1
    where seq in (select seq from outbox where receiver = :receiver and state = 0 and due <= :now
                  order by due, seq limit :room)
    returning seq, id, receiver, body, strategies, alert, attempts"""

SETTLE: Final = """update outbox set state = :state, settled = :now, owner = null,
    reason = :reason, status = :status, milliseconds = :milliseconds, detail = :detail
    where id = :id and state = 2 and owner = :owner"""

FORGET: Final = "delete from outbox where state >= 4 and seq <= (select max(seq) from outbox) - :remembered"

OWNERS: Final = "select distinct owner from outbox where state = 2"

TAKE_BACK: Final = "update outbox set state = 0, owner = null where state = 2 and owner = :owner"

OUTCOME: Final = "select state, reason, status, milliseconds, detail from outbox where id = :id"

UNSETTLED: Final = """select count(*) from outbox where receiver = :receiver and state = 0
    union all select count(*) from outbox where state = 2 and owner = :owner and receiver = :receiver"""

SEEN: Final = "select firing from seen where fingerprint = :fingerprint"

# It is replaced, not changed, so that what was not seen for longest comes first.
SEE: Final = "insert or replace into seen(fingerprint, firing, at) values (:fingerprint, :firing, :at)"

NOTIFIED: Final = """select receiver, body, status, priority, trigger_times, at, pause, firing, recovery, delivery, lost
    from notified where fingerprint = :fingerprint order by rowid"""

FORGET_NOTIFIED: Final = "delete from notified where fingerprint = :fingerprint"

NOTIFY: Final = """insert into notified(
        fingerprint, receiver, body, status, priority, trigger_times, at, pause, firing, recovery, delivery, lost)
    values (:fingerprint, :receiver, :body, :status, :priority, :trigger_times, :at, :pause, :firing, :recovery,
        :delivery, :lost)"""

LOSE: Final = """update notified set lost = 1
    where fingerprint = :fingerprint and receiver = :receiver and delivery = :delivery"""

# No more at a time than could have become too many.
FORGET_SEEN: Final = """delete from seen where seq in (select seq from seen order by seq limit :few)
    and (at not between :horizon and :future or seq <= (select max(seq) from seen) - :most) returning fingerprint"""

RECEIVED: Final = """insert into recent(received, source, tags, alert, deliveries, held)
    values (:received, :source, :tags, :alert, :deliveries, :held)"""

FORGET_RECENT: Final = "delete from recent where seq <= (select max(seq) from recent) - :most"

RECENT: Final = "select received, alert, held, deliveries from recent where received >= :since order by seq"

FROM_SOURCE: Final = "select count(*) from recent where source is :source"

TAGS: Final = """select distinct tag.value from recent, json_each(recent.tags) as tag
    where recent.source is :source"""
