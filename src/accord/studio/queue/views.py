"""Views: an item on one annotator's screen, under a lease."""

from __future__ import annotations

import random
import secrets

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from accord.seeds import derive_seed
from accord.studio.errors import Conflict, NotHere
from accord.studio.people import members
from accord.studio.people.members import Person
from accord.studio.storage.tables import Account, Membership, Project, Slot, View

_OWN = (
    select(View, *members.PERSON)
    .join(
        Membership,
        and_(Membership.project_id == View.project_id, Membership.account_id == View.account_id),
    )
    .join(Account, Account.id == Membership.account_id)
    .join(Project, Project.id == Membership.project_id)
    .where(View.id == bindparam("view"), View.account_id == bindparam("account"))
    .with_for_update(of=[Membership, View], key_share=True)
    .execution_options(populate_existing=True)
)


def own_view(
    session: Session, account_id: int, view_id: int, project_id: int | None = None
) -> tuple[Person, View]:
    """A view of this annotator, with their membership locked. project_id: the one it was asked for
    in, where that was said. Raises NotHere, for a view of another project too."""
    row = session.execute(_OWN, {"view": view_id, "account": account_id}).one_or_none()
    if row is None or project_id not in (None, row.View.project_id):
        raise NotHere("this item is not open for you")
    return members.person_of(row), row.View


def check_lease(view: View, lease: str) -> None:
    """Refuse a window whose view was answered, skipped or served anew elsewhere."""
    if view.state != "served" or view.lease != lease:
        raise Conflict(
            "this item was dealt with in another window", "reload the page to see what is next"
        )


def hold(view: View, slot: Slot | None, until: float) -> None:
    """Extend the view's lease, and the slot's with it."""
    view.expires_at = until
    if slot is not None:
        view.slot_id, slot.view_id, slot.expires_at = slot.id, view.id, until


def new_lease() -> str:
    """A token for one showing; not to be guessed."""
    return secrets.token_urlsafe(16)


def draw_order(seed: int, key: str, draw: float, account: str, ids: list[str]) -> list[str]:
    """The option ids in an order drawn from project, item and annotator: the same whenever it is
    asked for. draw: the item's, which nobody is told: seeds of projects are few enough to be tried,
    and keys of items can be computed by who reads them."""
    order = list(ids)
    random.Random(derive_seed(seed, "shown order", key, draw.hex(), account)).shuffle(order)
    return order
