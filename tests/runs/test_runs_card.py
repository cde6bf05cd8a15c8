"""The card of an exported model says what the run's directory says, and makes nothing up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from accord.cli.main import main
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.runs.card import card
from accord.text.packing import PromptGroup
from tiny import save_tiny, tiny_llama


def a_run(folder: Path) -> Path:
    """What a finished run leaves beside its models."""
    stage = folder / "stages" / "02-dpo"
    stage.mkdir(parents=True)
    (stage / "result.json").write_text(
        json.dumps({"stage": "dpo", "kind": "dpo", "summary": "12 steps | <b>bold</b>"})
    )
    (stage / "config.yaml").write_text("kind: dpo\nbeta: 0.1\n")
    lineage = {"stages": {"dpo": {
        "kind": "dpo", "inputs": {"pairs.jsonl": "sha256:" + "ab" * 32}, "artefacts": {"model": "sha256:" + "cd" * 32},
    }}}  # fmt: skip
    (folder / "lineage.json").write_text(json.dumps(lineage))
    verdict = {"outcome": "worked", "reason": "gold rose", "arms": [
        {"arm": "dpo", "outcome": "worked", "rules": [{"statement": "gold win rate 70% [60%, 80%]"}]}
    ]}  # fmt: skip
    (folder / "verdict.json").write_text(json.dumps(verdict))
    (folder / "environment.json").write_text(json.dumps({"versions": {"accord": "0.1.0"}}))
    return stage


def test_everything_the_run_says_stands_in_the_card(tmp_path: Path) -> None:
    stage = a_run(tmp_path / "run")
    save_tiny(stage / "model")
    out = tmp_path / "out"
    asked = ["models", "export", str(stage / "model"), str(out), "--dtype", "bfloat16"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    text = (out / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {"library_name": "transformers", "tags": ["accord"]}
    for told in (
        "Made by the stage `dpo`", "12 steps \\| \\<b\\>bold\\</b\\>", "**worked**: gold rose",
        "gold win rate 70% \\[60%, 80%\\]", "`pairs.jsonl` abababababababab…", "`model` cdcdcdcdcdcdcdcd…",
        "kind: dpo\nbeta: 0.1", "accord 0.1.0", "- weights: bfloat16", 'AutoModelForCausalLM.from_pretrained("out"',
    ):  # fmt: skip
        assert told in body, told
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


def test_what_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    text = card("accord:nano-base", "nano", "model", {})
    assert "no run of accord on this disk made it" in text
    assert "Verdict" not in text
    stage = a_run(tmp_path)
    for name in ("verdict.json", "lineage.json", "environment.json"):
        (tmp_path / name).unlink()
    text = card(str(stage / "model"), "m", "model", {})
    assert "did not examine" in text
    assert "has not finished" in text


def test_a_reward_model_comes_out_as_a_classifier(tmp_path: Path) -> None:
    reward = RewardModel.untrained([ScalarModel.from_causal_lm(tiny_llama(), seed=1)])
    reward.save(tmp_path / "rm", [PromptGroup([5, 6], [[7, 8], [9]])])
    asked = ["models", "export", str(tmp_path / "rm"), str(tmp_path / "out")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert "--as classifier" in result.output
    result = CliRunner().invoke(main, [*asked, "--as", "classifier"])
    assert result.exit_code == 0, result.output
    assert "text-classification" in (tmp_path / "out/README.md").read_text()
    again = CliRunner().invoke(main, [*asked, "--as", "classifier"])
    assert again.exit_code == 2
    assert "exists" in again.output


@pytest.mark.parametrize(
    "more", [["--as", "classifier"], ["--member", "0"], ["--as", "gguf", "--dtype", "int8"]]
)
def test_forms_that_do_not_fit_are_refused(more: list[str], tmp_path: Path) -> None:
    asked = ["models", "export", str(save_tiny(tmp_path / "m")), str(tmp_path / "out"), *more]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
