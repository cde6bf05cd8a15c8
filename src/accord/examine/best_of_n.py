"""Best-of-n from N samples per prompt: unbiased curves, and what selection costs in KL."""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import gammaln

from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, clustered_mean, share_mean


class BestOfPoint(BaseModel):
    """Best-of-n at one n. kl: its distance from what it selects from, nats per sequence, by
    Beirami's estimate (`kl_estimate`); kl_bound = log n - (n-1)/n is an upper bound, reached when
    no text is likely enough to be sampled twice; root_kl: the root of kl."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int
    kl: float
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


def kl_estimate(n: int, log_p: Array) -> Array:
    """KL(best-of-n || what it selects from) by the probability e of the selected text (Beirami et
    al. 2025): (1-e)^n [log n + (n-1) log(1-e) - (n-1)/n] + (1-(1-e)^n) log((1-(1-e)^n) / e), of
    log e (nats): [...]. Its mean over selected texts is within the bound, and close to the exact
    value where few texts are likely."""
    log_p = np.minimum(np.asarray(log_p, dtype=np.float64), -1e-12)
    log_rest = np.log1p(-np.exp(log_p))
    none = np.exp(n * log_rest)
    some = -np.expm1(n * log_rest)
    # Of what is all but impossible one of n is n times as likely.
    ratio = np.where(some > 0, np.log(np.maximum(some, 1e-300)) - log_p, np.log(n))
    found: Array = none * (np.log(n) + (n - 1) * log_rest - (n - 1) / n) + some * ratio
    return found


def curve(
    proxy_PN: Array,
    gold_PN: Array | None,
    baseline_gold_P: Array | None,
    logp_PN: Array,
    sizes: tuple[int, ...],
) -> list[BestOfPoint]:
    """Proxy, gold and gold win rate against a baseline sample of the same prompt, and the distance,
    at each n. logp_PN: of the samples under the policy that they are of."""
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
        # Of one sample it is 0, or a rounding error below.
        kl = max(0.0, float(expected_best(proxy_PN, kl_estimate(n, logp_PN), n).mean()))
        points.append(
            BestOfPoint(
                n=n,
                kl=kl,
                kl_bound=kl_bound(n),
                root_kl=math.sqrt(kl),
                proxy=proxy,
                gold=gold,
                win_rate=wins,
            )
        )
    return points
