"""What to believe when many tests are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control


def discoveries(p_values: Sequence[float], rate: float = 0.05) -> list[bool]:
    """Which tests to believe when many are made: Benjamini and Hochberg (1995), false discoveries
    at most `rate`."""
    if not len(p_values):
        return []
    return [bool(adjusted <= rate) for adjusted in false_discovery_control(p_values)]


def exchange_p(
    statistic: Callable[[NDArray[np.bool_]], float],
    units: int,
    rng: np.random.Generator,
    draws: int = 999,
) -> float:
    """One-sided p-value of a paired comparison, exact for any number of units: how often
    `statistic(exchanged [units])` is as small as with none exchanged, when the two sides of every
    unit are as likely the one way round as the other (Fisher's randomisation test). All ways where
    there are no more than `draws`, else so many drawn, and the one seen."""
    if 2**units <= draws:
        ways = [np.array(way, dtype=bool) for way in product((False, True), repeat=units)]
    else:
        ways = [np.zeros(units, bool), *(rng.random((draws, units)) < 0.5)]
    values = np.array([statistic(way) for way in ways])
    return float((values <= values[0] + 1e-12).mean())


def mcnemar(first_only: int, second_only: int) -> float:
    """McNemar's exact test (1947): p-value, two-sided, that of two arms or raters on the same items
    each says yes alone equally often; 1 where they never differ."""
    differ = first_only + second_only
    return float(binomtest(first_only, differ).pvalue) if differ else 1.0
