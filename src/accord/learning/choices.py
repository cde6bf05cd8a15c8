"""The likelihood of judgements: what log P(judgement) is, given rewards and the effects of
annotators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning import likelihoods
from accord.learning.judged_batch import Answers, Choices, JudgedBatch
from accord.learning.judgements import AnnotatorEffects
from accord.learning.settings import Form
from accord.models.heads import HeadOutput


class Terms(NamedTuple):
    """Log-probability (nats) and weight of every term of the likelihood: [M] each."""

    logp_M: Tensor
    weight_M: Tensor

    @property
    def sum(self) -> Tensor:
        """The weighted sum: []."""
        return (self.weight_M * self.logp_M).sum()

    @property
    def mean(self) -> Tensor:
        """The weighted mean: []."""
        return self.sum / self.weight_M.sum()


def log_likelihood(
    scores: Tensor | HeadOutput,
    batch: JudgedBatch,
    effects: AnnotatorEffects,
    smoothing: float = 0.0,
    form: Form | None = None,
) -> Terms:
    """The likelihood's term of everything said in `batch`, in the order of its tables.

    scores: rewards of all responses in packing order [R], or a head's reading with the scores of
    labelled steps. A comparison that says a probability 1-e is the answer of somebody who could not
    call a tie: (1-e) log sigmoid(d) + e log sigmoid(-d), d the difference of the utilities, the
    negative cross-entropy to a soft label. `smoothing` is the least doubt of any, as robust
    to flipped labels. `form` names the likelihoods of ties and rankings. Nobody lapses where heads
    give distributions or rankings go by all pairs, whose objective is no probability.
    """
    reading = scores if isinstance(scores, HeadOutput) else HeadOutput(scores)
    if not batch:
        raise DataError("a batch of judged groups holds no judgement")
    weight_M = batch.weight_M.to(reading.rewards_R)
    form = form or Form()
    lapses = isinstance(effects.lapse, Tensor) or bool(effects.lapse)
    if lapses and (reading.form.kind != "point" or form.rankings == "all_pairs"):
        raise ValueError("lapses belong to probabilities of choices by one reward")
    if reading.form.kind != "point":
        return Terms(_of_distributions(reading, batch, smoothing), weight_M)
    parts = [
        _choices(_utilities(reading, batch, table, effects), table, effects, smoothing, form)
        for table in batch.choices
    ]
    for table, utility_M in zip(
        batch.answers, answer_utilities(reading, batch, effects), strict=True
    ):
        thresholds_L = effects.thresholds[table.scale].to(utility_M)
        logp_M = likelihoods.graded(utility_M, table.level_M.to(utility_M.device), thresholds_L)
        lapse = _lapse(table, effects, logp_M)
        parts.append(likelihoods.with_lapse(logp_M, lapse, len(thresholds_L) + 1))
    return Terms(torch.cat(parts), weight_M)


def centring(scores_R: Tensor, batch: JudgedBatch) -> Tensor:
    """Weighted sum over all choices by the reward as a whole of (2 * mean score of the options)^2:
    [].

    For two options the square of their sum, as in TRL; it keeps scores around zero, which choices
    leave open (Eisenstein et al. 2023).
    """
    total = scores_R.new_zeros(())
    for table in batch.choices:
        options_MK = batch.responses(table).to(scores_R.device)
        sum_M = (scores_R[options_MK] * (2 / options_MK.shape[1])).sum(1)
        weight_M = table.weight_M * (table.objective_M < 0)
        total = total + (weight_M.to(scores_R) * sum_M.square()).sum()
    return total


def answer_utilities(
    reading: HeadOutput, batch: JudgedBatch, effects: AnnotatorEffects
) -> list[Tensor]:
    """The utility kappa * r + o behind every answer, per table of answers: [M] each."""
    if not batch.answers:
        return []
    if (
        effects.sharpness_A is None
        or effects.offset_A is None
        or len(effects.thresholds) <= batch.answers[-1].scale
    ):
        raise DataError(
            "there are ratings, but no thresholds for their scales",
            "pass the scales to train_reward",
        )
    steps = sum(int((table.end_M >= 0).sum()) for table in batch.answers)
    if steps != (0 if reading.points_P is None else len(reading.points_P)):
        raise DataError(
            "there are labelled steps, but no scores at their ends",
            "read the model at the batch's step_ends",
        )
    parts = [reading.rewards_R, reading.points_P, reading.outputs_RO]
    pool = torch.cat([part.flatten() for part in parts if part is not None])
    next_step = len(reading.rewards_R)
    objectives, width = next_step + steps, 0
    if reading.outputs_RO is not None:
        width = reading.outputs_RO.shape[1]
    sharpness_A, offset_A = effects.sharpness_A.to(pool), effects.offset_A.to(pool)
    found = []
    for table in batch.answers:
        _check_outputs(table, width)
        at_M = batch.response(table)
        rated_M, is_step_M = table.objective_M >= 0, table.end_M >= 0
        at_M = torch.where(rated_M, objectives + width * at_M + table.objective_M, at_M)
        at_M[is_step_M] = torch.arange(next_step, next_step + int(is_step_M.sum()))
        next_step += int(is_step_M.sum())
        at_M, annotator_M = at_M.to(pool.device), table.annotator_M.to(pool.device)
        found.append(sharpness_A[annotator_M] * pool[at_M] + offset_A[annotator_M])
    return found


def _choices(
    utility_MK: Tensor,
    table: Choices,
    effects: AnnotatorEffects,
    smoothing: float,
    form: Form,
) -> Tensor:
    """Log-probabilities [M] of choices, given the utilities of their options."""
    options, lapse = utility_MK.shape[1], _lapse(table, effects, utility_MK)
    if table.likelihood == "choice":
        return likelihoods.with_lapse(torch.log_softmax(utility_MK, dim=-1)[:, 0], lapse, options)
    if table.likelihood == "best_worst":
        best_M = torch.zeros(len(table), dtype=torch.long, device=utility_MK.device)
        logp_M = likelihoods.best_worst(utility_MK, best_M, best_M + options - 1)
        return likelihoods.with_lapse(logp_M, lapse, options * (options - 1))
    if table.likelihood == "ranking":
        orders = math.factorial(options) // math.prod(map(math.factorial, table.tied))
        return likelihoods.with_lapse(_rankings(utility_MK, table.tied, form), lapse, orders)
    first_M, second_M = utility_MK.unbind(-1)
    first_M = first_M - table.margin_M.to(utility_MK)

    def logp(turned: bool) -> Tensor:
        if table.likelihood == "comparison":
            logp_M = _comparisons(first_M, second_M, table.undecided_M, turned, effects, form)
            return likelihoods.with_lapse(logp_M, lapse, 3)
        pair = (second_M, first_M) if turned else (first_M, second_M)
        return likelihoods.with_lapse(likelihoods.bradley_terry(*pair), lapse)

    return _doubted(table.doubt_M.clamp_min(smoothing), logp)


def _lapse(table: Choices | Answers, effects: AnnotatorEffects, like: Tensor) -> float | Tensor:
    """The share of lapses, everybody's or of who judged each row: [M]."""
    if isinstance(effects.lapse, Tensor):
        return effects.lapse.to(like)[table.annotator_M.to(like.device)]
    return effects.lapse


