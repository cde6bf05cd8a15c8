"""The kinds of answers that a run asks for, and how probable each answer is to a reward's members.

Suffixes: Q questions, K clips of one, A its possible answers, E members.
"""

from __future__ import annotations

from itertools import permutations
from typing import Literal, get_args

import numpy as np
import torch

from accord.control.answering import SHOWN
from accord.feedback.choice_model import decided_p
from accord.feedback.records import BestWorst, Comparison, Feedback, Option, Ranking, Rating, Thumb
from accord.learning.likelihoods import best_worst, plackett_luce
from accord.statistics.intervals import Array

AskedKind = Literal["comparison", "ranking", "best_worst", "rating", "thumb"]
ASKED_KINDS: tuple[AskedKind, ...] = get_args(AskedKind)
ANSWERS: dict[AskedKind, str] = {
    "comparison": "comparisons",
    "ranking": "rankings",
    "best_worst": "choices of the best and the worst",
    "rating": "ratings",
    "thumb": "thumbs",
}
"""What several answers of a kind are called."""
GOES_ON: tuple[AskedKind, ...] = ("comparison", "ranking", "best_worst")
"""Kinds in which what was done can be held against what is done from a stop on."""
QUESTIONS: dict[AskedKind, str] = {
    "comparison": "Which of the two clips is better?",
    "ranking": "Which clips are better than which?",
    "best_worst": "Which clip is the best, and which the worst?",
    "rating": "How good is what is done in the clip?",
    "thumb": "Is what is done in the clip good?",
}
DOES: dict[AskedKind, str] = {
    "comparison": "compares pairs of clips",
    "ranking": f"ranks {SHOWN['ranking']} clips at a time",
    "best_worst": f"says the best and the worst of {SHOWN['best_worst']} clips at a time",
    "rating": "rates clips one by one",
    "thumb": "calls clips good or bad one by one",
}
"""What somebody does who is asked so."""


def answer_shares(kind: AskedKind, score_EQK: Array, lapse: float) -> Array:
    """Each member's probability of every answer, of which a share `lapse` falls on any alike: [E,
    Q, A]. score_EQK: of the clips of each question, in nats.

    Comparisons are Bradley and Terry's, rankings Plackett and Luce's, best and worst Marley's. What
    is rated is taken for a thumb: whether a clip is better than the questions' are on average,
    since where a scale's levels lie is fitted anew each time, and a member's sums have no zero.
    """
    if kind == "comparison":
        shares = _two(score_EQK[..., 0] - score_EQK[..., 1])
        return _lapsing(shares, lapse)
    if score_EQK.shape[-1] == 1:
        score_EQ = score_EQK[..., 0]
        return _lapsing(_two(score_EQ - score_EQ.mean(1, keepdims=True)), lapse)
    score = torch.from_numpy(np.ascontiguousarray(score_EQK, dtype=np.float64))
    if kind == "ranking":
        orders = permutations(range(score.shape[-1]))
        logp = [plackett_luce(score[..., list(order)]) for order in orders]
    else:
        flat = score.reshape(-1, score.shape[-1])
        ends = permutations(range(score.shape[-1]), 2)
        logp = [best_worst(flat, *(torch.full(flat.shape[:1], one) for one in two)) for two in ends]
    p_EQA: Array = torch.stack(logp, -1).exp().reshape(*score.shape[:2], -1).numpy()
    return _lapsing(p_EQA, lapse)


def _two(gap: Array) -> Array:
    """Of two answers, by the utility of the one over the other: [..., 2]."""
    first = decided_p(gap)
    return np.stack([first, 1 - first], -1)


def _lapsing(p_EQA: Array, lapse: float) -> Array:
    mixed: Array = (1 - lapse) * p_EQA + lapse / p_EQA.shape[-1]
    return mixed


def said_of(record: Feedback, option: Option) -> str:
    """What a record says of one of its clips, in a few words."""
    choice = record.choice
    match choice:
        case Comparison():
            if choice.preferred is None:
                return "both bad" if choice.both_bad else "equally good"
            return "preferred" if option.id == choice.preferred else "not preferred"
        case Ranking():
            place = next(n for n, group in enumerate(choice.order) if option.id in group)
            return f"place {1 + sum(map(len, choice.order[:place]))} of {len(record.options)}"
        case BestWorst():
            ends = {choice.best: "the best", choice.worst: "the worst"}
            return ends.get(option.id, "neither best nor worst")
        case Rating():
            scores = ", ".join(f"{score:g}" for score in choice.scores.values())
            return f"rated {scores} on {choice.low:g} to {choice.high:g}"
        case Thumb():
            return "good" if choice.up else "bad"
    return record.kind
