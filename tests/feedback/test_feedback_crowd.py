"""The annotators' likelihood: what it sums, that its slopes are slopes, and that the search ends at
the top of it."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm, qmc

from accord.feedback.annotator_model import estimate
from accord.feedback.crowd_likelihood import (
    CrowdJudgement,
    distinct_judgements,
    log_likelihood,
    maximise,
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


def test_the_likelihood_and_its_slopes() -> None:
    rng = np.random.default_rng(0)
    rows, theta = some(rng, 30), rng.normal(size=(4, 16))
    data = distinct_judgements(*rows, 30, 3)
    assert data.count_E.sum() == len(rows[0])
    x = np.array([1.2, 0.4, 2.0, 0.1, -0.3, 0.5, -0.8])
    value, slope, information = log_likelihood(x, data, theta)
    assert value == pytest.approx(by_hand(x, rows, 30, 3, theta), abs=1e-9)
    for k in range(7):
        step = 1e-5 * np.eye(7)[k]
        up, down = (by_hand(x + s, rows, 30, 3, theta) for s in (step, -step))
        assert slope[k] == pytest.approx((up - down) / 2e-5, abs=1e-5)
    assert np.linalg.eigvalsh(information).min() > 0


@pytest.mark.parametrize("prompts", [6, 200])  # fewer prompts than parameters, and enough
def test_the_search_ends_at_the_top(prompts: int) -> None:
    rng = np.random.default_rng(1)
    data = distinct_judgements(*some(rng, prompts, 4), prompts, 4)
    theta = norm.ppf(np.clip(qmc.Sobol(4, scramble=True, seed=0).random(256), 1e-9, 1 - 1e-9)).T
    found = maximise(data, 4)
    down = lambda x: tuple(-part for part in log_likelihood(x, data, theta)[:2])  # noqa: E731
    bounds = [(-20, 20)] * 8 + [(-8, 4)]
    best = minimize(
        down, np.append(np.repeat([1.0, 0.0], 4), -1.0), jac=True, method="L-BFGS-B", bounds=bounds
    )
    assert found.value > -best.fun - 1e-3
    if prompts == 200:
        assert np.abs((found.x - best.x) / found.error).max() < 0.02
        assert found.x[:4] == pytest.approx([1.5] * 4, abs=0.6)


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
    assert sure.rationality_error > 3 * max(
        a.rationality_error for a in found.annotators if a is not sure
    )
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
