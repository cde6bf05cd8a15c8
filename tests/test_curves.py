"""What a learning curve saves against another: known shares are found, and intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.statistics.curves import saved_share
from accord.statistics.intervals import Array

SIZES = np.arange(40, 321, 40)


def curve(size_N: Array) -> Array:
    return 1 - 0.5 * (size_N / 20) ** -0.5


@given(st.floats(0.3, 3), st.integers(2, 6))
def test_a_curve_that_is_shifted_saves_its_shift(times: float, units: int) -> None:
    """Two ways that learn as much from n and from `times` n: the one saves what the other costs."""
    usual, other = (np.tile(curve(SIZES * k), (units, 1)) for k in (1.0, times))
    saved, cost = saved_share(usual, other, SIZES), saved_share(other, usual, SIZES)
    assert saved.value == pytest.approx(1 - 1 / times, abs=0.05 * max(1, 1 / times))
    assert 1 - cost.value == pytest.approx(1 / (1 - saved.value), rel=1e-3)
    assert saved_share(usual[:1], other[:1], SIZES).low is None


@pytest.mark.parametrize("end", [1.0, 1.6, 0.5])
def test_intervals_cover_what_is_saved(end: float) -> None:
    """Ten units, noise that goes on from size to size, and what is common to both curves."""
    rng, draws, units = np.random.default_rng(1), 300, 10
    usual_N = curve(SIZES)
    other_N = curve(SIZES * np.linspace(1, end, len(SIZES)))
    true = saved_share(usual_N[None], other_N[None], SIZES).value
    assert (true > 0.1, true < -0.1) == (end > 1, end < 1)
    covered = excluded = 0
    for _ in range(draws):
        common, *own = rng.normal(size=(3, units, len(SIZES))) * 0.02
        usual, other = (
            mean_N + common + 0.5 * np.cumsum(noise, 1) for mean_N, noise in zip((usual_N, other_N), own, strict=True)
        )  # fmt: skip
        found = saved_share(usual, other, SIZES)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true <= found.high
        excluded += found.low > 0 or found.high < 0
    assert 0.92 <= covered / draws <= 0.985
    assert (excluded / draws > 0.2) == (end != 1)


def test_curves_of_other_sizes_are_no_curves() -> None:
    with pytest.raises(ValueError, match="are no curves at 8"):
        saved_share(np.zeros((3, 8)), np.zeros((3, 7)), SIZES)
