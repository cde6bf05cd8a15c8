"""A reward model's card: accuracy against its ceiling, calibration, and what trivial rules would
reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.feedback.choice_model import decided_log_p, decided_p
from accord.statistics.calibration import best_temperature, calibration_error, temperature_of
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, positive_mean, share_mean


class Bin(BaseModel):
    """One bin of the reliability diagram: mean confidence, share right with its interval over
    prompts, number of pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float
    accuracy: Estimate
    pairs: int


class Calibration(BaseModel):
    """nll in nats per pair; ece: expected calibration error over 10 bins of confidence; brier:
    squared error; temperature: that gaps were divided by. Intervals are over prompts, given it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float
    nll: Estimate
    ece: Estimate
    brier: Estimate
    bins: list[Bin]


class RewardCard(BaseModel):
    """On held-out strict pairs. accuracy: against the labels; gold_accuracy: against gold on the
    same pairs; longer_wins: what "the longer answer" would reach, None where lengths are not known;
    temperature: at which all pairs' gaps are log-odds; spread: standard deviation between ensemble
    members."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int
    accuracy: Estimate
    members: list[float]
    gold_accuracy: Estimate | None
    label_gold_accuracy: Estimate | None
    longer_wins: Estimate | None
    temperature: Estimate
    before: Calibration
    after: Calibration
    spread: float


def card(
    gap_EP: Array,
    prompt_P: Sequence[int],
    longer_P: Array | None,
    gold_gap_P: Array | None = None,
    temperature: float = 1.0,
) -> RewardCard:
    """gap_EP: score of the labelled better minus worse response per member; longer_P: +1 when the
    better one is longer, -1 shorter, 0 equal, None where nobody knows; gold_gap_P: the same gap in
    gold reward."""
    gap_P = gap_EP.mean(0)
    prompts = list(prompt_P)
    gold_right = label_right = None
    if gold_gap_P is not None:
        gold_right = share_mean(_half(np.sign(gap_P) * np.sign(gold_gap_P)), prompts)
        label_right = share_mean(_half(np.sign(gold_gap_P)), prompts)
    return RewardCard(
        pairs=len(gap_P),
        accuracy=share_mean(_half(np.sign(gap_P)), prompts),
        members=[float(_half(np.sign(gap)).mean()) for gap in gap_EP],
        gold_accuracy=gold_right,
        label_gold_accuracy=label_right,
        longer_wins=None if longer_P is None else share_mean(_half(longer_P), prompts),
        temperature=temperature_of(gap_P, prompts),
        before=calibration(gap_P, prompts, temperature),
        after=cross_fitted(gap_P, prompts),
        spread=float(gap_EP.std(0).mean()),
    )


def _half(sign_P: Array) -> Array:
    """1, 0 or 1/2 for positive, negative or zero."""
    half_P: Array = (sign_P > 0) + 0.5 * (sign_P == 0)
    return half_P


def calibration(gap_P: Array, prompt_P: Sequence[int], temperature: float | Array) -> Calibration:
    """How well sigmoid(|gap| / temperature) predicts being right."""
    scaled = gap_P / temperature
    confidence = decided_p(np.abs(scaled))
    right = _half(np.sign(gap_P))
    edges = np.linspace(0.5, 1, 11)
    index = np.clip(np.digitize(confidence, edges[1:-1]), 0, 9)
    prompts = np.asarray(prompt_P)
    bins = [
        Bin(
            confidence=float(confidence[index == b].mean()),
            accuracy=share_mean(right[index == b], list(prompts[index == b])),
            pairs=int((index == b).sum()),
        )
        for b in range(10)
        if (index == b).any()
    ]
    return Calibration(
        temperature=float(np.mean(temperature)),
        nll=positive_mean(-decided_log_p(scaled), list(prompts)),
        ece=calibration_error(confidence - right, index, list(prompts)),
        brier=share_mean(decided_p(-scaled) ** 2, list(prompts)),
        bins=bins,
    )


def cross_fitted(gap_P: Array, prompts: Sequence[int], folds: int = 5) -> Calibration:
    """Calibration with a temperature fitted on the other folds' prompts, so that it is honest."""
    fold = np.array([int(p) % folds for p in prompts])
    temperature = np.ones(len(gap_P))
    for f in range(folds):
        if (fold == f).any() and (fold != f).any():
            temperature[fold == f] = best_temperature(gap_P[fold != f])
    return calibration(gap_P, prompts, temperature)
