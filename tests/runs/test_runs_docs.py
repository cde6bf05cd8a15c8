"""The documentation is true: its Python runs, its references are generated from the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_in_the_docs_runs(page: str) -> None:
    found = blocks(page)
    assert found
    namespace: dict[str, object] = {}
    for block in found:
        exec(compile(block, page, "exec"), namespace)


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    pytest.importorskip(
        "mkdocs", reason="mkdocs-material is not installed (the extra dev brings it)"
    )
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert (site / "katex.min.js").is_file()
    page = (site / "families/on-policy/index.html").read_text(encoding="utf-8")
    assert page.count('class="arithmatex"') >= 4
    api = (site / "reference/api/learning/index.html").read_text(encoding="utf-8")
    assert "ppo_policy" in api


def test_references_name_every_setting_and_metric(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    import hooks

    from accord.examine.verdict import ArmVerdict, Rule, Verdict
    from accord.metrics import declared
    from accord.runs.registry import find, kinds

    hooks.write_references(tmp_path)
    metrics = (tmp_path / "metrics.md").read_text()
    for kind in (
        k for k in kinds() if find(k).__module__.startswith("accord.")
    ):  # other tests add their own
        page = (tmp_path / "stages" / f"{kind}.md").read_text()
        for name, field in find(kind).Config.model_fields.items():
            assert name == "kind" or f"`{name}`" in page
            assert name == "kind" or field.description, f"{kind}.{name} has no description"
    assert all(f"`{m.name}`" in metrics for m in declared())
    recipes = (tmp_path / "recipes.md").read_text()
    assert "| `data` | data | required | `dpo.feedback` | Comparisons or rankings" in recipes
    told = (tmp_path / "verdict-json.md").read_text()
    for model in (Verdict, ArmVerdict, Rule):
        for name, field in model.model_fields.items():
            assert f"| `{name}` | " in told
            assert field.description, f"{model.__name__}.{name} has no description"
    assert (tmp_path / "api" / "learning.md").read_text().count(":::") > 5


def test_the_architecture_names_files_and_functions_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|js))(?::(\w+))?`", page)
    assert len(named) > 30
    for path, name in named:
        text = (ROOT / "src" / "accord" / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"^(?:def|class) {name}\b", text, re.MULTILINE), (path, name)


def test_every_module_of_the_api_reference_exists() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    import hooks

    for room, modules in hooks.ROOMS.items():
        for module in modules:
            place = ROOT / "src" / "accord" / room / module
            assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), place


def test_every_command_of_the_readme_exists() -> None:
    from accord.cli.main import main

    named = set(re.findall(r"^    accord ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= set(main.commands)


def test_the_reference_shows_unit_range_default_and_help_of_the_trainers_settings() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    import hooks

    ppo = hooks.stage_page("ppo").split("## ")[0]
    rows = {row.split("|")[1].strip(): row for row in ppo.splitlines() if "|" in row}
    assert rows["`kl_target`"] == (
        "| `kl_target` | number | nats per sequence | (0, ∞) | none | "
        "Steer the coefficient to this KL; null: it is fixed. |"
    )
    assert "| passes | [1, ∞) | `4` |" in rows["`epochs`"]
    assert "| share | [0, 1) |" in rows["`warmup`"]
    assert "| [0, 1] | `0.95` |" in rows["`lam`"]
