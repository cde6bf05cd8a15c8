"""Weights and soft labels where likelihoods of judgements are summed, and where answers are
counted."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from accord.feedback import agreement, annotator_model, position
from accord.feedback.choice_model import FIRST, SECOND
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.records import Comparison, Feedback
from accord.feedback.votes import Votes, relative_weights, votes_of


def record(number: int, rng: random.Random, **fields: Any) -> Feedback:
    """Two of three producers compared, or all of them ranked, by one of four annotators."""
    names = rng.sample(["x", "y", "z"], 3 if number % 5 == 0 else 2)
    options = [
        {"id": n, "content": n, "producer": n, "shown_at": place} for place, n in enumerate(names)
    ]
    best_first = sorted(names, key=lambda n: "xyz".index(n) + rng.gauss(0, 1))
    choice: dict[str, Any] = (
        {"order": [[n] for n in best_first]} if len(names) == 3 else {"preferred": best_first[0]}
    )
    if number % 7 == 0 and len(names) == 2:
        choice = {"tie": True}
    return Feedback.model_validate(
        {
            "id": str(number),
            "kind": "ranking" if len(names) == 3 else "comparison",
            "prompt": f"p{number % 9}",
            "options": options,
            "choice": choice,
            "annotator": f"a{number % 4}",
            **fields,
        }
    )


RNG = random.Random(3)
RECORDS = [record(i, RNG) for i in range(160)]
WEIGHTED = [r.model_copy(update={"weight": float(RNG.choice((0, 1, 2, 3)))}) for r in RECORDS]


def shares(votes: Votes) -> dict[tuple[Any, ...], float]:
    """The share of all votes that each kind of vote has."""
    names, total = votes.producers, votes.count.sum()
    columns = zip(
        votes.first, votes.second, votes.annotator, votes.outcome, votes.count, strict=True
    )
    return {
        (names[a], names[b], votes.annotators[k], int(o)): c / total for a, b, k, o, c in columns
    }


def test_a_weight_is_how_often_the_record_is_there() -> None:
    repeated = [
        r.model_copy(update={"weight": 1.0}) for r in WEIGHTED for _ in range(int(r.weight))
    ]
    votes, left_out = votes_of(WEIGHTED)
    assert shares(votes) == pytest.approx(shares(votes_of(repeated)[0]))
    assert left_out == {"record of weight 0": sum(r.weight == 0 for r in WEIGHTED)}
    assert shares(votes) != pytest.approx(shares(votes_of(RECORDS)[0]))


def test_unequal_weights_say_as_much_as_fewer_answers() -> None:
    """Equal ones are 1 each whatever they are; a single heavy one is hardly more than one
    answer."""
    assert relative_weights(
        [r.model_copy(update={"weight": 0.3}) for r in RECORDS]
    ) == pytest.approx([1.0] * len(RECORDS))
    assert relative_weights(RECORDS) == [1.0] * len(RECORDS)
    heavy = [RECORDS[0].model_copy(update={"weight": 1e6}), *RECORDS[1:]]
    assert sum(relative_weights(heavy)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("of", ["crowd", "ratings"])
def test_fits_follow_ratios_of_weights_alone(of: str) -> None:
    def found(records: list[Feedback]) -> np.ndarray:
        if of == "ratings":
            scores = fit(votes_of(records)[0], RatingSettings())
            return np.concatenate([scores.score_P, scores.score_error_P, [scores.log_nu]])
        people = annotator_model.estimate(records).annotators
        return np.array([[a.rationality, a.side_bias, a.rationality_high] for a in people])

    plain, weighted = (
        found([r for r, w in zip(RECORDS, WEIGHTED, strict=True) if w.weight]),
        found(WEIGHTED),
    )
    scaled = [r.model_copy(update={"weight": 0.2 * r.weight}) for r in WEIGHTED]
    np.testing.assert_allclose(found(scaled), weighted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found([r for r in WEIGHTED if r.weight]), weighted, rtol=1e-6)
    assert np.abs(plain - weighted).max() > 0.05, "the weights did nothing"


def test_a_soft_label_is_so_many_votes_either_way() -> None:
    soft = [
        r.model_copy(update={"choice": Comparison(preferred=r.choice.preferred, probability=0.7)})
        for r in RECORDS
        if isinstance(r.choice, Comparison) and r.choice.preferred is not None
    ]
    votes = votes_of(soft)[0]
    kinds: dict[tuple[int, int, int], list[float]] = {}
    for place, key in enumerate(zip(votes.first, votes.second, votes.annotator, strict=True)):
        kinds.setdefault(key, [0.0, 0.0])[votes.outcome[place]] += votes.count[place]
    assert votes.count.sum() == pytest.approx(len(soft))
    assert set(votes.outcome) == {FIRST, SECOND}
    certain = votes_of(
        [r.model_copy(update={"choice": Comparison(preferred=r.choice.preferred)}) for r in soft]
    )[0]  # type: ignore[union-attr]
    first = certain.count[certain.outcome == FIRST].sum()
    assert votes.count[votes.outcome == FIRST].sum() == pytest.approx(
        0.7 * first + 0.3 * (len(soft) - first)
    )
    assert all(min(pair) / sum(pair) > 0.29 for pair in kinds.values())
    doubted, sure = (
        np.mean([a.rationality for a in annotator_model.estimate(rows).annotators])
        for rows in (soft, RECORDS)
    )
    assert doubted < sure


def test_what_counts_answers_takes_each_record_as_one() -> None:
    """A weight is for training: it makes no annotator agree more, and no test of integrity more
    certain."""
    assert agreement.measure(WEIGHTED) == agreement.measure(RECORDS)
    assert position.position_bias(WEIGHTED) == position.position_bias(RECORDS)
    assert shares(votes_of(WEIGHTED, weighted=False)[0]) == shares(
        votes_of(RECORDS, weighted=False)[0]
    )