def _comparisons(
    first_M: Tensor,
    second_M: Tensor,
    undecided_M: Tensor,
    turned: bool,
    effects: AnnotatorEffects,
    form: Form,
) -> Tensor:
    """log P(first preferred, or a tie) [M]; `turned`: of the second being preferred."""
    outcome_M = torch.where(
        undecided_M, likelihoods.TIE, likelihoods.SECOND if turned else likelihoods.FIRST
    ).to(first_M.device)
    nu = torch.as_tensor(effects.log_nu).to(first_M)
    if form.ties == "davidson":
        return likelihoods.davidson(first_M, second_M, outcome_M, nu)
    # The threshold at which equal options tie as often as under Davidson's model: theta = 1 + nu.
    return likelihoods.rao_kupper(first_M, second_M, outcome_M, nu.exp().log1p())


def _rankings(utility_MK: Tensor, tied: tuple[int, ...], form: Form) -> Tensor:
    if form.rankings == "all_pairs":
        return likelihoods.all_pairs(utility_MK, tied)
    return (
        likelihoods.plackett_luce_ties(utility_MK, tied)
        if tied
        else likelihoods.plackett_luce(utility_MK)
    )


def _doubted(doubt_M: Tensor, logp: Callable[[bool], Tensor]) -> Tensor:
    """logp(False), where there is doubt mixed with the opposite's, logp(True): the negative
    cross-entropy to soft labels, [M]."""
    logp_M = logp(False)
    if not doubt_M.any():
        return logp_M
    return (1 - doubt_M).to(logp_M) * logp_M + doubt_M.to(logp_M) * logp(True)


