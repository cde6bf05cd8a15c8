"""Judgements that were made elsewhere, into a project: they fill slots like any others.

Whoever judged there becomes a member who cannot sign in, so that they can be looked at, quarantined
and taken out like anybody. The records stay as they were, but for option ids where the project
knows the same texts under others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from accord.feedback.records import Feedback, content_id, to_json
from accord.studio.errors import NotHere
from accord.studio.people import accounts, members
from accord.studio.projects import editing, incoming, listing
from accord.studio.projects.editing import Added
from accord.studio.projects.incoming import BadItem
from accord.studio.queue import answers, claims
from accord.studio.queue.views import new_lease
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Item, Project, Slot, View
from accord.studio.tasks import contents

BATCH = 200


@dataclass(frozen=True)
class Imported:
    """What became of a file: items, judgements stored, beyond the overlap, there before; what was
    left, by reason."""

    items: Added
    answers: int
    extra: int
    repeated: int
    left_out: dict[str, int]


def import_file(
    db: Database, project_id: int, source: str | Path, by: int | None = None
) -> Imported:
    """Add a file's items and, where its rows are judgements of the project's kind, these too.

    Raises NotHere without a project, DataError when the file cannot be read.
    """
    with db.read() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotHere("there is no such project")
        settings = members.settings_of(project)
    read = editing.items_from(source, settings)
    added = editing.add_items(db, project_id, read.items, by)
    stored, extra, repeated, left_out = import_judgements(db, project_id, read.judgements, by)
    return Imported(added, stored, extra, repeated, {**read.dropped, **left_out})


def import_judgements(
    db: Database, project_id: int, judgements: Sequence[Feedback], by: int | None = None
) -> tuple[int, int, int, dict[str, int]]:
    """Store records as answers to the project's items: (stored, beyond the overlap, there before,
    left out by reason)."""
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    people: dict[str, int] = {}
    for start in range(0, len(judgements), BATCH):
        part = judgements[start : start + BATCH]
        work = partial(_store_all, db=db, project_id=project_id, part=part, before=people, by=by)
        done, lost, known = db.transact(work)
        counts.update(done)
        left_out.update(lost)
        people |= known
    return counts["stored"], counts["extra"], counts["repeated"], dict(left_out)


def _store_all(
    session: Session,
    db: Database,
    project_id: int,
    part: Sequence[Feedback],
    before: Mapping[str, int],
    by: int | None,
) -> tuple[Counter[str], Counter[str], dict[str, int]]:
    """A batch in one transaction and in statements whose number does not grow with it (but for new
    annotators)."""
    people = dict(before)
    project = session.get_one(Project, project_id)
    settings = members.settings_of(project)
    public = None if by is None else session.scalar(select(Account.public).where(Account.id == by))
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    judged: list[_Judged] = []
    for record in part:
        raw = record.model_dump(mode="json")
        try:
            incoming.keepable(raw)
            account = people.get(record.annotator) or _account(
                session, db, project, record.annotator, public
            )
            people[record.annotator] = account
            key = incoming.checked(incoming.from_record(record, settings)[0], settings)["key"]
        except BadItem as error:
            left_out[error.message] += 1
            continue
        answer_id = "i" + content_id("import", project_id, record.id) + content_id(record.id)[:8]
        judged.append(_Judged(answer_id, record, raw, account, key))
    room = _room(session, project_id, judged)
    new: list[tuple[_Judged, Item, dict[str, Any], Slot | None]] = []
    guideline, now = listing.newest_version(session, project_id), db.now()
    for one in judged:
        if one.answer_id in room.answered:
            counts["repeated"] += 1
            continue
        try:
            new.append(_placed(room, one, project_id, guideline, now))
        except BadItem as error:
            left_out[error.message] += 1
    if new:
        _store(session, project_id, new)
        payload = {"answers": [one.answer_id for one, *_ in new]}
        counts.update(stored=len(new), extra=sum(slot is None for *_, slot in new))
        claims.mark_full(session, Item.id.in_({item.id for _, item, _, _ in new}))
        events.append(session, project_id, "answers.imported", project.slug, public, now, payload)
    return counts, left_out, people


@dataclass(frozen=True)
class _Judged:
    """A record on its way to being an answer: under which id, whose, about which item (its key)."""

    answer_id: str
    record: Feedback
    raw: dict[str, Any]
    account: int
    key: str


@dataclass(frozen=True)
class _Room:
    """What a batch meets: the items by key (locked), their slots without an answer, ids of answers
    that are there, and who has seen what."""

    items: dict[str, Item]
    open_slots: dict[int, list[Slot]]
    answered: set[str]
    seen: set[tuple[int, int]]


def _room(session: Session, project_id: int, judged: Sequence[_Judged]) -> _Room:
    keys, ids = {one.key for one in judged}, [one.answer_id for one in judged]
    query = select(Item).where(Item.project_id == project_id, Item.key.in_(keys)).order_by(Item.id)
    items = {item.key: item for item in session.scalars(query.with_for_update(key_share=True))}
    inside = [item.id for item in items.values()]
    empty = select(Slot).where(Slot.item_id.in_(inside), Slot.answer_id.is_(None)).order_by(Slot.id)
    open_slots: dict[int, list[Slot]] = {}
    for slot in session.scalars(empty.with_for_update(of=Slot)):
        open_slots.setdefault(slot.item_id, []).append(slot)
    seen = session.execute(select(View.item_id, View.account_id).where(View.item_id.in_(inside)))
    answered = session.scalars(select(Answer.id).where(Answer.id.in_(ids)))
    return _Room(items, open_slots, set(answered), {(item, account) for item, account in seen})


def _placed(
    room: _Room, one: _Judged, project_id: int, guideline: int, now: float
) -> tuple[_Judged, Item, dict[str, Any], Slot | None]:
    """The record with the item's option ids, its item, its view and the slot it fills (None: beyond
    the overlap), which is taken out of the room. Raises BadItem."""
    item = room.items.get(one.key)
    if item is None:
        raise BadItem("its item is not in the project")
    if (item.id, one.account) in room.seen:
        raise BadItem("the same annotator judged this item before")
    record = _with_ids(one.record, item)
    if record.kind != "demonstration" and {o.id for o in record.options} != {
        o["id"] for o in item.options
    }:
        raise BadItem("its responses are not those of the item")
    at, slots = _moment(record, now), room.open_slots.get(item.id, [])
    slot = min(slots, key=lambda slot: claims.least_held(slot, now), default=None)
    view: dict[str, Any] = {
        "project_id": project_id,
        "item_id": item.id,
        "account_id": one.account,
        "lease": new_lease(),
        "expires_at": at,
        "served_at": at,
        "guideline": guideline,
        "shown": {"order": record.shown},
        "state": "answered",
        "active_seconds": record.active_seconds or 0.0,
        "slot_id": None if slot is None else slot.id,
    }
    if slot is not None:
        slots.remove(slot)
    room.seen.add((item.id, one.account))
    room.answered.add(one.answer_id)
    raw = one.raw if record is one.record else record.model_dump(mode="json")
    return replace(one, record=record, raw=raw), item, view, slot


def _store(
    session: Session,
    project_id: int,
    new: Sequence[tuple[_Judged, Item, dict[str, Any], Slot | None]],
) -> None:
    """Views, answers and filled slots."""
    session.execute(
        insert(View), [view for _, _, view, _ in new], execution_options={"render_nulls": True}
    )
    leases = {
        view["lease"] for _, _, view, _ in new
    }  # ids are the database's: leases tell the new views apart
    rows = session.execute(select(View.lease, View.id).where(View.lease.in_(leases)))
    view_of, new_answers = {row.lease: row.id for row in rows}, []
    for one, item, view, slot in new:
        normal = answer_of(one.record)
        new_answers.append(
            Answer(
                id=one.answer_id,
                project_id=project_id,
                item_id=item.id,
                account_id=one.account,
                view_id=view_of[view["lease"]],
                live_view_id=view_of[view["lease"]],
                key=one.answer_id,
                answer=normal,
                records=[one.raw],
                extra=slot is None,
                correct=answers.is_correct(item.gold, normal),
                created_at=view["served_at"],
                active_seconds=view["active_seconds"],
                state="live",
            )
        )
    session.add_all(new_answers)
    session.flush()
    filled = [
        {
            "id": slot.id,
            "answer_id": one.answer_id,
            "view_id": view_of[view["lease"]],
            "expires_at": None,
        }
        for one, _, view, slot in new
        if slot is not None
    ]
    if filled:
        session.execute(update(Slot), filled)


def _account(
    session: Session, db: Database, project: Project, annotator: str, by: str | None
) -> int:
    """The member who stands for a foreign annotator, made at the first judgement; nobody can sign
    in as them."""
    subject = f"imported|{project.id}|{hashlib.sha256(annotator.encode()).hexdigest()}"
    known = session.scalar(select(Account.id).where(Account.subject == subject))
    if known is not None:
        return known
    shown = "".join(c for c in annotator if c.isprintable())[:32].strip() or "someone"
    name = f"{shown} (imported {subject.rpartition('|')[2][:6]}, {project.id})"
    account = accounts.create_account(session, name, None, "annotator", db.now(), by)
    account.subject, account.disabled_at = subject, db.now()
    session.flush()
    members.add_member(session, project.id, account.id, "annotator", db.now(), by)
    return account.id


def _with_ids(record: Feedback, item: Item) -> Feedback:
    """The record with the item's option ids, where the same texts have others."""
    known = {content_id(option["content"]): option["id"] for option in item.options}
    renamed = {o.id: known.get(content_id(to_json(o.content)), o.id) for o in record.options}
    if all(old == new for old, new in renamed.items()):
        return record

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return renamed.get(value, value) if isinstance(value, str) else value

    raw = record.model_dump(mode="json")
    raw["options"] = [{**option, "id": renamed[option["id"]]} for option in raw["options"]]
    if record.kind in (
        "comparison",
        "ranking",
        "best_worst",
    ):  # the choices that name options, and hold no other text
        raw["choice"] = walk(raw["choice"])
    return Feedback.model_validate(raw)


def answer_of(record: Feedback) -> dict[str, Any]:
    """A record's choice in the form the browser sends."""
    choice: dict[str, Any] = record.choice.model_dump(mode="json")
    if record.kind == "step_labels":
        labels = choice["labels"]
        return {"labels": labels, "first_error": labels.index(-1) if -1 in labels else None}
    if record.kind == "rating":
        return {"scores": choice["scores"]}
    if record.kind == "correction":
        return {"content": contents.editable(choice["content"])}
    if record.kind == "demonstration":
        return {"content": contents.plain(choice["content"])}
    return choice


def _moment(record: Feedback, now: float) -> float:
    try:
        return min(now, datetime.fromisoformat(str(record.created_at)).timestamp())
    except ValueError:
        return now
