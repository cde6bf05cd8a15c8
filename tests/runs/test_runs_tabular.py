"""Studies of small worlds: their stages at toy size, and what their tables claim."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_runs_label_world import run

from accord.errors import ConfigError


def test_potentials_cost_nothing_and_what_resembles_them_does(tmp_path: Path) -> None:
    values = run(tmp_path, "shaping", "grids", worlds=3, side=4)
    for row in ("random", "distance", "nothing_at_end", "settled"):
        assert values[f"grids.regret_1.{row}"] == pytest.approx(0, abs=1e-7)
        assert values.get(f"grids.moved.{row}", 0) == 0
    for row in ("cut", "undiscounted", "wrong_discount", "state", "waypoint", "action"):
        assert values[f"grids.regret_1.{row}"] > 5


def test_distances_order_rewards_as_regret_does(tmp_path: Path) -> None:
    values = run(tmp_path, "reward-distance", "worlds", worlds=3, states=8)
    for name in ("epic", "dard", "starc"):
        assert values[f"worlds.{name}.shaped"] == pytest.approx(0, abs=1e-7)
        assert values[f"worlds.{name}.noise_0.1"] < values[f"worlds.{name}.noise_1"]
        assert values[f"worlds.rank.{name}"] > 0.7
    assert values["worlds.starc.redistributed"] == pytest.approx(0, abs=1e-7)
    assert values["worlds.regret.redistributed"] == pytest.approx(0, abs=1e-7)
    assert values["worlds.epic.redistributed"] > 0.2
    assert values["worlds.error_1024.noise_1"] < values["worlds.error_64.noise_1"]


def test_an_impossible_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leads_to = 3 of 2"):
        run(tmp_path, "reward-distance", "worlds", states=2)
