"""The benchmarks run at small size, and both sides of a comparison do the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["sft", "dpo-cached"])
def test_against_trl(trainer: str) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    command = [
        sys.executable,
        "-m",
        "benchmarks.peers",
        "--trainer",
        trainer,
        "--rows",
        "4",
        "--batch",
        "4",
        "--repetitions",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line["ratio"] > 0
        assert line["ours_first_loss"] == pytest.approx(line["peer_first_loss"], abs=0.02)
