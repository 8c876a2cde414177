"""The outbox in SQL: what is done with its tables; see `schema`.

What concerns many rows takes them as one JSON array, and answers with one: each step of SQLite gives up the GIL, and
with many busy threads it takes milliseconds to get it back.
"""

from __future__ import annotations

from typing import Final

# Accepting

# `rows` are [id, receiver, body, strategies, expires]. Without fingerprint, only that it came in. What was seen is
# replaced, not changed, so that what was not seen for longest comes first.
ACCEPT: Final = """insert into incoming(
        fingerprint, firing, notified, alert, at, rows, source, tags, recent, deliveries, held)
    values (:fingerprint, :firing, :notified, :alert, :at, :rows, :source, :tags, :recent, :deliveries, :held)"""

ADD: Final = """insert into outbox(id, receiver, key, body, strategies, via, alert, accepted, expires)
    values (:id, :receiver, :key, :body, :strategies, :via, :alert, :accepted, :expires)"""

PENDING: Final = "select pending from tally"

# `rows` are [name, labels, value].
COUNT: Final = """insert into counter(name, labels, value)
    select json_extract(j.value, '$[0]'), json_extract(j.value, '$[1]'), json_extract(j.value, '$[2]')
    from json_each(:rows) j where true on conflict(name, labels) do update set value = value + excluded.value"""

ADD_COUNTER: Final = """insert into counter values (:name, :labels, :value)
    on conflict(name, labels) do update set value = value + excluded.value"""

COUNTERS: Final = "select name, labels, value from counter limit :most"

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

COUNT_UNDELIVERED: Final = """select receiver, 2, count(*), 0 from outbox indexed by outbox_claimed where state = 2
        group by receiver
    union all
    select receiver, 5, count(*), 0 from outbox indexed by outbox_settled where settled is not null and state = 5
        group by receiver"""

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
