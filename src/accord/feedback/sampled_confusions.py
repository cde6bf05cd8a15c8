"""Dawid and Skene's model sampled: labels and annotators' matrices with no pseudo-count chosen.

Two priors of the matrices are held against each other (`confusion_chains`): each annotator has one
of their own, or some share one. What is given is their mean, communities with the weight

    1 / (1 + exp(AGAINST - gain))

gain: how much better they foretell the votes on an item from those on the others (nats, summed over
items, by WAIC): pseudo-Bayesian model averaging (Yao et al. 2018) with odds against communities,
since where annotators differ each in their own way, to lump them makes intervals too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from accord.feedback.confusion_chains import AnnotatorChain, CommunityChain, Draws
from accord.feedback.label_table import LabelTable
from accord.seeds import generator
from accord.statistics.intervals import Array, Interval
from accord.statistics.resampling import intervals_of_draws

CHAINS = 3
AGAINST = 4.0
"""Nats that communities must gain to be believed as much as annotators who share nothing: odds of
55 to 1 against them. Over simulated crowds without any the gain is mostly below 2."""


@dataclass(frozen=True)
class DawidSkene:
    """truth_IC: P(truth); confusion_ACC: posterior means; shares_C: of the classes; accuracy_A: the
    expected share of an annotator's votes equal to the truth, sum_l p_l pi_a[l, l]; smoothing:
    posterior mean (geometric) of s over annotators where each has a matrix of their own;
    communities: the weight of matrices that annotators share."""

    truth_IC: Array
    confusion_ACC: Array
    shares_C: Array
    accuracy_A: list[Interval]
    smoothing: float
    communities: float


def sample(table: LabelTable, seed: int = 0, chains: int = CHAINS) -> DawidSkene:
    """The posterior of truth and confusion matrices (two classes or more), the smoothing learned.

    Intervals hold 95 % of the draws. Time: about twice (votes x classes + 256 annotators x distinct
    counts) per sweep; the same seed gives the same digits.
    """
    alone = [AnnotatorChain(table, generator(seed, "dawid-skene", k)).run() for k in range(chains)]
    shared = [CommunityChain(table, generator(seed, "communities", k)).run() for k in range(chains)]
    gain = np.mean([run.expected for run in shared]) - np.mean([run.expected for run in alone])
    weight = float(expit(gain - AGAINST))

    def mixed(name: str) -> Array:
        one, other = (np.mean([getattr(run, name) for run in runs], 0) for runs in (alone, shared))
        mean: Array = (1 - weight) * one + weight * other
        return mean

    return DawidSkene(
        mixed("truth_IC"),
        mixed("confusion_ACC"),
        mixed("shares_C"),
        intervals_of_draws(_both(alone, shared, weight)),
        float(np.exp(np.mean([run.log_smoothing for run in alone]))),
        weight,
    )


def _both(alone: list[Draws], shared: list[Draws], weight: float) -> Array:
    """Draws of accuracies, the share `weight` of them from chains with communities: [D, A]."""
    one_DA, other_DA = (
        np.concatenate([run.accuracy_DA for run in runs]) for runs in (alone, shared)
    )
    of_other = round(weight * len(one_DA))
    # Evenly over the chains, and as many from each as the weight says.
    kept = np.linspace(0, len(one_DA) - 1, len(one_DA) - of_other).round().astype(int)
    taken = np.linspace(0, len(other_DA) - 1, of_other).round().astype(int)
    return np.concatenate([one_DA[kept], other_DA[taken]])
