"""Rounds of a recipe: what each reads, what stops them, and that nothing is lost or asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from accord.cli.main import main
from accord.errors import ConfigError
from accord.feedback.records import Feedback
from accord.files import digest, read_jsonl, write_json, write_jsonl
from accord.runs import recipe as recipes
from accord.runs.context import StageContext
from accord.runs.loop import LoopResults, LoopRound, RoundDifference, _stopped, read_loop, table
from accord.runs.loop_settings import LoopSettings
from accord.runs.recipe import Recipe
from accord.runs.rounds import loop_of, round_recipe
from accord.runs.session import InterruptFlag
from accord.runs.stages.mine import _key, _lost, said_of
from accord.statistics.means import Estimate
from accord.text.encoding import Encoder
from forked import Accord
from tiny import ByteTokenizer


def loaded(*overrides: str) -> Recipe:
    return recipes.load("loop-reviews", ["threads=1", *overrides])


def finished(folder: Path, recipe: Recipe) -> Path:
    """A run whose stages all left what they provide."""
    for number, (name, (stage, _)) in enumerate(recipe.stages.items(), 1):
        made = {key: f"{key}.out" for key in stage.provides}
        place = folder / "stages" / f"{number:02d}-{name}"
        write_json(place / "result.json", {"stage": name, "artefacts": made})
    return folder


def test_a_round_reads_what_all_rounds_before_it_left(tmp_path: Path) -> None:
    recipe = loaded()
    loop = loop_of(recipe)
    runs: list[Path] = []
    for number in range(1, 5):
        one = round_recipe(recipe, loop, number, False, runs)
        runs.append(finished(tmp_path / f"round-{number}", one))
        settings = {
            name: config.model_dump(mode="json") for name, (_, config) in one.stages.items()
        }
        assert one.header.seed == recipe.header.seed
        assert one.header.loop is None
        if number == 1:
            assert settings["mine"]["model"] == "stage:sft"
            continue
        assert list(settings) == ["mine", "collect", "reward", "tune", "examine"]
        last, first = (f"{tmp_path}/round-{n}/stages" for n in (number - 1, 1))
        place = "06-tune" if number == 2 else "04-tune"
        assert settings["mine"]["model"] == f"{last}/{place}/model.out"
        assert settings["tune"]["model"] == f"{first}/02-sft/model.out"  # from the start, always
        assert settings["tune"]["feedback"] == settings["reward"]["feedback"]
        feedback, asked = settings["reward"]["feedback"], settings["mine"]["asked"]
        assert [str(p).split("/")[-4] for p in feedback[:-1]] == [
            f"round-{n}" for n in range(1, number)
        ]
        assert feedback[-1] == "stage:collect/feedback"
        assert [p.split("/")[-4] for p in asked] == [f"round-{n}" for n in range(1, number)]


def test_the_static_arm_asks_about_the_first_policy_at_random(tmp_path: Path) -> None:
    recipe = loaded()
    first = finished(tmp_path / "round-1", round_recipe(recipe, loop_of(recipe), 1, False, []))
    one = round_recipe(recipe, loop_of(recipe), 2, True, [first])
    mined: Any = one.stages["mine"][1]
    other: Any = round_recipe(recipe, loop_of(recipe), 2, False, [first]).stages["mine"][1]
    assert mined.signals == []
    assert mined.reward is None
    assert mined.model == f"{first}/stages/02-sft/model.out"
    assert (mined.items, mined.count, mined.asked) == (other.items, other.count, other.asked)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["loop.once=[data, sftt]"], "no stage 'sftt'"),
        (["loop.tuned=ppo"], "no stage 'ppo'"),
        (["loop.before={mine.modle: 'stage:tune'}"], "no setting 'modle'"),
        (["loop.before={mine.model: 'stage:tune/modle'}"], "does not provide 'modle'"),
        (["loop.compared=proxy"], "which every round makes anew"),
        (["loop.before={data.sft: 'stage:tune'}"], "is run once"),
        (["loop.static={mine.signals: [loww]}"], "mine.signals"),
        (["loop.all={reward.feedback: x.jsonl}"], "is no result of a stage"),
        (["mine.random_share=0.1"], "the random arm is 10%"),
    ],
)
def test_refusals_before_anything_runs(overrides: list[str], said: str, tmp_path: Path) -> None:
    asked = ["loop", "loop-reviews", *overrides, "--out", str(tmp_path / "new"), "--dry-run"]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 2, told.output
    assert said in told.output.replace("\n       ", " ")
    assert not (tmp_path / "new").exists()


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no rounds"):
        loop_of(recipes.load("dpo", ["model=m", "data=d.jsonl"]))
    with pytest.raises(ConfigError, match="there is no loop in"):
        read_loop(tmp_path)


LOOP = LoopSettings(once=["a"], tuned="t", before={}, all={})


def results(value: float, low: float, verdict: str = "worked", guard: str = "") -> LoopResults:
    done = [
        LoopRound(
            round=n, arm="round", folder=f"round-{n}", labels=10 * n, mined={},
            verdict=verdict if n == 2 else "worked", guards=[guard] if guard and n == 2 else [],
        )
        for n in (1, 2)
    ]  # fmt: skip
    gain = Estimate(value=value, error=0.1, low=low, high=2 * value - low, n=50)
    sure = Estimate(value=1, error=0.1, low=0.8, high=1.2, n=50)
    pairs = {(1, 0): sure, (2, 0): sure, (2, 1): gain}
    differences = [
        RoundDifference(round=a, against=b, against_arm="round", difference=one)
        for (a, b), one in pairs.items()
    ]
    return LoopResults(
        recipe="r", quantity="gold", rounds=done, differences=differences, stopped=""
    )


def test_what_stops_a_loop() -> None:
    assert _stopped(results(0.5, 0.2), LOOP, 2, 4) == ""
    assert "all 2 rounds" in _stopped(results(0.5, 0.2), LOOP, 2, 2)
    assert "may be none: gold 0.5 [-0.2, 1.2]" in _stopped(results(0.5, -0.2), LOOP, 2, 4)
    assert "a guard fired in round 2: KL" in _stopped(results(0.5, 0.2, guard="KL"), LOOP, 2, 4)
    assert "is gamed" in _stopped(results(0.5, 0.2, "gamed"), LOOP, 2, 4)
    always = LOOP.model_copy(update={"stop": "guard"})
    assert _stopped(results(0.5, -0.2), always, 2, 4) == ""
    assert "is gamed" in _stopped(results(0.5, -0.2, "gamed"), always, 2, 4)
    assert table(results(0.5, 0.2))[1][1:4] == ["20", "1 [0.8, 1.2]", "0.5 [0.2, 0.8]"]


def test_what_was_said_marks_prompts() -> None:
    def record(name: str, kind: str, choice: dict[str, Any], options: str) -> Feedback:
        shown = [{"id": o, "content": o, "shown_at": n} for n, o in enumerate(options)]
        return Feedback.model_validate(
            {
                "id": name,
                "kind": kind,
                "prompt": "p",
                "options": shown,
                "choice": choice,
                "annotator": name,
            }
        )

    thumbs = [record(f"t{n}", "thumb", {"up": n == 0}, "a") for n in range(4)]
    votes = [record(f"v{n}", "comparison", {"preferred": "ab"[n % 2]}, "ab") for n in range(4)]
    alone = record("w", "comparison", {"preferred": "c"}, "cd")
    [found] = said_of([*thumbs, *votes, alone]).values()
    assert found == {"thumbs_down": 0.75, "judges_disagree": 1.0}
    [agreed] = said_of([votes[0], votes[2]]).values()
    assert agreed == {"judges_disagree": 0.0}


SMALL = [
    "threads=1", "data.sft=120", "data.prompts=120", "data.evaluation=16", "data.gold_reviews=500",
    "sft.evaluation=20", "sft.batch=16", "mine.count=24", "mine.items=16", "mine.samples_per_prompt=4",
    "mine.max_new_tokens=12", "reward.epochs=1", "reward.centre_samples=16", "tune.epochs=1",
      "evaluation=8",
    "tune.evaluate.max_new_tokens=12", "examine.evaluate.max_new_tokens=12", "loop.stop=guard",
]  # fmt: skip


def start(place: Path, model: str) -> Accord:
    new = ["loop-reviews", *SMALL, f"model={model}", "--rounds", "2", "--out", str(place)]
    asked = ["--resume", str(place)] if (place / "loop.yaml").exists() else new
    return Accord("loop", *asked)


def kill_once(place: Path, pattern: str, process: Accord) -> None:
    """SIGKILL as soon as something of that name is there."""
    process.kill_when(lambda: bool(list(place.glob(pattern))))


@pytest.mark.slow
def test_rounds_survive_kills_and_ask_nothing_twice(pico: str, tmp_path: Path) -> None:
    place = tmp_path / "loop"
    kill_once(place, "round-1/stages/05-reward/config.yaml", start(place, pico))
    first = digest(place / "round-1/stages/04-collect/feedback.jsonl")
    kill_once(place, "round-2/stages/01-mine/items.jsonl", start(place, pico))
    items = digest(place / "round-2/stages/01-mine/items.jsonl")
    process = start(place, pico)
    told = process.ended()
    assert process.returncode == 0, told
    assert "all 2 rounds are done" in told
    assert digest(place / "round-1/stages/04-collect/feedback.jsonl") == first
    for arm in ("round-2/stages/01-mine", "static-2/stages/01-mine"):
        asked = [
            r["prompt"]
            for f in ("round-1/stages/03-mine", arm)
            for r in read_jsonl(place / f / "items.jsonl")
        ]
        assert len(asked) == len(set(asked)) == 32
    found = LoopResults.model_validate_json((place / "loop.json").read_text())
    assert {(d.round, d.against, d.against_arm) for d in found.differences} == {
        (1, 0, "round"), (2, 0, "round"), (2, 1, "round"), (2, 2, "static"),
    }  # fmt: skip
    assert {(r.round, r.arm): r.labels for r in found.rounds} == {
        (1, "round"): 48, (2, "round"): 96, (2, "static"): 96,
    }  # fmt: skip
    assert found.rounds[1].mined["random"] >= 4
    records = read_jsonl(place / "round-2/stages/02-collect/feedback.jsonl")
    assert {r["meta"]["selected_by"] for r in records} > {"random"}
    assert digest(place / "round-2/stages/01-mine/items.jsonl") == items
    lineage = json.loads((place / "round-2/lineage.json").read_text())["stages"]
    deployed = json.loads((place / "round-1/lineage.json").read_text())["stages"]["tune"]
    assert deployed["artefacts"]["model"] in lineage["mine"]["inputs"].values()
    again = CliRunner().invoke(main, ["loop", "--resume", str(place)])
    assert again.exit_code == 0, again.output
    assert "all 2 rounds are done" in again.output
    assert LoopResults.model_validate_json((place / "loop.json").read_text()) == found
    more = _stopped(found, loop_of(read_loop(place)[0]), 2, 4)
    assert more == ""  # resumed with --rounds 4 it would go on
    two = CliRunner().invoke(main, ["compare", str(place / "round-1"), str(place / "round-2")])
    assert "gold reward" in two.output, two.output


def test_losing_is_scoring_less_than_the_round_before(tmp_path: Path) -> None:
    class LongIsGood:
        """A reward of one member: tokens of the response."""

        def score(self, groups: list[Any], _: int) -> torch.Tensor:
            return torch.tensor([[float(len(g.responses[0])) for g in groups]])

    rows = [
        {
            "prompt": f"p{n}",
            "responses": ["abcd" * (n + 1)] * 2,
            "finished": [True, True],
            "scores": [1, 1],
        }
        for n in range(3)
    ]
    write_jsonl(tmp_path / "deployed.jsonl", rows)
    context = StageContext(tmp_path, tmp_path, "mine", 1, "cpu", {}, InterruptFlag())
    now = {
        _key("p0"): np.array([[9.0, 9.0]]),
        _key("p1"): np.array([[1.0, 1.0]]),
        _key("new"): None,
    }
    reward: Any = LongIsGood()
    encoder = Encoder(ByteTokenizer())
    found = _lost(str(tmp_path / "deployed.jsonl"), now, context, reward, encoder)
    assert set(found) == {_key("p0"), _key("p1")}
    assert found[_key("p0")] < 0 < found[_key("p1")]
