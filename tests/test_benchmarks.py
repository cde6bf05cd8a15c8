"""The benchmarks run at small size, and both sides of a comparison do the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers import say, sides_of

ROOT = Path(__file__).resolve().parents[1]


def compare(*options: str) -> list[dict[str, Any]]:
    """The lines that one comparison prints."""
    command = [sys.executable, "-m", "benchmarks.peers", *options, "--workload", "pico", "--repetitions", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["sft", "dpo-cached"])
def test_against_trl(trainer: str) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    lines = compare("--trainer", trainer, "--rows", "4", "--batch", "4")
    assert len(lines) == 2
    for line in lines:
        assert line["ratio"] > 0
        assert line["ours_first_loss"] == pytest.approx(line["peer_first_loss"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "rows", "responses"), [("grpo", 1, 8), ("rloo", 4, 8), ("online-dpo", 1, 2)])
def test_sampling_trainers_against_trl(trainer: str, rows: int, responses: int) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    for line in compare("--trainer", trainer, "--rows", str(rows), "--batch", str(rows)):
        assert line["sampled_ratio"] > 0
        for side in ("ours", "peer"):
            assert responses <= line[f"{side}_sampled_per_epoch"] <= responses * 256


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["sample", "ppo-vs-rloo"])
def test_sampling_alone_and_ppo(trainer: str) -> None:
    (line,) = compare("--trainer", trainer, "--rows", "8")
    assert line["sampled_ratio"] > 0
    assert line["ours_peak_mib"] > line["ours_mib_before"] > 50


def test_one_side_can_be_asked_for() -> None:
    assert list(sides_of("sft")) == ["ours", "default", "best"]
    assert list(sides_of("sft", "best")) == ["ours", "best"]
    with pytest.raises(SystemExit, match="has no side 'best': choose from default"):
        sides_of("sample", "best")


@pytest.mark.slow
def test_import(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    (line,) = compare("--trainer", "import", "--rows", "8")
    assert line["ratio"] > 0
    say(line, as_json=False)
    text = capsys.readouterr().out
    assert text.startswith("import, pico, against TRL, its defaults: ")
    assert f"{line['ours_cpu_seconds']} against {line['peer_cpu_seconds']}; memory {line['ours_mib_before']}" in text


@pytest.mark.slow
def test_made_models_finish_with_the_stated_probability(tmp_path: Path) -> None:
    import torch
    from benchmarks.workloads import FINISH, make_model, vocabulary_of

    from accord.models.loading import load_causal_lm
    from accord.text.packing import Group, pack

    folder = make_model("nano", tmp_path / "model")
    model = load_causal_lm(folder)
    ids = torch.randint(10, vocabulary_of(folder), (200,), generator=torch.Generator().manual_seed(1)).tolist()
    logits = model.logits(model.hidden(pack([Group(ids[:1], [ids[1:]])])))
    chance = torch.softmax(logits, -1)[:, model.tokenizer.eos_token_id]
    assert chance.mean().item() == pytest.approx(FINISH, rel=0.2)
    assert FINISH / 2 < chance.min() < chance.max() < 2 * FINISH
