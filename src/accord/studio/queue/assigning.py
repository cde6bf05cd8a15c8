"""Who judges what next. Every rule that matters is a constraint of the tables; here is the order of
locks and choices.

Locks are taken in one order, so that nobody waits in a circle (PostgreSQL; SQLite has one writer
anyhow): membership (one annotator's tabs queue up), item, slot, the project's chain of events. A
free slot is claimed with `SKIP LOCKED`: two annotators never wait for the same one. What happens to
an answer is in submission.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from sqlalchemy import ColumnElement, Table, bindparam, exists, func, insert, select
from sqlalchemy.orm import Session

from accord.errors import ConfigError
from accord.studio.errors import NotAllowed, NotHere
from accord.studio.people import members, wellbeing
from accord.studio.people.members import Person
from accord.studio.projects import studies
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import answers, claims
from accord.studio.queue.submission import Receipt, exclude, submit, undo, withdraw
from accord.studio.queue.views import check_lease, draw_order, hold, new_lease, own_view
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Answer, Item, Slot, View

__all__ = [
    "SKIP_REASONS", "Beat", "Nothing", "Receipt", "Served", "add_turn", "as_served", "exclude",
    "heartbeat", "next_view", "open_claims", "peek", "progress",
    "reopen_expired", "save_draft", "skip", "submit", "undo", "withdraw",
]  # fmt: skip
SkipReason = Literal[
    "unsure", "offensive", "distressing", "broken", "language", "expertise", "other"
]
SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)
Reason = Literal["done", "cap", "paused", "not_qualified", "all_leased"]
Presenter = Callable[
    [Any, list[dict[str, Any]], ProjectSettings, list[dict[str, Any]]], dict[str, Any]
]
"""(prompt, options in the order drawn, settings, tools) -> more to store with the view, for example
what was masked."""


@dataclass(frozen=True)
class Served:
    """An item as one annotator gets it. Nothing here says whether its answer is known; what
    `assistance` knows of it is for `tasks.helping` alone.

    options: {id, content, producer, steps where given} in canonical order; order: option ids as
    shown; shown: all that is stored about the showing ("order", a presenter's keys, "turns" of a
    live chat, "assist" of a study); assistance: the item's part in a study.
    """

    view_id: int
    lease: str
    expires_at: float
    item: str
    prompt: Any
    options: list[dict[str, Any]]
    order: list[str]
    shown: dict[str, Any]
    categories: list[str]
    guideline: int
    draft: dict[str, Any] | None
    active_seconds: float
    resumed: bool
    tools: list[dict[str, Any]] = field(default_factory=list)
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    served_at: float = 0.0
    assistance: dict[str, Any] | None = None


@dataclass(frozen=True)
class Nothing:
    """No item, and why; `retry_at` when it is worth asking again."""

    reason: Reason
    detail: str
    retry_at: float | None = None


@dataclass(frozen=True)
class Beat:
    """Whether the view still holds its slot. If not, its answer is kept all the same, beyond the
    overlap if need be."""

    held: bool
    expires_at: float


# --- serving --------------------------------------------------------------------------------------
def next_view(
    db: Database,
    project_id: int,
    account_id: int,
    lease_seconds: float | None = None,
    present: Presenter | None = None,
    assisted: bool = True,
) -> Served | Nothing:
    """The view the annotator has open, or the best free item, leased to them (for the project's
    lease time). assisted: it takes part in the project's study, if that is one.

    Raises NotHere without a project or membership, NotAllowed for who may not judge.
    """

    def work(session: Session) -> Served | Nothing:
        person = members.enter(session, project_id, account_id)
        lease = person.settings.lease_seconds if lease_seconds is None else lease_seconds
        return _next(session, person, db.now(), lease, present, assisted)

    return db.transact(work)


def _next(
    session: Session,
    person: Person,
    now: float,
    lease: float,
    present: Presenter | None,
    assisted: bool,
) -> Served | Nothing:
    refused = _refused(session, person, now)
    if refused is not None:
        return refused
    begun = _begun(session, person, now)
    if begun is not None:
        return _serve_again(session, person, *begun, now, lease)
    purpose = _purpose(session, person)
    if purpose == "failed":
        return Nothing("not_qualified", "The screening was not passed.")
    claimed = None
    if purpose != "screening":
        claimed = claims.claim(session, person, now)
        if claimed is None:  # gold that comes after the last of the work would be known as gold
            return _why_nothing(session, person)
    if purpose != "work":
        item = claims.unseen(session, person, purpose)
        if item is not None:
            slot_id = claims.own_slot(session, item, person.account_id)
            return _serve_new(session, person, item, slot_id, now, lease, present, assisted)
    if claimed is None:
        return Nothing(
            "not_qualified",
            "There are too few screening items; please tell the project's manager.",
        )
    return _serve_new(session, person, claimed, claimed.slot_id, now, lease, present, assisted)


_BEGUN = (
    select(View, Item)
    .join(Item, Item.id == View.item_id)
    .where(
        View.account_id == bindparam("account"),
        View.project_id == bindparam("project"),
        View.state == "served",
    )
    .order_by(View.expires_at.desc())
)
_TO_HOLD = (
    select(Slot)
    .where(Slot.item_id == bindparam("item"), Slot.answer_id.is_(None))
    .where((Slot.view_id == bindparam("own")) | claims.is_free())
    .order_by((Slot.view_id == bindparam("own")).desc().nulls_last(), Slot.number)
    .limit(1)
    .with_for_update(of=Slot, skip_locked=True)
)
_NEW_VIEW = insert(cast(Table, View.__table__))


def _refused(session: Session, person: Person, now: float) -> Nothing | None:
    if person.stopped:
        return Nothing("paused", "The project is paused.")
    if person.state != "active":
        return Nothing("paused", person.reason or "Your work here was paused by a manager.")
    cap = wellbeing.cap_reached(session, person, now)
    if cap is not None:
        return Nothing("cap", "Today's minutes are used up.", cap)
    return None


def _begun(session: Session, person: Person, now: float) -> tuple[View, Slot | None, Item] | None:
    """The live view; else one whose lease ran out and for which there is still room, the latest
    first (its draft is still there)."""
    avoided = claims.opted_out(person)
    for view, item in session.execute(
        _BEGUN, {"account": person.account_id, "project": person.project_id}
    ):
        live = view.expires_at >= now
        if not live and (item.state == "paused" or set(avoided) & set(item.categories)):
            continue
        slot = _slot_to_hold(session, view, now)
        if live or slot is not None:
            return view, slot, item
    return None


def _slot_to_hold(session: Session, view: View, now: float) -> Slot | None:
    """The view's own slot, or any free one of its item."""
    return session.scalars(_TO_HOLD, {"item": view.item_id, "own": view.id, "now": now}).first()


