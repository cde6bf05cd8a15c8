"""The likelihood of judgements: what log P(judgement) is, given rewards and the effects of
annotators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning import likelihoods
from accord.learning.judgements import AnnotatorEffects, Form, JudgedGroup, Judgement
from accord.models.heads import Reading
from accord.text.packing import response_offsets


class Terms(NamedTuple):
    """Log-probability (nats) and weight of every judgement: [M] each."""

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
    scores: Tensor | Reading,
    groups: Sequence[JudgedGroup],
    effects: AnnotatorEffects,
    smoothing: float = 0.0,
    form: Form | None = None,
) -> Tensor:
    """Log-probability of every judgement in `groups`: [M], see `terms`."""
    return terms(scores, groups, effects, smoothing, form).logp_M


def terms(
    scores: Tensor | Reading,
    groups: Sequence[JudgedGroup],
    effects: AnnotatorEffects,
    smoothing: float = 0.0,
    form: Form | None = None,
) -> Terms:
    """The likelihood's term of every judgement in `groups`, ordered by size and kind; a labelled
    step counts as one.

    scores: rewards of all responses in packing order [R], or a head's reading with the scores of
    labelled steps. A comparison with doubt e is mixed with its opposite, (1-e) log P + e log
    P(opposite): the cross-entropy to a soft label. `smoothing` is the least doubt of any, as robust
    to flipped labels. `form` names the likelihoods of ties and rankings.
    """
    reading = scores if isinstance(scores, Reading) else Reading(scores)
    scores_R = reading.rewards_R
    form = form or Form()
    offsets = response_offsets([g.group for g in groups])
    flat = [(offsets[i], judgement) for i, g in enumerate(groups) for judgement in g.judgements]
    if not flat:
        raise DataError("a batch of judged groups holds no judgement")
    parts, weights = [], list[float]()
    if reading.form.kind != "point":
        return Terms(
            _uncertain(reading, flat, smoothing), scores_R.new_tensor([j.weight for _, j in flat])
        )
    for size, kind, tied in sorted({(len(j.options), _shape(j), j.tied) for _, j in flat}):
        rows = [
            (base, j)
            for base, j in flat
            if (len(j.options), _shape(j), j.tied) == (size, kind, tied)
        ]
        if kind in ("rating", "steps"):
            continue
        weights += [j.weight for _, j in rows]
        utility_MK = _utilities(scores_R, rows, size, effects)
        if kind == "comparison":
            parts.append(
                _comparisons(utility_MK, [j for _, j in rows], effects.log_nu, smoothing, form.ties)
            )
        elif kind == "edit":
            parts.append(_edits(utility_MK, [j for _, j in rows], smoothing))
        elif kind == "choice":
            parts.append(torch.log_softmax(utility_MK, dim=-1)[:, 0])
        elif kind == "best_worst":
            best = torch.zeros(len(rows), dtype=torch.long, device=scores_R.device)
            parts.append(likelihoods.best_worst(utility_MK, best, best + size - 1))
        else:
            parts.append(_rankings(utility_MK, tied, form))
    for scale, said in answered(reading, groups, effects).items():
        parts.append(
            likelihoods.graded(said.utility_M, said.level_M, effects.thresholds[scale].to(scores_R))
        )
        weights += said.weights
    return Terms(torch.cat(parts), scores_R.new_tensor(weights))


def centring(scores_R: Tensor, groups: Sequence[JudgedGroup]) -> Tensor:
    """Weighted sum over all judgements that compare of (2 * mean score of its options)^2: [].

    For two options the square of their sum, as in TRL; it keeps scores around zero, which choices
    leave open (Eisenstein et al. 2023).
    """
    offsets = response_offsets([g.group for g in groups])
    comparing = [
        (offsets[i], j) for i, g in enumerate(groups) for j in g.judgements if len(j.options) > 1
    ]
    flat = [(base, j.options) for base, j in comparing]
    owner = [number for number, (_, options) in enumerate(flat) for _ in options]
    index = [base + o for base, options in flat for o in options]
    share = [2 / len(options) for _, options in flat for _ in options]
    weighed = scores_R[
        torch.tensor(index, dtype=torch.long, device=scores_R.device)
    ] * scores_R.new_tensor(share)
    total = scores_R.new_zeros(len(flat)).index_add(
        0, torch.tensor(owner, dtype=torch.long, device=scores_R.device), weighed
    )
    return (scores_R.new_tensor([j.weight for _, j in comparing]) * total.square()).sum()


class Answers(NamedTuple):
    """What was answered on a scale: utilities and levels [M], and the weight of each."""

    utility_M: Tensor
    level_M: Tensor
    weights: list[float]


def answered(
    reading: Reading, groups: Sequence[JudgedGroup], effects: AnnotatorEffects
) -> dict[int, Answers]:
    """Everything answered on each scale: ratings and labelled steps."""
    offsets = response_offsets([g.group for g in groups])
    flat = [
        (offsets[i], j)
        for i, g in enumerate(groups)
        for j in g.judgements
        if j.kind in ("rating", "steps")
    ]
    if not flat:
        return {}
    if (
        effects.sharpness_A is None
        or effects.offset_A is None
        or len(effects.thresholds) <= max(j.scale for _, j in flat)
    ):
        raise DataError(
            "there are ratings, but no thresholds for their scales",
            "pass the scales to train_reward",
        )
    parts = [reading.rewards_R, reading.points_P, reading.outputs_RO]
    pool = torch.cat([part.flatten() for part in parts if part is not None])
    next_point = len(reading.rewards_R)
    facets = next_point + (0 if reading.points_P is None else len(reading.points_P))
    width = 0 if reading.outputs_RO is None else reading.outputs_RO.shape[1]
    rows: dict[int, list[tuple[int, int, int]]] = {}
    weights: dict[int, list[float]] = {}
    for offset, j in flat:
        own = rows.setdefault(j.scale, [])
        weights.setdefault(j.scale, []).extend([j.weight] * max(1, len(j.ends)))
        if j.kind == "rating":
            if j.facet is not None and j.facet >= width:
                raise DataError(
                    f"a rating is of objective {j.facet}, the head has {width}",
                    "build it with objectives",
                )
            response = offset + j.options[0]
            place = response if j.facet is None else facets + width * response + j.facet
            own.append((place, j.level, j.annotator))
        for level in j.levels:
            own.append((next_point, level, j.annotator))
            next_point += 1
    if next_point != facets:
        raise DataError(
            "there are labelled steps, but no scores at their ends",
            "read the model at step_positions",
        )
    sharpness_A, offset_A = effects.sharpness_A.to(pool), effects.offset_A.to(pool)
    found = {}
    for scale, own in sorted(rows.items()):
        index_M, level_M, annotator_M = torch.tensor(own, device=pool.device).unbind(1)
        utility_M = sharpness_A[annotator_M] * pool[index_M] + offset_A[annotator_M]
        found[scale] = Answers(utility_M, level_M, weights[scale])
    return found


def _uncertain(reading: Reading, flat: Sequence[tuple[int, Judgement]], smoothing: float) -> Tensor:
    """Log-probabilities [M] under a distribution head: the mean over the pairs that a judgement
    orders, a tie half each way.

    Who judged and how noisily is part of the hidden context that the distributions stand for.
    """
    outputs_RO, form, ordered = (
        reading.outputs_RO,
        reading.form,
        list[tuple[int, int, int, float]](),
    )
    assert outputs_RO is not None
    for number, (base, j) in enumerate(flat):
        if j.kind in ("rating", "steps") or j.margin:
            raise DataError(
                f"a distribution head learns from choices among responses, not from {'margins' if j.margin else j.kind}",
                "leave them out, or leave out the distribution",
            )
        a, b = j.options[:2]
        pairs = j.pairs or [(a, b), (b, a)]
        ordered += [
            (base + better, base + worse, number, 1 / len(pairs)) for better, worse in pairs
        ]
    better_P, worse_P, owner_P = torch.tensor(
        [row[:3] for row in ordered], device=outputs_RO.device
    ).unbind(1)
    weight_P = outputs_RO.new_tensor([row[3] for row in ordered])

    def logp(a: Tensor, b: Tensor) -> Tensor:
        if form.kind == "categorical":
            return likelihoods.categorical_preference(a, b)
        return likelihoods.normal_preference(*form.moments(a), *form.moments(b))

    first, second = outputs_RO[better_P], outputs_RO[worse_P]
    doubts = _doubts([flat[row[2]][1] for row in ordered], smoothing)
    logp_P = logp(first, second)
    if any(doubts):
        logp_P = _mixed(logp_P, logp(second, first), doubts)
    return outputs_RO.new_zeros(len(flat)).index_add(0, owner_P, weight_P * logp_P)


def _shape(judgement: Judgement) -> str:
    """Which likelihood applies: a comparison may tie, of two that were not shown together one is
    simply better."""
    if judgement.kind in ("order", "tie") and len(judgement.options) == 2:
        return "comparison" if judgement.shown_at is not None else "edit"
    return judgement.kind


def _asked(utility_M2: Tensor, judgements: Sequence[Judgement]) -> Tensor:
    """Utilities of comparisons, the preferred one lowered by the margin asked for."""
    if not any(j.margin for j in judgements):
        return utility_M2
    return utility_M2 - utility_M2.new_tensor([[j.margin, 0.0] for j in judgements])


def _comparisons(
    utility_M2: Tensor,
    judgements: Sequence[Judgement],
    log_nu: float | Tensor,
    smoothing: float,
    ties: str,
) -> Tensor:
    outcomes = [likelihoods.TIE if j.kind == "tie" else likelihoods.FIRST for j in judgements]
    outcome_M = torch.tensor(outcomes, device=utility_M2.device)
    first, second = _asked(utility_M2, judgements).unbind(-1)
    nu = torch.as_tensor(log_nu).to(utility_M2)

    def logp(outcome_M: Tensor) -> Tensor:
        if ties == "davidson":
            return likelihoods.davidson(first, second, outcome_M, nu)
        # The threshold at which equal options tie as often as under Davidson's model: theta = 1 +
        # nu.
        return likelihoods.rao_kupper(first, second, outcome_M, nu.exp().log1p())

    doubts = _doubts(judgements, smoothing)
    if not any(doubts):
        return logp(outcome_M)
    flipped = torch.where(outcome_M == likelihoods.TIE, outcome_M, likelihoods.SECOND)
    return _mixed(logp(outcome_M), logp(flipped), doubts)


def _edits(utility_M2: Tensor, judgements: Sequence[Judgement], smoothing: float) -> Tensor:
    better, worse = _asked(utility_M2, judgements).unbind(-1)
    logp_M, doubts = likelihoods.bradley_terry(better, worse), _doubts(judgements, smoothing)
    return (
        _mixed(logp_M, likelihoods.bradley_terry(worse, better), doubts) if any(doubts) else logp_M
    )


def _doubts(judgements: Sequence[Judgement], least: float) -> list[float]:
    """The probability of each that the opposite is true, `least` or more."""
    return [max(j.doubt, least) for j in judgements]


def _mixed(logp_M: Tensor, opposite_M: Tensor, doubts: Sequence[float]) -> Tensor:
    """The cross-entropy between soft labels and the model, negative: [M]."""
    return (
        logp_M.new_tensor([1 - e for e in doubts]) * logp_M + logp_M.new_tensor(doubts) * opposite_M
    )


def _rankings(utility_MK: Tensor, tied: tuple[int, ...], form: Form) -> Tensor:
    if form.rankings == "all_pairs":
        return likelihoods.all_pairs(utility_MK, tied)
    return (
        likelihoods.plackett_luce_ties(utility_MK, tied)
        if tied
        else likelihoods.plackett_luce(utility_MK)
    )


def _utilities(
    scores_R: Tensor, rows: Sequence[tuple[int, Judgement]], size: int, effects: AnnotatorEffects
) -> Tensor:
    device = scores_R.device
    index = torch.tensor([[base + o for o in j.options] for base, j in rows], device=device)
    middle = ((size - 1) / 2,) * size  # not shown side by side: no side bias
    shown = torch.tensor(
        [j.shown_at or middle for _, j in rows], device=device, dtype=scores_R.dtype
    )
    annotator = torch.tensor([j.annotator for _, j in rows], device=device)
    return likelihoods.shown_utility(
        scores_R[index],
        shown,
        torch.tensor(size, device=device),
        effects.rationality_A.to(scores_R)[annotator, None],
        effects.side_bias_A.to(scores_R)[annotator, None],
    )
