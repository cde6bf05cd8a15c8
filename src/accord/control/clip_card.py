"""The card of a reward of clips, as of one of texts: how well it orders what was held out, and
whether its sums are to be believed as log-odds.

Suffixes: C clips, O options, E members, P pairs.
"""

from __future__ import annotations

import numpy as np

from accord.control.clip_reward import ClipReward, aside
from accord.control.judged_clips import JudgedClips
from accord.examine.reward_card import RewardCard, card
from accord.statistics.intervals import Array

FEWEST = 2
"""Held-out judgements below which nothing has an interval."""


def clip_card(reward: ClipReward, judged: JudgedClips) -> RewardCard | None:
    """Of the pairs of options that held-out judgements order, with intervals over judgements; two
    ratings of one scale by one annotator order a pair, and each is in one alone. Gold is what the
    environment paid over a clip. None where fewer than FEWEST judgements order any."""
    pairs = judged.apart(aside(len(judged)))
    record_P = np.unique([record for record, _, _ in pairs], return_inverse=True)[1]
    if len(set(record_P.tolist())) < FEWEST:
        return None
    better_P, worse_P = (np.array([pair[place] for pair in pairs]) for place in (1, 2))

    def gaps(value_C: Array) -> Array:
        value_O = judged.of_options(value_C)
        gap: Array = value_O[..., better_P] - value_O[..., worse_P]
        return gap

    longer_P = np.sign(gaps(judged.length_C.astype(np.float64)))
    return card(
        gaps(reward.scores(judged.clips_CLI, judged.there_CL)),
        record_P.tolist(),
        longer_P if longer_P.any() else None,
        None if judged.paid_C is None else gaps(judged.paid_C),
    )
