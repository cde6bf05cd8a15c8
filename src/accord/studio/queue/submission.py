"""What happens to an answer: kept with its event in one transaction, acknowledged only after the
commit."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from accord.studio.errors import Conflict, NotAllowed, NotHere
from accord.studio.people import wellbeing
from accord.studio.people.members import Person, settings_of
from accord.studio.projects import studies
from accord.studio.queue import answers, claims
from accord.studio.queue.views import hold, new_lease, own_view
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Answer, Item, Membership, Project, Slot, View
from accord.validation import validated

UNDO_SECONDS = 60.0


class Timing(BaseModel):
    """How an answer was given, as the browser saw it; seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    active_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    first_key_seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    hidden_seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    input: Literal["keyboard", "mouse", "touch"] | None = None
    interface: str | None = Field(None, max_length=64)


@dataclass(frozen=True)
class Receipt:
    """Says that an answer is stored. repeated: it was before; extra: every slot was filled; state
    as in `Answer`."""

    answer_id: str
    state: str
    extra: bool
    repeated: bool
    undo_until: float


def submit(
    db: Database,
    account_id: int,
    view_id: int,
    lease: str,
    key: str,
    answer: dict[str, Any],
    timing: dict[str, Any] | None = None,
    session_name: str | None = None,
) -> Receipt:
    """Store an answer. `key` is the browser's own for this act of sending: sent again, the same
    receipt comes back.

    The lease may have run out, or be an older one of the same view: an answer is never refused for
    being late.
    session_name: the sitting (Login.session). Raises AnswerError for what cannot stand, Conflict
    when the view was answered or skipped already.
    """
    timed = validated(Timing, timing or {}, "timing")
    if not 8 <= len(key) <= 64:
        raise answers.AnswerError("key", "an idempotency key has 8 to 64 characters")

    def work(session: Session) -> Receipt:
        person, view = own_view(session, account_id, view_id)
        known = session.scalars(_KNOWN, {"account": account_id, "key": key}).first()
        if known is not None:
            if known.view_id != view_id:
                raise Conflict(
                    "this key was used for another item", "send each answer under a key of its own"
                )
            return Receipt(
                known.id, known.state, known.extra, True, known.created_at + UNDO_SECONDS
            )
        return _store(session, person, view, key, answer, timed, session_name, db.now())

    return db.transact(work)


_KNOWN = select(Answer).where(
    Answer.account_id == bindparam("account"), Answer.key == bindparam("key")
)
_NEW_ANSWER = insert(cast(Table, Answer.__table__))
_ANSWERED = (
    update(View)
    .where(View.id == bindparam("which"))
    .values(
        state="answered", draft=None, active_seconds=bindparam("active"), slot_id=bindparam("slot")
    )
).execution_options(synchronize_session=False)
_FILL = (
    update(Slot)
    .where(Slot.id == bindparam("which"))
    .values(answer_id=bindparam("answer"), view_id=bindparam("by"), expires_at=None)
).execution_options(synchronize_session=False)


def _store(
    session: Session,
    person: Person,
    view: View,
    key: str,
    given: dict[str, Any],
    timing: Timing,
    sitting: str | None,
    now: float,
) -> Receipt:
    if view.state != "served":
        raise Conflict(f"this item was {view.state} already", "reload the page to see what is next")
    item = claims.lock_item(session, view.item_id)
    given, said = studies.taken(view, item, given)
    judged = answers.judge(
        person.settings,
        item.options,
        given,
        view.shown.get("turns"),
        item.prompt,
        view.shown["order"],
    )
    if said:
        judged = replace(judged, answer={**judged.answer, "claims": said})
    correct = answers.is_correct(item.gold, judged.answer)
    active = wellbeing.active_total(view, timing.active_seconds, now)
    answer_id = secrets.token_urlsafe(12)
    records = judged.records(
        answer_id,
        item.prompt,
        view.shown["order"],
        beside=answers.beside(item),
        annotator=person.public,
        session=sitting,
        guideline=f"{person.slug}@{view.guideline}",
        active_seconds=active,
        created_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        meta=_meta(person, view, item, timing) | studies.record_of(view, item, said, correct),
    )
    slot, last = claims.slot_for_answer(session, view, now)
    session.execute(
        _NEW_ANSWER,
        {
            "id": answer_id,
            "project_id": item.project_id,
            "item_id": item.id,
            "account_id": person.account_id,
            "view_id": view.id,
            "live_view_id": view.id,
            "key": key,
            "answer": judged.answer,
            "extra": slot is None,
            "records": [r.model_dump(mode="json") for r in records],
            "correct": correct,
            "state": "live",
            "created_at": now,
            "active_seconds": active,
        },
    )
    session.execute(
        _ANSWERED, {"which": view.id, "active": active, "slot": None if slot is None else slot.id}
    )
    if slot is not None:
        session.execute(_FILL, {"which": slot.id, "answer": answer_id, "by": view.id})
        if last and item.purpose == "work" and item.state == "active":
            item.state = "full"
    payload = {
        "item": item.key,
        "answer": judged.answer,
        "extra": slot is None,
        "active_seconds": active,
    }
    events.append(
        session, item.project_id, "answer.submitted", answer_id, person.public, now, payload
    )
    if item.purpose == "screening":
        _qualify(session, person, now)
    return Receipt(answer_id, "live", slot is None, False, now + UNDO_SECONDS)


