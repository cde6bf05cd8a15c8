"""The page on which a model of Stable-Baselines3 learns from comparisons asks and pays as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")

import gymnasium
import stable_baselines3 as sb3
from examples.sb3_clips import PENDULUM, PaysWhatWasLearned, learn_with

from accord.control.clip_reward import ClipReward
from accord.control.gym_batch import action_form
from accord.control.settings import ClipLearningSettings
from accord.errors import ConfigError

SMALL: dict[str, Any] = {
    "environment": "CartPole-v1", "steps": 192, "comparisons": 14, "first_comparisons": 6,
    "rounds": 2, "clip": 8, "points": 1, "policy": {"environments": 1, "rollout": 16, "minibatch": 16},
    "reward": {"hidden": 8, "first_steps": 4, "round_steps": 2},
}  # fmt: skip


def test_its_full_size_can_be_run() -> None:
    settings = ClipLearningSettings.model_validate(PENDULUM)
    assert len(settings.schedule()) == 6
    assert sum(settings.schedule().values()) == 200


def made(env: gymnasium.Env[Any, Any]) -> Any:
    return sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=1, device="cpu")


def test_a_model_learns_from_a_reward_that_is_learned_between_its_parts(tmp_path: Path) -> None:
    settings, said = ClipLearningSettings.model_validate(SMALL), list[str]()
    learned = learn_with(made, settings, 3, tmp_path, said.append)
    assert len(learned.records) == 14
    assert {record.meta["selected_by"] for record in learned.records} == {"random", "active"}
    assert learned.reward.trained == 3
    assert learned.model.num_timesteps == 192
    assert [line.partition(" ")[0] for line in said] == ["0", "64", "128"]
    # what it learned from last is what the reward said in its last part, and no other's
    buffer = learned.model.rollout_buffer
    then = np.concatenate([buffer.observations[1:], learned.model._last_obs])
    inputs = learned.reward.inputs(
        *(one.astype(float) for one in (buffer.observations, buffer.actions, then))
    )
    goes_on = np.append(buffer.episode_starts[1:, 0], learned.model._last_episode_starts) == 0
    paid = learned.reward.rewards(inputs)
    np.testing.assert_allclose(buffer.rewards[goes_on, 0], paid[goes_on], atol=1e-5)
    again = learn_with(made, settings, 3, tmp_path / "again")
    assert again.records == learned.records


def test_pieces_are_what_was_walked_and_a_horizon_it_cannot_keep_is_refused(tmp_path: Path) -> None:
    bare = gymnasium.make("CartPole-v1")
    form = action_form(gymnasium, "CartPole-v1", bare.action_space)
    settings = ClipLearningSettings.model_validate(SMALL)
    env = PaysWhatWasLearned(bare, "CartPole-v1", ClipReward(settings.reward, 4, form, 1))
    seen, _ = env.reset(seed=2)
    for _ in range(5):
        then, _, terminated, _, info = env.step(1)
        assert info["paid"] == 1
        assert not terminated
    (first,) = env.walked()
    assert (first.steps, first.first_step) == (5, 0)
    np.testing.assert_array_equal(first.observation_TO[0], seen)
    while not terminated:
        last, _, terminated, _, _ = env.step(1)
    env.reset()
    (rest,) = env.walked()
    assert rest.first_step == 5
    np.testing.assert_array_equal(rest.observation_TO[[0, -1]], [then, last])
    assert rest.terminated_T[-1]
    assert not env.walked()
    absorbing = ClipLearningSettings.model_validate(SMALL | {"horizon": "absorb"})
    with pytest.raises(ConfigError, match="horizon: absorb of a model's own environment"):
        learn_with(made, absorbing, 3, tmp_path)
