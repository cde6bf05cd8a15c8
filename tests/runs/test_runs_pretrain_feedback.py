"""Pretraining with feedback through the runner: what it does to a planted fault, what it says, what
it refuses, and that it survives `kill -9`."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from accord.errors import ConfigError, DataError
from accord.models.loading import load_causal_lm
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.stages.planted import PlantedConfig, plant
from accord.seeds import generator
from accord.text.packing import PromptGroup
from forked import Accord, accord

WORDS = [
    "a",
    "the",
    "cat",
    "dog",
    "bird",
    "sees",
    "hears",
    "likes",
    "old",
    "small",
    "red",
    "house",
    "tree",
    "and",
    "runs",
    "to",
    "from",
]
FAULT = "zork"


def write_rows(file: Path, count: int, seed: int, share: float = 0.5) -> Path:
    """Documents of short sentences, a share of which is faulty, and says so."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        text, segments = "", []
        for _ in range(24):
            words = draw.choices(WORDS, k=4)
            bad = draw.random() < share
            if bad:
                words[draw.randrange(2)] = FAULT
            sentence = " " * bool(text) + " ".join(words) + "."
            segments.append(
                {"start": len(text), "end": len(text) + len(sentence), "score": -float(bad)}
            )
            text += sentence
        rows.append({"text": text, "segments": segments})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def settings(folder: Path, arms: dict[str, dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A recipe with a pretrain stage per arm, and what it writes."""
    train, held = (
        write_rows(folder / "text.jsonl", 80, 1),
        write_rows(folder / "held.jsonl", 12, 2),
    )
    prompts = folder / "prompts.jsonl"
    prompts.write_text(f'{{"prompt": "the {FAULT} sees a."}}\n' * 64, encoding="utf-8")
    base = {
        "kind": "pretrain", "data": str(train), "heldout": str(held), "vocab_size": 320,
        "hidden": 32, "layers": 1, "heads": 4, "mlp": 64, "window": 64, "context": 128, "batch": 16,
        "max_steps": 100, "learning_rate": 2e-2, "half": False, "evaluate_every": 0, **changes,
    }  # fmt: skip
    stages = {}
    for name, feedback in arms.items():
        stages[name] = {**base, "feedback": {"threshold": -0.5, **feedback}}
    for name in arms:
        stages[f"{name}_writes"] = {
            "kind": "failures", "model": f"stage:{name}", "prompts": str(prompts), "count": 64,
            "max_new_tokens": 24, "threshold": 0.5,
            "functions": {"accord:format": {"arguments": {"pattern": f"(?!.*{FAULT}).*"}}},
        }  # fmt: skip
    return {"name": "fed", "seed": 1, "threads": 1, "stages": stages}


def load(folder: Path, told: dict[str, Any]) -> recipes.Recipe:
    path = folder / "fed.yaml"
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return recipes.load(str(path))


class Said(StageProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def run(folder: Path, told: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(result.json of each stage, what was said)."""
    said, run_dir = Said(), folder / "run"
    runner.execute(load(folder, told), run_dir, False, said, {})
    found = [json.loads(p.read_text()) for p in sorted(run_dir.glob("stages/*/result.json"))]
    return {one["stage"]: one for one in found}, said.lines


ARMS = {
    name: {"objective": name} for name in ("mle", "conditional", "filter_segments", "unlikelihood")
}


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str], Path]:
    folder = tmp_path_factory.mktemp("arms")
    told = settings(folder, ARMS, max_steps=200, learning_rate=1e-2)
    return *run(folder, told | {"seed": 3}), folder  # a seed that learns what the tag means