def _meta(person: Person, view: View, item: Item, timing: Timing) -> dict[str, Any]:
    meta = {
        "project": person.slug,
        "item": item.key,
        "selected_by": item.selected_by,
        "interface": timing.interface,
        "input": timing.input,
        "first_key_seconds": timing.first_key_seconds,
        "hidden_seconds": timing.hidden_seconds,
        "masked": view.shown.get("masked"),
        "gold": True if item.purpose != "work" else None,
        "columns": item.meta or None,
    }
    return {name: value for name, value in meta.items() if value is not None}


def _qualify(session: Session, person: Person, now: float) -> None:
    """Decide on the screening once its last item is answered."""
    wanted = person.settings.qualification
    if wanted is None or person.qualified_at is not None:
        return
    answered, right = claims.screened(session, person)
    if answered < wanted.items:
        return
    passed = right >= wanted.pass_share * wanted.items
    if passed:
        session.get_one(Membership, (person.project_id, person.account_id)).qualified_at = now
        session.flush()
    payload = {"answered": answered, "right": right, "passed": passed}
    public = person.public
    events.append(session, person.project_id, "member.screened", public, public, now, payload)


# --- taking back ----------------------------------------------------------------------------------
def undo(db: Database, account_id: int, answer_id: str, project_id: int | None = None) -> int:
    """Take an answer back within a minute: the view is served again, with the answer as its draft;
    returns the view.

    project_id: the one it was asked for in, where that was said. Raises NotHere for an answer that
    is not theirs, or not there, NotAllowed when it is too late, Conflict when it was taken back
    before.
    """

    def work(session: Session) -> int:
        now = db.now()
        view_id = session.scalar(
            select(Answer.view_id).where(Answer.id == answer_id, Answer.account_id == account_id)
        )
        if view_id is None:
            raise NotHere("there is no such answer of yours")
        person, view = own_view(session, account_id, view_id, project_id)
        item = claims.lock_item(session, view.item_id)
        answer = session.get_one(Answer, answer_id)
        if answer.state != "live":
            raise Conflict(f"this answer is {answer.state} already")
        if now > answer.created_at + UNDO_SECONDS:
            raise NotAllowed(
                f"an answer can be undone for {UNDO_SECONDS:g} seconds",
                "ask for it to be withdrawn instead",
            )
        slot = claims.reopen(session, item, answer_id, person.settings.overlap)
        answer.state, answer.live_view_id, answer.extra = "undone", None, False
        view.state, view.lease, view.draft, view.slot_id = (
            "served",
            new_lease(),
            answer.answer,
            None,
        )
        hold(view, slot, now + person.settings.lease_seconds)
        claims.mark_full(session, Item.id == item.id)
        session.flush()
        public = person.public
        events.append(
            session, item.project_id, "answer.undone", answer_id, public, now, {"item": item.key}
        )
        return view.id

    return db.transact(work)


def withdraw(
    db: Database,
    answer_id: str,
    reason: str,
    by: str | None,
    *whose: ColumnElement[bool],
    erase: bool = False,
) -> None:
    """Take an answer out for good, at its author's wish or for a mistake: never exported, its slot
    open to others.

    erase: also remove what it said, here and in the log (whose chain still holds). by: public id of
    who does it. whose: conditions on the answer and its item. Raises NotHere where none fits. Doing
    it again changes nothing; erasing what was withdrawn is possible.
    """
    _retire(db, answer_id, "erased" if erase else "withdrawn", reason, by, *whose)


def exclude(
    db: Database, answer_id: str, reason: str, by: str | None, *whose: ColumnElement[bool]
) -> None:
    """A reviewer takes an answer out, with a reason: kept for the record, not exported, its slot
    open to others. whose: as in `withdraw`. Raises NotHere."""
    _retire(db, answer_id, "excluded", reason, by, *whose)


def _retire(
    db: Database,
    answer_id: str,
    state: str,
    reason: str,
    by: str | None,
    *whose: ColumnElement[bool],
) -> None:
    db.transact(lambda session: retire(session, answer_id, state, reason, by, db.now(), *whose))


def retire(
    session: Session,
    answer_id: str,
    state: str,
    reason: str,
    by: str | None,
    now: float,
    *whose: ColumnElement[bool],
) -> None:
    """Take an answer out, in the session's transaction. state: withdrawn, excluded or erased.
    whose: as in `withdraw`. Raises NotHere."""
    query = select(Answer.item_id).join(Item, Item.id == Answer.item_id)
    item_id = session.scalar(query.where(Answer.id == answer_id, *whose))
    if item_id is None:
        raise NotHere(f"there is no answer {answer_id!r}", "the list of answers has their ids")
    item = claims.lock_item(session, item_id)
    answer = session.get_one(Answer, answer_id, populate_existing=True)
    if answer.state == state or answer.state == "erased":
        return
    overlap = settings_of(session.get_one(Project, item.project_id)).overlap
    claims.reopen(session, item, answer_id, overlap)
    answer.state, answer.reason, answer.live_view_id, answer.extra = state, reason, None, False
    claims.mark_full(session, Item.id == item.id)
    session.flush()
    if state == "erased":
        _erase(session, answer, by, now)
    payload = {"item": item.key} if state == "erased" else {"item": item.key, "reason": reason}
    events.append(session, item.project_id, f"answer.{state}", answer_id, by, now, payload)


def _erase(session: Session, answer: Answer, by: str | None, now: float) -> None:
    """What was said goes: answer, records, reason, draft, note, payloads in the log."""
    answer.answer, answer.records, answer.reason = None, [], None
    view = session.get_one(View, answer.view_id)
    view.draft = view.skip_note = None
    session.flush()
    events.erase_payloads(session, answer.project_id, answer.id, by, now)
