"""The outbox in SQL: its tables, and what is done with them.

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
has one row. Times are seconds since 1970-01-01 UTC.

What concerns many rows takes them as one JSON array, and answers with one: each step of SQLite gives up the GIL, and
with many busy threads it takes milliseconds to get it back.
"""

from __future__ import annotations

from typing import Final

# What comes next in the lane of a row goes on, unless the lane has another head: a dead letter that was replayed.
_GO_ON: Final = """update outbox set state = 1
        where seq = (select min(p.seq) from outbox p where p.receiver = old.receiver and p.key = old.key
                     and p.state = 3)
        and not exists (select 1 from outbox p where p.receiver = old.receiver and p.key = old.key
                        and p.state in (1, 2)); end"""

VERSION: Final = 3
"""Of the schema; stands in the file as `user_version`."""

SCHEMA: Final = (
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
    """create table recent(
        seq integer primary key, received real not null, source text, tags text not null, alert text not null,
        deliveries text not null, held text not null)""",
    """create table seen(
        seq integer primary key, fingerprint text not null unique, firing integer not null, at real not null,
        notified text not null)""",
    # Whoever settles, replays or deletes a delivery need not think of this.
    """create trigger outbox_added after insert on outbox when new.settled is null begin
        update tally set pending = pending + 1; end""",
    "create trigger outbox_settles after update of settled on outbox when old.settled is null begin "  # noqa: S608 - ours
    "update tally set pending = pending - (new.settled is not null); " + _GO_ON,
    """create trigger outbox_replays after update of settled on outbox when old.settled is not null begin
        update tally set pending = pending + (new.settled is null); end""",
    "create trigger outbox_forgets after delete on outbox when old.settled is null begin "  # noqa: S608 - ours
    "update tally set pending = pending - 1; " + _GO_ON,
    # All of an alert in one step.
    """create view incoming as select null as fingerprint, null as firing, null as notified, null as alert, null as at,
        null as rows, null as source, null as tags, null as recent, null as deliveries, null as held""",
    """create trigger incoming_stored instead of insert on incoming begin
        insert or replace into seen(fingerprint, firing, at, notified)
            select new.fingerprint, new.firing, new.at, new.notified where new.fingerprint is not null;
        insert into recent(received, source, tags, alert, deliveries, held)
            values (new.at, new.source, new.tags, new.recent, new.deliveries, new.held);
        insert into outbox(id, receiver, key, body, strategies, alert, accepted, expires)
            select json_extract(j.value, '$[0]'), json_extract(j.value, '$[1]'), new.fingerprint,
                json_extract(j.value, '$[2]'), json_extract(j.value, '$[3]'), new.alert, new.at,
                json_extract(j.value, '$[4]') from json_each(new.rows) j; end""",
)

# Accepting

# `rows` are [id, receiver, body, strategies, expires]. Without fingerprint, only that it came in. What was seen is
# replaced, not changed, so that what was not seen for longest comes first.
ACCEPT: Final = """insert into incoming(
        fingerprint, firing, notified, alert, at, rows, source, tags, recent, deliveries, held)
    values (:fingerprint, :firing, :notified, :alert, :at, :rows, :source, :tags, :recent, :deliveries, :held)"""

ADD: Final = """insert into outbox(id, receiver, key, body, strategies, via, alert, accepted, expires)
    values (:id, :receiver, :key, :body, :strategies, :via, :alert, :accepted, :expires)"""

PENDING: Final = "select pending from tally"

REFUSE: Final = "update tally set refused = refused + :refused"

# Claiming

# What is due: first what failed before, then what never was sent. It is behind another (3) if its lane has a head, or
# has parked some already; else it may be the head (2), if it is the first of its lane here. Without parking, each claim
# would look at all of them again. JSON has no BLOB: one in a damaged row must not stop the others.
PICK: Final = """select json_group_array(json_array(
        seq, id, receiver, cast(body as text), cast(strategies as text), cast(via as text), cast(alert as text),
        attempts, coalesce(batch, ''), expires, failed, accepted, key, fate))
    from (select o.*, case when state = 1 or not exists (
            select 1 from outbox p where p.receiver = o.receiver and p.key = o.key and p.state in (1, 2)
        union all select 1 from outbox p where p.receiver = o.receiver and p.key = o.key and p.state = 3
        ) then 2 else 3 end as fate
    from (select * from (select * from outbox where receiver = :receiver and state <= 1 and due > 0 and due <= :now
                         and expires > :now order by due, seq limit :most)
        union all
        select * from (select * from outbox where receiver = :receiver and state <= 1 and due = 0
                       and expires > :now order by seq limit :most)
        limit :most) o)"""