def _purpose(session: Session, person: Person) -> str:
    """What is drawn next: work, gold, screening, or failed (the screening was)."""
    wanted = person.settings.qualification
    if wanted is not None and person.qualified_at is None:
        return "screening" if claims.screened(session, person)[0] < wanted.items else "failed"
    rate = person.settings.gold_rate
    return "gold" if rate and secrets.SystemRandom().random() < rate else "work"


def _why_nothing(session: Session, person: Person) -> Nothing:
    """All work judged by this annotator or filled, or only leased for now."""
    more, asked = claims.wanted(person, "work")
    query = (
        select(func.min(Slot.expires_at))
        .select_from(Item)
        .join(Slot, Slot.item_id == Item.id)
        .where(*claims.WANTED, *more, Slot.answer_id.is_(None))
    )
    soonest = session.scalar(query, asked)
    if soonest is None:
        return Nothing("done", "You have judged everything there is for you.")
    return Nothing("all_leased", "Everything left is open on other people's screens.", soonest)


def _serve_new(
    session: Session,
    person: Person,
    item: Any,
    slot_id: int,
    now: float,
    lease: float,
    present: Presenter | None,
    assisted: bool,
) -> Served:
    """item: an Item, or a row with the columns that `claims.claim` gives."""
    ids = [o["id"] for o in item.options]
    order = draw_order(person.seed, item.key, item.draw, person.public, ids)
    by_id = {option["id"]: option for option in item.options}
    extra = (
        present(item.prompt, [by_id[i] for i in order], person.settings, item.tools)
        if present
        else {}
    )
    study = studies.drawn(session, person, item) if assisted else {}
    shown, token = {"order": order, **extra, **study}, new_lease()
    inserted = session.execute(
        _NEW_VIEW,
        {
            "project_id": person.project_id,
            "item_id": item.id,
            "account_id": person.account_id,
            "slot_id": slot_id,
            "lease": token,
            "expires_at": now + lease,
            "served_at": now,
            "guideline": person.guideline,
            "shown": shown,
            "state": "served",
            "active_seconds": 0.0,
        },
    )
    view_id = int(inserted.inserted_primary_key[0])  # type: ignore[attr-defined]
    claims.lease_slot(session, slot_id, view_id, now + lease)
    events.append(
        session,
        person.project_id,
        "view.served",
        item.key,
        person.public,
        now,
        {"view": view_id, "order": order} | ({"arm": study["assist"]["arm"]} if study else {}),
    )
    return Served(
        view_id,
        token,
        now + lease,
        item.key,
        item.prompt,
        item.options,
        order,
        shown,
        item.categories,
        person.guideline,
        None,
        0.0,
        False,
        item.tools,
        item.chat_template_kwargs,
        now,
        item.assistance,
    )


