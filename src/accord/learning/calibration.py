"""What a trained reward model is worth and in which unit it speaks: agreement, centre, scale,
temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning.judgements import JudgedGroup, pairs_said, strict_pairs
from accord.models.reward_model import RewardModel
from accord.statistics.calibration import best_temperature
from accord.text.packing import SCORING_TOKENS, PromptGroup, response_offsets


def agreement(
    model: RewardModel, groups: Sequence[JudgedGroup], micro_batch_tokens: int = SCORING_TOKENS
) -> float:
    """Share of strict pairs the ensemble mean orders as judged."""
    return pair_agreement(
        model.score([g.group for g in groups], micro_batch_tokens).mean(0), groups
    )


def pair_agreement(scores_R: Tensor, groups: Sequence[JudgedGroup]) -> float:
    """Share of strict pairs that `scores_R` orders as judged (equal scores count half)."""
    gaps = pair_gaps(scores_R, groups)
    return float(((gaps > 0).double() + 0.5 * (gaps == 0).double()).mean())


def pair_gaps(scores_R: Tensor, groups: Sequence[JudgedGroup]) -> Tensor:
    """Score of the better minus the worse response for every strict pair: [P]."""
    starts = response_offsets([g.group for g in groups])
    pairs = strict_pairs(groups)
    better = torch.tensor([starts[g] + b for g, b, _ in pairs], dtype=torch.long)
    worse = torch.tensor([starts[g] + w for g, _, w in pairs], dtype=torch.long)
    return scores_R[better] - scores_R[worse]


def fit_centre(
    model: RewardModel, reference: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
) -> None:
    """Centre each member on these responses, samples of the reference policy as a rule, and scale
    the ensemble mean to deviation 1 on them (Stiennon et al. 2020, section 3.4: a mean of 0)."""
    model.centre_E, model.scale = torch.zeros(model.size), 1.0
    raw_ER = model.score(reference, micro_batch_tokens)
    model.centre_E = raw_ER.mean(dim=1)
    model.scale = max(float((raw_ER - model.centre_E[:, None]).mean(0).std()), 1e-6)


def fit_temperature(
    model: RewardModel, heldout: Sequence[JudgedGroup], micro_batch_tokens: int = SCORING_TOKENS
) -> float:
    """Set the temperature T that minimises the NLL of sigmoid(gap / T) on held-out strict pairs;
    returns T.

    As in training, pairs have weights and soft labels: sum of -w [(1-e) log s(gap/T) + e log
    s(-gap/T)] / sum of w.
    """
    gaps = pair_gaps(
        model.score([g.group for g in heldout], micro_batch_tokens).mean(0), heldout
    ).double()
    if gaps.numel() == 0:
        raise DataError("no strict pair among the held-out judgements to calibrate on")
    weight_P, doubt_P = np.array([pair[3:5] for pair in pairs_said(heldout)]).T
    model.temperature = best_temperature(gaps.numpy(), weight_P, doubt_P)
    return model.temperature


def context_explained(
    model: RewardModel, groups: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
) -> float:
    """Share r^2 of the variance of rewards that the text explains; the rest is hidden context
    (Siththaranjan 2023).

    Var(mean) / (Var(mean) + E[variance]) over all responses, averaged over members with a
    distribution head. Raises DataError for other heads.
    """
    if model.form.kind == "point":
        raise DataError(
            "this reward model's heads are not distributions", "train one with a distribution"
        )
    mean_ER, deviation_ER = model.form.moments(model.outputs(groups, micro_batch_tokens))
    between, within = mean_ER.var(1, unbiased=False), deviation_ER.square().mean(1)
    return float((between / (between + within)).mean())


def concordance(value_M: Tensor, level_M: Tensor) -> float | None:
    """Share of pairs with different levels that `value_M` puts in the order of their levels (equal
    values count half).

    Of two levels this is the area under the ROC curve. None when all levels are equal.
    """
    right = pairs = 0.0
    levels = level_M.unique().tolist()
    for i, low in enumerate(levels):
        below = value_M[level_M == low].sort().values
        for high in levels[i + 1 :]:
            above = value_M[level_M == high]
            fewer, most = (torch.searchsorted(below, above, right=side) for side in (False, True))
            right += float((fewer + most).double().sum() / 2)
            pairs += len(below) * len(above)
    return right / pairs if pairs else None
