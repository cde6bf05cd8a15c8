"""A policy of Stable-Baselines3's that learns from comparisons of clips of its own behaviour.

    walk as it begins -> cut clips -> have pairs compared -> learn a reward
    -> model.learn() on that reward -> clips of what it did, on which the reward's members disagree
    -> have them compared -> learn the reward on all so far -> model.learn() again

Asking, watching and the reward are those of `accord.control.clip_learning.ClipLearning`, which does
this with its own PPO, with checkpoints, people in the studio and evaluations on the way. The model
is Stable-Baselines3's and keeps its own settings. On-policy algorithms (PPO, A2C) are right here:
one that remembers steps (SAC, DQN) would go on learning from rewards told before the last answers,
which `learner: sac` of ClipLearning tells anew.

Run it: pip install stable-baselines3, then python examples/sb3_clips.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from accord.control.asking import ClipPool
from accord.control.clip_reward import ClipReward, member_seed
from accord.control.environments import ActionForm
from accord.control.episodes import Episode, EpisodeStore
from accord.control.evaluation import watch
from accord.control.gym_batch import action_form, flat, flat_size
from accord.control.leaving import sb3_policy
from accord.control.reading_clips import judged_clips
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import SimulatedWatcher
from accord.errors import ConfigError
from accord.feedback.records import Feedback
from accord.seeds import generator


class PaysWhatWasLearned(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Pays what the reward says as it is now, and keeps what was walked, to cut clips from; what
    the environment paid is in `info` under `paid`, and is what a simulated watcher likes."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, reward: ClipReward) -> None:
        super().__init__(env)
        self._name, self.reward = name, reward
        self._walked: list[Episode] = []
        self._steps: list[tuple[Any, Any, float, bool, bool]] = []
        self._begun, self._pieces = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._cut()
        self._begun = 0
        seen, info = self.env.reset(seed=seed, options=options)
        self._seen = flat(gymnasium, self.env.observation_space, seen)
        return seen, info

    def step(self, action: Any) -> Any:
        seen, paid, terminated, truncated, info = self.env.step(action)
        done = np.asarray(action, dtype=np.float64).ravel()
        if isinstance(self.env.action_space, gymnasium.spaces.Discrete):
            done = done - int(self.env.action_space.start)
        before, self._seen = self._seen, flat(gymnasium, self.env.observation_space, seen)
        self._steps.append((before, done, float(paid), terminated, truncated))
        learned = self.reward.rewards(self.reward.inputs(before, done, self._seen)[None])
        return seen, float(learned[0]), terminated, truncated, info | {"paid": float(paid)}

    def walked(self) -> list[Episode]:
        """The pieces of episodes since it was asked last."""
        self._cut()
        walked, self._walked = self._walked, []
        return walked

    def _cut(self) -> None:
        if not self._steps:
            return
        seen, done, paid, terminated, truncated = zip(*self._steps, strict=True)
        piece = Episode(
            f"{self._pieces:06d}", self._name, f"gymnasium {gymnasium.__version__}", 0, self._begun,
            np.stack([*seen, self._seen]), np.stack(done), np.array(paid), np.array(terminated),
            np.array(truncated),
        )  # fmt: skip
        self._walked.append(piece)
        self._steps, self._begun = [], self._begun + piece.steps
        self._pieces += 1


@dataclass
class LearnedByModel:
    """What came of it: the model, the reward, the answers and how the reward does on those held
    out."""

    model: Any
    reward: ClipReward
    records: list[Feedback]
    told: dict[str, float]


def learn_with(
    make_model: Callable[[gymnasium.Env[Any, Any]], Any],
    settings: ClipLearningSettings,
    seed: int,
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
) -> LearnedByModel:
    """Let a model learn `settings.steps` steps in `settings.rounds` + 1 parts of a reward that is
    learned anew from more comparisons before each. Of the settings those of asking, of the
    simulated watcher and of the reward count; those of a policy are the model's. Raises ConfigError
    for a horizon that needs more than a wrapper, and for too few clips."""
    if settings.horizon == "absorb":
        raise ConfigError("horizon: absorb of a model's own environment", "use floor, or fixed")
    bare = gymnasium.make(settings.environment, max_episode_steps=settings.episode_steps)
    form: ActionForm = action_form(gymnasium, settings.environment, bare.action_space)
    size = flat_size(gymnasium, settings.environment, bare.observation_space)
    reward = ClipReward(settings.reward, size, form, member_seed(seed))
    env = PaysWhatWasLearned(bare, settings.environment, reward)
    store = EpisodeStore(folder / "episodes")
    watcher = SimulatedWatcher.of(settings, settings.question)
    model, records, told = make_model(env), list[Feedback](), dict[str, float]()
    ends = np.zeros((0, len(reward.centre_I)))
    asked_in = list(settings.schedule().values())
    for number, count in enumerate(asked_in):
        if number == 0:
            _walk(env, model, 2 * count * settings.clip, seed)
        walked = env.walked()
        steps = np.concatenate([reward.of_episode(one) for one in walked])
        over = np.concatenate([one.terminated_T for one in walked])
        ends = np.concatenate([ends, steps[over]])
        if number == 0:
            reward.fix_scale(steps)
        pool = ClipPool(settings.clip)
        pool.add(walked)
        if len(pool.clips) < 2:
            raise ConfigError(f"no two clips of {settings.clip} steps", "use shorter clips")
        rng = generator(seed, "asking", number)
        kind, first = settings.acquisition, number == 0
        asked = pool.choose(reward, settings, kind, count, first, True, rng)
        store.append(pool.of(asked))
        records += watcher.judge(asked, rng)
        judged, _ = judged_clips(records, store, reward)
        assert judged is not None  # the watcher answers whatever is asked
        updates = settings.reward.first_steps if first else settings.reward.round_steps
        told = reward.learn(judged, updates)
        reward.settle(ends)
        paid = np.concatenate([one.reward_T for one in walked]).mean()
        say(f"{model.num_timesteps:,} steps: gold {paid:.2f} a step, {len(records)} comparisons")
        model.learn(settings.steps // len(asked_in), reset_num_timesteps=False)
    return LearnedByModel(model, reward, records, told)


def _walk(env: PaysWhatWasLearned, model: Any, steps: int, seed: int) -> None:
    """So many steps of the model as it is, from which nothing is learned yet."""
    act, rng = sb3_policy(model, env.reward.form), generator(seed, "walk")
    seen, _ = env.reset(seed=seed)
    for _ in range(steps):
        action, _ = act(np.asarray(seen)[None], rng)
        chosen = int(action[0, 0]) if env.reward.form.kind == "discrete" else action[0]
        seen, _, terminated, truncated, _ = env.step(chosen)
        if terminated or truncated:
            seen, _ = env.reset()


PENDULUM = {
    "environment": "Pendulum-v1", "horizon": "fixed", "steps": 60_000, "clip": 25,
    "comparisons": 200, "first_comparisons": 50, "rounds": 5, "points": 1,
    "policy": {"environments": 1, "rollout": 1024, "minibatch": 64},
    "reward": {"hidden": 32, "first_steps": 150, "round_steps": 60},
}  # fmt: skip


def main() -> None:
    """Swing a pendulum up without its reward; prints what the environment pays before and after."""
    from stable_baselines3 import PPO

    settings = ClipLearningSettings.model_validate(PENDULUM)

    def made(env: gymnasium.Env[Any, Any]) -> Any:
        return PPO(
            "MlpPolicy", env, gamma=0.9, learning_rate=1e-3, n_steps=1024, seed=1, device="cpu"
        )

    with tempfile.TemporaryDirectory() as folder:
        learned = learn_with(made, settings, 1, Path(folder), print)
    seen = watch("Pendulum-v1", sb3_policy(learned.model, learned.reward.form, True), 32, 200, 7)
    print(f"an episode pays {seen.gold_N.mean():.0f} in the end")


if __name__ == "__main__":
    main()
