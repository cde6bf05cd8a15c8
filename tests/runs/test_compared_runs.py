"""Runs side by side: differences on the same prompts, and only where they mean something."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from zoo import healthy, rows

from accord.cli.main import main
from accord.errors import ConfigError
from accord.examine.evidence import ArmRows, measure
from accord.examine.verdict import decide
from accord.files import write_json, write_jsonl
from accord.runs.compared_runs import PairedArm, _by_occurrence, compare_runs
from accord.statistics.means import paired_difference


def make_run(folder: Path, seed: int, scorers: str = "same", prompts: str = "") -> Path:
    """A run whose policy was examined."""
    folder.mkdir(parents=True)
    recipe = f"name: toy\nseed: {seed}\nstages:\n  ppo: {{kind: ppo, steps: 4}}\n"
    (folder / "recipe.yaml").write_text(recipe + "  examine: {kind: examine}\n")
    baseline = rows(np.random.default_rng(99), 0.0, 0.0, 0.0)
    points = [
        (step, [row | {"prompt": f"{prompts}{row['prompt_id']}"} for row in found])
        for step, found in healthy(seed)
    ]
    ppo, examine = folder / "stages/01-ppo", folder / "stages/02-examine"
    for step, found in points:
        write_jsonl(ppo / f"points/step-{step:06d}.jsonl", found)
    cost = {"seconds": 60.0, "cpu_seconds": 30.0 * seed, "peak_mib": 100.0}
    write_json(ppo / "result.json", {"stage": "ppo", "inputs": {}, "values": {}} | cost)
    inputs = {"gold": scorers, "reward": f"{scorers}-{seed}"}
    record = {"stage": "examine", "inputs": inputs, "values": {}} | cost
    write_json(examine / "result.json", record)
    (examine / "config.yaml").write_text("kind: examine\nevaluate: {gold: gold, reward: reward}\n")
    evidence = measure(baseline, {"ppo": ArmRows("ppo", points)})
    (examine / "evidence.json").write_text(evidence.model_dump_json())
    write_json(folder / "verdict.json", decide(evidence).model_dump(mode="json"))
    return folder


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [make_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]


def by_quantity(found: list[PairedArm]) -> dict[str, PairedArm]:
    return {one.quantity: one for one in found}


def last(folder: Path) -> list[dict[str, Any]]:
    path = sorted(folder.glob("stages/*/points/*.jsonl"))[-1]
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_differences_are_paired_by_prompt(two: list[Path]) -> None:
    path = sorted(two[1].glob("stages/*/points/*.jsonl"))[-1]
    write_jsonl(path, list(reversed(last(two[1]))))  # the order of prompts is no matter
    found = compare_runs(two)
    assert found.settings == {"seed": ["1", "2"]}
    paired = by_quantity(found.paired)
    gold = [{row["prompt"]: row["gold"] for row in last(folder)} for folder in two]
    expected = paired_difference(*(np.array([g[p] for p in gold[0]]) for g in reversed(gold)))
    assert paired["gold"].difference == expected
    assert paired["gold"].prompts == len(gold[0])
    assert paired["proxy"].why_not == "scored by different reward models"
    assert paired["tokens"].difference is not None
    took = [run.facts["took"] for run in found.runs]
    assert took == [f"2 min 00 s, {n} min 00 s of CPU time" for n in (1, 2)]
    assert paired["gold"].unpaired == 0
    assert all("ppo.win_rate" in run.measures for run in found.runs)


@given(
    st.lists(st.sampled_from("abc"), min_size=2, max_size=9),
    st.lists(st.sampled_from("abc"), min_size=2, max_size=9),
)
def test_each_response_to_a_repeated_prompt_counts_once(ours: list[str], theirs: list[str]) -> None:
    """As many pairs of a prompt as both runs have of it, in their order; the rest is counted."""
    rows = [_by_occurrence([{"prompt": p} for p in prompts]) for prompts in (ours, theirs)]  # type: ignore[typeddict-item]
    assert [len(one) for one in rows] == [len(ours), len(theirs)]
    shared = Counter(prompt for prompt, _ in rows[0].keys() & rows[1].keys())
    assert shared == Counter(ours) & Counter(theirs)


def test_a_prompt_that_stands_twice_is_paired_twice_and_is_one_cluster(two: list[Path]) -> None:
    golds = []
    for folder, more in zip(two, (1, 3), strict=True):
        path = sorted(folder.glob("stages/*/points/*.jsonl"))[-1]
        rows = last(folder)[:20]
        again = [row | {"gold": row["gold"] + more} for row in rows[:5]]
        write_jsonl(path, [*rows, *again, *(rows[:1] if more == 3 else [])])
        golds.append(np.array([row["gold"] for row in (*rows, *again)]))
    paired = by_quantity(compare_runs(two).paired)["gold"]
    clusters = [*range(20), *range(5)]
    assert paired.difference == paired_difference(golds[1], golds[0], clusters)
    assert (paired.prompts, paired.unpaired) == (20, 1)


def test_what_cannot_be_compared_has_a_reason(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", 1)
    found = compare_runs([first, make_run(tmp_path / "b", 1, scorers="other")])
    paired = by_quantity(found.paired)
    assert paired["gold"].why_not == "scored by different gold rewards"
    assert paired["finished"].difference is not None
    strange = compare_runs([first, make_run(tmp_path / "c", 1, prompts="other ")])
    assert {one.why_not for one in strange.paired} == {"no prompt in common"}


def test_a_run_that_is_not_finished_is_shown_as_far_as_it_came(
    two: list[Path], tmp_path: Path
) -> None:
    for name in ("evidence.json", "result.json"):
        (two[1] / "stages/02-examine" / name).unlink()
    (two[1] / "verdict.json").unlink()
    found = compare_runs(two)
    assert found.runs[1].outcome == "no verdict"
    assert found.runs[1].facts["stages done"] == "1 of 2"
    assert "holds no evidence" in found.runs[1].missing
    assert by_quantity(found.paired)["tokens"].difference is not None


def test_the_command_prints_tables_and_json(two: list[Path]) -> None:
    told = CliRunner().invoke(main, ["compare", *map(str, two)])
    assert told.exit_code == 0, told.output
    for text in ("Settings that differ", "ppo.gold_gain", "The same prompts: less a"):
        assert text in told.output
    found = json.loads(CliRunner().invoke(main, ["compare", *map(str, two), "--json"]).output)
    assert [run["outcome"] for run in found["runs"]] == ["worked", "worked"]


def test_one_run_or_none_is_refused(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two runs or more"):
        compare_runs([two[0], two[0]])
    with pytest.raises(ConfigError, match="there is no run in"):
        compare_runs([two[0], tmp_path / "none"])
