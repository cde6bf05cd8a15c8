"""Normal populations with learned widths, against integrals done by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from accord.errors import RunError
from accord.statistics.populations import Expansion, Population, fit_populations


def normal(y: np.ndarray, error: np.ndarray, light: bool = False):
    """y_k ~ N(x_k, error_k^2)."""

    def expand(x: np.ndarray, safe: bool) -> Expansion:
        apart = (y - x) / error
        bend = error**-2
        value = float(-(apart**2).sum() / 2 - np.log(error).sum())
        if light:
            return Expansion(value, apart / error, np.zeros((0, 0)), np.zeros((0, len(y))), bend)
        return Expansion(value, apart / error, np.diag(bend), np.zeros((len(y), 0)), np.zeros(0))

    return expand


def by_brute_force(
    y: np.ndarray, error: np.ndarray, mean_sd: float, usual: float, zero_sum: bool = False
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Mean and variance of x, mean and deviation of the log width: a sum over 300 widths."""
    log_w = np.linspace(-7, 7, 300)
    weight, means, variances, n = [], [], [], len(y)
    for w in np.exp(log_w):
        prior = w**2 * np.eye(n) + mean_sd**2
        if zero_sum:
            prior -= w**2 / n
        every = prior + np.diag(error**2)
        solved = np.linalg.solve(every, y)
        weight.append(-(y @ solved) / 2 - np.linalg.slogdet(every)[1] / 2)
        means.append(prior @ solved)
        variances.append(np.diag(prior - prior @ np.linalg.solve(every, prior)))
    p = np.exp(np.array(weight) - max(weight)) * np.exp(-((log_w - np.log(usual)) ** 2) / 2)
    p /= p.sum()
    mean = p @ np.array(means)
    variance = p @ (np.array(variances) + (np.array(means) - mean) ** 2)
    middle = float(p @ log_w)
    return mean, variance, middle, float(np.sqrt(p @ (log_w - middle) ** 2))


@pytest.mark.parametrize("count", [5, 60, 360])  # five nodes, three, and none
@pytest.mark.parametrize("mean_sd", [0.0, 2.0])
def test_dense_parameters(count: int, mean_sd: float) -> None:
    rng = np.random.default_rng(count)
    error = rng.uniform(0.3, 0.9, count)
    y = 0.7 + 1.3 * rng.normal(size=count) + error * rng.normal(size=count)
    population = Population("x", slice(0, count), usual=0.5, mean_sd=mean_sd)
    found = fit_populations(normal(y, error), np.zeros(count), [population])
    mean, variance, middle, deviation = by_brute_force(y, error, mean_sd, 0.5)
    assert found.x == pytest.approx(mean, abs=0.02)
    assert found.errors == pytest.approx(np.sqrt(variance), rel=0.02)
    assert np.log(found.widths["x"].value) == pytest.approx(middle, abs=0.05)
    assert np.log(found.widths["x"].high) - middle == pytest.approx(1.96 * deviation, rel=0.1)


@pytest.mark.parametrize("zero_sum", [False, True])
def test_light_parameters(zero_sum: bool) -> None:
    rng = np.random.default_rng(3)
    error = rng.uniform(0.3, 0.9, 12)
    y = rng.normal(size=12) + error * rng.normal(size=12)
    population = Population("x", slice(0, 12), zero_sum=zero_sum)
    found = fit_populations(normal(y, error, light=True), np.zeros(12), [population])
    mean, variance, *_ = by_brute_force(y, error, 0.0, 1.0, zero_sum)
    assert found.x == pytest.approx(mean, abs=0.02)
    assert found.errors == pytest.approx(np.sqrt(variance), rel=0.02)
    assert found.x.sum() == pytest.approx(0, abs=1e-9) or not zero_sum


def test_light_and_dense_ones_together() -> None:
    """y_k ~ N(a + b_k, 1): the common part is dense, each one's own light."""
    rng = np.random.default_rng(4)
    y = 2 + rng.normal(size=9)

    def expand(x: np.ndarray, safe: bool) -> Expansion:
        apart = y - x[0] - x[1:]
        slope = np.concatenate([[apart.sum()], apart])
        nine = np.array([[9.0]])
        return Expansion(float(-(apart**2).sum() / 2), slope, nine, np.ones((1, 9)), np.ones(9))

    given = [Population("a", slice(0, 1), 3.0), Population("b", slice(1, 10), 0.5)]
    found = fit_populations(expand, np.zeros(10), given)
    design = np.column_stack([np.ones(9), np.eye(9)])
    precision = design.T @ design + np.diag(np.array([3.0] + [0.5] * 9) ** -2)
    covariance = np.linalg.inv(precision)
    assert found.x == pytest.approx(covariance @ design.T @ y, abs=1e-6)
    assert found.errors == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-6)
    assert found.widths["b"].low == found.widths["b"].high == 0.5


def test_a_likelihood_without_a_top_is_an_error() -> None:
    def endless(x: np.ndarray, safe: bool) -> Expansion:
        return Expansion(
            float(x[0]) ** 3, 3 * x**2 + 1, np.full((1, 1), 1e-9), np.zeros((1, 0)), np.zeros(0)
        )

    with pytest.raises(RunError, match="did not settle"):
        fit_populations(endless, np.ones(1), [Population("x", slice(0, 1), 1e9)])
