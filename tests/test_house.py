"""The house keeps its own rules: arrows, types, style."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CIRCLES: dict[str, set[str]] = {}
"""Imports that may close a circle, importer -> imported, each with its reason beside it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("lint-imports", "--no-cache"),
        ("ruff", "check", "--no-cache", "src", "tests", "docs", "benchmarks", "examples"),
        (
            "ruff",
            "format",
            "--no-cache",
            "--check",
            "src",
            "tests",
            "docs",
            "benchmarks",
            "examples",
        ),
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


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; the first is named again at the end."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and for types alone count: they hide a circle and do not end it."""
    grimp = pytest.importorskip("grimp", reason="import-linter brings it (the extra dev)")
    graph = grimp.build_graph("accord", cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module) - CIRCLES.get(module, set())
        for module in graph.modules
    }
    assert imports["accord.learning.reward"], "nothing was read"
    assert " imports ".join(reversed(circle(imports))) == ""
    late, early = "accord.runs.context", "accord.runs.speed"  # inside a function of `late`
    assert early in imports[late]
    assert circle({**imports, early: {*imports[early], late}})