def _serve_again(
    session: Session,
    person: Person,
    view: View,
    slot: Slot | None,
    item: Item,
    now: float,
    lease: float,
) -> Served:
    """The same view with the same order; after its lease ran out, under a new one."""
    if view.expires_at < now:
        view.lease, view.guideline = new_lease(), person.guideline
    hold(view, slot, now + lease)
    session.flush()
    return as_served(view, item)


def as_served(view: View, item: Item, resumed: bool = True) -> Served:
    """A view as its annotator was served it."""
    return Served(
        view.id,
        view.lease,
        view.expires_at,
        item.key,
        item.prompt,
        item.options,
        list(view.shown["order"]),
        view.shown,
        item.categories,
        view.guideline,
        view.draft,
        view.active_seconds,
        resumed,
        item.tools,
        item.chat_template_kwargs,
        view.served_at,
        item.assistance,
    )


def peek(db: Database, project_id: int, account_id: int, view_id: int) -> Served:
    """A view of this annotator in this project as it was served; nothing is locked or renewed.
    Raises NotHere: by another project's settings places would not be turned into options."""
    own = (View.id == view_id, View.account_id == account_id, View.project_id == project_id)
    query = select(View, Item).join(Item, Item.id == View.item_id).where(*own)
    with db.read() as session:
        row = session.execute(query).one_or_none()
    if row is None:
        raise NotHere("this item is not open for you")
    return as_served(*row)


# --- while it is open -----------------------------------------------------------------------------
def heartbeat(
    db: Database, project_id: int, account_id: int, view_id: int, lease: str, active_seconds: float
) -> Beat:
    """Keep the view leased while somebody works on it; `active_seconds` is the total so far, as the
    browser counted it."""

    def work(session: Session) -> Beat:
        now = db.now()
        person, view = own_view(session, account_id, view_id, project_id)
        if view.lease != lease or view.state != "served":
            return Beat(False, view.expires_at)
        view.active_seconds = wellbeing.active_total(view, active_seconds, now)
        slot = _slot_to_hold(session, view, now)
        hold(view, slot, now + person.settings.lease_seconds)
        return Beat(slot is not None, view.expires_at)

    return db.transact(work)


def save_draft(
    db: Database, project_id: int, account_id: int, view_id: int, lease: str, draft: dict[str, Any]
) -> None:
    """Keep what was entered so far; shown again whenever the view is. Raises Conflict from another
    window."""

    def work(session: Session) -> None:
        _, view = own_view(session, account_id, view_id, project_id)
        check_lease(view, lease)
        view.draft = draft

    db.transact(work)


def add_turn(
    db: Database,
    project_id: int,
    account_id: int,
    view_id: int,
    lease: str,
    user: str,
    options: list[dict[str, Any]],
) -> None:
    """Keep one turn of a live chat: what the annotator wrote and the two answers ({id, content,
    producer, finished}), as shown."""

    def work(session: Session) -> None:
        _, view = own_view(session, account_id, view_id, project_id)
        check_lease(view, lease)
        turns = [*view.shown.get("turns", []), {"user": user, "options": options}]
        view.shown = {**view.shown, "turns": turns}

    db.transact(work)


