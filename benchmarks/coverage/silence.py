"""Cells of rates in use, where unhappy users answer more: double sampling, and another policy's
value by propensities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from accord.seeds import generator
from accord.statistics.double_sampling import Answered, double_sampled
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate
from accord.statistics.off_policy import direct_model, doubly_robust, ips, snips
from benchmarks.coverage.registry import Cell, Drawn, add

Rng = np.random.Generator
POINTS_Q, WEIGHTS_Q = np.polynomial.hermite_e.hermegauss(40)
RATES = (0.2, 0.05)
"""Chances that an unhappy user answers, and a happy one."""


def log_of_use(
    responses: int, calls: int, logit: float, between: float = 0.8
) -> Callable[[Rng], Drawn]:
    """Users with a few responses each, satisfied to a degree of their own (standard deviation
    `between`, logits); `calls` of the silent responses are asked about."""
    truth = float((WEIGHTS_Q * expit(logit + between * POINTS_Q)).sum() / WEIGHTS_Q.sum())

    def draw(rng: Rng) -> Drawn:
        user_N = rng.integers(0, responses // 3, responses)
        own_N = rng.normal(0, between, responses // 3)[user_N]
        happy_N = rng.random(responses) < expit(logit + own_N)
        return (happy_N.astype(float), answered(rng, happy_N, user_N, calls)), truth

    return draw


def answered(rng: Rng, happy_N: Array, user_N: Array, calls: int) -> Answered:
    """Who answers by himself, and who when called."""
    rated_N = rng.random(len(happy_N)) < np.where(happy_N, RATES[1], RATES[0])
    called_N = np.zeros(len(happy_N), bool)
    called_N[rng.choice(np.flatnonzero(~rated_N), calls, replace=False)] = True
    return Answered(rated_N, called_N, user_N)


def corrected(data: tuple[Array, Answered]) -> Estimate:
    """As `accord feedback deployment` has it."""
    return double_sampled(*data)


OLD_A, NEW_A = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
HAPPY_XA = np.array([[0.3, 0.5, 0.8], [0.6, 0.5, 0.4]])
"""Chance of a happy user by kind of prompt and style of answer."""
TRUE_VALUE = float((HAPPY_XA @ NEW_A).mean())


def two_policies(responses: int, calls: int | None) -> Callable[[Rng], Drawn]:
    """Prompts of two kinds, answers of three styles, one log; everybody answers where `calls` is
    None. Features: which of the six cells it is (right), or the kind alone (wrong)."""

    def draw(rng: Rng) -> Drawn:
        kind_N, style_N = rng.integers(0, 2, responses), rng.choice(3, responses, p=OLD_A)
        happy_N = rng.random(responses) < HAPPY_XA[kind_N, style_N]
        user_N = np.arange(responses)
        everybody = Answered(np.ones(responses, bool), np.zeros(responses, bool), user_N)
        seen = everybody if calls is None else answered(rng, happy_N, user_N, calls)
        shown_NX = np.eye(6)[3 * kind_N + style_N]
        new_NX = np.zeros((responses, 6))
        for style in range(3):
            new_NX[np.arange(responses), 3 * kind_N + style] = NEW_A[style]
        kind_NX = np.eye(2)[kind_N]
        data = happy_N.astype(float), np.log(NEW_A / OLD_A)[style_N], seen
        return (*data, (shown_NX, new_NX), (kind_NX, kind_NX)), TRUE_VALUE

    return draw


FEW = "the model is fitted on a few called users to a cell, and how far off it is goes uncounted"


def robust(data: tuple[Array, Array, Answered, tuple[Array, Array], tuple[Array, Array]],
           right: bool) -> Estimate:  # fmt: skip
    """Doubly robust, with features that tell styles apart or not."""
    outcome_N, weight_N, seen, good, bad = data
    model = direct_model(outcome_N, *(good if right else bad), seen, generator(0, "folds"))
    return doubly_robust(outcome_N, weight_N, model, seen)


for responses, calls, logit in (
    (600, 30, 0.0),
    (1000, 150, 0.5),
    (1000, 150, 2.5),
    (5000, 150, -1.5),
):
    setting = f"{responses:,} responses, {calls} called, {expit(logit):.0%} happy or so"
    add(Cell("rate of all users, double sampling", setting, responses,
             log_of_use(responses, calls, logit), corrected, tested=80))  # fmt: skip
for calls in (None, 150):
    setting = f"2,000 responses, {'all answer' if calls is None else f'{calls} called'}"
    draw = two_policies(2000, calls)
    for name, interval in (
        ("IPS", lambda data: ips(*data[:3])),
        ("SNIPS", lambda data: snips(*data[:3])),
        ("doubly robust, right model", lambda data: robust(data, True)),
        ("doubly robust, wrong model", lambda data: robust(data, False)),
    ):
        seldom = FEW if calls is not None and "robust" in name else ""
        add(Cell(f"other policy, {name}", setting, 2000, draw, interval, seldom, tested=40))
