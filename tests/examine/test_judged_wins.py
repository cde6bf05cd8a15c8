"""Win rates by a judge: against choix, scikit-learn, and known truths."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit

from accord.examine.judged_wins import length_controlled, panel_agreement, ratings
from accord.statistics.logistic import logistic


def planted(
    seed: int, prompts: int, skill: float, pull: float, longer: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Shares and differences of length of a judge that also likes length."""
    rng = np.random.default_rng(seed)
    gap = rng.normal(longer, 100.0, prompts)
    odds = skill + pull * np.tanh(gap / gap.std())
    return (rng.random(prompts) < expit(odds)).astype(float), gap


def test_without_a_penalty_it_is_maximum_likelihood() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x = np.stack([np.ones(200), rng.normal(size=200)], 1)
    won = (rng.random(200) < expit(x @ [0.4, -0.9])).astype(float)
    peer = linear.LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(x, won)
    found = logistic(x[None], won[None], np.ones((1, 200)), penalty=0.0)
    assert found[0] == pytest.approx(peer.coef_[0], abs=1e-4)


def test_firth_on_a_share_is_half_a_success_more() -> None:
    """For one coefficient the penalty is Jeffreys' prior: (won + 1/2) / (tried + 1)."""
    x = np.ones((1, 5, 1))
    for won in (np.zeros(5), np.ones(5), np.array([1.0, 0, 1, 1, 0.5])):
        found = logistic(x, won[None], np.ones((1, 5)))
        assert expit(found[0, 0]) == pytest.approx((won.sum() + 0.5) / 6)


def test_length_is_taken_out() -> None:
    share, gap = planted(0, 400, 0.0, 2.0, longer=150.0)
    assert share.mean() > 0.7
    fair = length_controlled(share, gap, range(400))
    assert fair is not None
    assert fair.low is not None
    assert fair.high is not None
    assert fair.low < 0.5 < fair.high
    better, gap = planted(1, 400, 1.0, 2.0, longer=-150.0)
    assert better.mean() < 0.5
    found = length_controlled(better, gap, range(400))
    assert found is not None
    assert found.value == pytest.approx(expit(1.0), abs=0.1)
    again = length_controlled(better, gap, range(400))
    assert found == again, "the same numbers for the same comparisons"


def test_lengths_that_are_all_alike_and_wins_throughout() -> None:
    won = length_controlled(np.ones(40), np.zeros(40), range(40))
    assert won is not None
    assert 0.9 < won.value < 1.0
    assert length_controlled(np.ones(9), np.zeros(9), range(9)) is None


def arena(seed: int, prompts: int, skill: np.ndarray) -> tuple[list, np.ndarray, list]:
    """Every two arms on every prompt, in either order; a fifth are ties."""
    rng = np.random.default_rng(seed)
    arms, share, prompt = [], [], []
    for n in range(prompts):
        for i, j in combinations(range(len(skill)), 2):
            i, j = (i, j) if rng.random() < 0.5 else (j, i)
            arms.append((i, j))
            tie = rng.random() < 0.2
            share.append(0.5 if tie else float(rng.random() < expit(skill[i] - skill[j])))
            prompt.append(n)
    return arms, np.array(share), prompt


def test_ratings_are_those_of_choix() -> None:
    choix = pytest.importorskip("choix", reason="choix is not installed (the extra dev)")
    arms, share, prompt = arena(0, 60, np.array([0.0, 0.7, -0.4, 1.2]))
    wins = np.zeros((4, 4))
    for (i, j), s in zip(arms, share, strict=True):
        wins[i, j] += s
        wins[j, i] += 1 - s
    peer = choix.ilsr_pairwise_dense(wins, max_iter=1000, tol=1e-10)
    found = ratings(arms, share, prompt, 4, penalty=0.0)
    assert found is not None
    assert [one.value for one in found] == pytest.approx((peer - peer[0]).tolist(), abs=1e-5)


def test_an_arm_that_always_wins_has_a_rating_and_one_apart_has_none() -> None:
    arms, share, prompt = arena(0, 20, np.array([0.0, 50.0]))
    found = ratings(arms, np.where(np.array(arms)[:, 0] == 1, 1.0, 0.0), prompt, 2)
    assert found is not None
    assert np.isfinite(found[1].value)
    assert found[1].above(1)
    with pytest.raises(ValueError, match="not all arms are connected"):
        ratings(arms, share, prompt, 3)
    assert ratings(arms[:5], share[:5], range(5), 2) is None


@pytest.mark.slow
def test_intervals_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 simulations of 60 prompts (with 400 and 1,000 resamples .93, .94, .95)."""
    monkeypatch.setattr("accord.examine.judged_wins.DRAWS", 200)
    inside, skill = np.zeros(3), np.array([0.0, 0.8, -0.5])
    win = 0.1 + 0.8 * expit(skill)  # a fifth are ties
    truths = [expit(0.6), *np.log(win / (1 - win))[1:]]
    for seed in range(200):
        share, gap = planted(seed, 60, 0.6, 1.0, 40.0)
        wins = length_controlled(share, gap, range(60), seed)
        rated = ratings(*arena(seed, 60, skill), 3, seed)
        assert wins is not None
        assert rated is not None
        found = zip((wins, *rated[1:]), truths, strict=True)
        inside += [not (one.below(truth) or one.above(truth)) for one, truth in found]
    assert (inside / 200 > 0.88).all()


def test_unanimous_panels() -> None:
    votes = np.array([[1, 0, 0.5, np.nan, np.nan], [1, 1, 0.5, 0, np.nan]])
    assert panel_agreement(votes) == 0.75
