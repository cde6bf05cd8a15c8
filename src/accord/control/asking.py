"""What of a rollout is asked about: it is cut into episodes, these into clips, and of these sets
are chosen, as many clips together as the kind of answer is about.

Suffixes: T, N, O, S as in rollouts; C clips, L steps of a clip, I numbers of an input, Q questions,
K clips of one, E members of the reward.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from accord.control.acquisition import Acquisition, choose, distinct, sets_of
from accord.control.answering import SHOWN
from accord.control.asked_kinds import answer_shares
from accord.control.clip_reward import ClipReward
from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode, windows
from accord.control.question_settings import ClipQuestionSettings
from accord.control.rollouts import Steps
from accord.control.watchers import AskedClips
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.statistics.intervals import Array, Index


@dataclass
class ClipPool:
    """Clips of `length` steps that can be asked about, and the pieces of episodes they lie in.
    pieces, longest: of how many they were cut, and the steps of the longest."""

    length: int
    episodes: dict[str, Episode] = field(default_factory=dict)
    clips: list[Clip] = field(default_factory=list)
    pieces: int = 0
    longest: int = 0

    def add(self, episodes: list[Episode]) -> None:
        """Cut these, too."""
        for episode in episodes:
            self.pieces += 1
            self.longest = max(self.longest, episode.steps)
            if episode.steps >= self.length:
                self.episodes[episode.id] = episode
                self.clips += windows(episode, self.length)

    def check(self, size: int) -> None:
        """Raise DataError where there are not enough clips for one question about `size` of
        them."""
        if len(self.clips) >= size:
            return
        few = f"only {len(self.clips)} of {size} pieces last" if self.clips else "no episode lasts"
        raise DataError(
            f"{few} for a clip of {self.length} steps: of {self.pieces:,} pieces of episodes the"
            f" longest has {self.longest}",
            "use shorter clips",
        )

    def choose(
        self,
        reward: ClipReward,
        settings: ClipQuestionSettings,
        kind: Acquisition,
        count: int,
        first: bool,
        twice: bool,
        rng: np.random.Generator,
    ) -> list[AskedClips]:
        """`count` questions, chosen by this acquisition, the first ones at random; fewer where
        there are not enough clips. twice: whether the same clips may be asked about twice, where
        there are several in a question."""
        size = SHOWN[settings.asks]
        wanted = count * (1 if first else settings.candidates)
        sets_QK = self._sets(wanted, size, twice, rng)
        shown = [self.episodes[clip.episode].piece(clip) for clip in self.clips]
        inputs_CLI = np.stack([reward.of_episode(piece) for piece in shown])
        score_EQK = reward.scores(inputs_CLI)[:, sets_QK]
        p_EQA = answer_shares(settings.asks, score_EQK, settings.reward.lapse)
        spread = settings.diversity > 1 and not first
        place_QF = places(reward, inputs_CLI, sets_QK) if spread else None
        chosen, arms = choose(
            "random" if first else kind,
            p_EQA,
            count,
            settings.random_share,
            rng,
            place_QF,
            settings.diversity,
        )
        return [
            AskedClips(
                tuple(self.clips[n] for n in few), arm, tuple(shown[n].reward_T for n in few)
            )
            for few, arm in zip(sets_QK[chosen].tolist(), arms, strict=True)
        ]

    def _sets(self, wanted: int, size: int, twice: bool, rng: np.random.Generator) -> Index:
        """Clips that may be asked about together, by their places: [Q, K]."""
        if size == 1:  # to ask about one again would tell of who answers alone
            alone: Index = rng.permutation(len(self.clips))[:wanted, None]
            return alone
        sets_QK = sets_of(len(self.clips), wanted, size, rng)
        if not twice:
            more_QK = sets_of(len(self.clips), 4 * wanted, size, rng)
            sets_QK = distinct(np.concatenate([sets_QK, more_QK]))[:wanted]
        return sets_QK

    def of(self, asked: list[AskedClips]) -> list[Episode]:
        """The episodes that these lie in, each once."""
        names = dict.fromkeys(clip.episode for one in asked for clip in one.clips)
        return [self.episodes[name] for name in names]


def places(reward: ClipReward, inputs_CLI: Array, sets_QK: Index) -> Array:
    """Where a question lies, whatever the order of its clips: mean and spread among them of each
    clip's mean input, in the reward's scale: [Q, 2 I]."""
    mean_QKI = reward.scaled(inputs_CLI).mean(1)[sets_QK]
    return np.concatenate([mean_QKI.mean(1), mean_QKI.std(1)], -1)


def pieces_of(steps: Steps, name: str, seed: int, environments: EnvironmentBatch) -> list[Episode]:
    """The pieces of episodes in a rollout, each an episode of the store."""
    found = []
    for n, start, end in steps.pieces():
        rows, last = slice(start, end), slice(end - 1, end)
        seen = np.concatenate([steps.observation_TNO[rows, n], steps.next_TNO[last, n]])
        states = None
        if steps.state_TNS is not None and steps.then_TNS is not None:
            states = np.concatenate([steps.state_TNS[rows, n], steps.then_TNS[last, n]])
        found.append(
            Episode(
                f"{name}-{n:03d}-{start:04d}",
                environments.name,
                environments.physics,
                seed,
                steps.begun_at(n, start),
                seen,
                steps.action_TNA[rows, n],
                steps.reward_TN[rows, n],
                steps.terminated_TN[rows, n],
                steps.truncated_TN[rows, n],
                states,
            )
        )
    return found