def _of_distributions(reading: HeadOutput, batch: JudgedBatch, smoothing: float) -> Tensor:
    """Log-probabilities [M] under a distribution head: the mean over the pairs that a choice
    orders, a tie half each way.

    Who judged and how noisily is part of the hidden context that the distributions stand for.
    """
    outputs_RO, form = reading.outputs_RO, reading.form
    assert outputs_RO is not None
    if batch.answers or any(table.margin_M.any() for table in batch.choices):
        said = "margins"
        if batch.answers:
            said = "steps" if (batch.answers[0].end_M >= 0).all() else "rating"
        raise DataError(
            f"a distribution head learns from choices among responses, not from {said}",
            "leave them out, or leave out the distribution",
        )

    def preferred(a: Tensor, b: Tensor) -> Tensor:
        if form.kind == "categorical":
            return likelihoods.categorical_preference(a, b)
        return likelihoods.normal_preference(*form.moments(a), *form.moments(b))

    parts = []
    for table in batch.choices:
        outputs_MKO = outputs_RO[batch.responses(table).to(outputs_RO.device)]
        better_P, worse_P = torch.tensor(table.pairs, device=outputs_RO.device).unbind(1)
        first, second = outputs_MKO[:, better_P], outputs_MKO[:, worse_P]

        def logp(turned: bool, pair: tuple[Tensor, Tensor] = (first, second)) -> Tensor:
            return preferred(*(reversed(pair) if turned else pair)).mean(-1)

        doubt_M = table.doubt_M.clamp_min(smoothing)
        parts.append(_doubted(torch.where(table.undecided_M, 0.5, doubt_M), logp))
    return torch.cat(parts)


def _check_outputs(table: Choices | Answers, width: int) -> None:
    """Raise DataError where a row is about more outputs than the `width` that a head has."""
    if (highest := int(table.objective_M.max())) >= width:
        raise DataError(
            f"a judgement is of output {highest}, the head has {width}",
            "build it with objectives or rules",
        )


def _utilities(
    reading: HeadOutput, batch: JudgedBatch, table: Choices, effects: AnnotatorEffects
) -> Tensor:
    """How good each option looks to who chose, by the output that is compared: [M, K]."""
    scores_R, outputs_RO = reading.rewards_R, reading.outputs_RO
    device, annotator_M = scores_R.device, table.annotator_M.to(scores_R.device)
    of_MK = batch.responses(table).to(device)
    options_MK = scores_R[of_MK]
    if bool((table.objective_M >= 0).any()):
        _check_outputs(table, 0 if outputs_RO is None else outputs_RO.shape[1])
        assert outputs_RO is not None
        at_M1 = table.objective_M.to(device)[:, None]
        part_MK = outputs_RO[of_MK, at_M1.clamp_min(0)]
        options_MK = torch.where(at_M1 >= 0, part_MK, options_MK)
    return likelihoods.shown_utility(
        options_MK,
        table.shown_MK.to(scores_R),
        torch.tensor(table.options_MK.shape[1], device=device),
        effects.rationality_A.to(scores_R)[annotator_M, None],
        effects.side_bias_A.to(scores_R)[annotator_M, None],
    )
