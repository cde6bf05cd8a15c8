"""Active selection does what it says, keeps its random arm, and its saving is measured honestly."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from accord.errors import ConfigError, DataError
from accord.feedback.choice_model import FIRST, SECOND
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.selection import (
    Candidate,
    Goal,
    _Pool,
    candidates_of,
    information,
    posterior,
    saving,
    select,
)
from accord.feedback.simulate import simulated_votes
from accord.feedback.votes import Votes

PLAIN = RatingSettings(reliability=False, side=False, ties=False)


def pairs(items: int, prompts: int = 4) -> list[Candidate]:
    return [
        Candidate(f"p{p}", (f"p{p}o{a}", f"p{p}o{b}"), (f"m{a:02d}", f"m{b:02d}"))
        for p in range(prompts)
        for a, b in combinations(range(items), 2)
    ]


def answered(
    rng: np.random.Generator, picks: list[Candidate], scores: np.ndarray, before: Votes | None
) -> Votes:
    names = [f"m{i:02d}" for i in range(len(scores))]
    a, b = (np.array([int(c.objects[k][1:]) for c in picks]) for k in (0, 1))
    outcome = np.where(rng.random(len(a)) < 1 / (1 + np.exp(scores[b] - scores[a])), FIRST, SECOND)
    old = before or Votes(*(np.zeros(0, dtype=np.int64),) * 4, np.zeros(0), names, ["x"])
    return Votes(
        np.append(old.first, a),
        np.append(old.second, b),
        np.zeros(len(old.first) + len(a), dtype=np.int64),
        np.append(old.outcome, outcome),
        np.ones(len(old.first) + len(a)),
        names,
        ["x"],
    )


def study(
    seed: int, goal: Goal | None, scale: float, budget: int, items: int = 20
) -> tuple[float, float]:
    """(Kendall's tau, regret of the best) after `budget` votes; goal None is all random."""
    rng = np.random.default_rng(seed)
    scores, votes, every = scale * rng.normal(size=items), None, pairs(items)
    for step in range(budget // 40):
        known = posterior(fit(votes, PLAIN) if votes else None, [f"m{i:02d}" for i in range(items)])
        chosen = select(
            known,
            every,
            40,
            goal or "ranking",
            1.0 if goal is None else 0.2,
            seed=1000 * seed + step,
        )
        votes = answered(rng, [p.candidate for p in chosen.picks], scores, votes)
    found = fit(votes, PLAIN).score_P
    return float(kendalltau(found, scores).statistic), float(scores.max() - scores[found.argmax()])


@pytest.mark.slow
def test_the_published_shape() -> None:
    """Strong signal: information beats random for a ranking; double Thompson finds the best and
    ranks worse."""
    tau, regret = {}, {}
    for goal in (None, "ranking", "best"):
        found = np.array([study(seed, goal, 3.0, 480) for seed in range(16)])  # type: ignore[arg-type]
        tau[goal], regret[goal] = found.mean(0)
    assert tau["ranking"] > tau[None] + 0.01
    assert tau["best"] < tau["ranking"]
    assert regret["best"] <= regret[None]


def test_information_is_spread_over_a_batch_and_uncertainty_is_not() -> None:
    known = posterior(None, [f"m{i:02d}" for i in range(10)])
    informed = select(known, pairs(10), 20, "ranking")
    asked = Counter(frozenset(p.candidate.objects) for p in informed.picks if p.arm == "active")
    assert max(asked.values()) == 1
    named = Counter(o for p in informed.picks if p.arm == "active" for o in p.candidate.objects)
    assert max(named.values()) <= 5
    known.mean_P[:] = np.arange(10) * 2.0
    known.mean_P[1] = 0.1
    unsure = select(known, pairs(10), 5, "uncertainty", 0.2)
    assert {frozenset(p.candidate.objects) for p in unsure.picks if p.arm == "active"} == {
        frozenset({"m00", "m01"})
    }


def test_the_best_meet_and_prompts_take_turns() -> None:
    rng = np.random.default_rng(0)
    scores = np.array([3.0, 2.8, 0.0, -1.0, -2.0, -3.0])
    found = fit(simulated_votes(rng, 3000, scores, np.zeros(2)))
    candidates = [
        Candidate(
            c.prompt, c.options, (c.objects[0].replace("m0", "m"), c.objects[1].replace("m0", "m"))
        )
        for c in pairs(6)
    ]
    chosen = select(posterior(found, []), candidates, 10, "best", 0.6)
    active = [p.candidate for p in chosen.picks if p.arm == "active"]
    assert sum(set(c.objects) == {"m0", "m1"} for c in active) >= 3
    judged = Counter({"p0": 5, "p1": 5, "p2": 0, "p3": 5})
    first = select(posterior(found, []), candidates, 5, "ranking", 0.8, judged)
    assert [p.candidate.prompt for p in first.picks if p.arm == "active"] == ["p2"]
    disagree = [float(c.prompt == "p3") for c in candidates]
    first = select(posterior(found, []), candidates, 5, "ranking", 0.8, judged, disagree)
    assert [p.candidate.prompt for p in first.picks if p.arm == "active"] == ["p3"]


def test_the_random_arm_is_always_there_and_fair() -> None:
    known, every = posterior(None, [f"m{i:02d}" for i in range(6)]), pairs(6)
    chosen = select(known, every, 20, random_share=0.25)
    assert sum(p.arm == "random" for p in chosen.picks) == 5
    assert len({p.candidate for p in chosen.picks}) == 20
    assert json.dumps(asdict(chosen))
    drawn = Counter(
        p.candidate
        for s in range(300)
        for p in select(known, every, 5, random_share=0.2, seed=s).picks
        if p.arm == "random"
    )
    assert len(drawn) > 55  # of 60, 300 draws
    with pytest.raises(ConfigError, match="random arm is 10%"):
        select(known, every, 20, random_share=0.1)
    with pytest.raises(DataError, match="61 wanted"):
        select(known, every, 61)


def test_information_is_the_expected_fall_of_entropy() -> None:
    p, variance = np.array([0.5, 0.9]), np.array([1.0, 1.0])
    gain = information(p, variance)
    assert gain[0] == pytest.approx(0.5 * np.log(1.25))
    assert gain[0] > gain[1]


def test_candidates_come_from_what_records_show() -> None:
    options = [
        {"id": f"o{k}", "content": "x", "producer": f"m{k % 2}", "shown_at": k} for k in range(3)
    ]
    record = Feedback.model_validate(
        {
            "id": "1",
            "kind": "ranking",
            "prompt": "p",
            "options": options,
            "annotator": "a",
            "choice": {"order": [["o0"], ["o1"], ["o2"]]},
        }
    )
    found, judged = candidates_of([record, record])
    assert [c.options for c in found] == [
        ("o0", "o1"),
        ("o1", "o2"),
    ]  # o0 and o2 are by the same producer
    assert list(judged.values()) == [2]
    assert len(candidates_of([record], "option")[0]) == 3


def test_the_saving_is_measured_with_an_interval() -> None:
    rng, scores = np.random.default_rng(0), 1.5 * np.random.default_rng(1).normal(size=10)
    random, same = (simulated_votes(rng, 800, scores, np.zeros(1), log_nu=-9.0) for _ in range(2))
    none = saving(random, same, draws=30)
    assert none.verdict == "no saving shown"
    assert none.share.low < 0 < none.share.high
    # An arm that only ever asks about two of the ten teaches little of the others.
    narrow = random.where((random.first < 2) & (random.second < 2))
    narrow = Votes(
        *(
            np.tile(getattr(narrow, f), 30)
            for f in ("first", "second", "annotator", "outcome", "count")
        ),
        random.producers,
        random.annotators,
    )
    costly = saving(random, narrow, draws=30)
    assert costly.share.high < 0
    assert costly.verdict.startswith("costs")
    with pytest.raises(DataError, match="needs 60"):
        saving(random.where(np.arange(800) < 20), same)


def test_of_a_pair_the_prompt_judged_least_is_asked_and_counted() -> None:
    known: Any = SimpleNamespace(names=("a", "b"), mean_P=np.zeros(2), covariance_PP=np.eye(2))
    prompts = ["p", "p", "q", "r"]
    candidates = [Candidate(p, ("x", str(n)), ("a", "b")) for n, p in enumerate(prompts)]
    pool = _Pool(known, candidates, set(), Counter({"r": 2}), None)
    picked = [pool.take(0, 0.0, "").candidate.prompt for _ in prompts]
    assert picked == ["p", "q", "p", "r"]
    assert pool.judged == {"p": 2, "q": 1, "r": 3}
    assert not pool.open.any()
