"""The log: append-only events in a hash chain per project, so that later changes are found.

    hash = SHA-256(previous | number | at | actor | kind | subject | payload_hash)
    payload_hash = SHA-256(salt | canonical JSON of the payload)

Erasing somebody's data takes payload and salt away; without the salt the hash tells nothing about
the payload, and the chain still verifies. Who can write the whole database can also compute a new
chain: keep `head` somewhere else (an export's data card carries it) to find that too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from accord.studio.storage.tables import Chain, Event

HOUSE = 0
"""The chain of what concerns no single project: accounts, sign-ins, projects made."""
GENESIS = "0" * 64
ERASED = "payloads.erased"


@dataclass(frozen=True)
class Head:
    """The last event of a chain: its number and hash."""

    number: int
    hash: str


@dataclass(frozen=True)
class Verified:
    """What `verify` found. broken: what is wrong first, None for a whole chain; erased: payloads
    taken away on record."""

    events: int
    erased: int
    head: Head
    broken: str | None = None


def open_chain(session: Session, chain: int) -> None:
    """Begin an empty chain (once per project)."""
    session.execute(insert(Chain).values(id=chain, number=0, hash=GENESIS))


_LAST = (
    select(Chain.number, Chain.hash)
    .where(Chain.id == bindparam("chain"))
    .with_for_update(key_share=True)
)
_NEW = insert(cast(Table, Event.__table__))
_MOVE = (
    update(Chain)
    .where(Chain.id == bindparam("which"))
    .values(number=bindparam("to"), hash=bindparam("now"))
).execution_options(synchronize_session=False)


def append(
    session: Session,
    chain: int,
    kind: str,
    subject: str,
    actor: str | None,
    at: float,
    payload: dict[str, Any],
) -> Head:
    """Add an event in the session's transaction. Do it last: others wait for the chain's row until
    the commit."""
    last = session.execute(_LAST, {"chain": chain}).one()
    salt = secrets.token_hex(16)
    digest = _payload_hash(salt, payload)
    number = last.number + 1
    hashed = _hash(last.hash, number, at, actor, kind, subject, digest)
    session.execute(
        _NEW,
        {
            "chain": chain,
            "number": number,
            "at": at,
            "actor": actor,
            "kind": kind,
            "subject": subject,
            "payload": payload,
            "salt": salt,
            "payload_hash": digest,
            "previous": last.hash,
            "hash": hashed,
        },
    )
    session.execute(_MOVE, {"which": chain, "to": number, "now": hashed})
    return Head(number, hashed)


def erase_payloads(
    session: Session,
    chain: int,
    subject: str,
    actor: str | None,
    at: float,
    *which: ColumnElement[bool],
) -> int:
    """Take away what events (all, or `which`) said about `subject`; returns how many. That it was
    done is itself an event."""
    wanted = (
        Event.chain == chain,
        Event.subject == subject,
        Event.salt.is_not(None),
        Event.kind != ERASED,
        *which,
    )
    emptied = update(Event).where(*wanted).values(payload=None, salt=None)
    done = session.execute(emptied, execution_options={"synchronize_session": False})
    count = int(done.rowcount)  # type: ignore[attr-defined]
    append(session, chain, ERASED, subject, actor, at, {"events": count})
    return count


def log_name(chain: int) -> str:
    """What a chain is called where somebody reads of it."""
    return f"the log of {'the house' if chain == HOUSE else f'project {chain}'}"


def head(session: Session, chain: int) -> Head:
    """The chain's last number and hash, to be kept where the database's owner cannot change it."""
    return Head(*session.execute(select(Chain.number, Chain.hash).where(Chain.id == chain)).one())


def verify(session: Session, chain: int) -> Verified:
    """Compute every hash again; names the first event that was changed, removed, added or silently
    emptied."""
    stored_head = head(session, chain)
    previous, count = GENESIS, 0
    emptied: Counter[str] = Counter()
    first: dict[str, int] = {}
    query = (
        select(Event)
        .where(Event.chain == chain)
        .order_by(Event.number)
        .execution_options(yield_per=1000)
    )
    for event in session.scalars(query):
        broken = _broken(event, previous, count + 1)
        if broken is not None:
            return Verified(count, emptied.total(), stored_head, broken)
        previous, count = event.hash, event.number
        if event.salt is None:
            emptied[event.subject] += 1
            first.setdefault(event.subject, event.number)
        elif event.kind == ERASED:
            first.pop(event.subject, None)
    if count != stored_head.number:
        ends = f"the chain ends with event {count}, its head says {stored_head.number}"
        return Verified(count, emptied.total(), stored_head, ends)
    if previous != stored_head.hash:
        rewritten = f"event {count}: the chain's head has another hash, one was rewritten"
        return Verified(count, emptied.total(), stored_head, rewritten)
    if first:
        subject, number = min(first.items(), key=lambda item: item[1])
        lost = f"event {number}: the payload about {subject!r} is gone and no erasure is on record"
        return Verified(count, emptied.total(), stored_head, lost)
    return Verified(count, emptied.total(), stored_head)


def _broken(event: Event, previous: str, expected: int) -> str | None:
    if event.number != expected:
        return f"event {expected} is missing (event {event.number} follows)"
    if event.previous != previous:
        return f"event {event.number} does not follow on the one before"
    if event.salt is None:
        if event.payload is not None:
            return f"event {event.number}: it has a payload but no salt"
    elif event.payload is None or _payload_hash(event.salt, event.payload) != event.payload_hash:
        return f"event {event.number}: its payload was changed"
    fields = (event.at, event.actor, event.kind, event.subject, event.payload_hash)
    if _hash(previous, event.number, *fields) != event.hash:
        return f"event {event.number}: time, actor, kind, subject or hash was changed"
    return None


def _payload_hash(salt: str, payload: dict[str, Any]) -> str:
    text = json.dumps(
        payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(f"{salt}|{text}".encode()).hexdigest()


def _hash(
    previous: str, number: int, at: float, actor: str | None, kind: str, subject: str, digest: str
) -> str:
    fields = json.dumps(
        [previous, number, float(at), actor, kind, subject, digest]
    )  # a list: no field can eat another
    return hashlib.sha256(fields.encode()).hexdigest()