PARK: Final = "update outbox set state = 3 where seq in (select value from json_each(:seqs))"

HEADS: Final = "update outbox set state = 1 where state = 0 and seq in (select value from json_each(:seqs))"

TAKE: Final = """update outbox set state = 2, owner = :owner, attempts = attempts + 1
    where seq in (select value from json_each(:seqs))"""

# Whoever is in a batch expires with its last one: the membership is fixed.
TAKE_BATCH: Final = """update outbox set state = 2, owner = :owner, attempts = attempts + 1, batch = :batch,
        expires = (select max(expires) from outbox where seq in (select value from json_each(:seqs)))
    where seq in (select value from json_each(:seqs))"""

MEMBERS: Final = "select json_group_array(seq) from outbox where batch = :batch and state = 1"

READ: Final = """select json_group_array(json_array(
        seq, id, receiver, cast(body as text), cast(strategies as text), cast(via as text), cast(alert as text),
        attempts, coalesce(batch, id), expires, failed, reason, status, milliseconds, detail)) from (
    select * from outbox where seq in (select value from json_each(:seqs)) order by seq)"""

KEPT: Final = "select content, content_type from kept where request = :request"

NEXT_DUE: Final = """select (select min(due) from outbox where receiver = :receiver and state <= 1 and due > :now),
    (select max(due) from outbox where receiver = :receiver and state <= 1)"""

# A time that lies further ahead than we ever set one: the clock was set back.
DUE_NOW: Final = "update outbox set due = :now where receiver = :receiver and state <= 1 and due > :ahead"

# Giving back

RELEASE: Final = """update outbox set state = 1, attempts = attempts - 1
    where state = 2 and owner = :owner and id in (select value from json_each(:ids))"""

TAKE_BACK: Final = "update outbox set state = 1 where state = 2 and owner = :owner"

OWNERS: Final = """select json_group_array(json_array(owner, lease)) from (
    select distinct o.owner as owner, p.lease as lease from outbox o left join process p on p.owner = o.owner
    where o.state = 2 and o.owner <> :owner)"""

LEASE: Final = "insert into process values (:owner, :lease) on conflict(owner) do update set lease = excluded.lease"

LEAVE: Final = "delete from process where owner = :owner"

FORGET_OWNERS: Final = """delete from process where lease < :before
    and not exists (select 1 from outbox o where o.owner = process.owner and o.state = 2)"""

# Settling

# `rows` are [id, attempt] of what this owner has claimed; what it has lost meanwhile is another's to settle.
MINE: Final = """select json_group_array(json_array(o.id, json_array(o.seq, o.attempts))) from json_each(:rows) j
    join outbox o on o.id = json_extract(j.value, '$[0]')
    where o.owner = :owner and o.attempts = json_extract(j.value, '$[1]') and o.state <= 3"""

# `rows` are [seq, state, reason, status, milliseconds, detail].
SETTLE: Final = """update outbox set state = json_extract(j.value, '$[1]'), settled = :now, owner = null,
        reason = json_extract(j.value, '$[2]'), status = json_extract(j.value, '$[3]'),
        milliseconds = json_extract(j.value, '$[4]'), detail = json_extract(j.value, '$[5]')
    from json_each(:rows) j where outbox.seq = json_extract(j.value, '$[0]')"""

# `rows` are [seq, due, reason, status, milliseconds, detail].
RETRY: Final = """update outbox set state = case state when 2 then 1 else state end, failed = failed + 1,
        due = json_extract(j.value, '$[1]'),
        reason = json_extract(j.value, '$[2]'), status = json_extract(j.value, '$[3]'),
        milliseconds = json_extract(j.value, '$[4]'), detail = json_extract(j.value, '$[5]')
    from json_each(:rows) j where outbox.seq = json_extract(j.value, '$[0]')"""

