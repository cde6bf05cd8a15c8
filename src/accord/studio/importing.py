"""Judgements that were made elsewhere, into a project: they fill slots like any others.

Whoever judged there becomes a member who cannot sign in, so that they can be looked at, quarantined and taken out like
anybody. The records stay as they were, but for option ids where the project knows the same texts under others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from accord.feedback.records import Feedback, content_id, to_json
from accord.studio import accounts, answers, claims, events, incoming, members, projects
from accord.studio.database import Database
from accord.studio.errors import NotHere
from accord.studio.incoming import BadItem
from accord.studio.projects import Added
from accord.studio.settings import ProjectSettings
from accord.studio.tables import Account, Answer, Guideline, Item, Project, View
from accord.studio.views import new_lease

BATCH = 200


@dataclass(frozen=True)
class Imported:
    """What became of a file: items, judgements stored, beyond the overlap, there before; what was left, by reason."""

    items: Added
    answers: int
    extra: int
    repeated: int
    left_out: dict[str, int]


def import_file(db: Database, project_id: int, source: str | Path, by: int | None = None) -> Imported:
    """Add a file's items and, where its rows are judgements of the project's kind, these too.

    Raises NotHere without a project, DataError when the file cannot be read.
    """
    with db.read() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotHere("there is no such project")
        settings = members.settings_of(project)
    found = projects.items_from(source, settings)
    added = projects.add_items(db, project_id, found.items, by)
    stored, extra, repeated, left_out = import_judgements(db, project_id, found.judgements, by)
    return Imported(added, stored, extra, repeated, {**found.dropped, **left_out})


def import_judgements(
    db: Database, project_id: int, judgements: Sequence[Feedback], by: int | None = None
) -> tuple[int, int, int, dict[str, int]]:
    """Store records as answers to the project's items: (stored, beyond the overlap, there before, left out by reason)."""
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
    session: Session, db: Database, project_id: int, part: Sequence[Feedback], before: Mapping[str, int], by: int | None
) -> tuple[Counter[str], Counter[str], dict[str, int]]:
    people = dict(before)
    project = session.get_one(Project, project_id)
    public = None if by is None else session.scalar(select(Account.public).where(Account.id == by))
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    stored: list[str] = []
    for record in part:
        try:
            incoming.keepable(record.model_dump(mode="json"))
            account = people.get(record.annotator) or _account(session, db, project, record.annotator, public)
            people[record.annotator] = account
            made = _store(session, db, project, record, account)
        except BadItem as error:
            left_out[error.message] += 1
            continue
        if made is None:
            counts["repeated"] += 1
            continue
        stored.append(made.id)
        counts["stored"] += 1
        counts["extra"] += made.extra
    session.flush()
    if stored:
        said = {"answers": stored}
        events.append(session, project_id, "answers.imported", project.slug, public, db.now(), said)
    return counts, left_out, people


def _account(session: Session, db: Database, project: Project, annotator: str, by: str | None) -> int:
    """The member who stands for a foreign annotator, made at the first judgement; nobody can sign in as them."""
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


def _store(session: Session, db: Database, project: Project, record: Feedback, account: int) -> Answer | None:
    """The answer a record becomes; None when it is there already. Raises BadItem."""
    settings = members.settings_of(project)
    answer_id = "i" + content_id("import", project.id, record.id) + content_id(record.id)[:8]
    if session.get(Answer, answer_id) is not None:
        return None
    item = _item(session, project, settings, record)
    if session.scalar(select(View.id).where(View.item_id == item.id, View.account_id == account)):
        raise BadItem("the same annotator judged this item before")
    record = _with_ids(record, item)
    if record.kind != "demonstration" and {o.id for o in record.options} != {o["id"] for o in item.options}:
        raise BadItem("its responses are not those of the item")
    at = _moment(record, db.now())
    view = View(
        project_id=project.id, item_id=item.id, account_id=account, lease=new_lease(), expires_at=at, served_at=at,
        guideline=_guideline(session, project.id), shown={"order": record.shown}, state="answered",
        active_seconds=record.active_seconds or 0.0,
    )  # fmt: skip
    session.add(view)
    session.flush()
    slot, _ = claims.slot_for_answer(session, view, db.now())
    normal = answer_of(record)
    answer = Answer(
        id=answer_id, project_id=project.id, item_id=item.id, account_id=account, view_id=view.id, live_view_id=view.id,
        key=answer_id, answer=normal, records=[record.model_dump(mode="json")], extra=slot is None,
        correct=answers.is_correct(item.gold, normal), created_at=at, active_seconds=view.active_seconds, state="live",
    )  # fmt: skip
    session.add(answer)
    if slot is not None:
        slot.answer_id, slot.view_id, slot.expires_at, view.slot_id = answer_id, view.id, None, slot.id
    claims.mark_full(session, item)
    session.flush()
    return answer


def _item(session: Session, project: Project, settings: ProjectSettings, record: Feedback) -> Item:
    made = incoming.from_record(record, settings)
    key = incoming.checked(made[0], settings)["key"]
    found = session.scalar(select(Item.id).where(Item.project_id == project.id, Item.key == key))
    if found is None:
        raise BadItem("its item is not in the project")
    return claims.lock_item(session, found)


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
    if record.kind in ("comparison", "ranking", "best_worst"):  # the choices that name options, and hold no other text
        raw["choice"] = walk(raw["choice"])
    return Feedback.model_validate(raw)


def answer_of(record: Feedback) -> dict[str, Any]:
    """A record's choice in the form the browser sends."""
    said: dict[str, Any] = record.choice.model_dump(mode="json")
    if record.kind == "step_labels":
        labels = said["labels"]
        return {"labels": labels, "first_error": labels.index(-1) if -1 in labels else None}
    if record.kind == "rating":
        return {"scores": said["scores"]}
    if record.kind in ("correction", "demonstration") and isinstance(said["content"], list):
        return {"content": said["content"][-1]["content"]}
    return said


def _moment(record: Feedback, now: float) -> float:
    try:
        return min(now, datetime.fromisoformat(str(record.created_at)).timestamp())
    except ValueError:
        return now


def _guideline(session: Session, project_id: int) -> int:
    query = select(Guideline.version).where(Guideline.project_id == project_id).order_by(Guideline.version.desc())
    return int(session.scalars(query.limit(1)).first() or 0)
