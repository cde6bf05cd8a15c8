"""Runs side by side: what was set, what came out, and paired differences on the prompts that they
share."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.errors import ConfigError, DataError
from accord.examine.measures import Measure, measures
from accord.examine.rows import Samples, columns
from accord.files import read_json_if_whole
from accord.report.facts import facts
from accord.runs.context import RESULT
from accord.runs.evidence import evidence_files, read_evidence
from accord.runs.sample_rows import SampleRow, read_points
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, paired_difference
from accord.validation import dotted_texts, read_yaml

QUANTITIES = {
    "gold": "gold reward of the response, its own units",
    "proxy": "reward model's score, mean over members, its own units",
    "tokens": "length of the response, tokens",
    "finished": "responses that end with EOS, share",
}
"""What is compared prompt by prompt, with its unit."""
WRITTEN = "it is written by accord run"
SCORERS = {"gold": "gold", "proxy": "reward"}
"""Quantities that are comparable only where the same scorer gave them: the key of the examine
stage's settings that names it."""


class Frozen(BaseModel):
    """What stands in a JSON file, fixed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ComparedRun(Frozen):
    """One run. state: its verdict's outcome, or how far it came; facts: what stands at the top, by
    label; measures: see `accord.examine.measures`; stages: cost of each, by name."""

    name: str
    folder: str
    outcome: str
    reason: str
    facts: dict[str, str]
    measures: dict[str, Measure]
    stages: dict[str, dict[str, float]]
    missing: str = ""


class PairedArm(Frozen):
    """Of one arm: the run less the first run, over the prompts that both were asked (one that
    stands there several times is paired as often, and is one cluster). unpaired: responses of
    either run that the other has no counterpart of; why_not: the reason where it is not
    measurable."""

    arm: str
    run: str
    quantity: str
    prompts: int
    unpaired: int
    difference: Estimate | None
    why_not: str = ""


class RunComparison(Frozen):
    """The first run is what the others are compared with. settings: those that differ, by dotted
    name, a text per run ("–" where a run has none)."""

    runs: list[ComparedRun]
    settings: dict[str, list[str]]
    paired: list[PairedArm]


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """Raises ConfigError for fewer than two runs, the same run twice, or a place that holds
    none."""
    places = [folder.resolve() for folder in folders]
    if len(places) < 2 or len(set(places)) < len(places):
        raise ConfigError(
            "a comparison needs two runs or more, each once", "accord compare RUN RUN [RUN …]"
        )
    recipes = [_recipe(folder) for folder in folders]
    names = _names(folders)
    runs = [
        _run(name, folder, recipe)
        for name, folder, recipe in zip(names, folders, recipes, strict=True)
    ]
    paired = [
        one
        for name, folder in zip(names[1:], folders[1:], strict=True)
        for one in _paired(folders[0], folder, name)
    ]
    return RunComparison(runs=runs, settings=_differing(recipes), paired=paired)


def _recipe(folder: Path) -> dict[str, Any]:
    path = folder / "recipe.yaml"
    if not path.is_file() or any(folder.glob("seed-*/recipe.yaml")):
        raise no_run(folder)
    found: dict[str, Any] = read_yaml(path.read_text(encoding="utf-8"), str(path), WRITTEN)
    return found


def no_run(folder: Path) -> ConfigError:
    """For a place that is no run: what it holds, or where to look."""
    inside = sorted(str(path.parent) for path in folder.glob("*/recipe.yaml"))
    if inside:
        named = " ".join(map(shlex.quote, inside[:3])) + (" …" if len(inside) > 3 else "")
        return ConfigError(f"{folder} is no run: it holds {len(inside)}", f"name them: {named}")
    return ConfigError(
        f"there is no run in {folder}: it has no recipe.yaml",
        "accord runs list shows what there is; name a directory made by accord run",
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """Names of the directories, or their paths where two are the same."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _run(name: str, folder: Path, recipe: Mapping[str, Any]) -> ComparedRun:
    records = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob(f"stages/*/{RESULT}"))
    ]
    costs = {
        record["stage"]: {key: float(record[key]) for key in ("seconds", "cpu_seconds", "peak_mib")}
        for record in records
    }
    verdict = read_json_if_whole(folder / "verdict.json") or {}
    missing, found = "", dict[str, Measure]()
    try:
        found = measures(read_evidence(folder)[0])
    except DataError as error:
        missing = error.message
    return ComparedRun(
        name=name,
        folder=str(folder),
        outcome=str(verdict.get("outcome") or "no verdict"),
        reason=str(verdict.get("reason") or ""),
        facts=dict(facts(folder, recipe, records)),
        measures=found,
        stages=costs,
        missing=missing,
    )


