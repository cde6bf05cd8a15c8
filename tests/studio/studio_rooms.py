"""What tests of the studio share: a clock, people, a project with items, answers that fit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from accord.studio.projects import editing
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account

_keys = itertools.count(1)


@dataclass
class Clock:
    """Seconds since 1970 that move only when told to."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Receiver:
    """A server that keeps what it gets, and answers with `status`."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


def person(
    db: Database, name: str, project: int | None = None, role: str = "annotator", **more: Any
) -> int:
    """An account, a member of `project` if given; returns its id."""
    with db.write() as session:
        account = Account(public=f"p-{name}", name=name, role=role, created_at=db.now(), **more)
        session.add(account)
        session.flush()
        if project is not None:
            editing.add_member(session, project, account.id, role, db.now(), None)
        return account.id


def pairs(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Items with two options."""
    return [
        {"prompt": f"Question {n}", "options": [f"First answer {n}", f"Second answer {n}"]}
        for n in range(start, start + count)
    ]


def project(db: Database, items: list[dict[str, Any]] | None = None, **settings: Any) -> int:
    """A project of comparisons (unless told otherwise) with items; returns its id."""
    made = editing.create_project(db, ProjectSettings(**{"name": "Test", **settings}), None)
    added = editing.add_items(db, made, pairs(4) if items is None else items)
    assert not added.bad, added
    return made


def served(db: Database, project_id: int, account: int) -> assigning.Served:
    """The next view; there must be one."""
    view = assigning.next_view(db, project_id, account)
    assert isinstance(view, assigning.Served), view
    return view


def key() -> str:
    """A fresh idempotency key."""
    return f"key-{next(_keys):08}"


def answer(
    db: Database,
    account: int,
    view: assigning.Served,
    given: dict[str, Any] | None = None,
    **more: Any,
) -> assigning.Receipt:
    """Answer a view: the option shown first is preferred, unless told otherwise."""
    said = {"preferred": view.order[0]} if given is None else given
    return assigning.submit(
        db, account, view.view_id, view.lease, more.pop("key", None) or key(), said, more or None
    )
