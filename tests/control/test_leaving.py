"""What was learned is usable elsewhere: the reward by Stable-Baselines3, the policy as a function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra control is not installed")

import gymnasium

from accord.control.clip_learning import ClipLearning
from accord.control.evaluation import watch
from accord.control.leaving import PAID, LearnedReward, saved_policy, saved_reward, sb3_policy
from accord.control.settings import ClipLearningSettings
from accord.errors import ConfigError, DataError
from accord.learning.session import LocalSession
from accord.seeds import generator


def settings(environment: str, **more: Any) -> ClipLearningSettings:
    small = {
        "environment": environment, "episode_steps": 40, "steps": 200, "comparisons": 8, "first_comparisons": 8,
        "rounds": 0, "clip": 8, "points": 1, "evaluation": 2,
        "policy": {"environments": 2, "rollout": 50, "minibatch": 50, "hidden": 8, "epochs": 1},
        "reward": {"hidden": 8, "first_steps": 4, "round_steps": 2},
    }  # fmt: skip
    return ClipLearningSettings.model_validate(small | more)


@pytest.fixture(
    scope="module",
    params=[
        ("Pendulum-v1", "step", "floor"),
        ("Pendulum-v1", "outcome", "floor"),
        ("CartPole-v1", "step", "absorb"),
    ],
    ids=str,
)
def learned(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipLearning, Path]:
    folder = tmp_path_factory.mktemp("learned")
    (environment, sees, horizon), small = request.param, settings("Pendulum-v1").reward
    reward = small.model_dump() | {"sees": sees}
    learner = ClipLearning(settings(environment, reward=reward, horizon=horizon), 5, folder)
    learner.run(LocalSession())
    learner.save(folder)
    return learner, folder


def test_a_saved_reward_and_policy_are_those_that_were_learned(
    learned: tuple[ClipLearning, Path],
) -> None:
    learner, folder = learned
    size, form = learner.environments.observation_size, learner.environments.actions
    rng = generator(1, "seen")
    seen, then = rng.standard_normal((2, 7, size))
    act, own = saved_policy(folder / "policy.safetensors", size, form), learner.learner.actor()
    (action, log_p), (theirs, _) = (one(seen, generator(2, "act")) for one in (act, own))
    assert action == pytest.approx(theirs, abs=1e-6)
    assert np.isfinite(log_p).all()
    reward = saved_reward(folder / "reward.safetensors", size, form)
    inputs = reward.inputs(seen, action, then)
    assert reward.rewards(inputs) == pytest.approx(learner.reward.rewards(inputs), abs=1e-6)


def test_the_wrapper_pays_what_the_run_learned(learned: tuple[ClipLearning, Path]) -> None:
    """Of the same walk, by the run's own reckoning; what the environment paid is kept."""
    learner, folder = learned
    name = learner.settings.environment
    env = LearnedReward(gymnasium.make(name), folder / "reward.safetensors")
    bare = gymnasium.make(name)
    seen, _ = env.reset(seed=3)
    bare.reset(seed=3)
    env.action_space.seed(4)
    for _ in range(12):
        action = env.action_space.sample()
        then, reward, terminated, _, info = env.step(action)
        inputs = learner.reward.inputs(
            seen.astype(np.float64)[None], np.atleast_1d(action).astype(np.float64)[None],
            then.astype(np.float64)[None],
        )  # fmt: skip
        assert reward == pytest.approx(float(learner.reward.rewards(inputs)[0]), abs=1e-6)
        assert info[PAID] == pytest.approx(float(bare.step(action)[1]))
        seen = then
        if terminated:
            break


def test_stable_baselines_learns_from_it_and_its_model_is_a_policy_here(
    learned: tuple[ClipLearning, Path],
) -> None:
    sb3 = pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    learner, folder = learned
    name = learner.settings.environment
    env = LearnedReward(gymnasium.make(name), folder / "reward.safetensors")
    model = sb3.PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=1, device="cpu")
    model.learn(64)
    form = learner.environments.actions
    first, second = (watch(name, sb3_policy(model, form), 2, 30, 5) for _ in range(2))
    assert (first.gold_N == second.gold_N).all()  # it draws by the seed
    other = ActionSize(model)
    with pytest.raises(ConfigError, match="does 3 numbers a step, the environment takes 1"):
        watch(name, sb3_policy(other, form), 2, 3, 5)


class ActionSize:
    """A model for another environment."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, seen: Any, deterministic: bool = False) -> Any:
        return np.zeros((len(seen), 3)), None


def test_what_cannot_be_used_is_said(learned: tuple[ClipLearning, Path], tmp_path: Path) -> None:
    _, folder = learned
    with pytest.raises(ConfigError, match="there is no file"):
        LearnedReward(gymnasium.make("Pendulum-v1"), tmp_path / "reward.safetensors")
    with pytest.raises(DataError, match="holds policy, not a reward"):
        LearnedReward(gymnasium.make("Pendulum-v1"), folder / "policy.safetensors")
    with pytest.raises(ConfigError, match=r"was learned in .*, whose steps have \d+ numbers"):
        LearnedReward(gymnasium.make("Acrobot-v1"), folder / "reward.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes((folder / "reward.safetensors").read_bytes()[:50])
    with pytest.raises(DataError, match="cannot be read"):
        LearnedReward(gymnasium.make("Pendulum-v1"), torn)
