"""What a run learned, outside of it: the reward as a wrapper of a Gymnasium environment, the policy
as a function, a model of Stable-Baselines3 as a policy here.

    env = LearnedReward(gymnasium.make("Walk-v0"), "runs/walk/stages/01-learn/reward.safetensors")
    stable_baselines3.PPO("MlpPolicy", env).learn(100_000)

Suffixes: N environments, O numbers of an observation, A of an action.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.discriminators import AirlReward, DiscriminatorSettings
from accord.control.environments import ActionForm
from accord.control.extra import needed
from accord.control.gym_batch import action_form, flat, flat_size
from accord.control.learners import policy_learner, read_settings
from accord.control.rollouts import Act
from accord.control.saving import read_saved
from accord.errors import ConfigError
from accord.seeds import derive_seed
from accord.statistics.intervals import Array

try:
    import gymnasium
except ImportError:
    needed("gymnasium", "a learned reward as a wrapper")  # says how to install it

PAID = "paid"
"""In a step's info: what the environment paid, which the learned reward stands for."""


class SavedReward(Protocol):
    """A reward of steps, whatever it was learned from."""

    def inputs(self, seen: Array, action: Array, then: Array) -> Array:
        """What it reads of (s, a, s'): [..., I]."""

    def rewards(self, inputs: Array) -> Array:
        """[..., I] -> [...]."""


def saved_reward(path: str | Path, observation: int, form: ActionForm) -> SavedReward:
    """The reward of a run, for an environment of this size. Raises as `read_saved` does, and
    ConfigError for an environment of another size."""
    head, arrays = read_saved(path, "reward")
    if head.get("learner") == "airl":
        return _airl_reward(path, head, arrays, observation, form)
    settings = ClipRewardSettings.model_validate_json(head["settings"])
    reward = ClipReward(settings, observation, form, 0, "absorbs" in arrays)
    _check_size(path, head, len(arrays["centre"]), len(reward.centre_I))
    _load(reward.net, arrays)
    reward.centre_I, reward.spread_I = arrays["centre"], arrays["spread"]
    reward.mean_E, reward.deviation_E = arrays["mean"], arrays["deviation"]
    reward.floor = float(arrays["floor"][0])
    return reward


def _airl_reward(
    path: str | Path, head: dict[str, str], arrays: dict[str, Array], size: int, form: ActionForm
) -> AirlReward:
    settings = DiscriminatorSettings.model_validate_json(head["settings"])
    read = size if settings.state_only else size + form.size
    _check_size(path, head, arrays["layers.0.weight"].shape[1], read)
    return AirlReward.of(settings, arrays, form)


def saved_policy(path: str | Path, observation: int, form: ActionForm, greedy: bool = False) -> Act:
    """The policy of a run. Raises as `saved_reward` does."""
    head, arrays = read_saved(path, "policy")
    settings = read_settings(head.get("learner", "ppo"), head["settings"])
    _check_size(path, head, arrays["policy.layers.0.weight"].shape[1], observation)
    learner = policy_learner(settings, observation, form, 1, 0)
    learner.take(arrays)
    return learner.actor(greedy)


def _load(net: torch.nn.Module, arrays: dict[str, Array]) -> None:
    own = {name: arrays[name] for name, _ in net.named_parameters()}
    net.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in own.items()})


def _check_size(path: str | Path, head: dict[str, str], there: int, here: int) -> None:
    if there != here:
        raise ConfigError(
            f"{path} was learned in {head['environment']}, whose steps have {there} numbers; here"
            f" they have {here}",
            f"use it in {head['environment']}, or in one that observes and does the same",
        )


def sb3_policy(model: Any, form: ActionForm, greedy: bool = False) -> Act:
    """A model of Stable-Baselines3, or anything with its `predict`, as a policy: to be watched, and
    its clips compared. Its log-probabilities are not known: nan, so that none is learned from."""

    def act(seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        if not greedy:
            torch.manual_seed(derive_seed(int(rng.integers(2**62)), "sb3"))  # what it draws by
        chosen, _ = model.predict(seen_NO.astype(np.float32), deterministic=greedy)
        action_NA = np.asarray(chosen, dtype=np.float64).reshape(len(seen_NO), -1)
        if action_NA.shape[1] != form.numbers:
            raise ConfigError(
                f"the model does {action_NA.shape[1]} numbers a step, the environment takes"
                f" {form.numbers}",
                "use a model that was trained in this environment",
            )
        return action_NA, np.full(len(seen_NO), np.nan)

    return act


class LearnedReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that pays what was learned from people. What it paid itself is in `info` under
    `paid`. A reward of clips is told above what the end of an episode is worth, so that ending
    pays nothing by itself; AIRL's has no zero: use it where all episodes last equally long."""

    def __init__(self, env: gymnasium.Env[Any, Any], path: str | Path) -> None:
        """path: a run's reward.safetensors. Raises ConfigError for spaces that are not supported,
        and as `saved_reward` does."""
        super().__init__(env)
        name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        self._form = action_form(gymnasium, name, env.action_space)
        observation = flat_size(gymnasium, name, env.observation_space)
        self._learned = saved_reward(path, observation, self._form)
        self._seen_O = np.zeros(observation)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        seen, info = self.env.reset(seed=seed, options=options)
        self._seen_O = flat(gymnasium, self.env.observation_space, seen)
        return seen, info

    def step(self, action: Any) -> Any:
        seen, paid, terminated, truncated, info = self.env.step(action)
        then_O = flat(gymnasium, self.env.observation_space, seen)
        done_A = np.asarray(action, dtype=np.float64).ravel()
        if isinstance(self.env.action_space, gymnasium.spaces.Discrete):
            done_A = done_A - int(self.env.action_space.start)
        reward = self._learned.rewards(self._learned.inputs(self._seen_O, done_A, then_O)[None])
        self._seen_O = then_O
        return seen, float(reward[0]), terminated, truncated, info | {PAID: float(paid)}
