"""The annotators' likelihood: what it sums, that its slopes are slopes, and that the search ends at
the top of it."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from benchmarks.clickers import clicker_power
from scipy.special import logsumexp
from scipy.stats import norm

from accord.feedback.annotator_model import estimate
from accord.feedback.better import Voters, better_probabilities
from accord.feedback.clickers import _false, find_clickers, named_of
from accord.feedback.crowd_likelihood import (
    TAILS,
    CrowdJudgement,
    CrowdLikelihood,
    distinct_judgements,
    fit_crowd,
)
from accord.feedback.records import Feedback

Rows = tuple[list[CrowdJudgement], list[int]]


def some(rng: np.random.Generator, prompts: int, people: int = 3) -> Rows:
    """Comparisons (some tied), rankings of four and best/worst choices by annotators of rationality
    1.5, on prompts with four options each; equal judgements come several times."""
    rows, prompt_of = [], []
    for prompt in range(prompts):
        theta = rng.normal(size=4)
        for annotator in range(people):
            kind, places = int(rng.integers(3)), rng.permutation(4)
            shown = [int(k) for k in np.argsort(places)][: 2 if kind == 0 else 4]
            u = {k: 1.5 * theta[k] + rng.gumbel() for k in shown}
            order = sorted(shown, key=lambda k: -u[k])
            at = {k: 0.5 - p / (len(shown) - 1) for p, k in enumerate(shown)}
            if kind == 2:
                order = [order[0], *sorted(order[1:3]), order[3]]
            tied = kind == 0 and rng.random() < 0.2
            order = shown if tied else order
            rows.append(
                CrowdJudgement(
                    tuple(order), tuple(at[k] for k in order), tied, annotator, kind == 2
                )
            )
            prompt_of.append(prompt)
    return [*rows, rows[0]], [*prompt_of, prompt_of[0]]


def by_hand(x: np.ndarray, rows: Rows, prompts: int, people: int, theta_KQ: np.ndarray) -> float:
    """The same likelihood, one judgement after the other."""
    logp_PQ = np.zeros((prompts, theta_KQ.shape[1]))
    for row, prompt in zip(*rows, strict=True):
        u = [
            x[row.annotator] * theta_KQ[k] + x[people + row.annotator] * p
            for k, p in zip(row.option, row.place, strict=True)
        ]
        if row.best_worst:
            logp_PQ[prompt] += (
                u[0] - logsumexp(u, axis=0) - u[-1] - logsumexp([-v for v in u[1:]], axis=0)
            )
        elif len(u) == 2:
            weights = np.array([u[0], u[1], x[-1] + (u[0] + u[1]) / 2])
            logp_PQ[prompt] += weights[2 if row.tied else 0] - logsumexp(weights, axis=0)
        else:
            logp_PQ[prompt] += sum(u[k] - logsumexp(u[k:], axis=0) for k in range(len(u) - 1))
    return float((logsumexp(logp_PQ, axis=1) - np.log(theta_KQ.shape[1])).sum())


@pytest.mark.parametrize("ties", [True, False])
def test_the_likelihood_its_slopes_and_curvature(ties: bool) -> None:
    rng = np.random.default_rng(0)
    rows, prompt_of = some(rng, 30)
    if not ties:
        kept = [m for m, row in enumerate(rows) if not row.tied]
        rows, prompt_of = [rows[m] for m in kept], [prompt_of[m] for m in kept]
    theta = rng.normal(size=(4, 16))
    data = distinct_judgements(rows, prompt_of, 30, 3)
    assert data.count_E.sum() == len(rows)
    model, x = CrowdLikelihood(data, theta), np.array([1.2, 0.4, 2.0, 0.1, -0.3, 0.5, -0.8])

    def value(x: np.ndarray) -> float:
        full = np.append(np.sinh(x[:3]), x[3:]) if ties else [*np.sinh(x[:3]), *x[3:], -30.0]
        return by_hand(np.array(full), (rows, prompt_of), 30, 3, theta)

    x = x if ties else x[:-1]
    here = model.expand(x)
    assert here.value == pytest.approx(value(x), abs=1e-9)
    for k in range(len(x)):
        step = 1e-5 * np.eye(len(x))[k]
        assert here.slope[k] == pytest.approx((value(x + step) - value(x - step)) / 2e-5, abs=1e-5)
        bent = (model.expand(x - step).slope - model.expand(x + step).slope) / 2e-5
        np.testing.assert_allclose(here.dense[k], bent, atol=1e-4)
    safe = model.expand(x, safe=True)
    assert safe.slope == pytest.approx(here.slope)
    assert np.linalg.eigvalsh(safe.dense).min() > 0


def pairs_of(rng: np.random.Generator, beta: np.ndarray, prompts: int) -> Rows:
    """Two comparisons of each of three annotators per prompt of four options."""
    rows, prompt_of = [], []
    for prompt in range(prompts):
        theta = rng.normal(size=4)
        for who in rng.permutation(len(beta))[:3]:
            for _ in range(2):
                a, b = (int(k) for k in rng.permutation(4)[:2])
                first = beta[who] * (theta[a] - theta[b]) + rng.logistic() > 0
                order, place = ((a, b), (0.5, -0.5)) if first else ((b, a), (-0.5, 0.5))
                rows.append(CrowdJudgement(order, place, False, int(who), False))
                prompt_of.append(prompt)
    return rows, prompt_of


def test_few_votes_make_nobody_infinitely_rational() -> None:
    """The most likely values lie at their bound in every third crowd of this size."""
    beta, largest, inside = np.array([0.8, 1.2, 1.6, 2.0, 2.6, 3.2]), 0.0, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        data = distinct_judgements(*pairs_of(rng, beta, 60), 60, 6)
        found, tail = fit_crowd(data, 4)
        largest = max(largest, float(np.sinh(found.x[:6]).max()))
        inside += (np.abs(found.x[:6] - np.arcsinh(beta)) < 1.96 * found.errors[:6]).tolist()
        assert 0 <= tail <= max(TAILS)
    assert largest < 8
    assert np.mean(inside) > 0.9


def test_clickers_are_named_and_nobody_else() -> None:
    rng = np.random.default_rng(0)
    beta = np.concatenate([np.zeros(4), np.exp(0.4 + 0.35 * rng.normal(size=15)), [-1.6]])
    data = distinct_judgements(*pairs_of(rng, beta, 800), 800, 20)  # 240 votes each
    x = np.concatenate([beta, np.zeros(20), [-30.0]])
    found = find_clickers(data, x, 0.0, 4)
    assert found.named_A[:4].sum() >= 3
    assert not found.named_A[4:].any()
    assert found.clicker_A[-1] < 0.5, "who votes against the others does not click at random"
    assert 0.6 < float(np.median(found.power_A)) <= 1
    few = distinct_judgements(*pairs_of(rng, beta, 40), 40, 20)
    assert np.median(find_clickers(few, x, 0.0, 4).power_A) < np.median(found.power_A)


def test_named_are_as_many_as_the_rate_allows() -> None:
    false = np.array([0.5, 0.01, 0.08, 0.04, 0.3])
    assert named_of(false).tolist() == [False, True, True, True, False]  # .13 / 3 is below .05
    assert not named_of(np.array([0.06, 0.9])).any()


def test_somebody_contrary_is_no_false_discovery_and_is_not_named_random() -> None:
    p_A3 = np.array([[0.02, 0.6, 0.38], [0.02, 0.38, 0.6], [0.3, 0.7, 0.0]])
    np.testing.assert_allclose(_false(p_A3), [0.02, 1.0, 0.3])


@pytest.mark.slow
def test_clickers_are_found_nearly_as_often_as_could_be_and_as_is_said() -> None:
    for votes, crowds in ((30, 6), (90, 3)):
        told = clicker_power(votes, crowds)
        assert told["found"] >= 0.9 * told["oracle_found"] - 2 * told["found_error"]
        assert told["false"] < 0.15
        assert told["said"] == pytest.approx(told["found"], abs=0.04 + 2 * told["found_error"])


def test_a_vote_is_worth_what_the_model_says() -> None:
    """One vote of rationality b: P(the other is better) = 2 E[sigmoid(-b d); d > 0], d of variance
    2; of 20 that is .0195, not the 2e-9 of a sum of log-odds."""
    once = [CrowdJudgement((0, 1), (0.0, 0.0), False, 0, False)]
    d = np.linspace(0, 15, 200_001)
    for beta in (0.5, 2.0, 20.0, -2.0):
        voters = Voters(np.array([beta]), np.zeros(1), np.zeros(1), -30.0)
        (p_KK,) = better_probabilities(once, [0], [2], voters)
        wrong = 2 * np.trapezoid(norm.pdf(d, scale=np.sqrt(2)) / (1 + np.exp(beta * d)), d)
        assert p_KK[1, 0] == pytest.approx(wrong, abs=0.004)
        assert p_KK[0, 1] + p_KK[1, 0] == pytest.approx(1)
        assert p_KK[0, 0] == pytest.approx(0.5)


def test_two_doubtful_votes_against_a_sure_one() -> None:
    rows = [
        CrowdJudgement((0, 1), (0.0, 0.0), False, 0, False),
        CrowdJudgement((0, 1), (0.0, 0.0), False, 1, False),
        CrowdJudgement((1, 0), (0.0, 0.0), False, 2, False),
    ]
    voters = Voters(np.array([1.0, 1.0, 20.0]), np.zeros(3), np.zeros(3), -30.0)
    (p_KK,) = better_probabilities(rows, [0, 0, 0], [2], voters)
    assert np.log(p_KK[0, 1] / p_KK[1, 0]) == pytest.approx(-2.8, abs=0.15)
    unsure = Voters(np.array([1.0, 1.0, 20.0]), np.array([0.0, 0.0, 1.5]), np.zeros(3), -30.0)
    (less,) = better_probabilities(rows, [0, 0, 0], [2], unsure)
    assert p_KK[0, 1] < less[0, 1] < 0.5


def test_a_side_picker_and_an_option_nobody_compared_say_nothing() -> None:
    rows = [
        CrowdJudgement((0, 1), (0.5, -0.5), False, 0, False),
        CrowdJudgement((1, 0), (0.5, -0.5), False, 0, False),
        CrowdJudgement((0, 1), (0.5, -0.5), False, 1, False),
    ]
    voters = Voters(np.array([2.0, 0.0]), np.zeros(2), np.array([0.0, 3.0]), -30.0)
    first, second = better_probabilities(rows, [0, 0, 1], [3, 2], voters)
    assert first == pytest.approx(np.full((3, 3), 0.5), abs=0.02)
    assert second == pytest.approx(np.full((2, 2), 0.5), abs=0.02)


def test_a_vote_counts_as_often_as_said_in_whatever_order_prompts_come() -> None:
    first = CrowdJudgement((0, 1), (0.0, 0.0), False, 0, False)
    second = CrowdJudgement((1, 0), (0.0, 0.0), False, 0, False)
    voters = Voters(np.array([1.0]), np.zeros(1), np.zeros(1), -30.0)
    counted = better_probabilities([first, second, first], [1, 0, 0], [2, 2], voters, [3, 2, 1])
    repeated = better_probabilities(
        [second, second, first, first, first, first], [0, 0, 0, 1, 1, 1], [2, 2], voters
    )
    for ours, theirs in zip(counted, repeated, strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert counted[0][0, 1] < 0.5 < counted[1][0, 1]


def test_many_votes_on_one_prompt() -> None:
    """Sixty rankings of six leave a thousandth of the points anything: new ones are drawn there."""
    rng, theta = np.random.default_rng(0), np.array([1.0, 0.7, 0.2, -0.1, -0.8, -2.0])
    rows = []
    for _ in range(60):
        order = np.argsort(-(2 * theta + rng.gumbel(size=6)))
        rows.append(CrowdJudgement(tuple(order.tolist()), (0.0,) * 6, False, 0, False))
    voters = Voters(np.array([2.0]), np.zeros(1), np.zeros(1), -30.0)
    (p_KK,) = better_probabilities(rows, [0] * 60, [6], voters)
    assert 0.6 < p_KK[0, 1] < 0.999
    assert min(p_KK[0, 2], p_KK[3, 4], p_KK[4, 5]) > 0.98
    assert p_KK + p_KK.T == pytest.approx(np.ones((6, 6)))


def test_who_leaves_nothing_to_learn_is_not_taken_to_be_known() -> None:
    """One who never goes against the others: more rationality always fits better, so nothing bounds
    it from above."""
    rng, records = np.random.default_rng(2), []
    for number in range(120):
        better = int(rng.integers(2))
        for name, accuracy in (("a", 0.8), ("b", 0.8), ("c", 0.8), ("sure", 1.0)):
            if name == "sure" and number >= 3:
                continue
            chosen = better if rng.random() < accuracy else 1 - better
            records.append(
                Feedback.model_validate(
                    {
                        "id": f"{number}-{name}",
                        "kind": "comparison",
                        "prompt": f"p{number}",
                        "annotator": name,
                        "options": [
                            {"id": f"o{k}", "content": "x", "shown_at": k} for k in range(2)
                        ],
                        "choice": {"preferred": f"o{chosen}"},
                    }
                )
            )
    found = estimate(records)
    sure = next(a for a in found.annotators if a.annotator == "sure")
    assert sure.flag == "ok"
    others = [a for a in found.annotators if a is not sure]
    length = sure.rationality_high - sure.rationality_low
    assert length > 1.3 * max(a.rationality_high - a.rationality_low for a in others)
    assert sure.rationality < 4 * max(a.rationality for a in others)
    json.dumps(asdict(found), allow_nan=False)


def test_most_annotators_are_taken_to_be_honest_however_much_one_says() -> None:
    """Scores are known up to their sign: three who say little decide it, not the one against them
    who says most."""
    rng, records = np.random.default_rng(2), []
    for number in range(200):
        gap = rng.normal()
        for who in ("much", f"a{number % 3}"):
            likes = gap + rng.logistic() / 3 > 0
            first = likes != (who == "much")
            for again in range(4 if who == "much" else 1):
                records.append(
                    Feedback.model_validate(
                        {
                            "id": f"{number} {who} {again}",
                            "kind": "comparison",
                            "prompt": f"p{number}",
                            "options": [
                                {"id": "x", "content": "x", "shown_at": again % 2},
                                {"id": "y", "content": "y", "shown_at": 1 - again % 2},
                            ],
                            "choice": {"preferred": "x" if first else "y"},
                            "annotator": who,
                        }
                    )
                )
    found = {a.annotator: a for a in estimate(records).annotators}
    assert all(found[f"a{k}"].rationality > 0 for k in range(3))
    assert found["much"].rationality < 0
