"""The rate that people would report on many items, from a judge's verdicts on all and people's
labels on a few of them. Suffix P: labelled items, N: items that are judged alone.

`corrected_share` is PPI++ (Angelopoulos, Duchi, Zrnic 2023): the judge's mean, put right by how far
it is off where people looked; as much of it as makes the variance smallest, so that a judge who
knows nothing costs nothing. It needs the labelled items to be a random part of all.
`rogan_gladen` (1978) turns an erring classifier's rate round by its sensitivity and specificity: it
holds, too, where the labelled cases have another base rate than the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from accord.statistics.clusters import clustered, effective_answers
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, cluster_sums, share_mean, share_worth

UNSEEN = 0.5
"""Labelled items on which the judge is wrong to either side that are counted beside those seen,
for the error alone: of few labels a judge may have got all right."""


def corrected_share(
    judged_N: Array, judged_P: Array, people_P: Array, prompt_P: Sequence[int] | None = None
) -> Estimate:
    """What people would say on average, values in [0, 1]: mean(people - l judge) + l mean(judge)
    with the l in [0, 1] that makes the variance smallest, Cov(people, judge) / ((1 + P / N) Var
    judge). The error is that of labelled prompts and judged items, given l; the interval is
    Wilson's (1927) at the number of independent yes-or-no answers that say as much
    (`clusters.effective_answers`), so that it stays in [0, 1]. Raises ValueError for fewer than two
    labelled items, or none that is judged alone."""
    judged_P, people_P = np.asarray(judged_P, float), np.asarray(people_P, float)
    judged_N = np.asarray(judged_N, float)
    if len(people_P) < 2 or not len(judged_N):
        raise ValueError("a correction needs two labelled items and one more that is judged")
    weight = _weight(judged_N, judged_P, people_P)
    return _share_of(people_P - weight * judged_P, weight, judged_N, prompt_P)


def labelled_share(people_P: Array, prompt_P: Sequence[int] | None = None) -> Estimate:
    """What the labels alone say, with an interval of the same form, to compare widths with. Raises
    ValueError for fewer than two."""
    if len(people_P) < 2:
        raise ValueError("an interval needs two labelled items")
    return _share_of(np.asarray(people_P, float), 0.0, np.zeros(1), prompt_P)


def _weight(judged_N: Array, judged_P: Array, people_P: Array) -> float:
    people = np.append(people_P, [1.0, 0.0])
    judge = np.append(judged_P, [0.0, 1.0])
    counts = np.append(np.ones(len(people_P)), [UNSEEN, UNSEEN])
    covariance = np.cov(people, judge, aweights=counts)
    spread = (1 + len(judged_P) / len(judged_N)) * covariance[1, 1]
    return float(np.clip(covariance[0, 1] / spread, 0.0, 1.0))


def _share_of(
    gap_P: Array, weight: float, judged_N: Array, prompt_P: Sequence[int] | None
) -> Estimate:
    count, labelled = len(gap_P), clustered(*cluster_sums(gap_P, prompt_P))
    value = labelled.value + weight * float(judged_N.mean())
    if labelled.variance is None:
        return Estimate(value=value, error=None, low=None, high=None, n=labelled.clusters)
    variance = labelled.variance
    if weight:
        off = np.array([1 - labelled.value, -weight - labelled.value])
        variance += UNSEEN * float((off**2).sum()) / count**2
        rest = clustered(judged_N, np.ones(len(judged_N))).variance
        variance += weight**2 * (rest or 0.0)
    answers = labelled.effective  # all that labels which are all equal are worth
    if variance:
        inside = float(np.clip(value, 0.5 / count, 1 - 0.5 / count))
        answers = effective_answers(inside, variance, labelled, float(count + len(judged_N)))
    return share_worth(value, variance, answers, labelled.clusters)


def rogan_gladen(rate: Estimate, hits: tuple[int, int], passes: tuple[int, int]) -> Estimate:
    """Rogan and Gladen's (1978) rate behind what an erring classifier says:
    (rate + specificity - 1) / (sensitivity + specificity - 1), clipped to [0, 1].

    hits: (found, of) truly positive labelled cases; passes: (passed, of) truly negative ones. The
    error is that of Lang and Reiczigel (2014): all three proportions are uncertain, each with a
    pseudo-count, normal interval. Raises ValueError for a classifier no better than chance.
    """
    (found, positive), (passed, negative) = hits, passes
    sensitivity, specificity = (found + 1) / (positive + 2), (passed + 1) / (negative + 2)
    youden = sensitivity + specificity - 1
    if youden <= 0:
        raise ValueError("a classifier that finds no more than chance cannot be corrected for")
    apparent = (rate.n * rate.value + 2) / (rate.n + 4)
    value = (apparent + specificity - 1) / youden
    variance = (
        apparent * (1 - apparent) / (rate.n + 4)
        + value**2 * sensitivity * (1 - sensitivity) / (positive + 2)
        + (1 - value) ** 2 * specificity * (1 - specificity) / (negative + 2)
    ) / youden**2
    error = float(np.sqrt(variance))
    half = float(ndtri(0.975)) * error
    low, best, high = (float(np.clip(x, 0, 1)) for x in (value - half, value, value + half))
    return Estimate(value=best, error=error, low=low, high=high, n=rate.n)


def worth_labels(alone: Estimate, better: Estimate, labels: int) -> float | None:
    """How many labels would give the better estimate's width, P (width alone / width)^2; None where
    one of them has no interval."""
    ends = [alone.low, alone.high, better.low, better.high]
    if any(end is None for end in ends) or better.high == better.low:
        return None
    low, high, better_low, better_high = (end for end in ends if end is not None)
    return labels * ((high - low) / (better_high - better_low)) ** 2


@dataclass(frozen=True)
class JudgedRate:
    """labels: items that people labelled, judged: those beside them; people: the labels alone;
    judge: what the judge says of all, which is no estimate of people's rate; corrected: PPI++;
    turned: Rogan and Gladen's, None (with the reason in `why_not`) where the judge is no better
    than chance; worth: labels that would tell as much as each of the two."""

    labels: int
    judged: int
    people: Estimate
    judge: Estimate
    corrected: Estimate
    turned: Estimate | None
    worth: float | None
    worth_turned: float | None
    why_not: str = ""


def judged_rate(
    judged_N: Array, judged_P: Array, people_P: Array, prompt_P: Sequence[int] | None = None
) -> JudgedRate:
    """All of them. For Rogan and Gladen verdicts and labels count as yes above one half, and
    labels of exactly one half do not count. Raises ValueError as `corrected_share`."""
    judged_P, people_P = np.asarray(judged_P, float), np.asarray(people_P, float)
    judged_N = np.asarray(judged_N, float)
    corrected = corrected_share(judged_N, judged_P, people_P, prompt_P)
    people = labelled_share(people_P, prompt_P)
    all_of = np.concatenate([judged_P, judged_N])
    turned, why_not = None, ""
    yes, no, said = people_P > 0.5, people_P < 0.5, judged_P > 0.5
    try:
        turned = rogan_gladen(
            share_mean((all_of > 0.5).astype(float)),
            (int((said & yes).sum()), int(yes.sum())),
            (int((~said & no).sum()), int(no.sum())),
        )
    except ValueError as error:
        why_not = str(error)
    return JudgedRate(
        labels=len(people_P),
        judged=len(judged_N),
        people=people,
        judge=share_mean(all_of),
        corrected=corrected,
        turned=turned,
        worth=worth_labels(people, corrected, len(people_P)),
        worth_turned=None if turned is None else worth_labels(people, turned, len(people_P)),
        why_not=why_not,
    )
