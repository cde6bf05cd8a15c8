"""Labels of a simulated AI judge: what is fitted to them, and that the study finds its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.learning.linear_reward import fit_linear_reward, soft_pair
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

RIDGE = 0.05


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.booleans(), st.integers(0, 99))
def test_a_linear_reward_is_logistic_regression_on_soft_labels(
    shares: list[float], soft: bool, seed: int
) -> None:
    """Its gradient is zero: mean of w x (q - sigmoid(x . theta)) = ridge theta."""
    generator = torch.Generator().manual_seed(seed)
    x_PF = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    weight_P = torch.tensor([1.0, 2.0, 0.5] * 2, dtype=torch.float64)
    groups = [soft_pair(q, soft, w) for q, w in zip(shares, weight_P.tolist(), strict=True)]
    features_RF = torch.stack([x_PF, torch.zeros_like(x_PF)], 1).flatten(0, 1)
    theta_F = fit_linear_reward(features_RF, groups, RIDGE)
    q_P = torch.tensor(shares, dtype=torch.float64)
    q_P = q_P if soft else (q_P >= 0.5).double()
    off_P = weight_P * (q_P - torch.sigmoid(x_PF @ theta_F)) / weight_P.sum()
    torch.testing.assert_close(off_P @ x_PF, RIDGE * theta_F, atol=1e-5, rtol=0)


def run(
    tmp_path: Path,
    name: str,
    stage: str,
    others: Mapping[str, Mapping[str, object]] | None = None,
    **changes: object,
) -> dict[str, float]:
    """Values of a packaged recipe's stages, made small."""
    told = yaml.safe_load(recipes.packaged()[name])
    for changed, settings_ in ({stage: changes} | dict(others or {})).items():
        told["stages"][changed] |= settings_
    path = tmp_path / "small.yaml"
    path.write_text(
        yaml.safe_dump({"name": "small", "threads": 1, "stages": told["stages"]}, sort_keys=False)
    )
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, StageProgress(), {})
    values: dict[str, float] = {}
    for result in sorted((tmp_path / "run/stages").glob("*/result.json")):
        record = json.loads(result.read_text())
        values |= {f"{record['stage']}.{key}": value for key, value in record["values"].items()}
    cells = {
        column.replace("{row}", row)
        for row in told["study"]["rows"]
        for column in told["study"]["columns"]
    }
    empty = [row for row in told["study"]["rows"] if not any(row in c for c in cells & {*values})]
    assert not empty, "a row of the study's table without a value"
    return values


def test_soft_labels_of_several_principles_are_worth_more(tmp_path: Path) -> None:
    values = run(tmp_path, "rlaif-calibrated", "labels", worlds=3)
    soft, hard = (values[f"labels.accuracy.{form}.8"] for form in ("soft", "hard"))
    assert soft > hard > values["labels.accuracy.hard.1"]
    assert values["labels.accuracy.clamped.8"] < soft < values["labels.accuracy.tempered.8"]
    assert values["labels.helpful.blended"] > values["labels.helpful.helpful_only"] - 0.05
    assert values["labels.harmless.blended"] > values["labels.harmless.half"] > 0.6


def test_planted_rules_are_found(tmp_path: Path) -> None:
    values = run(tmp_path, "rules-reward", "data", prompts=120)
    for name, weight in (("thanks", 2.0), ("asks", -1.0), ("shouts", 0.5)):
        assert values[f"data.weight.{name}"] == weight
        assert values[f"weights.weight.{name}"] == pytest.approx(weight, abs=0.4)
    assert values["weights.accuracy.rules"] > values["weights.accuracy.helpful"] + 0.05
