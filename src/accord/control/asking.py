"""What of a rollout is asked about: it is cut into episodes, these into clips, and of these pairs
are chosen.

Suffixes: T, N, O, S as in rollouts; C clips, L steps of a clip, I numbers of an input, P pairs, E
members of the reward.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from accord.control.acquisition import choose, distinct, pairs_of
from accord.control.clip_reward import ClipReward
from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode, windows
from accord.control.rollouts import Steps
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import AskedClips
from accord.feedback.messages import Clip


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

    def choose(
        self,
        reward: ClipReward,
        settings: ClipLearningSettings,
        count: int,
        first: bool,
        twice: bool,
        rng: np.random.Generator,
    ) -> list[AskedClips]:
        """`count` pairs, by the acquisition of the settings; the first ones at random. twice:
        whether the same pair may be asked twice."""
        wanted = count * (1 if first else settings.candidates)
        pairs_P2 = pairs_of(len(self.clips), wanted, rng)
        if not twice:
            more_P2 = pairs_of(len(self.clips), 4 * wanted, rng)
            pairs_P2 = distinct(np.concatenate([pairs_P2, more_P2]))[:wanted]
        shown = [self.episodes[clip.episode].piece(clip) for clip in self.clips]
        inputs_CLI = np.stack([reward.of_episode(piece) for piece in shown])
        score_EC = reward.scores(inputs_CLI)
        gap_EP = score_EC[:, pairs_P2[:, 0]] - score_EC[:, pairs_P2[:, 1]]
        kind = "random" if first else settings.acquisition
        chosen, arms = choose(
            kind, gap_EP, settings.reward.lapse, count, settings.random_share, rng
        )
        return [
            AskedClips(
                self.clips[a], self.clips[b], arm,
                (float(shown[a].reward_T.sum()), float(shown[b].reward_T.sum())),
            )
            for (a, b), arm in zip(pairs_P2[chosen].tolist(), arms, strict=True)
        ]  # fmt: skip

    def of(self, asked: list[AskedClips]) -> list[Episode]:
        """The episodes that these lie in, each once."""
        names = dict.fromkeys(clip.episode for one in asked for clip in (one.first, one.second))
        return [self.episodes[name] for name in names]


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
