"""The stage imitate and the study around it, at toy size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_runs_label_world import run

from accord.control.cloning import CloningSettings, clone
from accord.control.demonstrations import read_demonstrations, shown_steps
from accord.control.episodes import EpisodeStore
from accord.control.making import make
from accord.control.ppo import VectorPpo, VectorPpoSettings
from accord.control.recording import record
from accord.control.saving import read_saved, save_arrays, saved_head
from accord.errors import AccordError, ConfigError, DataError
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.statistics.intervals import Array
from forked import Accord, accord
from real_data import shared_data

pytest.importorskip("gymnasium", reason="the extra control brings it")
SMALL = {
    "environments": 8,
    "rollout": 40,
    "minibatch": 160,
    "epochs": 4,
    "gamma": 0.95,
    "learning_rate": 0.01,
}
FEW = {"episode_steps": 40, "policy": SMALL}
EXPERT = FEW | {"steps": 6400, "points": 1, "evaluation": 4}


@pytest.mark.slow
def test_every_method_is_measured_from_the_same_demonstrations(tmp_path: Path) -> None:
    asked = {"steps": 1280, "comparisons": 20, "first_comparisons": 12, "rounds": 1, "clip": 10}
    others = {
        "expert": EXPERT | {"clip": 10, "comparisons": 20, "first_comparisons": 12, "rounds": 1},
        "preferences": EXPERT | asked | {"reward": {"first_steps": 20, "round_steps": 10}},
        "grids": {"worlds": 1, "unseen": 1, "side": 4, "shown": 16, "steps": 5, "updates": 10},
    }
    own = FEW | {"steps": 640, "evaluation": 4, "cloning": {"passes": 30}, "shown": [1, 4]}
    values = run(tmp_path, "imitation-benchmark", "imitation", others, **own)
    assert values["imitation.share_all.random"] == 0
    assert values["imitation.share_all.expert"] == 100
    assert values["imitation.asked.cloning"] == values["imitation.asked.dagger"] == 4 * 40
    assert values["imitation.steps.cloning"] == 0
    assert values["imitation.steps.dagger"] == 3 * 40
    assert values["imitation.steps.gail"] == values["imitation.steps.airl"] == 640
    assert values["imitation.asked.preferences"] == 20
    assert values["imitation.steps.preferences"] >= 1280
    assert "imitation.share_1.dagger" not in values
    assert values["imitation.share_4.cloning"] > 50
    folder = next((tmp_path / "run/stages").glob("*-imitation"))
    measured = [json.loads(line) for line in (folder / "measured.jsonl").read_text().splitlines()]
    assert len(measured) == 3 + 2 * 4 - 1
    head, _ = read_saved(folder / "policies/gail-4.safetensors", "policy")
    assert (head["environment"], head["steps"]) == ("CartPole-v1", "640")
    before = (folder / "result.json").read_bytes()
    (folder / "result.json").unlink()
    kept = [row for row in measured if row["method"] != "airl" or row["shown"] < 4]
    (folder / "measured.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    (tmp_path / "run/lineage.json").unlink(missing_ok=True)
    runner.execute(
        recipes.load(str(tmp_path / "small.yaml"), []), tmp_path / "run", True, StageProgress(), {}
    )
    again, first = json.loads((folder / "result.json").read_bytes()), json.loads(before)
    assert again["values"] == first["values"]  # the method it was in is begun again, to the bit


def upright(seen: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Keeps the pole up, and is certain."""
    return (seen[:, 2:3] + seen[:, 3:4] > 0).astype(float), np.zeros(len(seen))


@pytest.mark.slow
def test_an_adversary_that_is_killed_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """By SIGKILL after its first checkpoint; policy, reward and what is measured, to the bit."""
    env = make("CartPole-v1", 2, 40, absorb=True)
    EpisodeStore(tmp_path / "shown").append(record(env, upright, 2, 0).episodes)
    stage = {
        "kind": "imitate", "environment": "CartPole-v1", "horizon": "absorb", "shown": [1, 2],
        "demonstrations": str(tmp_path / "shown"), "methods": ["airl"], "steps": 1920,
        "evaluation": 4, "checkpoints": {"every_steps": 1}, **FEW,
        "discriminator": {"updates": 2, "minibatch": 32},
    }  # fmt: skip
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps({"name": "s", "threads": 1, "stages": {"imitation": stage}}))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    accord("run", str(path), "--out", str(whole))
    loop = killed / "stages/01-imitation/learning/airl-1/checkpoints"
    Accord("run", str(path), "--out", str(killed)).kill_when(
        lambda: (loop / "step-00000003").exists()
    )
    assert "continuing after step" in accord("run", "--resume", str(killed))
    folder = Path("stages/01-imitation")
    names = ["measured.jsonl", *(f"{kind}/airl-{n}.safetensors" for kind in ("policies", "rewards")
                                 for n in (1, 2))]  # fmt: skip
    for name in names:
        assert (killed / folder / name).read_bytes() == (whole / folder / name).read_bytes(), name
    artefacts = json.loads((killed / folder / "result.json").read_text())["artefacts"]
    assert artefacts["reward"] == "rewards/airl-2.safetensors"
    assert not list((killed / folder).glob("learning/*/checkpoints"))
    assert (killed / folder / "learning/airl-2/metrics.jsonl").exists()