ATTEMPT: Final = """insert into attempt(delivery, at, reason, status, milliseconds, detail)
    select json_extract(j.value, '$[0]'), :now, json_extract(j.value, '$[2]'), json_extract(j.value, '$[3]'),
        json_extract(j.value, '$[4]'), json_extract(j.value, '$[5]') from json_each(:rows) j"""

REGROUP: Final = "update outbox set batch = :batch where seq in (select value from json_each(:seqs))"

KEEP: Final = "insert or replace into kept values (:request, :content, :content_type)"

DROP_KEPT: Final = "delete from kept where request in (select value from json_each(:requests))"

EXPIRED: Final = """select json_group_array(seq) from (
    select seq from outbox where expires <= :now and settled is null and state <> 2 order by expires limit :most)"""

WAITING: Final = """select json_group_array(seq) from (
    select seq from outbox where receiver = :receiver and state <= 1
    union all select seq from outbox where receiver = :receiver and state = 3 limit :most)"""

NEXT_EXPIRY: Final = "select expires from outbox where settled is null and state <> 2 order by expires limit 1"

RECEIVERS: Final = """select json_group_array(json_array(name, failures, pause, until, turn, paused, gone, asked,
        asked_for))
    from receiver"""

SET_RECEIVER: Final = """insert or replace into receiver values (
    :name, :failures, :pause, :until, :turn, :paused, :gone, :asked, :asked_for)"""

# What an operator has said meanwhile stays.
MEET_RECEIVER: Final = """insert into receiver values (
        :name, :failures, :pause, :until, :turn, :paused, :gone, :asked, :asked_for)
    on conflict(name) do update set failures = excluded.failures, pause = excluded.pause, until = excluded.until,
        turn = excluded.turn, asked = excluded.asked, asked_for = excluded.asked_for,
        gone = coalesce(gone, excluded.gone)"""

DROP_RECEIVER: Final = "delete from receiver where name = :name"

# Keeping and forgetting

FORGETTABLE: Final = """select json_group_array(seq) from (
    select seq from outbox where settled is not null and state = :state and settled < :before
    order by settled limit :most)"""

FORGETTABLE_IN_MEMORY: Final = """select json_group_array(seq) from (
    select seq from outbox where state >= 4 and seq <= (select max(seq) from outbox) - :remembered limit :most)"""

FORGET: Final = (
    "delete from attempt where delivery in (select value from json_each(:seqs))",
    """delete from kept where request in (
        select coalesce(batch, id) from outbox where seq in (select value from json_each(:seqs)))""",
    "delete from outbox where seq in (select value from json_each(:seqs))",
)

# Looking

OUTCOME: Final = "select state, reason, status, milliseconds, detail from outbox where id = :id"

UNSETTLED: Final = """select (select count(*) from outbox where receiver = :receiver and state <= 1)
    + (select count(*) from outbox where receiver = :receiver and state = 3)
    + (select count(*) from outbox where owner = :owner and state = 2 and receiver = :receiver)"""

# The journal

SEEN: Final = "select firing, notified from seen where fingerprint = :fingerprint"

RENOTIFY: Final = "update seen set notified = :notified where fingerprint = :fingerprint"

# No more at a time than could have become too many.
FORGET_SEEN: Final = """delete from seen where seq in (select seq from seen order by seq limit :few)
    and (at not between :horizon and :future or seq <= (select max(seq) from seen) - :most)"""

FORGET_RECENT: Final = "delete from recent where seq <= (select max(seq) from recent) - :most"

RECENT: Final = "select received, alert, held, deliveries from recent where received >= :since order by seq"

FROM_SOURCE: Final = "select count(*) from recent where source is :source"

TAGS: Final = """select distinct tag.value from recent, json_each(recent.tags) as tag
    where recent.source is :source"""

# What people see of it, and do with it

# Newest first: what is settled counts by when it was, the rest by the order in which it came in. The indexes are named
# so that a list of a few never reads all rows.
FIND_PENDING: Final = """select json_group_array(seq) from (
    select seq from outbox indexed by outbox_due where state <= 1
        and (:receiver is null or receiver = :receiver) and (:since is null or accepted >= :since)
    union all select seq from outbox indexed by outbox_parked where state = 3
        and (:receiver is null or receiver = :receiver) and (:since is null or accepted >= :since)
    order by seq desc limit :most)"""

