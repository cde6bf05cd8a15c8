"""Projects: made, filled with items, changed. Every change is an event."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from accord.errors import ConfigError
from accord.studio.errors import FieldError, NotHere
from accord.studio.people.members import (
    add_member,
    members,
    set_member_state,
    set_trusted,
    settings_of,
)
from accord.studio.projects import listing, overlap
from accord.studio.projects.incoming import BadItem, Incoming, ItemIn, checked, items_from
from accord.studio.projects.settings import ProjectSettings, settings_from, slug_of
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Chain, Event, Guideline, Item, Project, Slot, View
from accord.validation import read_yaml

__all__ = [
    "Added", "Incoming", "add_items", "add_member", "archive", "change_life", "create_project",
    "find_project", "items_from", "members",
    "new_guideline", "pause", "pause_items", "prioritise", "resume", "sample_project", "set_gold",
    "set_member_state",
    "set_trusted", "settings_of", "update_settings",
]  # fmt: skip
BATCH = 500
FIXED = ("task",)
"""Settings that answers depend on: never changed once a project exists."""


@dataclass(frozen=True)
class Added:
    """What became of rows: new items, items there already, and rows that could not be used, by
    reason."""

    new: int
    duplicates: int
    bad: dict[str, int]
    first_bad: dict[str, str]


def create_project(
    db: Database, settings: ProjectSettings, by: int | None, key: str | None = None
) -> int:
    """Make a project, its log and the first version of its guideline; `by` (an account) owns it.
    Returns its id.

    key: the caller's own for this act; asked for again with the same key, the project made then
    comes back.
    """

    def work(session: Session) -> int:
        now = db.now()
        known = None if key is None else _made_before(session, key)
        if known is not None:
            return known
        project = Project(
            slug=_free_slug(session, settings.name),
            name=settings.name,
            settings=settings.model_dump(mode="json"),
            seed=secrets.randbelow(2**31),
            created_by=by,
            created_at=now,
        )
        session.add(project)
        session.flush()
        session.add(
            Guideline(
                project_id=project.id,
                version=1,
                text=settings.guideline,
                created_by=by,
                created_at=now,
            )
        )
        events.open_chain(session, project.id)
        session.flush()
        events.append(
            session,
            project.id,
            "project.created",
            project.slug,
            _public(session, by),
            now,
            project.settings,
        )
        if by is not None:
            add_member(session, project.id, by, "owner", now, _public(session, by))
        if key is not None:
            payload = {"project": project.id}
            events.append(
                session,
                events.HOUSE,
                "project.keyed",
                _subject(key),
                _public(session, by),
                now,
                payload,
            )
        return project.id

    return db.transact(work)


def _subject(key: str) -> str:
    return f"key:{hashlib.sha256(key.encode()).hexdigest()}"


def _made_before(session: Session, key: str) -> int | None:
    """The project made with this key. The house's chain is locked first: two at once come one after
    the other."""
    session.execute(
        select(Chain.id).where(Chain.id == events.HOUSE).with_for_update(key_share=True)
    )
    query = select(Event.payload).where(Event.chain == events.HOUSE, Event.subject == _subject(key))
    payload = session.scalar(query)
    return None if payload is None else int(payload["project"])


def _free_slug(session: Session, name: str) -> str:
    base = slug_of(name)
    taken = set(
        session.scalars(select(Project.slug).where(Project.slug.startswith(base, autoescape=True)))
    )
    return next(
        slug
        for n in range(1, len(taken) + 2)
        if (slug := base if n == 1 else f"{base}-{n}") not in taken
    )


def _public(session: Session, account_id: int | None) -> str | None:
    return (
        None
        if account_id is None
        else session.scalar(select(Account.public).where(Account.id == account_id))
    )


def has_project(session: Session, slug: str) -> bool:
    """Whether there is a project of that slug."""
    return session.scalar(select(Project.id).where(Project.slug == slug)) is not None


def find_project(session: Session, slug: str) -> Project:
    """The project of that slug; raises NotHere."""
    project = session.scalars(select(Project).where(Project.slug == slug)).first()
    if project is None:
        raise NotHere(f"there is no project {slug!r}")
    return project


def _locked(session: Session, project_id: int) -> Project:
    project = session.get(Project, project_id, with_for_update={"key_share": True})
    if project is None:
        raise NotHere("there is no such project")
    return project


# --- items ----------------------------------------------------------------------------------------
def add_items(
    db: Database,
    project_id: int,
    items: Iterable[Mapping[str, Any] | ItemIn],
    by: int | None = None,
) -> Added:
    """Add items with their slots. Equal content is one item; rows that cannot be judged are counted
    with the reason."""
    with db.read() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotHere("there is no such project")
        settings = settings_of(project)
    rows: dict[str, dict[str, Any]] = {}
    repeated = 0
    bad: Counter[str] = Counter()
    first: dict[str, str] = {}
    for number, raw in enumerate(items, 1):
        try:
            row = checked(raw, settings)
        except BadItem as error:
            bad[error.message] += 1
            first.setdefault(error.message, f"item {number}")
            continue
        repeated += row["key"] in rows
        rows.setdefault(row["key"], row)
    new = 0
    pending = list(rows.values())
    for start in range(0, len(pending), BATCH):
        part = pending[start : start + BATCH]
        new += db.transact(partial(_insert, project_id=project_id, rows=part, by=by, now=db.now()))
    return Added(new, repeated + len(rows) - new, dict(bad), first)


def _insert(
    session: Session, project_id: int, rows: list[dict[str, Any]], by: int | None, now: float
) -> int:
    """One batch of items with their slots, in one transaction."""
    project = _locked(session, project_id)
    keys = [row["key"] for row in rows]
    known = set(
        session.scalars(select(Item.key).where(Item.project_id == project_id, Item.key.in_(keys)))
    )
    drawn = [
        row | {"project_id": project_id, "draw": random.random()}
        for row in rows
        if row["key"] not in known
    ]
    if not drawn:
        return 0
    session.execute(insert(Item), drawn)
    query = select(Item.id).where(
        Item.project_id == project_id, Item.key.in_([row["key"] for row in drawn])
    )
    work = list(session.scalars(query.where(Item.purpose == "work")))
    numbers = range(1, settings_of(project).overlap + 1)
    slots = [{"project_id": project_id, "item_id": i, "number": n} for i in work for n in numbers]
    if slots:
        session.execute(insert(Slot), slots)
    payload = {"items": len(drawn), "keys": [row["key"] for row in drawn]}
    events.append(
        session, project_id, "items.added", project.slug, _public(session, by), now, payload
    )
    return len(drawn)


def pause_items(
    db: Database, project_id: int, keys: list[str], paused: bool, by: int | None = None
) -> int:
    """Take items out of the queue, or back in; returns how many changed. Answers that are under way
    still count."""

    def work(session: Session) -> int:
        changed = overlap.pause_items(session, project_id, keys, paused)
        kind = "items.paused" if paused else "items.resumed"
        if changed:
            events.append(
                session,
                project_id,
                kind,
                "items",
                _public(session, by),
                db.now(),
                {"keys": changed},
            )
        return len(changed)

    return db.transact(work)


def set_gold(
    db: Database,
    project_id: int,
    key: str,
    gold: dict[str, Any],
    by: int | None,
    purpose: str = "gold",
) -> None:
    """Make an item one with a known answer; raises BadItem when it was shown already or the answer
    does not fit."""

    def work(session: Session) -> None:
        project = _locked(session, project_id)
        query = (
            select(Item)
            .where(Item.project_id == project_id, Item.key == key)
            .with_for_update(key_share=True)
        )
        item = session.scalars(query).first()
        if item is None:
            raise NotHere("there is no such item")
        if session.scalar(select(View.id).where(View.item_id == item.id).limit(1)):
            raise BadItem(
                "this item was shown to somebody already",
                "add gold items before the work starts, or as new items",
            )
        options = [{k: v for k, v in option.items() if v is not None} for option in item.options]
        raw = {
            "prompt": item.prompt,
            "options": options,
            "categories": item.categories,
            "gold": gold,
            "purpose": purpose,
            "tools": item.tools,
            "chat_template_kwargs": item.chat_template_kwargs,
        }
        row = checked(raw, settings_of(project))
        session.execute(
            delete(Slot).where(Slot.item_id == item.id)
        )  # gold has room for everybody, made when needed
        item.gold, item.purpose, item.state = row["gold"], row["purpose"], "active"
        session.flush()
        events.append(
            session,
            project_id,
            "item.gold",
            key,
            _public(session, by),
            db.now(),
            {"gold": item.gold},
        )

    db.transact(work)


def prioritise(
    db: Database,
    project_id: int,
    priorities: Mapping[str, float],
    arm: str,
    random_share: float = 0.2,
    by: int | None = None,
) -> dict[str, int]:
    """Let active selection decide what comes first, with an arm of chance to measure it against.

    priorities: item key -> priority, for the open items selected. For every four selected (at the
    share 0.2) one open item drawn at random gets the priority of one of them, so that both arms are
    served side by side; `selected_by` tells them apart in records. Returns the number of items per
    arm. Raises ConfigError for a share below 0.2.
    """
    from accord.feedback.selection import LEAST_RANDOM

    if not LEAST_RANDOM <= random_share < 1:
        raise ConfigError(
            f"random_share = {random_share} is outside [{LEAST_RANDOM}, 1)",
            "the saving is measured on the random arm",
        )

    def work(session: Session) -> dict[str, int]:
        open_work = (Item.project_id == project_id, Item.purpose == "work", Item.state == "active")
        query = select(Item).where(*open_work).order_by(Item.id).with_for_update(key_share=True)
        items = {item.key: item for item in session.scalars(query)}
        chosen = [items[key] for key in priorities if key in items]
        rest = [item for key, item in items.items() if key not in priorities]
        wanted = round(len(chosen) * random_share / (1 - random_share))
        drawn = random.sample(rest, min(wanted, len(rest)))
        for item in chosen:
            item.priority, item.selected_by, item.draw = priorities[item.key], arm, random.random()
        for item in drawn:
            item.priority = random.choice(chosen).priority
            item.selected_by, item.draw = "random", random.random()
        session.flush()
        counts = {arm: len(chosen), "random": len(drawn), "unknown": len(priorities) - len(chosen)}
        events.append(
            session, project_id, "items.prioritised", arm, _public(session, by), db.now(), counts
        )
        return counts

    return db.transact(work)


# --- settings, guideline, life --------------------------------------------------------------------
def update_settings(
    db: Database, project_id: int, settings: ProjectSettings, by: int | None
) -> None:
    """Change a project's settings. The task stays; a higher overlap opens slots, a lower one takes
    unfilled ones away; a changed guideline becomes a new version. Slots follow batch by batch once
    the settings stand, see `overlap.level`. Raises ConfigError for a change that answers forbid."""

    def work(session: Session) -> None:
        project = _locked(session, project_id)
        before = settings_of(project)
        for name in FIXED:
            if getattr(before, name) != getattr(settings, name):
                raise FieldError(
                    {name: f"a project's {name} cannot change to {getattr(settings, name)!r}"},
                    "make a new project",
                )
        if settings.guideline != before.guideline:
            _add_guideline(session, project, settings.guideline, by, db.now())
        project.settings, project.name = settings.model_dump(mode="json"), settings.name
        session.flush()
        payload = project.settings
        events.append(
            session,
            project_id,
            "project.changed",
            project.slug,
            _public(session, by),
            db.now(),
            payload,
        )

    db.transact(work)
    overlap.level(db, project_id)


def new_guideline(db: Database, project_id: int, text: str, by: int | None) -> int:
    """Publish a new version of the guideline, unless the text is the newest's but for blanks around
    it; returns its number."""

    def work(session: Session) -> int:
        project = _locked(session, project_id)
        newest = listing.guideline(session, project_id)
        if newest.text.strip() == text.strip():
            return newest.version
        version = _add_guideline(session, project, text, by, db.now())
        project.settings = {**project.settings, "guideline": text}
        session.flush()
        return version

    return db.transact(work)


def _add_guideline(
    session: Session, project: Project, text: str, by: int | None, now: float
) -> int:
    version = listing.newest_version(session, project.id) + 1
    session.add(
        Guideline(project_id=project.id, version=version, text=text, created_by=by, created_at=now)
    )
    session.flush()
    payload = {"version": version}
    events.append(
        session, project.id, "guideline.published", project.slug, _public(session, by), now, payload
    )
    return version


def change_life(db: Database, project_id: int, do: str, by: int | None) -> None:
    """do: pause, resume or archive."""
    {"pause": pause, "resume": resume, "archive": archive}[do](db, project_id, by)


def pause(db: Database, project_id: int, by: int | None) -> None:
    """Serve nothing for now; answers that are under way are still taken."""
    _live(db, project_id, by, "project.paused", paused_at=db.now())


def resume(db: Database, project_id: int, by: int | None) -> None:
    """Serve again, from the archive too."""
    _live(db, project_id, by, "project.resumed", paused_at=None, archived_at=None)


def archive(db: Database, project_id: int, by: int | None) -> None:
    """Close a project: nothing is served, everything is kept and can be exported."""
    _live(db, project_id, by, "project.archived", archived_at=db.now())


def _live(db: Database, project_id: int, by: int | None, kind: str, **values: float | None) -> None:
    def work(session: Session) -> None:
        project = _locked(session, project_id)
        for name, value in values.items():
            setattr(project, name, value)
        session.flush()
        events.append(session, project_id, kind, project.slug, _public(session, by), db.now(), {})

    db.transact(work)


def sample_project(db: Database, by: int | None) -> int:
    """A small project to try the studio with: prompts, responses and three known answers of our
    own. Returns its id."""
    text = (resources.files("accord.studio") / "assets" / "sample.yaml").read_text(encoding="utf-8")
    raw = read_yaml(text, "the sample project", "it is part of accord: install it again")
    project_id = create_project(db, settings_from(raw["settings"]), by)
    added = add_items(db, project_id, raw["items"], by)
    if added.bad or added.duplicates:
        raise RuntimeError(f"the sample project holds bad items: {added}")
    return project_id