def _differing(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    hidden = ("parameters", "about")
    texts = [
        dotted_texts({key: value for key, value in recipe.items() if key not in hidden})
        for recipe in recipes
    ]
    keys = dict.fromkeys(key for text in texts for key in text)
    rows = {key: [text.get(key, "–") for text in texts] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _paired(first: Path, other: Path, name: str) -> list[PairedArm]:
    """Of arms that both runs have, at their last point."""
    ours, theirs = _last_points(first), _last_points(other)
    found: list[PairedArm] = []
    for arm in (arm for arm in ours if arm in theirs):
        sides, clusters, unpaired = _shared(theirs[arm], ours[arm])
        for quantity in QUANTITIES:
            why_not = _why_not(quantity, sides, first, other)
            difference = None if why_not else _difference(sides, clusters, quantity)
            one = PairedArm(
                arm=arm,
                run=name,
                quantity=quantity,
                prompts=len(set(clusters)),
                unpaired=unpaired,
                difference=difference,
                why_not=why_not,
            )
            found.append(one)
    return found


def row_difference(
    after: Sequence[SampleRow], before: Sequence[SampleRow], quantity: str
) -> Estimate:
    """Mean of a quantity (see QUANTITIES) of `after` less `before`, on the prompts that both
    answered, each a cluster. Raises DataError where there are none, or gold was not measured."""
    sides, clusters, _ = _shared(after, before)
    if not sides:
        raise DataError("the samples have no prompt in common", "examine both on the same prompts")
    if quantity == "gold" and any(side.gold_B is None for side in sides):
        raise DataError("gold was not measured", "name gold where policies are examined")
    return _difference(sides, clusters, quantity)


def _shared(
    after: Sequence[SampleRow], before: Sequence[SampleRow]
) -> tuple[list[Samples], list[str], int]:
    """(both sides' samples of the prompts that both answered, row by row; the prompt of each row;
    rows without a counterpart). No samples where no prompt is shared."""
    ours, theirs = _by_occurrence(before), _by_occurrence(after)
    shared = [key for key in ours if key in theirs]
    sides = [columns([rows[key] for key in shared]) for rows in (theirs, ours) if shared]
    return sides, [prompt for prompt, _ in shared], len(theirs) + len(ours) - 2 * len(shared)


def _difference(sides: Sequence[Samples], clusters: Sequence[str], quantity: str) -> Estimate:
    mine, base = (_values(side, quantity) for side in sides)
    return paired_difference(mine, base, _numbered(clusters))


def _by_occurrence(rows: Sequence[SampleRow]) -> dict[tuple[str, int], SampleRow]:
    """Rows by prompt and the how-manieth of that prompt it is, from 0: a prompt may stand more than
    once in an evaluation."""
    seen: Counter[str] = Counter()
    found = {}
    for row in rows:
        found[row["prompt"], seen[row["prompt"]]] = row
        seen[row["prompt"]] += 1
    return found


def _numbered(prompts: Sequence[str]) -> list[int]:
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    return [numbers[prompt] for prompt in prompts]


def _why_not(quantity: str, sides: Sequence[Samples], first: Path, other: Path) -> str:
    if not sides:
        return "no prompt in common"
    scorer = SCORERS.get(quantity)
    if scorer is not None:
        hashes = {_scorer(first, scorer), _scorer(other, scorer)}
        if None in hashes or len(hashes) > 1:
            return f"scored by different {'gold rewards' if scorer == 'gold' else 'reward models'}"
    if quantity == "gold" and any(side.gold_B is None for side in sides):
        return "not measured"
    return ""


def _scorer(folder: Path, key: str) -> str | None:
    """Hash of what the last examine stage scored by."""
    files = evidence_files(folder)
    record = read_json_if_whole(files[-1].with_name(RESULT)) if files else None
    if not record:
        return None
    path = files[-1].with_name("config.yaml")
    config = read_yaml(path.read_text(encoding="utf-8"), str(path), WRITTEN)
    found = record["inputs"].get(str((config.get("evaluate") or {}).get(key)))
    return str(found) if found else None


def _last_points(folder: Path) -> dict[str, list[SampleRow]]:
    """Rows of the last point of each tuned stage, by name."""
    return {
        stage.parent.name.partition("-")[2]: read_points(stage)[-1][1]
        for stage in sorted(folder.glob("stages/*/points"))
        if any(stage.iterdir())
    }


def _values(side: Samples, quantity: str) -> Array:
    if quantity == "gold":
        assert side.gold_B is not None  # see _why_not
        return side.gold_B
    if quantity == "proxy":
        return side.proxy_B
    return side.tokens_B if quantity == "tokens" else side.finished_B.astype(np.float64)
