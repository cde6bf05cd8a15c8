"""Stages that ask endpoints, killed while they ask and resumed: what they leave is what a run that was
never killed leaves, and no question is put twice but those that were under way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import test_runs_model_debate as debates
import test_runs_refine as refining
import test_runs_summarise as summaries
import yaml

from forked import Accord, accord
from scripted import scripted

AT_ONCE = 2
Answer = Callable[[dict[str, Any], int], Any]


def refine(folder: Path, url: str, asking: Mapping[str, Any]) -> None:
    rows = [refining.critique(n) for n in range(12)]
    data = refining.write(folder / "critiques.jsonl", rows)
    stage = {
        "kind": "refine", "data": data, "reviser": f"{url}#m", "refinements": 3, "select": "similarity",
        "asking": dict(asking),
    }  # fmt: skip
    recipe = {"name": "refining", "seed": 1, "threads": 1, "stages": {"refine": stage}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def debate(folder: Path, url: str, asking: Mapping[str, Any]) -> None:
    debates.load(folder, url, debates.rows(6), asking=dict(asking))


def summarise(folder: Path, url: str, asking: Mapping[str, Any]) -> None:
    summaries.load(folder, url, summaries.DOCUMENTS, asking=dict(asking))


def rewrite(request: dict[str, Any], number: int) -> Any:
    """Another text for each question and seed."""
    said = json.dumps(request["messages"])
    return f"    return {request.get('seed', 0) % 997} * x  # {len(said)}"


STAGES: dict[str, tuple[Callable[[Path, str, Mapping[str, Any]], None], Answer]] = {
    "model_debate": (debate, debates.player()),
    "summarise": (summarise, summaries.answer),
    "refine": (refine, rewrite),
}


def left(run_dir: Path) -> dict[str, Any]:
    """The records and the result of the one stage."""
    (stage,) = (run_dir / "stages").iterdir()
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(stage.glob("*.jsonl"))}
    return found | {"result": json.loads((stage / "result.json").read_text())["values"]}


def questions(asked: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(one, sort_keys=True) for one in asked]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STAGES))
def test_killed_while_asking_nothing_is_lost_or_asked_twice(name: str, tmp_path: Path) -> None:
    write, answer = STAGES[name]
    recipes = {part: tmp_path / part for part in ("straight", "killed")}
    for folder in recipes.values():
        folder.mkdir()
    with scripted(answer, seconds=0.005) as server:
        for folder in recipes.values():
            write(folder, server.url, {"at_once": AT_ONCE})
        accord("run", str(recipes["straight"] / "recipe.yaml"), "--out", str(tmp_path / "s"))
        straight = questions(server.asked)
        server.asked.clear()
        process = Accord(
            "run", str(recipes["killed"] / "recipe.yaml"), "--out", str(tmp_path / "k")
        )
        process.kill_when(lambda: len(server.asked) >= len(straight) // 2)
        assert not list((tmp_path / "k/stages").glob("*/result.json")), "killed too late"
        accord("run", "--resume", str(tmp_path / "k"))
        killed = questions(server.asked)
    assert len(set(straight)) == len(straight) > 20
    assert set(killed) == set(straight)
    assert len(killed) - len(set(killed)) <= AT_ONCE
    assert left(tmp_path / "k") == left(tmp_path / "s")


SAMPLING = ("mine", "score", "say", "violations", "probe")


def sampling(folder: Path, model: str) -> Path:
    """A recipe of the stages that sample a model here."""
    openings = [
        {"prompt": f"The {a} film about {b} was"} for a in "abcdefghijkl" for b in "mnopqrst"
    ]
    texts = [{"prompt": row["prompt"], "response": " really very good."} for row in openings[:40]]
    prompts = refining.write(folder / "prompts.jsonl", openings)
    heldout = refining.write(folder / "heldout.jsonl", texts)
    critics = {"no-filler": {"function": "accord:words", "arguments": {"words": ["the", "a"]}}}
    exact = {"accord:exact": {"weight": 1, "arguments": {"answer": "good"}}}
    sampled: dict[str, Any] = {"prompts": prompts, "max_new_tokens": 24}
    criticised = {**sampled, "constitution": "accord:no-fillers", "critics": critics}
    stages: dict[str, dict[str, Any]] = {
        "mine": {**sampled, "model": model, "samples_per_prompt": 2},
        "score": {**sampled, "model": model, "functions": exact},
        "say": {**criticised, "kind": "criticise", "model": model},
        "violations": {
            **criticised,
            "models": {"start": model, "base": "accord:nano-base"},
            "baseline": "start",
            "heldout": heldout,
        },
        "probe": {"model": model, "before": "accord:nano-base", "heldout": heldout},
    }
    recipe = {
        "name": "sampling", "seed": 1, "threads": 1,
        "stages": {name: {"kind": name, **stage} for name, stage in stages.items()},
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


@pytest.mark.slow
def test_stages_that_sample_here_end_as_never_killed(tmp_path: Path, pico: str) -> None:
    recipe = sampling(tmp_path, pico)
    straight, broken = tmp_path / "s", tmp_path / "k"
    accord("run", str(recipe), "--out", str(straight))
    killed = []
    for number, name in enumerate(SAMPLING, 1):
        folder = broken / "stages" / f"{number:02d}-{name}"
        new = ["--resume", str(broken)] if broken.exists() else [str(recipe), "--out", str(broken)]
        Accord("run", *new).kill_when((folder / "config.yaml").exists)
        if not (folder / "result.json").exists():
            killed.append(name)
    accord("run", "--resume", str(broken))
    lineages = [
        json.loads((run / "lineage.json").read_text())["stages"] for run in (broken, straight)
    ]
    assert lineages[0] == lineages[1]
    assert len(killed) >= 4, killed
