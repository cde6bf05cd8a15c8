"""The card of a reward of clips: what was held out, as for a reward of texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

from benchmarks.clip_kinds import FORM

from accord.control.clip_card import clip_card
from accord.control.clip_reward import ClipReward, ClipRewardSettings, aside
from accord.control.judged_clips import JudgedClips
from accord.examine.reward_card import RewardCard
from accord.feedback.choice_model import decided_p
from accord.learning.judgements import Judgement
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.recipe import load
from accord.statistics.calibration import best_temperature


def compared(count: int, sharpness: float, wrong: float = 0.0) -> JudgedClips:
    """Clips compared by the first number seen, with this rationality and share of wrong answers;
    what is paid is what is liked."""
    rng = np.random.default_rng(4)
    clips = rng.normal(size=(2 * count, 5, 5))
    liked = clips[..., 0].sum(1)
    first = rng.random(count) < decided_p(sharpness * (liked[:count] - liked[count:]))
    first ^= rng.random(count) < wrong
    said = [[Judgement((0, 1) if one else (1, 0), (0, 1), doubt=0.0)] for one in first]
    pairs = [(n, count + n) for n in range(count)]
    return JudgedClips.of([*clips], pairs, said, paid=liked.tolist())


def taught(judged: JudgedClips, updates: int, **more: Any) -> ClipReward:
    reward = ClipReward(ClipRewardSettings(hidden=16, **more), 2, FORM, 1)
    reward.fix_scale(judged.clips_CLI.reshape(-1, 5))
    reward.learn(judged, updates)
    return reward


def test_held_out_clips_tell_how_far_the_reward_is_to_be_believed() -> None:
    """By the 40 judgements that were kept aside, and their labels alone."""
    judged = compared(400, 1.0, wrong=0.2)
    reward = taught(judged, 40)
    card = clip_card(reward, judged)
    assert card is not None
    assert card.pairs == aside(400).sum() == card.accuracy.n == 40
    assert card.accuracy.low is not None
    assert card.gold_accuracy is not None
    assert card.label_gold_accuracy is not None
    assert len(card.members) == 3
    assert card.longer_wins is None  # all are as long
    scores = reward.scores(judged.clips_CLI).mean(0)
    rows = np.arange(9, 400, 10)
    better = np.array([judged.said[row][0].options[0] * 400 + row for row in rows])
    gap = scores[better] - scores[(better + 400) % 800]
    assert card.accuracy.value == pytest.approx((gap > 0).mean())
    assert card.before.nll.value == pytest.approx(-np.log(decided_p(gap)).mean())
    assert card.temperature.value == pytest.approx(best_temperature(gap))
    assert card.after.temperature not in (1, card.temperature.value)  # of other folds
    assert judged.paid_C is not None
    paid = judged.paid_C[better] - judged.paid_C[(better + 400) % 800]
    assert card.gold_accuracy.value == pytest.approx((gap * paid > 0).mean())
    assert card.label_gold_accuracy.value == pytest.approx((paid > 0).mean())


def test_what_is_paid_changes_nothing_that_is_learned() -> None:
    judged = compared(40, 1.0)
    blind = JudgedClips.of([*judged.clips_CLI], judged.options, judged.said)
    one, other = taught(judged, 5), taught(blind, 5)
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name])
    card = clip_card(other, blind)
    assert card is not None
    assert card.gold_accuracy is card.label_gold_accuracy is None


def test_one_judgement_held_out_makes_no_card() -> None:
    judged = compared(19, 1.0)
    assert clip_card(taught(judged, 2), judged) is None


@pytest.mark.parametrize("asks", ["comparison", "rating"])
def test_a_run_leaves_a_card_and_shows_it(tmp_path: Path, asks: str) -> None:
    stage = {
        "kind": "learn_from_clips", "environment": "Pendulum-v1", "episode_steps": 40, "steps": 800, "asks": asks,
        "comparisons": 60, "first_comparisons": 50, "rounds": 2, "clip": 10, "points": 1, "evaluation": 2, "horizon": "fixed",
        "policy": {"environments": 4, "rollout": 40, "minibatch": 80, "hidden": 8, "epochs": 1},
        "reward": {"hidden": 8, "first_steps": 4, "round_steps": 2},
    }  # fmt: skip
    path, folder = tmp_path / "small.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump({"name": "small", "stages": {"learn": stage}}))
    runner.execute(load(str(path)), folder, False, StageProgress(), {})
    learned = folder / "stages/01-learn"
    card = RewardCard.model_validate_json((learned / "card.json").read_text())
    result = json.loads((learned / "result.json").read_text())
    assert result["values"]["heldout_accuracy"] == card.accuracy.value
    assert result["values"]["calibration_error"] == card.before.ece.value
    assert result["artefacts"]["card"] == "card.json"
    assert card.accuracy.n == card.pairs if asks == "comparison" else 1 <= card.pairs <= 3
    page = (folder / "report.html").read_text()
    assert f"On {card.pairs} held-out pairs it agrees with" in page
    assert "Reliability diagram" in page
