"""Views: an item on one annotator's screen, under a lease."""

from __future__ import annotations

import hashlib
import random
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from accord.studio import members
from accord.studio.errors import Conflict, NotHere
from accord.studio.members import Person
from accord.studio.tables import Slot, View


def own_view(session: Session, account_id: int, view_id: int) -> tuple[Person, View]:
    """A view of this annotator, with their membership locked."""
    project_id = session.scalar(select(View.project_id).where(View.id == view_id, View.account_id == account_id))
    if project_id is None:
        raise NotHere("this item is not open for you")
    person = members.enter(session, project_id, account_id)
    return person, session.get_one(View, view_id)


def check_lease(view: View, lease: str) -> None:
    """Refuse a window whose view was answered, skipped or served anew elsewhere."""
    if view.state != "served" or view.lease != lease:
        raise Conflict("this item was dealt with in another window", "reload the page to see what is next")


def hold(view: View, slot: Slot | None, until: float) -> None:
    """Extend the view's lease, and the slot's with it."""
    view.expires_at = until
    if slot is not None:
        view.slot_id, slot.view_id, slot.expires_at = slot.id, view.id, until


def new_lease() -> str:
    """A token for one showing; not to be guessed."""
    return secrets.token_urlsafe(16)


def draw_order(seed: int, key: str, account: str, ids: list[str]) -> list[str]:
    """The option ids in an order drawn from project, item and annotator: the same whenever it is asked for."""
    digest = hashlib.sha256(f"{seed}|{key}|{account}".encode()).digest()
    order = list(ids)
    random.Random(int.from_bytes(digest)).shuffle(order)
    return order
