"""What to ask next, what that was worth, and whose judgements these are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
from sqlalchemy import func, select

from accord.errors import DataError
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.representation import Representation, representation
from accord.feedback.selection import Candidate, Goal, Saving, posterior, saving
from accord.feedback.selection import select as pick
from accord.feedback.votes import Votes, votes_of
from accord.studio.projects import editing
from accord.studio.quality.measures import Measured, ProjectSnapshot, load, measured
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Answer, Item

GOALS: dict[Goal, str] = {"ranking": "information", "best": "best", "uncertainty": "uncertainty"}
"""Goal -> the arm's name in records (`meta.selected_by`)."""
MOST = 5000
RANDOM_SHARE = 0.2


@dataclass(frozen=True)
class Arms:
    """Answers per arm so far, open items per arm, and what each active arm saved against the random
    one."""

    answers: dict[str, int]
    open_items: dict[str, int]
    savings: dict[str, Measured[Saving]]


@dataclass(frozen=True)
class Applied:
    """Items per arm after priorities were set, and out of how many pairs they were chosen."""

    counts: dict[str, int]
    candidates: int


def arms(db: Database, project_id: int, snapshot: ProjectSnapshot) -> Arms:
    """What active selection did here."""
    with db.read() as session:
        query = (
            select(Item.selected_by, func.count())
            .where(Item.project_id == project_id, Item.purpose == "work", Item.state == "active")
            .group_by(Item.selected_by)
        )
        open_items = {arm: count for arm, count in session.execute(query)}  # noqa: C416
    answers = Counter(a.selected_by for a in snapshot.answers if a.purpose == "work")
    active = [arm for arm in answers if arm != "random"]
    return Arms(
        dict(answers),
        open_items,
        {arm: measured(partial(_saving, snapshot, arm)) for arm in active},
    )


def _saving(snapshot: ProjectSnapshot, arm: str) -> Saving:
    """Votes of both arms on the same numbering of what is scored."""
    by_arm = {
        name: votes_of(
            [
                r
                for a in snapshot.answers
                if a.purpose == "work" and a.selected_by == name
                for r in a.records
            ],
            snapshot.objects,
        )[0]
        for name in ("random", arm)
    }
    every = sorted({p for votes in by_arm.values() for p in votes.producers})
    place = {name: i for i, name in enumerate(every)}

    def renumbered(votes: Votes) -> Votes:
        to = np.array([place[name] for name in votes.producers], dtype=np.int64)
        return replace(votes, first=to[votes.first], second=to[votes.second], producers=every)

    return saving(renumbered(by_arm["random"]), renumbered(by_arm[arm]))


def apply(
    db: Database, project_id: int, goal: Goal, count: int, by: int | None, seed: int = 0
) -> Applied:
    """Put the items first that teach most for the goal, beside as many at random as a fifth of all.

    Raises ConfigError for a task without choices or options without producers; DataError when
    nothing is open.
    """
    snapshot = load(db, project_id)
    items, judged = _open_items(db, project_id)
    candidates = [
        Candidate(key, (str(a["id"]), str(b["id"])), (str(a["producer"]), str(b["producer"])))
        for key, options in items
        for a, b in combinations(sorted(options, key=lambda o: str(o["id"])), 2)
        if a.get("producer") and b.get("producer") and a["producer"] != b["producer"]
    ]
    if not candidates:
        raise DataError(
            "no open item compares options of two named producers",
            "give options a producer when items are added",
        )
    records = snapshot.records()
    ratings = None
    with suppress(DataError):  # nobody judged yet: the prior alone decides
        ratings = fit(
            votes_of(records, "producer")[0],
            RatingSettings(reliability=False, side=False, ties=False),
        )
    names = sorted({name for c in candidates for name in c.objects})
    wanted = min(count, len(candidates))
    chosen = pick(
        posterior(ratings, names), candidates, wanted, goal, RANDOM_SHARE, judged, None, seed
    )
    priorities: dict[str, float] = {}
    for place, one in enumerate(p for p in chosen.picks if p.arm == "active"):
        priorities.setdefault(one.candidate.prompt, float(2 * MOST - place) / MOST)
    if not priorities:
        raise DataError(
            "too few pairs are open to choose among", "add items, or ask for more at once"
        )
    return Applied(
        editing.prioritise(db, project_id, priorities, GOALS[goal], RANDOM_SHARE, by),
        len(candidates),
    )


def _open_items(
    db: Database, project_id: int
) -> tuple[list[tuple[str, list[dict[str, object]]]], Counter[str]]:
    """(open items with their options, answers to each)."""
    with db.read() as session:
        query = (
            select(Item.key, Item.options, func.count(Answer.id))
            .outerjoin(Answer, (Answer.item_id == Item.id) & (Answer.state == "live"))
            .where(Item.project_id == project_id, Item.purpose == "work", Item.state == "active")
            .group_by(Item.id)
            .order_by(Item.draw)
            .limit(MOST)
        )
        rows = session.execute(query).all()
    return [(key, options) for key, options, _ in rows], Counter({key: n for key, _, n in rows})


def whose(snapshot: ProjectSnapshot) -> Measured[list[Representation]]:
    """Coverage of what annotators said about themselves, and agreement within and between these
    groups."""
    if not any(snapshot.attributes.values()):
        return Measured(
            None,
            "no annotator said anything about themselves; they may, on the page under their name",
        )
    stated, population = one_spelling(snapshot.attributes, snapshot.population)
    return measured(lambda: representation(snapshot.records(), stated, population=population))


def one_spelling(
    attributes: Mapping[str, Mapping[str, str]], population: Mapping[str, Mapping[str, float]]
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, float]]]:
    """People write what they like: values that differ in case or blanks only are one group, called
    as most call it."""
    spelt: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for given in attributes.values():
        for name, value in given.items():
            spelt[name, _plain(value)][value] += 1
    called = {
        key: min((-count, word) for word, count in spellings.items())[1]
        for key, spellings in spelt.items()
    }
    unified = {
        who: {n: called[n, _plain(v)] for n, v in given.items()}
        for who, given in attributes.items()
    }
    return unified, {
        name: {called.get((name, _plain(group)), group): part for group, part in shares.items()}
        for name, shares in population.items()
    }


def _plain(value: str) -> str:
    return " ".join(value.split()).casefold()
