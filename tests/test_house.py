"""The house keeps its own rules: arrows, types, style."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("lint-imports", "--no-cache"),
        ("ruff", "check", "--no-cache", "src", "tests", "docs", "benchmarks"),
        ("ruff", "format", "--no-cache", "--check", "src", "tests", "docs", "benchmarks"),
        ("mypy", "--no-incremental"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_lint(command: tuple[str, ...]) -> None:
    if not (BIN / command[0]).exists():
        pytest.skip(f"{command[0]} is not installed (the extra dev brings it)")
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_packaged_recipes_are_those_of_the_repository() -> None:
    link = ROOT / "recipes"
    assert link.resolve() == ROOT / "src" / "accord" / "recipes"
    assert shutil.which("git") is None or list(link.glob("*.yaml"))
