"""Every number that the measures of judgements and policies give on one generated set of inputs.

Nothing here is drawn through the package, so that a change of its streams shows only where a
measure draws for itself. `python tests/feedback/measured.py` writes the numbers anew."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from accord.examine import best_of_n, overoptimisation, reward_card, winrate
from accord.examine.text_measures import shifts
from accord.examine.turning import ProxyGoldPoint, gold_turned
from accord.feedback import selection
from accord.feedback.agreement_kinds import measure_all
from accord.feedback.annotator_model import estimate
from accord.feedback.dawid_skene import dawid_skene
from accord.feedback.drift import agreement_channel, drift, side_channel, time_channel, watch
from accord.feedback.gold_checks import detection_power
from accord.feedback.label_table import label_tables
from accord.feedback.labels import aggregate
from accord.feedback.poisoning import check_votes, votes_alike
from accord.feedback.position import position_bias
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.representation import representation
from accord.feedback.scales import rating_scales
from accord.feedback.tastes import soft_labels, tastes_of
from accord.feedback.votes import votes_of
from accord.statistics.means import student_mean

FILE = Path(__file__).with_name("measured.json")
PEOPLE, MODELS = 8, 6
MOST = 12
TRUE_SCORES = np.array([-1.6, -0.8, -0.1, 0.3, 0.9, 1.7])


def records() -> list[Feedback]:
    """Comparisons with ties, rankings and best/worst choices of 4, ratings and thumbs, by eight
    people; a07 against the others, a06 mostly for what is shown first, a05 turning half-way."""
    rng, found = np.random.default_rng(20), []
    for number in range(1200):
        who, kind = number % PEOPLE, "comparison" if number % 8 < 4 or number % 3 else "other"
        count = 2 if kind == "comparison" else 4
        models = rng.choice(MODELS, count, replace=False)
        place = rng.permutation(count)
        reward = TRUE_SCORES[models] + 0.5 * rng.normal(size=count)
        sign = -1.0 if who == 7 or (who == 5 and number > 600) else 1.0
        u = sign * reward + (3.0 if who == 6 else 0.0) * (0.5 - place / (count - 1))
        order = [f"o{models[i]}" for i in np.argsort(-(u + rng.gumbel(size=count)))]
        choice: dict[str, Any]
        if kind == "comparison":
            tied = rng.random() < 0.25 * np.exp(-abs(u[0] - u[1]))
            choice = {"tie": True} if tied else {"preferred": order[0]}
        elif number % 2:
            kind, choice = "ranking", {"order": [[i] for i in order]}
        else:
            kind, choice = "best_worst", {"best": order[0], "worst": order[-1]}
        options = [
            {"id": f"o{m}", "content": "x", "producer": f"m{m}", "shown_at": int(p)}
            for m, p in zip(models, place, strict=True)
        ]
        found.append(_record(number, kind, number // 12, options, choice, who, rng))
        level = int(np.clip(np.round(3 + reward[0] + 0.3 * who + 0.7 * rng.normal()), 1, 5))
        kind, choice = (
            ("rating", {"scores": {"overall": level}, "low": 1, "high": 5})
            if number % 2
            else ("thumb", {"up": bool(level > 3)})
        )
        rated = [options[0] | {"shown_at": 0}]
        found.append(_record(5000 + number, kind, number // 12, rated, choice, who, rng))
    return found


def _record(
    number: int,
    kind: str,
    prompt: int,
    options: list[dict[str, Any]],
    choice: dict[str, Any],
    who: int,
    rng: np.random.Generator,
) -> Feedback:
    return Feedback.model_validate(
        {
            "id": str(number),
            "kind": kind,
            "prompt": f"prompt {prompt}",
            "options": options,
            "choice": choice,
            "annotator": f"a{who:02d}",
            "active_seconds": round(float(rng.lognormal(3, 0.5)) * (1.5 if number > 700 else 1), 1),
            "weight": 1.0 if number % 10 else 0.5,
        }
    )


def _feedback() -> dict[str, Any]:
    said = records()
    votes = votes_of(said)[0]
    full = fit(votes)
    plain = fit(votes, RatingSettings(reliability=False, side=False, ties=False))
    groups = tastes_of(votes, most=3)
    candidates, judged = selection.candidates_of(said)
    known = selection.posterior(full, votes.producers)
    odd = votes.where(np.arange(len(votes.first)) % 2 == 1)
    even = votes.where(np.arange(len(votes.first)) % 2 == 0)
    flags = np.random.default_rng(3).random(200) < np.where(np.arange(200) < 120, 0.2, 0.6)
    people = {f"a{k:02d}": {"region": "north" if k < 4 else "south"} for k in range(PEOPLE)}
    return {
        "agreement": measure_all(said),
        "annotators": estimate(said),
        "ratings": full,
        "ratings, decided only": plain,
        "ranks": full.rank_intervals(),
        "log-probabilities": full.log_probability(votes)[:40],
        "groups": groups,
        "soft labels": soft_labels(votes, groups),
        "select": {
            goal: selection.select(known, candidates, 12, goal, judged=judged)  # type: ignore[arg-type]
            for goal in ("ranking", "best", "uncertainty")
        },
        "saving": selection.saving(odd, even, draws=8),
        "drift": drift(said),
        "watch": [
            watch(side_channel(flags, np.arange(200))),
            watch(time_channel(np.exp(2 + 1.0 * flags), np.arange(200))),
            watch(agreement_channel([[(0.8 if f else 0.3, 1.0)] for f in flags], np.arange(200))),
        ],
        "labels": [
            (aggregate(table, "majority"), dawid_skene(table)) for table in label_tables(said)
        ],
        "position": position_bias(said),
        "poisoning": [check_votes(votes), check_votes(votes, {"a00", "a01", "a02", "a03", "a04"})],
        "accounts": votes_alike(said, 5, 0.5),
        "scales": rating_scales(said, "overall"),
        "representation": representation(said, people, smallest=2),
        "gold": detection_power(0.1),
    }


def _examine() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    policy, base = rng.normal(0.4, 1, 90), rng.normal(0, 1, 90)
    clusters = np.repeat(np.arange(45), 2).tolist()
    pool, gold = rng.normal(size=(12, 8)), rng.normal(size=(12, 8))
    d = np.linspace(0.1, 4, 9)
    gaps = rng.normal(0.5, 1.2, (3, 80))
    points = [ProxyGoldPoint(s, rng.normal(s, 0.2, 30), rng.normal(-s, 0.2, 30)) for s in range(3)]
    texts = [["good film good plot"] * 9 + ["dull film"] * 3, ["great film"] * 9 + ["dull"] * 6]
    return {
        "win rate": winrate.win_rate(policy, base, clusters),
        "gain": winrate.gain(policy, base, clusters),
        "length": winrate.gain_at_equal_length(policy, 20 + 3 * policy, base, 20 + 3 * base),
        "best of n": best_of_n.curve(
            pool, gold, gold[:, 0], np.full(pool.shape, -80.0), (1, 2, 4, 8)
        ),
        "fits": [
            overoptimisation.fit(
                d, (d * (2 - 0.4 * d))[:, None] + 0.05 * rng.normal(size=(9, 5)), form
            )  # type: ignore[arg-type]
            for form in ("best_of_n", "rl")
        ],
        "card": reward_card.card(gaps, np.arange(80) // 2, np.sign(gaps[0]), gaps[1], 1.3),
        "seeds": student_mean([0.2, 0.4, 0.1]),
        "turned": gold_turned(points, 4),
        "shifts": shifts(*texts),
    }


def plain(value: Any) -> Any:
    """As JSON keeps it: dataclasses, models and arrays as mappings and lists; of long lists the
    length and the beginning."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        kept = [plain(v) for v in value[:MOST]]
        return kept if len(value) <= MOST else [len(value), *kept]
    return value


def measured() -> dict[str, Any]:
    """Area -> what it gave."""
    found: dict[str, Any] = plain(_feedback() | _examine())
    return found


def differences(now: Any, then: Any, relative: float, where: str = "") -> Iterator[str]:
    """Where two measured values differ by more than rounding."""
    if isinstance(now, dict) and isinstance(then, dict) and now.keys() == then.keys():
        for key in now:
            yield from differences(now[key], then[key], relative, f"{where}/{key}")
    elif isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        for place, pair in enumerate(zip(now, then, strict=True)):
            yield from differences(*pair, relative, f"{where}[{place}]")
    elif isinstance(now, float) and isinstance(then, (int, float)):
        same = math.isnan(now) and math.isnan(then)
        if not same and not math.isclose(now, then, rel_tol=relative, abs_tol=relative):
            yield f"{where}: {now!r}, was {then!r}"
    elif now != then:
        yield f"{where}: {now!r}, was {then!r}"


if __name__ == "__main__":
    FILE.write_text(json.dumps(measured(), separators=(",", ":")) + "\n")
