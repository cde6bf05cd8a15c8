"""Studies: a recipe run once per seed in one directory, and its stages compared over the seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from accord.errors import ConfigError
from accord.examine.comparison import ArmComparison, Curve, compare, mean_curve
from accord.files import write_json, write_text
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import RESULT, StageProgress
from accord.runs.recipe import Recipe, Study

COMPARISON, TABLE = "study.json", "study.md"
ProgressFor = Callable[[int], AbstractContextManager[StageProgress]]


def execute(
    recipe: Recipe, run_dir: Path, resume: bool, progress_for: ProgressFor, tuned: dict[str, Any]
) -> Path:
    """Run every seed in run_dir/seed-N, compare them, write study.json, study.md and report.html;
    returns the report.

    A seed whose run is there continues where it stopped. Raises ConfigError as `runner.execute`
    does.
    """
    study = _study(recipe)
    runner.check_directory(recipe, run_dir, resume)
    runner.make_directory(run_dir)
    first = recipe.with_seed(study.seeds[0])
    with progress_for(study.seeds[0]) as progress:
        progress.planned(check(first, seed_folder(run_dir, study.seeds[0]), start=True))
    with runner.locked(run_dir):
        write_text(run_dir / runner.RECIPE, recipe.dump())
        for seed in study.seeds:
            folder = seed_folder(run_dir, seed)
            with progress_for(seed) as progress:
                runner.execute(
                    recipe.with_seed(seed),
                    folder,
                    (folder / runner.RECIPE).exists(),
                    progress,
                    tuned,
                    True,
                )
        return write_results(study, run_dir)


def seed_folder(run_dir: Path, seed: int) -> Path:
    """Where the run of a seed lies."""
    return run_dir / f"seed-{seed}"


def write_results(study: Study, run_dir: Path) -> Path:
    """Compare the finished seeds; returns the report's path."""
    from accord.report.study import markdown, render

    comparison = measure(study, run_dir)
    plain = comparison.model_dump(mode="json")
    write_json(run_dir / COMPARISON, plain)
    write_text(run_dir / TABLE, markdown(plain))
    drawn = {}
    for row, label in comparison.rows.items():
        curve = mean_curve(curves(run_dir, comparison.seeds, row))
        if curve:
            drawn[label] = [(root, estimate.model_dump()) for root, estimate in curve]
    return render(run_dir, plain, drawn)


def measure(study: Study, run_dir: Path) -> ArmComparison:
    """The comparison of all seeds that are done. Raises ConfigError when none is, or when no seed
    has a cell's value."""
    records = {seed: _values(seed_folder(run_dir, seed)) for seed in study.seeds}
    done = [seed for seed, values in records.items() if values]
    if not done:
        raise ConfigError(
            f"{run_dir} holds no finished run of a seed",
            f"continue it: {runner.resuming(run_dir)}",
        )
    by_row: dict[str, dict[str, dict[int, float]]] = {}
    for row in study.rows:
        by_row[row] = {}
        for column in study.columns:
            stage, key = study.cell(row, column)
            by_row[row][column] = {
                seed: float(records[seed][stage][key])
                for seed in done
                if key in records[seed].get(stage, {})
            }
    if not any(values for cells in by_row.values() for values in cells.values()):
        stage, key = study.cell(next(iter(study.rows)), next(iter(study.columns)))
        known = ", ".join(sorted(records[done[0]].get(stage, {})))
        raise ConfigError(
            f"study.columns: no run has a value {stage}.{key}", f"the stage has: {known}"
        )
    return compare(by_row, done, study.rows, study.columns, study.compared)


def curves(run_dir: Path, seeds: list[int], arm: str) -> list[Curve]:
    """(KL, gold gain) along the way of an arm, per seed; empty when the study's rows are no arms
    with gold."""
    result: list[Curve] = []
    for seed in seeds:
        path = next(seed_folder(run_dir, seed).glob("stages/*/evidence.json"), None)
        arms = json.loads(path.read_text())["arms"] if path else []
        points: list[Any] = next((a["points"] for a in arms if a["name"] == arm), [])
        curve = [
            (p["kl"]["exact"]["value"], p["gold_gain"]["value"])
            for p in points
            if p["gold_gain"] is not None
        ]
        if curve:
            result.append(curve)
    return result


def _values(folder: Path) -> dict[str, dict[str, Any]]:
    """Values of all stages of a finished run, by stage; empty when the run is not finished."""
    if not (folder / "lineage.json").exists():
        return {}
    records = [json.loads(path.read_text()) for path in sorted(folder.glob(f"stages/*/{RESULT}"))]
    return {record["stage"]: record["values"] for record in records}


def _study(recipe: Recipe) -> Study:
    if recipe.header.study is None:
        raise ConfigError(
            f"the recipe {recipe.header.name} is not a study", "give it the key study"
        )
    return recipe.header.study
