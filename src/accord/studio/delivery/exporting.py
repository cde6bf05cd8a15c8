"""What leaves the studio: live answers as feedback records, in any shape that others read, with a
data card.

Only answers that stand leave: not what was undone, withdrawn, excluded or erased, nothing by who is
quarantined. What stays behind is counted with the reason. The card carries the head of the
project's log, so that a log rewritten later is found.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from accord.errors import ConfigError
from accord.feedback.formats import EXPORTS, Exported, export
from accord.feedback.formats.anonymous import Pseudonyms
from accord.feedback.formats.card import card_text, data_card
from accord.feedback.formats.losses import TABLES
from accord.feedback.records import Feedback
from accord.spreadsheets import csv_text
from accord.studio.errors import NotHere
from accord.studio.queue import answers
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.events import Head
from accord.studio.storage.tables import Account, Answer, Item, Membership, Project, View

SHAPES = EXPORTS
"""Every shape an export can have."""


@dataclass(frozen=True)
class Collected:
    """Records that may leave, in the order they were given; left_out: answers that stay, by reason;
    head: of the log."""

    project: str
    records: list[Feedback]
    left_out: dict[str, int]
    head: Head


@dataclass(frozen=True)
class Wanted:
    """What an export is asked for. gold: items with known answers too; skips: who skipped what, as
    records; columns: who, when, in which order shown and how many agree, beside each row;
    hash_annotators: see `Pseudonyms`, under `salt` or one drawn for this export alone."""

    shape: str = "accord"
    gold: bool = False
    skips: bool = False
    columns: bool = True
    hash_annotators: bool = False
    salt: str | None = None


@dataclass(frozen=True)
class Bundle:
    """An export as texts. about: a second file's lines for shapes that hold further columns only
    beside them; salt: the one drawn for it, shown once and kept nowhere."""

    shape: str
    data: str
    about: str | None
    card: str
    card_json: dict[str, Any]
    exported: Exported
    collected: Collected
    salt: str | None = None
    suffix: str = field(default=".jsonl")


# --- collecting -----------------------------------------------------------------------------------
def collect(db: Database, project_id: int, gold: bool = False, skips: bool = False) -> Collected:
    """Records of a project that may leave; raises NotHere without one."""
    with db.read() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotHere("there is no such project")
        left_out: Counter[str] = Counter()
        records = list(_standing(session, project_id, gold, left_out))
        if skips:
            records += _skips(session, project)
        return Collected(project.slug, records, dict(left_out), events.head(session, project_id))


def _standing(
    session: Session, project_id: int, gold: bool, left_out: Counter[str]
) -> Iterator[Feedback]:
    query = (
        select(Answer.records, Answer.state, Item.purpose, Membership.state)
        .join(Item, Item.id == Answer.item_id)
        .outerjoin(
            Membership,
            (Membership.project_id == Answer.project_id)
            & (Membership.account_id == Answer.account_id),
        )
        .where(Answer.project_id == project_id)
        .order_by(Answer.created_at, Answer.id)
        .execution_options(yield_per=500)
    )
    for records, state, purpose, member in session.execute(query):
        why = reason_to_stay(state, purpose, member, gold)
        if why is not None:
            left_out[why] += 1
            continue
        yield from (Feedback.model_validate(record) for record in records)


def reason_to_stay(state: str, purpose: str, member: str | None, gold: bool) -> str | None:
    """Why an answer is not exported; None for one that is."""
    if state != "live":
        return f"the answer was {state}"
    if member == "quarantined":
        return "its annotator is quarantined"
    if purpose != "work" and not gold:
        return "to an item with a known answer"
    return None


def _skips(session: Session, project: Project) -> Iterator[Feedback]:
    """Skips are records too: what nobody wants to judge is something to know."""
    query = (
        select(View, Item, Account.public)
        .join(Item, Item.id == View.item_id)
        .join(Account, Account.id == View.account_id)
        .where(View.project_id == project.id, View.state == "skipped", Item.purpose == "work")
        .order_by(View.id)
    )
    for view, item, public in session.execute(query):
        place = {option: at for at, option in enumerate(view.shown["order"])}
        options = [
            {
                "id": o["id"],
                "content": o["content"],
                "producer": o.get("producer"),
                "shown_at": place[o["id"]],
            }
            for o in item.options
        ]
        yield Feedback.model_validate(
            {
                "id": f"skip-{project.slug}-{view.id}",
                "kind": "skip",
                "prompt": item.prompt,
                "options": options,
                **answers.beside(item),
                "choice": {"reason": view.skip_reason or "other"},
                "annotator": public,
                "guideline": f"{project.slug}@{view.guideline}",
                "active_seconds": view.active_seconds,
                "meta": {"project": project.slug, "item": item.key},
            }
        )


# --- writing --------------------------------------------------------------------------------------
def bundle(collected: Collected, wanted: Wanted, name: str) -> Bundle:
    """Records as texts of a shape, with their card. Raises ConfigError when none can be written so,
    with the reasons."""
    exported = export(collected.records, wanted.shape)
    if not exported.rows:
        reasons = {**collected.left_out, **exported.left_out}
        why = (
            "; ".join(f"{reason} ({n:,})" for reason, n in reasons.items()) or "nobody answered yet"
        )
        raise ConfigError(
            f"there is nothing to export as {wanted.shape}: {why}",
            "choose another shape, or label more",
        )
    names, drawn = pseudonyms(collected.records, wanted)
    rows = exported.full_rows() if wanted.columns else exported.rows
    about = (
        exported.about if exported.has_about_file and wanted.columns and exported.about else None
    )
    if names is not None:
        rows = [names.row(row) for row in rows]
        about = None if about is None else [names.row(row) for row in about]
    card = data_card(
        collected.records, exported, dropped={}, not_read={}, name=names.name if names else str
    )
    card["left_out"]["answers that stay in the studio"] = collected.left_out
    card["studio"] = {
        "project": collected.project,
        "log": {"events": collected.head.number, "hash": collected.head.hash},
    }
    table = wanted.shape in TABLES
    return Bundle(
        wanted.shape,
        csv_text(rows) if table else _lines(rows),
        None if about is None else _lines(about),
        card_text(card, name) + _studio_lines(collected),
        card,
        exported,
        collected,
        drawn,
        ".csv" if table else ".jsonl",
    )


def pseudonyms(records: Sequence[Feedback], wanted: Wanted) -> tuple[Pseudonyms | None, str | None]:
    """(how annotators are renamed, the salt drawn for it); (None, None) where they keep their
    public ids."""
    if not wanted.hash_annotators:
        if wanted.salt is not None:
            raise ConfigError(
                "a salt without hashed annotators",
                "ask for hashed annotators, or leave the salt out",
            )
        return None, None
    drawn = secrets.token_hex(16) if wanted.salt is None else None
    return Pseudonyms.of(records, wanted.salt or str(drawn)), drawn


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _studio_lines(collected: Collected) -> str:
    return (
        f"\n## The log\n\nExported from the project `{collected.project}` when its log had "
        f"{collected.head.number:,} events; "
        f"the last one's hash is `{collected.head.hash}`. Keep it: a log that is rewritten later "
        "will not lead there.\n"
    )


def note_export(db: Database, project_id: int, bundle: Bundle, by: str | None) -> None:
    """Who took what out is an event."""
    payload = {
        "shape": bundle.shape,
        "rows": len(bundle.exported.rows),
        "left_out": bundle.collected.left_out,
        "hashed": bundle.salt is not None,
    }
    db.transact(
        lambda session: events.append(
            session, project_id, "project.exported", bundle.collected.project, by, db.now(), payload
        )
    )