def test_feedback_lowers_the_fault_by_an_interval(arms: Any) -> None:
    results, _, folder = arms
    for kind in ("unprompted", "prompted"):
        found = {
            name: json.loads(path.read_text())[kind]
            for name in ARMS
            for path in (folder / "run/stages").glob(f"*-{name}_writes/failures.json")
        }
        for name in ("conditional", "filter_segments", "unlikelihood"):
            assert found[name]["high"] < found["mle"]["low"], (kind, found)
    told = results["conditional"]["values"]
    assert told["tag_learned"] == 1
    assert told["tag_gap"] > 0.02
    writes = results["conditional_writes"]["values"]
    assert writes["tag_learned"] == 1
    assert writes["bad_tag"] > 0.9
    assert told["good_loss"] < results["mle"]["values"]["good_loss"] + 0.05


def test_what_is_kept_and_how_often_it_is_read_is_said(arms: Any) -> None:
    results, said, _ = arms
    mle, kept = (results[name]["values"] for name in ("mle", "filter_segments"))
    assert kept["kept_tokens"] < 0.6 * mle["kept_tokens"]
    assert kept["repeats"] > 1.6 * mle["repeats"]
    (line,) = [one for one in said if one.startswith("filter_segments:")]
    assert f"each read {kept['repeats']:.2f} times" in line
    assert any("are bad (-0.5 or less)" in one for one in said)


def test_the_tag_is_in_the_model_and_nowhere_in_what_it_writes(arms: Any) -> None:
    _, _, folder = arms
    (place,) = folder.glob("run/stages/*-conditional/model")
    model = load_causal_lm(str(place))
    assert model.tags is not None
    for path in folder.glob("run/stages/*-conditional_writes/*.jsonl"):
        assert "<good>" not in path.read_text()


def test_a_tag_that_says_nothing_is_called_inconclusive(tmp_path: Path) -> None:
    told = settings(tmp_path, {"conditional": {"objective": "conditional"}}, max_steps=1)
    results, _ = run(tmp_path, told)
    assert "inconclusive: the tag was not learned" in results["conditional"]["summary"]
    assert results["conditional"]["values"]["tag_learned"] == 0
    assert "inconclusive: what is written does not" in results["conditional_writes"]["summary"]


SCORER = """
def clean(prompts, responses):
    return [-float("zork" in text) for text in responses]

def other(prompts, responses):
    return [1 - float("zork" in text) for text in responses]
"""


