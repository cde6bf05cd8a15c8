"""What to believe when many tests are made."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import false_discovery_control


def discoveries(p_values: Sequence[float], rate: float = 0.05) -> list[bool]:
    """Which tests to believe when many are made: Benjamini and Hochberg (1995), false discoveries
    at most `rate`."""
    if not len(p_values):
        return []
    return [bool(adjusted <= rate) for adjusted in false_discovery_control(p_values)]
