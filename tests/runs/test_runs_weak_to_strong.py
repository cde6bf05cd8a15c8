"""The study of weak supervisors, at a small size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

SMALL = {"reviews": 800, "tested": 400, "components": 30}


def run(folder: Path, **changes: object) -> tuple[dict[str, float], dict[str, dict[str, object]]]:
    told = yaml.safe_load(recipes.packaged()["weak-to-strong"])
    told["stages"]["reviews"] |= {**SMALL, **changes}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "threads": 1, "stages": told["stages"]}))
    runner.execute(recipes.load(str(path), []), folder / "run", False, StageProgress(), {})
    (place,) = folder.glob("run/stages/*")
    values = json.loads((place / "result.json").read_text())["values"]
    return values, json.loads((place / "recovered.json").read_text())


def test_students_are_better_than_their_supervisors(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    values, found = run(tmp_path, supervisors=5)
    weak, ceiling = values["accuracy.weak"], values["accuracy.ceiling"]
    for name, one in found.items():
        assert weak < values[f"accuracy.{name}"] < ceiling
        assert isinstance(one["recovered"], dict)
        assert one["recovered"]["low"] > 0
        gained = (values[f"accuracy.{name}"] - weak) / (ceiling - weak)
        assert values[f"recovered.{name}"] == pytest.approx(gained)


def test_without_a_gap_nothing_is_told(tmp_path: Path) -> None:
    """Two supervisors say nothing of how they differ; and too many reviews are refused."""
    pytest.importorskip("sklearn")
    values, found = run(tmp_path, supervisors=2)
    assert not any(name.startswith("recovered") for name in values)
    assert all("2 weak supervisors" in str(one["suppressed"]) for one in found.values())
    (tmp_path / "many").mkdir()
    with pytest.raises(ConfigError, match="reviews \\+ tested"):
        run(tmp_path / "many", reviews=90_000)
