"""The outbox in SQL: one table, and what is done with it.

States: 0 waiting, 2 claimed, 4 delivered, 5 dead. Times are seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
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
