"""How well a reward model's heads know their rules: on answers that they were not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import rankdata

from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, positive_mean, share_mean


class RuleCard(BaseModel):
    """kept: share of answers that say the rule is kept; accuracy: share that P(kept) above one half
    gets right (what always saying the commoner answer gets: `guess`); auc: P(a response that keeps
    it has the higher P), None where all answers are the same; log_loss, guess_log_loss: nats per
    answer, of P(kept) and of the share. Intervals are over prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    answers: int
    kept: Estimate
    accuracy: Estimate
    guess: float
    auc: float | None
    log_loss: Estimate
    guess_log_loss: float

    def __str__(self) -> str:
        return f"{self.rule}: {self.accuracy.percent} of {self.answers:,} answers {self.told}"

    @property
    def told(self) -> str:
        """What the accuracy is to be held against."""
        auc = "" if self.auc is None else f", AUC {self.auc:.2f}"
        return (
            f"right (the commoner one {self.guess:.0%}){auc}, log-loss {self.log_loss.value:.3f}"
            f" (of the share alone {self.guess_log_loss:.3f})"
        )


LEAST = 1e-7
"""Probabilities are kept so far from 0 and 1, so that one answer costs at most 16 nats."""


def rule_card(
    rule: str, probability_B: Array, kept_B: NDArray[np.bool_], prompt_B: Sequence[int]
) -> RuleCard:
    """Of answers B, one or more: P(kept) as predicted, what was said, about which prompt."""
    prompts, share = list(prompt_B), float(kept_B.mean())
    right_B = np.where(probability_B == 0.5, 0.5, (probability_B > 0.5) == kept_B)
    said_B = np.clip(np.where(kept_B, probability_B, 1 - probability_B), LEAST, 1.0)
    entropy = -sum(p * float(np.log(p)) for p in (share, 1 - share) if p)
    return RuleCard(
        rule=rule,
        answers=len(kept_B),
        kept=share_mean(kept_B.astype(float), prompts),
        accuracy=share_mean(right_B.astype(float), prompts),
        guess=max(share, 1 - share),
        auc=_auc(probability_B, kept_B),
        log_loss=positive_mean(-np.log(said_B), prompts),
        guess_log_loss=entropy,
    )


def _auc(probability_B: Array, kept_B: NDArray[np.bool_]) -> float | None:
    """Mann and Whitney's share of (kept, broken) pairs in the right order, equal ones half."""
    kept = int(kept_B.sum())
    broken = len(kept_B) - kept
    if not kept or not broken:
        return None
    above = float(rankdata(probability_B)[kept_B].sum()) - kept * (kept + 1) / 2
    return above / (kept * broken)
