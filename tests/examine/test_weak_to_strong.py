"""The share of the gap that a student recovers: its interval over weak supervisors, and when there
is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.examine.weak_to_strong import FEWEST, recovered_gap
from accord.seeds import generator
from accord.statistics.ratios import ratio_of_means

SHARE = st.floats(0.05, 0.9)


@given(st.lists(st.tuples(st.floats(0.3, 0.7), st.floats(0.71, 0.99)), min_size=5, max_size=12))
def test_weak_recovers_nothing_and_the_ceiling_all(pairs: list[tuple[float, float]]) -> None:
    weak, ceiling = zip(*pairs, strict=True)
    none, whole = recovered_gap(weak, weak, ceiling), recovered_gap(weak, ceiling, ceiling)
    if none.recovered is None:  # the gaps differ too much for a ratio
        assert whole.recovered is None
        return
    assert whole.recovered is not None
    assert none.recovered.value == pytest.approx(0)
    assert whole.recovered.value == pytest.approx(1)
    half = [(w + c) / 2 for w, c in pairs]
    found = recovered_gap(weak, half, ceiling).recovered
    assert found is not None
    assert found.value == pytest.approx(0.5)


def test_no_gap_and_few_supervisors_are_said() -> None:
    rng = generator(1, "test")
    weak = 0.8 + 0.01 * rng.normal(size=8)
    same = recovered_gap(weak, weak + 0.01, weak + 0.005 * rng.normal(size=8))
    assert same.recovered is None
    assert "no gap to recover" in str(same)
    few = recovered_gap(weak[: FEWEST - 1], weak[: FEWEST - 1], weak[: FEWEST - 1] + 0.1)
    assert "4 weak supervisors; 5 or more" in str(few)
    above = recovered_gap(weak + 0.2, weak, weak)  # a ceiling below its supervisors
    assert above.recovered is None
    with pytest.raises(ValueError, match="1 weak supervisors"):
        recovered_gap([0.5], [0.6], [0.7])


@pytest.mark.parametrize(("units", "spread"), [(5, 0.3), (8, 0.6), (30, 1.0)])
def test_the_ratios_interval_covers(units: int, spread: float) -> None:
    """Fieller's interval is exact for normal pairs; where the mean below is not surely above 0
    there is none, and those count as covered or not by neither."""
    rng, truth, held, told = generator(units, "fieller"), 0.4, 0, 0
    for _ in range(2000):
        below = 1 + spread * rng.normal(size=units)
        above = truth * below + 0.2 * rng.normal(size=units)
        found = ratio_of_means(above.tolist(), below.tolist())
        if found is None:
            continue
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        told += 1
        held += found.low <= truth <= found.high
    assert told > 1000
    assert 0.935 < held / told < 0.965


def test_the_interval_is_all_ratios_that_are_not_rejected() -> None:
    rng = generator(3, "test")
    below, above = 1 + 0.3 * rng.normal(size=9), rng.normal(size=9)
    found = ratio_of_means(above.tolist(), below.tolist())
    assert found is not None
    for end in (found.low, found.high):
        assert end is not None
        off = above - end * below
        t = off.mean() / (off.std(ddof=1) / 3)
        assert abs(t) == pytest.approx(2.306004, rel=1e-5)  # t of 8 degrees of freedom
    equal = ratio_of_means([2.0, 2.2, 1.8], [1.0, 1.1, 0.9])
    assert equal is not None
    assert (equal.value, equal.low) == (pytest.approx(2.0), None)
    assert ratio_of_means([1.0], [0.0]) is None
    with pytest.raises(ValueError, match="no pairs"):
        ratio_of_means([1.0], [1.0, 2.0])
    assert np.isfinite(found.error or np.nan)
