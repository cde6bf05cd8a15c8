"""Raters in several processes that are killed at random: nothing acknowledged is lost, nothing is
there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.postgres import why_not

ROOT = Path(__file__).resolve().parents[2]


def load(*options: str) -> list[dict[str, Any]]:
    """The lines that the benchmark prints."""
    command = [sys.executable, "-m", "benchmarks.studio", *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400, env=os.environ
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_murder(database: str) -> None:
    if database == "postgres" and why_not() is not None:
        pytest.skip(why_not() or "")
    small = ("--clients", "4", "--slots", "60", "--kill-every", "0.2", "--most-kills", "2")
    (line,) = load("--database", database, "--workers", "2", *small)
    assert line["kills"] >= 1
    assert (line["duplicates"], line["lost"], line["unfilled"], line["chain"]) == (0, 0, 0, "whole")
    assert line["answers"] == 60 + line["extra"]
    assert 0 < line["p50_ms"] <= line["p95_ms"] <= line["p99_ms"]


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_large_project_beside_a_small_one(database: str) -> None:
    if database == "postgres" and why_not() is not None:
        pytest.skip(why_not() or "")
    (line,) = load("--database", database, "--large", "4000")
    assert (line["database"], line["slots"]) == (database, 4000)
    assert line["meanwhile_writes"] > 0
    assert line["meanwhile_turns"] > 0
