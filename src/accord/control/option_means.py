"""Options that stand for several clips: each is worth the mean of what its clips are worth (Jeon,
Milli, Dragan 2020, where the clips that a choice is taken to mean are all as likely).

Suffixes: C clips, P those among them that some options stand for, Q pairs of an option and a clip
of it, R options, E members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from accord.statistics.intervals import Index


@dataclass(frozen=True)
class OptionMeans:
    """R options by their clips. clip_P: each clip once, however many options have it; of_Q, at_Q,
    share_Q: of every pair its option, its clip by the place in clip_P, and its share of the
    option."""

    clip_P: Index
    of_Q: Tensor
    at_Q: Tensor
    share_Q: Tensor
    options: int

    @classmethod
    def of(cls, clips_R: Sequence[Sequence[int]]) -> OptionMeans:
        """clips_R: the clips of each option, at least one."""
        count_R = np.array([len(clips) for clips in clips_R])
        clip_P, at_Q = np.unique(np.concatenate(clips_R), return_inverse=True)
        of_Q = np.repeat(np.arange(len(clips_R)), count_R)
        return cls(
            clip_P,
            torch.from_numpy(of_Q),
            torch.from_numpy(at_Q),
            torch.from_numpy((1 / count_R)[of_Q]),
            len(clips_R),
        )

    def mean(self, score_EP: Tensor) -> Tensor:
        """Of each option the mean over its clips; of one clip its own, to the bit: [E, R]."""
        shared_EQ = score_EP[:, self.at_Q] * self.share_Q.to(score_EP)
        none_ER = score_EP.new_zeros(len(score_EP), self.options)
        return none_ER.index_add(1, self.of_Q, shared_EQ)
