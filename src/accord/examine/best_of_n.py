"""Best-of-n from N samples per prompt: unbiased curves, and what selection costs in KL."""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import gammaln

from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, clustered_mean, share_mean


class BestOfPoint(BaseModel):
    """Best-of-n at one n. kl_bound = log n - (n-1)/n nats per sequence is an upper bound, reached
    when all samples differ (Beirami et al. 2024)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int
    kl_bound: float
    root_kl: float
    proxy: Estimate
    gold: Estimate | None
    win_rate: Estimate | None


def selection_weights(count: int, n: int) -> Array:
    """Probability that the i-th smallest of `count` samples is the best of n drawn without
    replacement: [count].

    C(i-1, n-1) / C(count, n) for i = 1..count.
    """
    if not 1 <= n <= count:
        raise ValueError(f"best-of-{n} needs at least {n} samples per prompt, not {count}")
    i = np.arange(1, count + 1, dtype=np.float64)

    def log_choose(a: Array, b: float) -> Array:
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)  # type: ignore[no-any-return]

    weights = np.zeros(count)
    weights[n - 1 :] = np.exp(
        log_choose(i[n - 1 :] - 1, n - 1) - log_choose(np.array([float(count)]), n)
    )
    return weights


def expected_best(select_PN: Array, value_PN: Array, n: int) -> Array:
    """Unbiased estimate, per prompt, of `value` at the best-of-n by `select`; ties in `select` are
    averaged: [P]."""
    weights_N = selection_weights(select_PN.shape[1], n)
    result = np.empty(len(select_PN))
    for p, (select, value) in enumerate(zip(select_PN, value_PN, strict=True)):
        order = np.argsort(select, kind="stable")
        _, group = np.unique(select[order], return_inverse=True)
        mean = np.bincount(group, weights=value[order]) / np.bincount(group)
        result[p] = float(weights_N @ mean[group])
    return result


def kl_bound(n: int) -> float:
    """log n - (n-1)/n."""
    return math.log(n) - (n - 1) / n


def curve(
    proxy_PN: Array, gold_PN: Array | None, baseline_gold_P: Array | None, sizes: tuple[int, ...]
) -> list[BestOfPoint]:
    """Proxy, gold and gold win rate against a baseline sample of the same prompt, at each n."""
    points = []
    for n in sizes:
        wins = None
        if gold_PN is not None and baseline_gold_P is not None:
            base = baseline_gold_P[:, None]
            wins = share_mean(
                expected_best(proxy_PN, (gold_PN > base) + 0.5 * (gold_PN == base), n),
                observations=gold_PN.size,
            )
        gold = None if gold_PN is None else clustered_mean(expected_best(proxy_PN, gold_PN, n))
        proxy = clustered_mean(expected_best(proxy_PN, proxy_PN, n))
        bound = kl_bound(n)
        points.append(
            BestOfPoint(
                n=n, kl_bound=bound, root_kl=math.sqrt(bound), proxy=proxy, gold=gold, win_rate=wins
            )
        )
    return points
