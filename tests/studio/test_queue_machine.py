"""The queue under everything people, networks and clocks do: a state machine draws the steps,
invariants hold after each."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from studio_rooms import Clock, key, pairs, person, project

from accord.studio.errors import Conflict, NotAllowed
from accord.studio.projects import editing
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Answer, Item, Slot, View

LEASE = 60.0
ITEMS = 2
PEOPLE = 4
_names = itertools.count()
WHO = st.integers(0, PEOPLE - 1)


@dataclass
class Client:
    """An annotator's browser: what it shows, what it is sending, what was acknowledged to it."""

    account: int
    view: assigning.Served | None = None
    sending: tuple[assigning.Served, str, dict[str, Any]] | None = None
    skipped: set[str] = field(default_factory=set)
    orders: dict[str, list[str]] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """One project with a few items and annotators; the database stays, each run makes its own
    project."""

    db: Database
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.overlap = 1
        self.acknowledged: dict[str, tuple[int, str, str]] = {}  # answer -> (account, item, state)
        self.times: dict[str, float] = {}

    @initialize(overlap=st.integers(1, 3))
    def begin(self, overlap: int) -> None:
        number = next(_names)
        self.overlap = overlap
        self.project = project(
            self.db, pairs(ITEMS), name=f"Run {number}", overlap=overlap, lease_minutes=LEASE / 60
        )
        self.clients = [
            Client(person(self.db, f"{number}-{n}", self.project)) for n in range(PEOPLE)
        ]

    # --- what happens -----------------------------------------------------------------------------
    @rule(who=WHO)
    def ask(self, who: int) -> None:
        client = self.clients[who]
        found = assigning.next_view(self.db, self.project, client.account)
        if isinstance(found, assigning.Nothing):
            assert found.reason in ("done", "all_leased")
            return
        assert found.item not in client.skipped, "a skipped item came back"
        given = [
            state
            for account, item, state in self.acknowledged.values()
            if (account, item) == (client.account, found.item)
        ]
        assert all(state == "undone" for state in given), "an answered item came back"
        assert client.orders.setdefault(found.item, found.order) == found.order, "the order changed"
        client.view = found

    @rule(who=WHO, left=st.booleans(), heard=st.booleans())
    @precondition(lambda self: True)
    def send(self, who: int, left: bool, heard: bool) -> None:
        """Send the view on the screen, however old. heard: whether the acknowledgement arrives."""
        client = self.clients[who]
        if client.view is None:
            return
        client.sending = (client.view, key(), {"preferred": client.view.order[0 if left else 1]})
        self._send(client, heard)

    @rule(who=WHO, heard=st.booleans())
    def send_again(self, who: int, heard: bool) -> None:
        """The browser tries again: same key, same answer."""
        if self.clients[who].sending is not None:
            self._send(self.clients[who], heard)

    def _send(self, client: Client, heard: bool) -> None:
        assert client.sending is not None
        view, name, said = client.sending
        try:
            receipt = assigning.submit(
                self.db, client.account, view.view_id, view.lease, name, said
            )
        except Conflict:
            assert self._dealt_with(client, view.item), "an open view was refused"
            client.sending = None
            return
        if not receipt.repeated:
            self.times[receipt.answer_id] = self.clock.now
            self.acknowledged[receipt.answer_id] = (client.account, view.item, "live")
        assert self.acknowledged[receipt.answer_id][2] == receipt.state
        if heard:
            client.sending = None

    def _dealt_with(self, client: Client, item: str) -> bool:
        return item in client.skipped or any(
            (account, name) == (client.account, item) and state != "undone"
            for account, name, state in self.acknowledged.values()
        )

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        """The browser is gone and knows nothing any more."""
        self.clients[who].view = self.clients[who].sending = None

    @rule(who=WHO)
    def beat(self, who: int) -> None:
        view = self.clients[who].view
        if view is not None:
            assigning.heartbeat(
                self.db, self.project, self.clients[who].account, view.view_id, view.lease, 5.0
            )

    @rule(who=WHO)
    def skip(self, who: int) -> None:
        client = self.clients[who]
        if client.view is None:
            return
        try:
            assigning.skip(
                self.db,
                self.project,
                client.account,
                client.view.view_id,
                client.view.lease,
                "unsure",
            )
        except Conflict:
            return
        client.skipped.add(client.view.item)

    @rule(pick=st.integers(0, 10_000))
    def undo(self, pick: int) -> None:
        name = self._one(pick, "live")
        if name is None:
            return
        account, item, _ = self.acknowledged[name]
        late = self.clock.now > self.times[name] + 60
        try:
            assigning.undo(self.db, account, name)
        except NotAllowed:
            assert late
            return
        assert not late
        self.acknowledged[name] = (account, item, "undone")

    @rule(pick=st.integers(0, 10_000), how=st.sampled_from(["withdrawn", "excluded", "erased"]))
    def take_out(self, pick: int, how: str) -> None:
        name = self._one(pick, "live")
        if name is None:
            return
        if how == "excluded":
            assigning.exclude(self.db, name, "why", None)
        else:
            assigning.withdraw(self.db, name, "why", None, erase=how == "erased")
        self.acknowledged[name] = (*self.acknowledged[name][:2], how)

    def _one(self, pick: int, state: str) -> str | None:
        names = sorted(name for name, (_, _, now) in self.acknowledged.items() if now == state)
        return names[pick % len(names)] if names else None

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 3600.0, -45.0, -86_400.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(overlap=st.integers(1, 3))
    def change_overlap(self, overlap: int) -> None:
        with self.db.read() as session:
            before = editing.settings_of(editing.find_project(session, self._slug(session)))
        editing.update_settings(
            self.db,
            self.project,
            ProjectSettings(**{**before.model_dump(), "overlap": overlap}),
            None,
        )
        self.overlap = overlap

    def _slug(self, session: Any) -> str:
        return str(session.get_one(editing.Project, self.project).slug)

    @rule()
    def sweep(self) -> None:
        assigning.reopen_expired(self.db, self.project)

    # --- what always holds ------------------------------------------------------------------------
    @invariant()
    def everything_adds_up(self) -> None:
        if not hasattr(self, "project"):
            return
        with self.db.read() as session:
            answers = list(session.scalars(select(Answer).where(Answer.project_id == self.project)))
            slots = list(session.scalars(select(Slot).where(Slot.project_id == self.project)))
            items = {
                item.id: item
                for item in session.scalars(select(Item).where(Item.project_id == self.project))
            }
            views = list(session.scalars(select(View).where(View.project_id == self.project)))
            checked = events.verify(session, self.project)
        assert checked.broken is None, checked
        stored = {a.id: (a.account_id, items[a.item_id].key, a.state) for a in answers}
        assert stored == self.acknowledged, (
            "an acknowledged answer is lost, or one is there that nobody gave"
        )
        live = {a.id: a for a in answers if a.state == "live"}
        seats = Counter(slot.answer_id for slot in slots if slot.answer_id is not None)
        assert all(count == 1 for count in seats.values()), "an answer fills two slots"
        assert set(seats) == {name for name, a in live.items() if not a.extra}, (
            "a slot is filled by what does not count"
        )
        assert (
            max(Counter((a.account_id, a.item_id) for a in live.values()).values(), default=0) <= 1
        )
        assert max(Counter((v.account_id, v.item_id) for v in views).values(), default=0) <= 1
        for number, item in items.items():
            here = [slot for slot in slots if slot.item_id == number]
            filled = sum(slot.answer_id is not None for slot in here)
            given = sum(a.item_id == number for a in live.values())
            assert len(here) == max(self.overlap, filled)
            assert filled == min(len(here), given), (item.key, filled, len(here), given)
            assert item.state == ("full" if filled == len(here) else "active")
            assert all(
                slot.item_id == a.item_id
                for slot in here
                for a in live.values()
                if a.id == slot.answer_id
            )

    def teardown(self) -> None:
        """When everybody comes back and goes on, the work gets done."""
        if not hasattr(self, "project"):
            return
        for _ in range(2):
            self.clock.now += 10 * LEASE
            for client in self.clients:
                while isinstance(
                    view := assigning.next_view(self.db, self.project, client.account),
                    assigning.Served,
                ):
                    client.sending = (view, key(), {"preferred": view.order[0]})
                    self._send(client, True)
        self.everything_adds_up()
        gone = {
            (account, item)
            for account, item, state in self.acknowledged.values()
            if state != "undone"
        }
        with self.db.read() as session:
            open_items = set(
                session.scalars(
                    select(Item.key).where(Item.project_id == self.project, Item.state == "active")
                )
            )
        for item in open_items:
            for client in self.clients:
                assert item in client.skipped or (client.account, item) in gone, (
                    "somebody was left without work"
                )


def _run(db: Database, clock: Clock, examples: int, steps: int) -> None:
    bound = type("BoundMachine", (Machine,), {"db": db, "clock": clock})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens(db: Database, clock: Clock) -> None:
    _run(db, clock, 8, 25)


@pytest.mark.slow
def test_whatever_happens_at_length(db: Database, clock: Clock) -> None:
    _run(db, clock, 12, 60)
