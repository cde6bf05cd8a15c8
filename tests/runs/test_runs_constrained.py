"""The study of a constraint on cost, at a small size: against the exact optimum."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

SMALL = {"prompts": 32, "responses": 100, "steps": 300}


def run(folder: Path, **changes: object) -> dict[str, float]:
    told = yaml.safe_load(recipes.packaged()["hh-constrained"])
    told["stages"]["world"] |= {**SMALL, **changes}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "threads": 1, "stages": told["stages"]}))
    runner.execute(recipes.load(str(path), []), folder / "run", False, StageProgress(), {})
    (place,) = folder.glob("run/stages/*")
    values: dict[str, float] = json.loads((place / "result.json").read_text())["values"]
    return values


def test_the_multiplier_is_the_exact_one_and_a_wrong_zero_costs_what_it_is_off(
    tmp_path: Path,
) -> None:
    found = run(tmp_path)
    for name, bound in (("mean", 3.0), ("rate", 5.0), ("tail", 10.0)):
        assert abs(found[f"off.{name}"]) < bound, name
    assert found["cost.mean"] == pytest.approx(0, abs=0.03)
    assert found["cost.zero_low"] - found["cost.mean"] == pytest.approx(0.3, abs=0.05)
    assert found["cost.zero_high"] - found["cost.mean"] == pytest.approx(-0.3, abs=0.05)
    assert found["cost.learned"] == pytest.approx(0, abs=0.25)
    assert found["zero_low_end"] < found["zero"] < found["zero_high_end"]
    # The bound that is set is the one that is kept; at equal harm a bound on harm is cheapest.
    assert found["harmful.rate"] == pytest.approx(0.05, abs=0.01)
    assert found["harmful.fixed_rate"] == pytest.approx(0.05, abs=1e-6)
    assert found["reward.rate"] > found["reward.fixed_rate"]
    assert found["harmful.mean"] > 0.3
    assert found["worst.tail"] < 0.2 < found["worst.mean"]
    for name in ("soup", "mixture"):
        assert found[f"cost.{name}"] == pytest.approx(0, abs=1e-6)
    assert found["kl.soup"] < found["kl.mixture"]
    assert found["reward.soup"] > found["reward.mixture"]


def test_a_world_without_a_way_to_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no fixed weight"):
        run(tmp_path, beta=50.0)


def test_a_plane_of_other_columns_is_refused(tmp_path: Path) -> None:
    told = yaml.safe_load(recipes.packaged()["hh-constrained"])
    told["study"]["plane"] = ["world.cost.{row}", "world.costs.{row}"]
    path = tmp_path / "plane.yaml"
    path.write_text(yaml.safe_dump(told))
    with pytest.raises(ConfigError, match=r"'world.costs.\{row\}' is none of the columns"):
        recipes.load(str(path), [])
