"""Reward models by level of a tree: several answers are written at every node, and a reward model
chooses the one that goes on (best of n), one model for leaves and one for what puts answers
together, or one for all (Wu et al. 2021 train one policy for all; summaries of pages and of
chapters are judged apart).

An answer is a number of so many things. A reward is linear in what that number is beside the
node's evidence, which is what the node reads adds up to for whoever answers it, and in the words
that the node reads. Reward models of all levels have the same form, and are learned from
comparisons by the likelihood that all reward models are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import DataError
from accord.statistics.intervals import Array, Index

ABOUT = ("over", "squared", "distance", "slope", "votes", "nearest")
"""Features of an answer a of n, to a node over N things with evidence E: (a - E) / N, its square,
its size, its product with E / N - 1/2, the share of the n that say the same, whether no whole
number is nearer to E. After them a / N - 1/2 times each feature of the text."""


@dataclass(frozen=True)
class NodeDrafts:
    """What was written at nodes of one size. said_DC: C answers to each of D nodes, in [0, size];
    evidence_D: what each node reads adds up to; size: things below each; text_DV: features of the
    text that each reads, 0 where it reads answers."""

    said_DC: Index
    evidence_D: Array
    size: int
    text_DV: Array

    @property
    def votes_DC(self) -> Array:
        """The share of a node's answers that say what each says."""
        votes_DC: Array = (self.said_DC[:, :, None] == self.said_DC[:, None]).mean(2)
        return votes_DC

    @property
    def features(self) -> Array:
        """[D, C, F], F = len(ABOUT) + V, see ABOUT."""
        over_DC = (self.said_DC - self.evidence_D[:, None]) / self.size
        tilt_D = self.evidence_D / self.size - 0.5
        nearest_DC = self.said_DC == np.rint(self.evidence_D)[:, None]
        columns = (over_DC, over_DC**2, np.abs(over_DC), over_DC * tilt_D[:, None])
        about_DCA = np.stack([*columns, self.votes_DC, nearest_DC], -1)
        words_DCV = (self.said_DC / self.size - 0.5)[:, :, None] * self.text_DV[:, None]
        return np.concatenate([about_DCA, words_DCV], -1)

    def taken(self, place_D: Index) -> Index:
        """The answers at these places: [D]."""
        return np.take_along_axis(self.said_DC, place_D[:, None], 1)[:, 0]

    @property
    def commonest(self) -> Index:
        """What most say at each node, of equally many the first written: [D]."""
        return self.taken(self.votes_DC.argmax(1))


@dataclass(frozen=True)
class ComparedAnswers:
    """Two answers of each of P nodes, by their features [P, F], and whether the first was
    preferred [P]."""

    first_PF: Array
    second_PF: Array
    preferred_P: Array

    @classmethod
    def of(cls, parts: Sequence[ComparedAnswers]) -> ComparedAnswers:
        """Several, one after the other."""
        return cls(
            np.concatenate([part.first_PF for part in parts]),
            np.concatenate([part.second_PF for part in parts]),
            np.concatenate([part.preferred_P for part in parts]),
        )


@dataclass(frozen=True)
class NodeReward:
    """A reward of answers, linear in the features of NodeDrafts: weight_F."""

    weight_F: Array

    @classmethod
    def learned(cls, compared: ComparedAnswers, ridge: float) -> NodeReward:
        """From comparisons, by -log sigmoid(r(better) - r(worse)) + ridge / 2 |w|^2. Raises
        DataError where there are none."""
        import torch

        from accord.learning.linear_reward import fit_linear_reward, soft_pair

        if not len(compared.preferred_P):
            raise DataError("no comparisons to learn a reward from", "compare more answers")
        pairs_PKF = np.stack([compared.first_PF, compared.second_PF], 1)
        groups = [soft_pair(float(first), False) for first in compared.preferred_P]
        features_RF = torch.tensor(pairs_PKF.reshape(-1, pairs_PKF.shape[-1]))
        return cls(fit_linear_reward(features_RF, groups, ridge).numpy())

    def rewards(self, drafts: NodeDrafts) -> Array:
        """Of every answer: [D, C]."""
        rewards_DC: Array = drafts.features @ self.weight_F
        return rewards_DC

    def best(self, drafts: NodeDrafts) -> Index:
        """The answer with the highest reward at each node, of equals the first written: [D]."""
        return drafts.taken(self.rewards(drafts).argmax(1))

    def ordered(self, drafts: NodeDrafts, right_D: Index) -> float:
        """The share of pairs of answers to a node, one nearer to the right one than the other, that
        the reward orders so; half of those that it does not tell apart. NaN where there are no
        pairs."""
        error_DC, reward_DC = np.abs(drafts.said_DC - right_D[:, None]), self.rewards(drafts)
        nearer_DCC = error_DC[:, :, None] < error_DC[:, None]
        gain_DCC = reward_DC[:, :, None] - reward_DC[:, None]
        told = 0.5 * (1 + np.sign(gain_DCC[nearer_DCC]))
        return float(told.mean()) if told.size else float("nan")


def compare(
    drafts: NodeDrafts,
    right_D: Index,
    rationality: float,
    count: int,
    rng: np.random.Generator,
) -> tuple[ComparedAnswers, Index]:
    """(`count` comparisons of two different answers to a node, by somebody who knows that node's
    right answer, and where they were: [P, 3], node, first, second). The first is preferred with
    probability sigmoid(rationality * (error of the second - error of the first)). Raises DataError
    where fewer nodes have two different answers."""
    differ_D = np.flatnonzero((drafts.said_DC != drafts.said_DC[:, :1]).any(1))
    if len(differ_D) < count:
        raise DataError(
            f"{len(differ_D):,} of {len(drafts.said_DC):,} nodes have two different answers, and"
            f" {count:,} comparisons are wanted",
            "draw more piles to learn from, or compare less",
        )
    places = []
    for node in rng.permutation(differ_D)[:count].tolist():
        said_C = drafts.said_DC[node]
        first = int(rng.integers(len(said_C)))
        others = np.flatnonzero(said_C != said_C[first])
        places.append((node, first, int(rng.choice(others))))
    at_P3 = np.array(places)
    node_P, features = at_P3[:, 0], drafts.features
    error_DC = np.abs(drafts.said_DC - right_D[:, None])
    gain_P = error_DC[node_P, at_P3[:, 2]] - error_DC[node_P, at_P3[:, 1]]
    preferred_P = rng.random(count) < 1 / (1 + np.exp(-rationality * gain_P))
    first_PF, second_PF = (features[node_P, at_P3[:, one]] for one in (1, 2))
    return ComparedAnswers(first_PF, second_PF, preferred_P), at_P3