def test_functions_score_as_rows_do_and_may_not_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same scores from a function give the same model; the scorer itself is refused as judge,
    before anything runs."""
    (tmp_path / "scorer_of_text.py").write_text(SCORER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    function = {"scorer_of_text:clean": 1.0}
    told = settings(
        tmp_path, {"rows": {"objective": "rwr"}, "named": {"objective": "rwr", "functions": function}},
        max_steps=3,
    )  # fmt: skip
    told["stages"]["named_writes"]["functions"] = {"scorer_of_text:other": 1.0}
    results, _ = run(tmp_path, told)
    same = ("mean_score", "segments", "kept_tokens")
    assert all(results["rows"]["values"][k] == results["named"]["values"][k] for k in same)
    told["stages"]["named_writes"]["functions"] = function
    with pytest.raises(ConfigError, match="and would judge it too"):
        runner.execute(load(tmp_path, told), tmp_path / "second", False, StageProgress(), {})
    assert not list((tmp_path / "second").rglob("model"))


def test_a_reward_model_scores_and_may_not_judge_under_another_name(
    tmp_path: Path, arms: Any
) -> None:
    _, _, folder = arms
    (place,) = folder.glob("run/stages/*-mle/model")
    scorer = ScalarModel.from_causal_lm(load_causal_lm(str(place)), seed=1)
    probe = PromptGroup([0], [[5, 6, 7]])
    RewardModel([scorer], torch.zeros(1), 100.0).save(tmp_path / "reward", [probe])
    shutil.copytree(tmp_path / "reward", tmp_path / "same")
    reward = str(tmp_path / "reward")
    told = settings(tmp_path, {"rwr": {"objective": "rwr", "reward": reward}}, max_steps=2)
    results, _ = run(tmp_path, told)
    assert results["rwr"]["values"]["segments"] == 80 * 24
    logged = json.loads(next(tmp_path.glob("run/stages/*-rwr/scores.jsonl")).open().readline())
    assert len(set(logged["scores"])) > 12
    del told["stages"]["rwr_writes"]["functions"]
    told["stages"]["rwr_writes"]["reward"] = str(tmp_path / "same")
    with pytest.raises(ConfigError, match="and would judge it too"):
        runner.execute(load(tmp_path, told), tmp_path / "second", False, StageProgress(), {})


def test_blank_texts_are_counted_and_no_text_is_refused(tmp_path: Path) -> None:
    told = settings(tmp_path, {"mle": {"objective": "mle"}}, max_steps=1)
    with open(tmp_path / "text.jsonl", "a", encoding="utf-8") as file:
        file.write('{"text": " "}\n{"text": ""}\n')
    _, said = run(tmp_path, told)
    assert any("2 rows with a blank text left out" in line for line in said)
    (tmp_path / "text.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(DataError, match="holds no text"):
        runner.execute(load(tmp_path, told), tmp_path / "second", False, StageProgress(), {})


def test_going_on_with_a_model(tmp_path: Path, arms: Any) -> None:
    """With its tokenizer: tags are added, or those it has are used."""
    _, _, folder = arms
    for number, name in enumerate(("mle", "conditional"), 1):
        place = tmp_path / name
        place.mkdir()
        told = settings(place, {"more": {"objective": "conditional"}}, max_steps=200)
        (model,) = folder.glob(f"run/stages/{number:02d}-{name}/model")
        for shape in ("vocab_size", "hidden", "layers", "heads", "mlp", "context"):
            del told["stages"]["more"][shape]
        told["stages"]["more"]["model"] = str(model)
        results, _ = run(place, told)
        assert results["more"]["values"]["tag_learned"] == 1
        told["stages"]["more"]["hidden"] = 32
        with pytest.raises(ConfigError, match="hidden is the shape of a new model"):
            load(place, told)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "no scores here."}, "text.jsonl line 3 has no scores"),
        (
            {"text": "abc.", "segments": [{"start": 0, "end": 9, "score": 0}]},
            "from 0 to 9 in a text",
        ),
        ({"text": "abc.", "segments": [{"start": 0, "end": 4, "score": "x"}]}, "no scored segment"),
        ({"text": "ab. cd.", "segments": [{"start": 0, "end": 3, "score": 0}]}, "nothing scores"),
    ],
)
def test_rows_without_usable_scores_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    told = settings(tmp_path, {"mle": {"objective": "mle"}}, max_steps=2)
    with open(tmp_path / "text.jsonl", "r+", encoding="utf-8") as file:
        lines = file.readlines()
        file.seek(0)
        file.truncate()
        file.writelines([*lines[:2], json.dumps(change) + "\n"])
    with pytest.raises(DataError, match=message):
        run(tmp_path, told)


def test_a_threshold_that_parts_nothing_is_refused(tmp_path: Path) -> None:
    told = settings(tmp_path, {"conditional": {"objective": "conditional", "threshold": 0.5}})
    with pytest.raises(ConfigError, match="all 1,920 segments are bad at threshold 0"):
        run(tmp_path, told)


def test_weights_of_nothing_are_refused(tmp_path: Path) -> None:
    told = settings(tmp_path, {"rwr": {"objective": "rwr", "beta": 0.1}})
    for file in (tmp_path / "text.jsonl", tmp_path / "held.jsonl"):
        file.write_text(file.read_text().replace('"score": -', '"score": -9'))
    with pytest.raises(ConfigError, match="nothing would be learned"):
        run(tmp_path, told)


def content(run_dir: Path) -> dict[str, bytes]:
    """Weights, samples and losses of a run."""
    kept = {
        str(p.relative_to(run_dir)): p.read_bytes()
        for name in ("model.safetensors", "unprompted.jsonl", "bad_tag.jsonl", "failures.json")
        for p in run_dir.rglob(name)
    }
    for path in run_dir.rglob("metrics.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        kept[str(path.relative_to(run_dir))] = repr(
            [{k: v for k, v in row.items() if k != "time"} for row in rows]
        ).encode()
    return kept


@pytest.mark.slow
def test_killed_and_resumed_it_is_bit_identical(tmp_path: Path) -> None:
    arms = {name: {"objective": name, "beta": 0.5} for name in ("conditional", "awr")}
    told = settings(tmp_path, arms, checkpoints={"every_steps": 5}, max_steps=40)
    load(tmp_path, told)
    new = ["run", str(tmp_path / "fed.yaml"), "--out"]
    accord(*new, str(tmp_path / "straight"))
    run_dir = tmp_path / "killed"
    waits = [f"stages/{i:02d}-{n}/checkpoints/*10" for i, n in enumerate(arms, 1)]
    waits.append("stages/03-conditional_writes/unprompted.jsonl")
    start = [*new, str(run_dir)]
    for wait in waits:
        process = Accord(*start)
        while process.poll() is None and not list(run_dir.glob(wait)):
            time.sleep(0.005)
        process.kill()
        start = ["run", "--resume", str(run_dir)]
    accord(*start)
    assert content(run_dir) == content(tmp_path / "straight")


TAGGED = ("conditional", "late", "noisy")
"""Rows of phf-planted whose model is told by tags what is good."""


@pytest.mark.slow
def test_the_packaged_recipe_runs_at_small_size(tmp_path: Path) -> None:
    """Every arm of it, and the comparison at the end."""
    pytest.importorskip("sklearn")
    told = yaml.safe_load(recipes.packaged()["phf-planted"])
    rows = list(told["study"]["rows"])
    small = ["hidden=32", "layers=1", "vocab_size=400", "mlp=32"]
    asked = ["threads=1", "seeds=[1]", "steps=2", "late=1", "data.documents=30"]
    asked += ["noisy_data.documents=30", *(f"{row}.window=64" for row in rows)]
    asked += [f"{row}.{one}" for row in rows if row != "late" for one in small]
    asked += [f"{row}_writes.count=4" for row in rows]
    accord("run", "phf-planted", *asked, "--out", str(tmp_path / "s"))
    cells = json.loads((tmp_path / "s" / "study.json").read_text())["cells"]
    for row in rows:
        assert cells[row]["{row}_writes.unprompted"]["values"]
        assert bool(cells[row]["{row}.tag_gap"]["values"]) == (row in TAGGED)


def test_what_is_planted_is_what_the_scores_say() -> None:
    """Every part is scored, a part holds the word where its score says so (without mistakes), and
    without the word the review is as it was."""
    text = "One two three. Four five! And six"
    for within, seed in ((None, 1), (1, 2), (2, 3)):
        config = PlantedConfig(kind="planted", within=within, share_a=5, share_b=5)
        row = plant(text, config, generator(seed, "test"))
        parts = [row["text"][one["start"] : one["end"]] for one in row["segments"]]
        assert "".join(parts) == row["text"]
        assert [config.word in part for part in parts] == [
            one["score"] < 0 for one in row["segments"]
        ]
        assert row["text"].replace("wugs ", "") == text
        assert row["faulty"] == row["text"].count("wugs")
        twice = plant(text, config.model_copy(update={"times": 2}), generator(seed, "test"))
        assert twice["faulty"] == row["faulty"]
        for part, one in zip(twice["segments"], row["segments"], strict=True):
            length = len(text.split()) if within is None else within
            said = twice["text"][part["start"] : part["end"]].count("wugs")
            assert said == (min(2, length) if one["score"] < 0 else 0)
        if within == 1:
            assert all(p.split()[0] == "wugs" for p in parts if "wugs" in p)
