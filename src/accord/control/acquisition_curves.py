"""What a way of choosing clips is worth: rewards that learn in rounds from comparisons of one fixed
pool of clips, of a policy at several stages of its learning, each by questions chosen in its way.

Suffixes: C clips, L steps of a clip, I numbers of a reward's input, P pairs, G groups, K clips of a
group.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from accord.control.acquisition import Acquisition
from accord.control.asking import ClipPool, pieces_of
from accord.control.clip_reward import ClipReward, member_seed
from accord.control.environments import ActionForm, EnvironmentBatch
from accord.control.episodes import EpisodeStore
from accord.control.making import make
from accord.control.ppo import VectorPpo, VectorPpoSettings
from accord.control.question_settings import ClipQuestionSettings
from accord.control.reading_clips import judged_clips
from accord.control.rollouts import Act, Walker
from accord.control.watchers import SimulatedWatcher
from accord.feedback.records import Feedback
from accord.learning.settings import Steps
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array, Index
from accord.validation import Unit

DIVERSITY = 3
"""Of the ways whose questions are to lie apart (`ClipQuestionSettings.diversity`)."""
WAYS: dict[str, tuple[Acquisition, int]] = {
    "random": ("random", 1),
    "variance": ("variance", 1),
    "variance_apart": ("variance", DIVERSITY),
    "information": ("information", 1),
    "information_apart": ("information", DIVERSITY),
}
"""Name -> acquisition and diversity; the first, chance, is what the others are held against."""
PAIRS, GROUPS, GROUP = 4000, 1000, 8
"""Pairs of held-out clips that are ordered; groups of so many, of each of which one is taken."""


class AcquisitionSettings(ClipQuestionSettings):
    """A pool of clips, and what is asked about it."""

    steps: Steps = Field(
        40_000, ge=1, description="Steps that the policy learns from, by the environment's reward."
    )
    stages: Annotated[int, Unit("policies")] = Field(
        4,
        ge=1,
        description=(
            "Policies of which the pool has clips: the untrained one, and others evenly up to half"
            " of the steps. The one at the end is later behaviour."
        ),
    )
    policy: VectorPpoSettings = Field(
        default_factory=VectorPpoSettings, description="How the policy learns."
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> AcquisitionSettings:
        if self.asks != "comparison":
            raise ValueError(f"asks: {self.asks}: what is measured here is comparisons")
        if self.diversity != 1 or self.candidates < DIVERSITY:
            raise ValueError(
                f"diversity {self.diversity}, candidates {self.candidates}: each way brings its own"
                f" diversity, and needs {DIVERSITY} candidates or more"
            )
        if self.stages > self.rollouts // 2 + 1:
            raise ValueError(
                f"{self.stages} stages in half of {self.rollouts} rollouts ({self.steps:,} steps):"
                " use more steps, or shorter rollouts"
            )
        return self

    @property
    def rollouts(self) -> int:
        """That the policy learns from."""
        return max(1, self.steps // (self.policy.rollout * self.policy.environments))


@dataclass(frozen=True)
class HeldOutClips:
    """C clips that are never asked about: inputs of a reward, and what the watcher likes of each in
    all."""

    inputs_CLI: Array
    liked_C: Array

    def agreement(self, score_C: Array, rng: np.random.Generator) -> float:
        """Share of pairs that scores order as they are liked; pairs liked alike are left out."""
        pair_P2: Index = rng.integers(len(score_C), size=(PAIRS, 2))
        gap_P = np.diff(self.liked_C[pair_P2], axis=1)[:, 0]
        found_P = np.diff(score_C[pair_P2], axis=1)[:, 0]
        return float((np.sign(found_P) == np.sign(gap_P))[gap_P != 0].mean())

    def kept(self, score_C: Array, rng: np.random.Generator) -> float:
        """Of what the best of a group of clips is liked above their mean, the share that the one
        has that scores highest."""
        group_GK: Index = rng.integers(len(score_C), size=(GROUPS, GROUP))
        liked_GK = self.liked_C[group_GK]
        taken_G = score_C[group_GK].argmax(1)
        gained_G = liked_GK[np.arange(GROUPS), taken_G] - liked_GK.mean(1)
        return float(gained_G.sum() / (liked_GK.max(1) - liked_GK.mean(1)).sum())


@dataclass(frozen=True)
class PolicyClips:
    """The pool, other clips of the same policies, and clips of the policy at the end. observation,
    form: of the environment."""

    pool: ClipPool
    same: HeldOutClips
    later: HeldOutClips
    observation: int
    form: ActionForm


def clips_of(settings: AcquisitionSettings, seed: int) -> PolicyClips:
    """A policy learns from what the environment pays; at each stage it walks one rollout for the
    pool and one that is held out. Raises ConfigError as `make` does, DataError where there are no
    two clips."""
    env, watched = (
        make(settings.environment, settings.policy.environments, settings.episode_steps)
        for _ in range(2)
    )
    size, form, total = env.observation_size, env.actions, settings.rollouts
    learner = VectorPpo(settings.policy, size, form, total, derive_seed(seed, "policy"))
    stages = {round(n * total / 2 / max(1, settings.stages - 1)) for n in range(settings.stages)}
    pool, same, later = (ClipPool(settings.clip) for _ in range(3))
    walker = Walker(env)
    walker.begin(generator(seed, "begin"))
    for number in range(total):
        if number in stages:
            for into, name in ((pool, "pool"), (same, "same")):
                _walk_into(into, watched, settings, learner.actor(), seed, f"{name}-{number}")
        steps = walker.walk(learner.behaviour(), settings.policy.rollout,
                            generator(seed, "rollout", number))  # fmt: skip
        learner.learn(steps, steps.reward_TN)
    _walk_into(later, watched, settings, learner.actor(), seed, "later")
    for one in (pool, same, later):
        one.check(2)
    reads = ClipReward(settings.reward, size, form, seed)
    return PolicyClips(pool, _held_out(same, reads), _held_out(later, reads), size, form)


def _walk_into(
    pool: ClipPool,
    env: EnvironmentBatch,
    settings: AcquisitionSettings,
    act: Act,
    seed: int,
    name: str,
) -> None:
    walker, rng = Walker(env), generator(seed, "walk", name)
    walker.begin(rng)
    pool.add(pieces_of(walker.walk(act, settings.policy.rollout, rng), name, seed, env))


def _held_out(clips: ClipPool, reward: ClipReward) -> HeldOutClips:
    pieces = [clips.episodes[clip.episode].piece(clip) for clip in clips.clips]
    inputs_CLI = np.stack([reward.of_episode(one) for one in pieces])
    return HeldOutClips(inputs_CLI, np.array([one.reward_T.sum() for one in pieces]))


MEASURES = ("same", "later", "kept")
"""Agreement about other clips of the same policies; about those of the later one; of these, what is
kept of the best of a group (`HeldOutClips.kept`)."""


def curve(
    settings: AcquisitionSettings, found: PolicyClips, way: str, seed: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """(comparisons so far, MEASURES) after the first comparisons and each round. The first ones,
    and the networks as they begin, are the same whatever the way."""
    acquisition, diversity = WAYS[way]
    settings = settings.model_copy(update={"diversity": diversity})
    reward = ClipReward(settings.reward, found.observation, found.form, member_seed(seed))
    pool, watcher = found.pool, SimulatedWatcher.of(settings, "")
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore(Path(folder))
        store.append(list(pool.episodes.values()))
        episodes = [reward.of_episode(one) for one in pool.episodes.values()]
        reward.fix_scale(np.concatenate(episodes))
        records: list[Feedback] = []
        for number, count in enumerate(settings.counts()):
            rng = generator(seed, "asking", *((way, number) if number else ()))
            asked = pool.choose(reward, settings, acquisition, count, not number, True, rng)
            records += watcher.judge(asked, rng)
            judged, _ = judged_clips(records, store, reward)
            assert judged is not None  # no watcher skips all that it is asked
            updates = settings.reward.round_steps if number else settings.reward.first_steps
            reward.learn(judged, updates)
            yield len(records), _measured(found, reward, seed)


def _measured(found: PolicyClips, reward: ClipReward, seed: int) -> dict[str, float]:
    """By MEASURES, on the same pairs and groups each time."""
    same_C, later_C = (
        reward.rewards(clips.inputs_CLI).sum(1) for clips in (found.same, found.later)
    )
    pairs, groups = generator(seed, "pairs"), generator(seed, "groups")
    return {
        "same": found.same.agreement(same_C, pairs),
        "later": found.later.agreement(later_C, pairs),
        "kept": found.later.kept(later_C, groups),
    }