def open_claims(
    db: Database,
    project_id: int,
    account_id: int,
    view_id: int,
    lease: str,
    active_seconds: float,
    answer: dict[str, Any] | None = None,
) -> Served:
    """The first look is over: the claims may be shown from now on. answer: a first one, which is
    not kept; without one the look takes as long as the settings say. Raises NotAllowed before,
    AnswerError for an answer that cannot stand."""

    def work(session: Session) -> Served:
        now = db.now()
        person, view = own_view(session, account_id, view_id, project_id)
        check_lease(view, lease)
        item = session.get_one(Item, view.item_id)
        study, assist = person.settings.assistance, view.shown.get("assist")
        if study is None or assist is None:
            raise NotAllowed("this item has no claims to show")
        if assist["opened"] is None:
            if answer is not None:
                order = view.shown["order"]
                answers.judge(person.settings, item.options, answer, None, item.prompt, order)
            elif now - view.served_at < study.look_seconds:
                raise NotAllowed(
                    f"claims come after a first look of {study.look_seconds:g} seconds",
                    "look first, or enter a first answer",
                )
            opened = wellbeing.active_total(view, active_seconds, now)
            view.shown = {**view.shown, "assist": {**assist, "opened": opened}}
            session.flush()
        return as_served(view, item)

    return db.transact(work)


def skip(
    db: Database,
    project_id: int,
    account_id: int,
    view_id: int,
    lease: str,
    reason: str,
    note: str | None = None,
) -> None:
    """Give the item back for good: this annotator never sees it again. Skipping again changes
    nothing."""
    if reason not in SKIP_REASONS:
        raise ConfigError(
            f"there is no reason {reason!r} to skip", f"reasons: {', '.join(SKIP_REASONS)}"
        )

    def work(session: Session) -> None:
        person, view = own_view(session, account_id, view_id, project_id)
        if view.state == "skipped" and view.lease == lease:
            return
        check_lease(view, lease)
        claims.release(session, view)
        view.state, view.skip_reason, view.skip_note, view.draft = "skipped", reason, note, None
        session.flush()
        key = session.scalars(select(Item.key).where(Item.id == view.item_id)).one()
        public = person.public
        events.append(
            session,
            view.project_id,
            "view.skipped",
            key,
            public,
            db.now(),
            {"reason": reason, "note": note},
        )

    db.transact(work)


# --- looking after the whole ----------------------------------------------------------------------
def reopen_expired(db: Database, project_id: int) -> int:
    """Clear leases that have run out; returns how many. Claims do without it: it only makes
    progress easy to read."""

    def work(session: Session) -> int:
        gone = (Slot.project_id == project_id, Slot.answer_id.is_(None), Slot.expires_at < db.now())
        query = select(Slot).where(*gone).with_for_update(skip_locked=True)
        slots = list(session.scalars(query))
        for slot in slots:
            slot.view_id = slot.expires_at = None
        return len(slots)

    return db.transact(work)


@dataclass(frozen=True)
class Progress:
    """Slots of the work (not of gold): all, filled, on somebody's screen; items and those with
    every slot filled."""

    slots: int
    filled: int
    leased: int
    items: int
    complete: int
    extra: int


def progress(db: Database, project_id: int) -> Progress:
    """How far a project is: counted in indexes of its own slots, less those of the few items with
    known answers."""
    slots = select(func.count()).select_from(Slot).where(Slot.project_id == project_id)
    known = slots.join(Item, Item.id == Slot.item_id).where(
        Item.project_id == project_id, Item.purpose != "work"
    )
    unfilled, leased = Slot.answer_id.is_(None), Slot.expires_at >= db.now()
    items = select(func.count()).where(Item.project_id == project_id, Item.purpose == "work")
    opened = exists().where(Slot.item_id == Item.id, unfilled)
    extra = select(func.count()).where(
        Answer.project_id == project_id, Answer.state == "live", Answer.extra.is_(True)
    )
    with db.read() as session:

        def count(*which: ColumnElement[bool]) -> int:
            return (session.scalar(slots.where(*which)) or 0) - (
                session.scalar(known.where(*which)) or 0
            )

        every, left = count(), count(unfilled)
        complete = [items.where(Item.state == "full"), items.where(Item.state == "paused", ~opened)]
        return Progress(
            slots=every,
            filled=every - left,
            leased=count(unfilled, leased),
            items=session.scalar(items) or 0,
            complete=sum(session.scalar(query) or 0 for query in complete),
            extra=session.scalar(extra) or 0,
        )
