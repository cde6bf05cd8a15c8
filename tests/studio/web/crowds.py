"""A project that a small crowd has judged: six who try, one who always takes the left, one who
contradicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from houses import House

from accord.feedback.simulate import simulated_crowd
from accord.studio.people import members
from accord.studio.projects import editing
from accord.studio.projects.settings import settings_from
from accord.studio.queue import assigning
from accord.studio.storage.tables import Account, Project

MODELS = {"kestrel": 1.2, "heron": 0.4, "plover": -0.3, "wren": -1.3}
WHY = (
    "It answers the question.",
    "Shorter, and nothing is missing.",
    "The other one is wrong about the date.",
)


@dataclass
class Clock:
    """Goes as people do."""

    now: float

    def __call__(self) -> float:
        return self.now


def judged(
    house: House,
    count: int = 40,
    gold: int = 4,
    overlap: int = 4,
    people: int = 8,
    name: str = "Replies",
) -> str:
    """Make it, with known answers, critiques and a skip; returns the project's slug."""
    rng, names = np.random.default_rng(7), list(MODELS)
    raw = {
        "name": name,
        "task": "comparison",
        "overlap": overlap,
        "gold_rate": 0.1 if gold else 0.0,
        "critique": "optional",
    }
    project_id = editing.create_project(house.db, settings_from(raw), house.people["olga"])
    rows: list[dict[str, Any]] = []
    for n in range(count + gold):
        a, b = (names[i] for i in rng.choice(4, 2, replace=False))
        options = [
            {
                "content": f"{m.title()} replies to letter {n}: thank you, we will look into it.",
                "producer": m,
            }
            for m in (a, b)
        ]
        rows.append({"prompt": f"Write a reply to letter {n}.", "options": options})
        if n >= count:
            rows[-1]["gold"] = {"preferred": 1 if MODELS[a] > MODELS[b] else 2}
    assert not editing.add_items(house.db, project_id, rows).bad
    turns, real = round(count * overlap / max(people, 1)) + 2, house.db.clock
    for who, annotator in enumerate(simulated_crowd(3)[:people]):
        clock = Clock(real() - (people - who) * 0.8 * 86400)
        house.db.clock = clock
        _judge(house, project_id, f"ann {who + 1}", annotator, rng, clock, turns)
    house.db.clock = real
    with house.db.read() as session:
        return session.get_one(Project, project_id).slug


def _judge(
    house: House,
    project_id: int,
    name: str,
    annotator: Any,
    rng: np.random.Generator,
    clock: Clock,
    turns: int,
) -> None:
    if name not in house.people:
        house.person(name)

    def enter(session: Any) -> None:
        members.add_member(
            session, project_id, house.people[name], "annotator", house.db.now(), None
        )
        account = session.get_one(Account, house.people[name])
        account.attributes = {"region": "north" if int(name[-1]) % 2 else "south"}

    house.db.transact(enter)
    who = house.people[name]
    for turn in range(turns):
        view = assigning.next_view(house.db, project_id, who)
        if not isinstance(view, assigning.Served):
            break
        if turn == 5:
            assigning.skip(house.db, project_id, who, view.view_id, view.lease, "unsure", None)
            continue
        seconds = float(rng.lognormal(np.log(annotator.seconds), 0.4))
        clock.now += seconds + 2
        rewards = [MODELS[o["producer"]] for o in view.options]
        chosen = annotator.compare(rewards, [view.order.index(o["id"]) for o in view.options], rng)
        said: dict[str, Any] = (
            {"tie": True} if chosen is None else {"preferred": view.options[chosen]["id"]}
        )
        if turn % 4 == 0:
            said["critique"] = WHY[turn % 3]
        assigning.submit(
            house.db,
            who,
            view.view_id,
            view.lease,
            f"{name}-{turn:08}",
            said,
            {"active_seconds": seconds},
        )