FIND_SENDING: Final = """select json_group_array(seq) from (
    select seq from outbox indexed by outbox_claimed where state = 2
        and (:receiver is null or receiver = :receiver) and (:since is null or accepted >= :since)
    order by seq desc limit :most)"""

FIND_SETTLED: Final = """select json_group_array(seq) from (
    select seq from outbox indexed by outbox_settled where settled is not null and state = :state
        and settled >= coalesce(:since, 0) and (:receiver is null or receiver = :receiver)
        and (:reason is null or reason = :reason)
    order by settled desc, seq desc limit :most)"""

FIND: Final = "select seq from outbox where id = :id"

STORED: Final = """select id, receiver, body, strategies, via, alert, state, accepted, due, settled, attempts, batch,
        reason, status, milliseconds, detail, seq
    from outbox where seq in (select value from json_each(:seqs))"""

ATTEMPTS: Final = "select at, reason, status, milliseconds, detail from attempt where delivery = :seq order by seq"

COUNT_PENDING: Final = """select receiver, 0, count(*), 0 from outbox indexed by outbox_due where state <= 1
        group by receiver
    union all
    select receiver, 0, count(*), 0 from outbox indexed by outbox_parked where state = 3 group by receiver"""

COUNT_OTHERS: Final = """select receiver, state, count(*), 0 from outbox indexed by outbox_claimed where state = 2
        group by receiver
    union all
    select receiver, state, count(*), sum(state = 5 and settled >= :day) from outbox indexed by outbox_settled
        where settled is not null group by receiver, state"""

# Of those that came in first: a replay makes one of them younger than those behind it.
OLDEST: Final = """select min(accepted) from outbox where seq in (
    select seq from outbox indexed by outbox_due where receiver = :receiver and state <= 1
    union all select seq from outbox indexed by outbox_parked where receiver = :receiver and state = 3
    order by seq limit :few)"""

REFUSED: Final = "select refused from tally"

KNOWS: Final = """select exists (select 1 from receiver where name = :receiver)
    or exists (select 1 from outbox indexed by outbox_due where state <= 1 and receiver = :receiver)
    or exists (select 1 from outbox indexed by outbox_claimed where state = 2 and receiver = :receiver)
    or exists (select 1 from outbox indexed by outbox_parked where state = 3 and receiver = :receiver)
    or exists (select 1 from outbox indexed by outbox_settled where settled is not null and receiver = :receiver)"""

BATCHES: Final = """select json_group_array(json_array(seq, batch)) from outbox
    where batch is not null and seq in (select value from json_each(:seqs))"""

SETTLED: Final = """select json_group_array(json_array(seq, id, receiver, batch)) from (
    select * from outbox where seq in (select value from json_each(:seqs)) and state >= :lowest order by seq)"""

LAST_ATTEMPTS: Final = """insert into attempt(delivery, at, reason, status, milliseconds, detail)
    select seq, settled, reason, status, milliseconds, detail from outbox
    where seq in (select value from json_each(:seqs)) order by seq"""

# `rows` are [seq, expires].
REPLAY: Final = """update outbox set state = 0, due = 0, attempts = 0, failed = 0, owner = null, settled = null,
        reason = null, status = null, milliseconds = null, detail = null, accepted = :now,
        expires = json_extract(j.value, '$[1]')
    from json_each(:rows) j where outbox.seq = json_extract(j.value, '$[0]')"""

# Whether a batch can go out again as it was: as one, and with nobody else on the way in the lanes of its deliveries.
IS_WHOLE: Final = """select not exists (select 1 from outbox o where o.batch = :batch and (
    o.state <> 0 or exists (select 1 from outbox p where p.receiver = o.receiver and p.key = o.key
                            and p.state in (1, 2))))"""

HEAD_BATCH: Final = "update outbox set state = 1 where batch = :batch"

LEAVE_BATCH: Final = "update outbox set batch = null where batch = :batch and state = 0"

SENDING: Final = """select json_group_array(seq) from outbox
    where state = 2 and seq in (select value from json_each(:seqs))"""

# What is about to be forgotten: when the first of these is, none of the others comes next in its lane.
STEP_ASIDE: Final = "update outbox set state = 5 where state <= 3 and seq in (select value from json_each(:seqs))"
