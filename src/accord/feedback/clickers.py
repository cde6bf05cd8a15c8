"""Who answers at random? Each annotator's votes under three suppositions, given the others' votes.

    honest  b ~ N(m, w^2)       clicker  b = 0       contrary  b ~ N(-m, w^2)       b = asinh beta

The scores of a prompt's options are averaged over as the *others'* votes leave them, so that nobody
confirms themselves. The shares of the three and m, w are found by EM, which keeps clickers from
widening the honest ones' population. Named are, of those who click more likely than they vote
against the others, as many as keep the mean probability of being honest among the named at 5 %
(Newton et al. 2004): with known parameters this is the likelihood-ratio test, the most powerful
there is. (Somebody contrary is no false discovery: few votes do not tell contrary from random, and
counting that as an error halves the power.) The power is said: how likely a clicker of as many
votes would be named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accord.feedback.crowd_likelihood import (
    CrowdJudgement,
    DistinctJudgements,
    distinct_judgements,
    log_probabilities,
    points,
)
from accord.seeds import generator
from accord.statistics.intervals import Array
from accord.statistics.softmax import log_total, softmax

FALSE = 0.05
"""Of the named, how many may be honest."""
GRID = np.linspace(-3.0, 3.0, 25)
"""Of b: beta from -10 to 10."""
ZERO = len(GRID) // 2
ROUNDS = 200
PASSES = 2
"""Who clicks is no witness against others: rationalities are taken anew from the mixture."""
PRIOR_CLICKERS, PRIOR_CONTRARY, PRIOR_PEOPLE = 1.0, 0.25, 5.0
"""As if of five annotators seen before one had clicked at random and a quarter of one voted
against the others."""
USUAL_WIDTH, USUAL_PEOPLE = 0.3, 12.0
"""As if of twelve honest annotators seen before asinh beta had spread so: a few votes cannot tell
clickers from a wide crowd."""


@dataclass(frozen=True)
class Clickers:
    """Per annotator: clicker, the probability of answering at random; named, whether so few of the
    named are honest that the false discovery rate is 5 %; power, the chance that a clicker of as
    many prompts would be named. share: of clickers in the crowd."""

    clicker_A: Array
    named_A: Array
    power_A: Array
    share: float


def find_clickers(
    data: DistinctJudgements, x: Array, tail: float, options: int, seed: int = 0
) -> Clickers:
    """x: rationalities [A], side biases [A] and log nu, as fitted; tail, options: as of
    `crowd_likelihood.points`."""
    theta_KQ = points(options, tail=tail)
    for _ in range(PASSES):
        mixture = Mixture.fitted(evidence_of(data, x, theta_KQ))
        x = np.concatenate([np.sinh(mixture.mean_A), x[data.annotators :]])
    false_A = mixture.false_A
    named_A = named_of(false_A)
    power_A = _power(_Others(data, x, theta_KQ), data, mixture, false_A[named_A], seed)
    return Clickers(mixture.clicker_A, named_A, power_A, mixture.share)


def evidence_of(data: DistinctJudgements, x: Array, theta_KQ: Array) -> Array:
    """log P(votes of an annotator | b) on GRID, given the others' votes and their x: [A, K]."""
    others = _Others(data, x, theta_KQ)
    return np.stack([others.evidence(data, b) for b in GRID], axis=1)


@dataclass(frozen=True)
class Mixture:
    """p_A3: probabilities of being honest, a clicker, contrary, and shares_3 of the three in the
    crowd; mean_A: of b; centre, width of the honest ones' b."""

    p_A3: Array
    mean_A: Array
    shares_3: Array
    centre: float
    width: float

    @property
    def clicker_A(self) -> Array:
        return self.p_A3[:, 1]

    @property
    def share(self) -> float:
        """Of clickers."""
        return float(self.shares_3[1])

    @property
    def false_A(self) -> Array:
        return _false(self.p_A3)

    @classmethod
    def fitted(cls, log_AK: Array) -> Mixture:
        """From log P(votes | b) of each annotator on GRID."""
        people = len(log_AK)
        shares = np.array([0.85, 0.1, 0.05])
        best = GRID[log_AK.argmax(1)]
        centre, width = float(np.median(best[best > 0])) if (best > 0).any() else 1.0, 0.5
        for _ in range(ROUNDS):
            joint_A3, honest_AK, contrary_AK = _joint(log_AK, shares, centre, width)
            p_A3 = softmax(joint_A3, 1)[0]
            weight_K = p_A3[:, 0] @ honest_AK + (p_A3[:, 2] @ contrary_AK)[::-1]
            total = weight_K.sum() + 1.0
            before, centre = centre, float((weight_K @ GRID + 1.2) / total)
            spread = float(weight_K @ (GRID - centre) ** 2) + USUAL_PEOPLE * USUAL_WIDTH**2
            width = float(np.sqrt(spread / (total + USUAL_PEOPLE)))
            prior = np.array([0.0, PRIOR_CLICKERS, PRIOR_CONTRARY])
            prior[0] = PRIOR_PEOPLE - prior.sum()
            shares = (p_A3.sum(0) + prior) / (people + PRIOR_PEOPLE)
            if abs(centre - before) < 1e-4:
                break
        mean_A = p_A3[:, 0] * (honest_AK @ GRID) + p_A3[:, 2] * (contrary_AK @ GRID)
        return cls(p_A3, mean_A, shares, centre, width)


