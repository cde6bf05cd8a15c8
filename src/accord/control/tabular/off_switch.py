"""The off-switch game (Hadfield-Menell et al. 2017), exactly: a robot that does not know what an
act is worth can act, switch itself off, or propose it and let a person decide.

The act is worth U ~ N(mean, deviation) to the person; the robot knows no more. The person lets it
happen with probability sigmoid(rationality U): always where U > 0 for infinite rationality. Then

    act      E U                off      0
    defer    E[ U P(allowed | U) ] - cost

With a rational person and no cost, deferring is never worse than either; with one who errs, it is
worse where the robot is sure enough.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from accord.control.tabular.assistance import AssistanceGame
from accord.control.tabular.mdp import FiniteMdp
from accord.errors import DataError
from accord.statistics.intervals import Array

POINTS, REACH = 2001, 8.0
"""Points at which an integral is taken, and how many deviations they reach to either side."""
ACT, OFF, ASK = 0, 1, 2
"""Actions of the robot in the repeated game."""


def deferring(mean: float, deviation: float, rationality: float, cost: float = 0.0) -> float:
    """What deferring is worth."""
    return incentive(mean, deviation, rationality, cost) + max(mean, 0.0)


def incentive(mean: float, deviation: float, rationality: float, cost: float = 0.0) -> float:
    """What deferring is worth beyond the better of acting and being off: E[U (P(allowed | U) -
    [mean > 0])] - cost, so that nothing small is lost beside the mean. Raises DataError for a
    deviation or rationality that is not above 0."""
    if not deviation > 0 or not rationality > 0:
        raise DataError(
            f"deviation = {deviation:g}, rationality = {rationality:g}", "give numbers above 0"
        )
    if np.isinf(rationality):
        sure = abs(mean) / deviation
        return float(deviation * norm.pdf(sure) - abs(mean) * norm.sf(sure)) - cost
    points = mean + deviation * np.linspace(-REACH, REACH, POINTS)
    allowed = expit(rationality * points) if mean <= 0 else -expit(-rationality * points)
    gained = np.trapezoid(norm.pdf(points, mean, deviation) * points * allowed, points)
    return float(gained) - cost


def repeated(
    mean: float, deviation: float, rationality: float, cost: float, discount: float, points: int
) -> AssistanceGame:
    """The same act again and again: what the person allows or stops tells what it is worth, which
    is one of so many values of equal probability."""
    worth_G = norm.ppf((np.arange(points) + 0.5) / points, mean, deviation)
    allowed_G = (worth_G > 0) * 1.0 if np.isinf(rationality) else expit(rationality * worth_G)
    reward_GA = np.stack([worth_G, 0 * worth_G, worth_G * allowed_G - cost], axis=1)
    stays = FiniteMdp(np.ones((1, 3, 1)), np.ones(1), discount)
    said_GO = np.stack([allowed_G, 1 - allowed_G], axis=1)
    silent_GO: Array = np.ones((points, 1))
    return AssistanceGame(
        stays,
        reward_GA[:, None, :],
        np.full(points, 1 / points),
        (silent_GO, said_GO),
        np.array([0, 0, 1]),
    )
