"""Win rates by a judge: as it says, at equal length, and of several arms on one scale.

A comparison is a share for the first of two arms: 1, 0, or .5 where the orders contradict each
other. Suffixes N: comparisons, C: clusters (prompts), D: resamples, K: arms, T: pairs of arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from accord.seeds import generator
from accord.statistics.clusters import by_cluster
from accord.statistics.intervals import Array, Index
from accord.statistics.logistic import logistic
from accord.statistics.means import Estimate
from accord.statistics.resampling import percentile_interval, resamples

DRAWS = 1000
FEWEST = 10
"""Prompts below which a fit is not made: its resamples say nothing."""


def length_controlled(
    share_N: Array, longer_N: Array, prompt_N: Sequence[int], seed: int = 0
) -> Estimate | None:
    """The win rate that is left at equal length: logit P(win) = a + b tanh(longer / sd), taken at
    longer = 0 (Dubois et al. 2024, without the difficulty of prompts, which only many arms tell).

    longer_N: length of the first arm's response less that of the second's. The interval is of
    resampled prompts, spread of lengths and coefficients fitted anew in each; None below 10
    prompts.
    """
    place_N: Index = np.unique(np.asarray(prompt_N), return_inverse=True)[1]
    clusters = int(place_N.max()) + 1
    if clusters < FEWEST:
        return None
    weight_DN = np.concatenate([np.ones((1, len(share_N))), _times(clusters, seed)[:, place_N]])
    mean_D1 = weight_DN @ longer_N[:, None] / weight_DN.sum(1, keepdims=True)
    around_DN = weight_DN * (longer_N - mean_D1) ** 2
    spread_D1 = np.sqrt(around_DN.sum(1, keepdims=True) / weight_DN.sum(1, keepdims=True))
    x_DN = np.tanh(longer_N / np.where(spread_D1 > 0, spread_D1, 1.0))
    x_DNX = np.stack([np.ones_like(x_DN), x_DN], 2)
    rate_D = expit(logistic(x_DNX, weight_DN * share_N, weight_DN)[:, 0])
    return _around(rate_D, clusters)


def ratings(
    arms_N: Sequence[tuple[int, int]],
    share_N: Array,
    prompt_N: Sequence[int],
    arms: int,
    seed: int = 0,
    penalty: float = 1.0,
) -> list[Estimate] | None:
    """Bradley and Terry's (1952) log-odds of winning against arm 0, per arm; a tie is half a win.
    The intervals are of resampled prompts; None below 10 of them. Raises ValueError where arms are
    not connected by comparisons."""
    first_N, second_N = np.asarray(arms_N).T
    graph = coo_array((np.ones(len(first_N)), (first_N, second_N)), shape=(arms, arms))
    if connected_components(graph, directed=False)[0] > 1:
        raise ValueError("not all arms are connected by comparisons")
    place_N: Index = np.unique(np.asarray(prompt_N), return_inverse=True)[1]
    clusters = int(place_N.max()) + 1
    kinds = list(combinations(range(arms), 2))
    x_TK = np.array([[(k == i) - (k == j) for k in range(1, arms)] for i, j in kinds], float)
    kind_N = np.array([kinds.index((min(i, j), max(i, j))) for i, j in arms_N])
    won_N = np.where(first_N < second_N, share_N, 1 - share_N)
    rows_N = np.eye(len(kinds))[kind_N]
    won_CT = by_cluster(rows_N * won_N[:, None], place_N, clusters)
    tried_CT = by_cluster(rows_N, place_N, clusters)
    if clusters < FEWEST:
        return None
    times_DC = np.concatenate([np.ones((1, clusters)), _times(clusters, seed)])
    found_DK = logistic(x_TK[None], times_DC @ won_CT, times_DC @ tried_CT, penalty)
    zero = Estimate(value=0.0, error=0.0, low=0.0, high=0.0, n=clusters)
    return [zero, *(_around(found_DK[:, k], clusters) for k in range(arms - 1))]


def panel_agreement(votes_JN: Array) -> float:
    """Share of the questions in which all judges that give a verdict (a number) give the same."""
    votes_JN = votes_JN[:, np.isfinite(votes_JN).any(0)]
    return float(np.mean(np.nanmax(votes_JN, 0) == np.nanmin(votes_JN, 0)))


def _times(clusters: int, seed: int) -> Array:
    """How often each cluster is drawn: [D, C]."""
    drawn = resamples(clusters, DRAWS, generator(seed, "clusters"))
    return np.stack([np.bincount(one, minlength=clusters) for one in drawn]).astype(float)


def _around(value_D: Array, clusters: int) -> Estimate:
    """The first is the value, the others are of resamples."""
    low, high = percentile_interval(value_D[1:])
    error = float(value_D[1:].std())
    return Estimate(value=float(value_D[0]), error=error, low=low, high=high, n=clusters)