def _joint(log_AK: Array, shares: Array, centre: float, width: float) -> tuple[Array, Array, Array]:
    """log of share times P(votes) under each supposition [A, 3], and P(b | votes) of the honest and
    the contrary [A, K]."""
    parts, posteriors = [], []
    for middle in (centre, -centre):
        log_K = -(((GRID - middle) / width) ** 2) / 2
        posterior_AK, evidence = softmax(log_AK + log_K - log_total(log_K, 0), 1)
        parts.append(evidence)
        posteriors.append(posterior_AK)
    columns = [parts[0], log_AK[:, ZERO], parts[1]]
    return np.log(shares) + np.stack(columns, axis=1), posteriors[0], posteriors[1]


def _false(p_A3: Array) -> Array:
    """P(it would be wrong to name them); 1 where contrary is likelier than random: [A]."""
    return np.where(p_A3[:, 1] > p_A3[:, 2], p_A3[:, 0], 1.0)


def named_of(false_A: Array) -> Array:
    """As many as keep the mean of `false` among them at FALSE."""
    order = np.argsort(false_A, kind="stable")
    running = np.cumsum(false_A[order]) / np.arange(1, len(order) + 1)
    count = int(np.flatnonzero(running <= FALSE)[-1]) + 1 if (running <= FALSE).any() else 0
    named = np.zeros(len(false_A), dtype=bool)
    named[order[:count]] = True
    return named


class _Others:
    """What everybody but one annotator says of each prompt's scores: weights of the points [G, Q]
    for every (prompt, annotator) pair G."""

    def __init__(self, data: DistinctJudgements, x: Array, theta_KQ: Array) -> None:
        self.people, self.theta_KQ, self.x = data.annotators, theta_KQ, x
        prompt_G, self.annotator_G, counts = data.pairs
        log_TQ = log_probabilities(x, data, theta_KQ)
        log_GQ = (data.counts @ log_TQ)[prompt_G] - counts @ log_TQ
        self.log_GQ = log_GQ - log_total(log_GQ, 1)[:, None]

    def of_pairs(self, data: DistinctJudgements, b: float) -> Array:
        """log P of what each annotator said about each prompt, were asinh beta b: [G]. The pairs of
        `data` are those this was made of."""
        x = np.concatenate([np.full(self.people, np.sinh(b)), self.x[self.people :]])
        own_GQ = data.pairs.counts @ log_probabilities(x, data, self.theta_KQ)
        return log_total(self.log_GQ + own_GQ, 1)

    def evidence(self, data: DistinctJudgements, b: float) -> Array:
        """The same over all prompts: [A]."""
        total = np.bincount(self.annotator_G, self.of_pairs(data, b), minlength=self.people)
        return total.astype(np.float64)


DRAWS = 2000


def _power(
    others: _Others, data: DistinctJudgements, mixture: Mixture, false: Array, seed: int
) -> Array:
    """Everybody's options are shuffled within each judgement, which is what a clicker says. What
    such votes say of b is a sum over prompts, nearly normal: of it a clicker is drawn, and joins
    the named (`false`: their probabilities of being honest) if the mean stays at FALSE."""
    shuffled = _shuffled(data, generator(seed, "clickers"))
    ratio_KG = np.stack([others.of_pairs(shuffled, b) for b in GRID])
    ratio_KG -= ratio_KG[ZERO].copy()
    if ratio_KG.shape[1] < 2:  # one annotator's word on one prompt tells nobody from anybody
        return np.zeros(others.people)
    values, vectors = np.linalg.eigh(np.cov(ratio_KG))
    normal_DK = generator(seed, "clickers drawn").standard_normal((DRAWS, len(values)))
    apart_DK = normal_DK @ (vectors * np.sqrt(np.maximum(values, 0))).T
    most = FALSE * (len(false) + 1) - float(false.sum())
    number_A = np.bincount(others.annotator_G, minlength=others.people)
    power = np.zeros(others.people)
    for number in np.unique(number_A):
        log_DK = number * ratio_KG.mean(1) + np.sqrt(number) * apart_DK
        log_D3 = _joint(log_DK, mixture.shares_3, mixture.centre, mixture.width)[0]
        p_D3 = softmax(log_D3, 1)[0]
        power[number_A == number] = (_false(p_D3) <= most).mean()
    return power


def _shuffled(data: DistinctJudgements, rng: np.random.Generator) -> DistinctJudgements:
    """Every judgement about a prompt with its options drawn anew, places and ties as they were."""
    blocks = [(block, t) for block in data.blocks for t in range(len(block.tied_T))]
    rows = []
    for t in data.row_E.tolist():
        block, at = blocks[t]
        order = rng.permutation(len(block.option_KT))
        rows.append(
            CrowdJudgement(
                tuple(block.option_KT[order, at].tolist()),
                tuple(block.place_KT[:, at].tolist()),
                bool(block.tied_T[at]),
                int(block.annotator_T[at]),
                block.best_worst,
            )
        )
    prompts = data.prompt_E.tolist()
    return distinct_judgements(rows, prompts, data.prompts, data.annotators, data.count_E.tolist())