@pytest.mark.slow
def test_cloning_and_dagger_that_are_killed_end_as_those_that_were_not(tmp_path: Path) -> None:
    """Each by SIGKILL while it learns: it is begun again, what was measured before is not."""
    env, settings = make("CartPole-v1", 4, 40), VectorPpoSettings.model_validate(SMALL)
    expert = VectorPpo(settings, env.observation_size, env.actions, 1, 0)
    shown = shown_steps(record(env, upright, 8, 0).episodes)
    clone(expert, shown, CloningSettings(passes=20), 0)
    policy = tmp_path / "policy.safetensors"
    save_arrays(policy, expert.arrays(), saved_head("policy", env, "ppo", settings, {"steps": 0}))
    stage = {
        "kind": "imitate", "environment": "CartPole-v1", "horizon": "variable", "shown": [4],
        "expert": str(policy), "methods": ["cloning", "dagger"], "dagger": {"rounds": 2},
        "cloning": {"passes": 80, "patience": 80, "minibatch": 8}, "evaluation": 4, **FEW,
    }  # fmt: skip
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps({"name": "s", "threads": 1, "stages": {"imitation": stage}}))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    accord("run", str(path), "--out", str(whole))
    measured = killed / "stages/01-imitation/measured.jsonl"

    def rows() -> list[str]:
        text = measured.read_text() if measured.exists() else ""
        return [json.loads(line)["method"] for line in text.splitlines(True) if line[-1] == "\n"]

    new = (str(path), "--out", str(killed))
    Accord("run", *new).kill_when(lambda: len(rows()) == 2)
    assert rows() == ["random", "expert"]
    Accord("run", "--resume", str(killed)).kill_when(lambda: len(rows()) == 3)
    assert rows()[-1] == "cloning"
    accord("run", "--resume", str(killed))
    folder = Path("stages/01-imitation")
    for name in ("measured.jsonl", *(f"policies/{m}-4.safetensors" for m in ("cloning", "dagger"))):
        assert (killed / folder / name).read_bytes() == (whole / folder / name).read_bytes(), name
    results = [json.loads((run / folder / "result.json").read_text()) for run in (whole, killed)]
    assert results[0]["values"] == results[1]["values"]


def test_rollouts_of_another_library_are_the_expert(tmp_path: Path) -> None:
    """Real ones, of a pendulum that is swung up: what was shown is the row of the expert."""
    file = shared_data("imitation") / "pendulum_expert_rollouts.npz"
    stage = {
        "kind": "imitate", "environment": "Pendulum-v1", "demonstrations": str(file), "shown": [8],
        "methods": ["cloning"], "evaluation": 8, "policy": SMALL | {"rollout": 200, "hidden": 32},
        "cloning": {"passes": 60},
    }  # fmt: skip
    path = tmp_path / "shown.yaml"
    path.write_text(json.dumps({"name": "s", "threads": 1, "stages": {"imitation": stage}}))
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, StageProgress(), {})
    result = json.loads((tmp_path / "run/stages/01-imitation/result.json").read_text())
    paid = shown_steps(read_demonstrations(file, "Pendulum-v1")[:8]).paid_N
    assert result["values"]["return.expert"] == pytest.approx(paid.mean())
    assert result["values"]["share_8.cloning"] > 50


def imitating(tmp_path: Path, **settings: Any) -> None:
    stage = {"kind": "imitate", "environment": "CartPole-v1", "methods": ["cloning"], "shown": [1]}
    told = {"name": "bad", "threads": 1, "stages": {"imitation": stage | settings}}
    runner.execute(recipes.validate(told), tmp_path / "run", False, StageProgress(), {})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "nobody shows anything: set expert, or demonstrations"),
        ({"expert": "e", "beside": {"gail": "g"}}, "'gail' is a row of the stage's own"),
        ({"demonstrations": "d", "methods": ["dagger"]}, "dagger asks the expert"),
        ({"expert": "e", "shown": [4, 1]}, "each greater than the one before"),
        ({"demonstrations": "d"}, r"with horizon: fixed: a learned reward that is always above 0"),
        (
            {"demonstrations": "d", "horizon": "absorb"},
            "demonstrations: there are no demonstrations at",
        ),
        (
            {"demonstrations": "d", "environment": "CartPoel-v1"},
            "there is no environment 'CartPoel-v1'",
        ),
        (
            {"demonstrations": "d", "environment": "accord:Hopper", "horizon": "absorb"},
            "set horizon: fixed",
        ),
        ({"expert": "e", "horizon": "absorb"}, "there is no file e"),
    ],
)
def test_what_cannot_be_imitated_is_said_before_the_run(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(AccordError) as caught:
        imitating(tmp_path, **settings)
    assert isinstance(caught.value, ConfigError | DataError)
    assert re.search(told, str(caught.value)), str(caught.value)
