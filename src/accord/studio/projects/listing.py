"""Lists that pages and programs share: one's projects, a project's items, its guideline."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import Session

from accord.studio.errors import NotHere
from accord.studio.people.accounts import Visitor
from accord.studio.people.members import role_in
from accord.studio.storage.tables import Guideline, Item, Membership, Project

ItemState = Literal["active", "paused", "full"]
Purpose = Literal["work", "gold", "screening"]


def projects_of(
    session: Session,
    who: Visitor,
    order: tuple[Any, ...],
    *which: ColumnElement[bool],
    limit: int | None = None,
) -> list[tuple[Project, str]]:
    """Projects that somebody takes part in, with their role there, in `order`; all of them for
    owners and auditors of the house. which: conditions on the projects."""
    same = (Membership.project_id == Project.id) & (Membership.account_id == who.id)
    query = select(Project, Membership).outerjoin(Membership, same)
    if role_in(who, None) is None:
        query = query.where(Membership.state != "removed")
    rows = session.execute(query.where(*which).order_by(*order).limit(limit))
    return [(project, role_in(who, member) or "") for project, member in rows]


ITEM_ORDER = (Item.priority, Item.draw, Item.id)
"""Items are listed in the order they are served: each of these from high to low."""


def items(
    project_id: int,
    state: str | None,
    purpose: str | None,
    after: list[Any] | None,
    limit: int,
) -> Select[Item]:
    """A query for a project's items. after: the `item_place` behind which to begin."""
    query = select(Item).where(Item.project_id == project_id)
    if state is not None:
        query = query.where(Item.state == state)
    if purpose is not None:
        query = query.where(Item.purpose == purpose)
    if after is not None:
        query = query.where(tuple_(*ITEM_ORDER) < tuple_(*after))
    return query.order_by(*(column.desc() for column in ITEM_ORDER)).limit(limit)


def item_place(item: Item) -> tuple[float, float, int]:
    """Where an item stands in `ITEM_ORDER`."""
    return item.priority, item.draw, item.id


def item(session: Session, project_id: int, key: str) -> Item:
    """A project's item by its key; raises NotHere."""
    found = session.scalars(
        select(Item).where(Item.project_id == project_id, Item.key == key)
    ).first()
    if found is None:
        raise NotHere(f"there is no item {key!r}", "the list of items has their keys")
    return found


def guideline(session: Session, project_id: int, version: int | None = None) -> Guideline:
    """A version of a project's guideline, the newest unless told; raises NotHere."""
    query = select(Guideline).where(Guideline.project_id == project_id)
    if version is not None:
        query = query.where(Guideline.version == version)
    found = session.scalars(query.order_by(Guideline.version.desc()).limit(1)).first()
    if found is None:
        raise NotHere(
            f"there is no version {version} of the guideline", "leave `version` out for the newest"
        )
    return found


def newest_version(session: Session, project_id: int) -> int:
    """The number of a project's newest guideline; 0 for a project that has none yet."""
    query = select(func.max(Guideline.version)).where(Guideline.project_id == project_id)
    return session.scalar(query) or 0
