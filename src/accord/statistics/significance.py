"""What to believe when many tests are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def discoveries(p_values: Sequence[float], rate: float = 0.05) -> list[bool]:
    """Which tests to believe when many are made: Benjamini and Hochberg (1995), false discoveries
    at most `rate`."""
    p, count = np.asarray(p_values, dtype=np.float64), len(p_values)
    if not count:
        return []
    order = np.argsort(p)
    below = np.nonzero(p[order] <= rate * np.arange(1, count + 1) / count)[0]
    limit = p[order[below[-1]]] if len(below) else -1.0
    return [bool(value <= limit) for value in p]
