"""What another policy would have been worth, from the log of one. Suffix N: responses in use, X:
features.

A response a to x, shown with probability p(a | x), would have been given with q(a | x) by the new
policy: w = q / p. With an outcome y that only some report (`double_sampling.Answered`), M the mean
over all responses as double sampling has it, and m a model of y,

    IPS     M(w y)                                    (Horvitz and Thompson 1952)
    SNIPS   M(w y) / mean(w)                          (Swaminathan and Joachims 2015)
    direct  mean(m(x, q))
    DR      mean(m(x, q)) + M(w (y - m(x, a)))        (Dudik, Langford, Li 2011)

IPS is unbiased and wild, SNIPS tame; direct is as right as its model; DR is right where either the
weights or the model are. m is linear (ridge) and fitted without the cluster that it predicts for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accord.statistics.double_sampling import Answered, pseudo_values
from accord.statistics.intervals import Array, Index
from accord.statistics.means import Estimate, clustered_mean

LEAST_EFFECTIVE = 0.05
"""Share of the log that weights must leave, as an effective sample size."""
WIDE = 2.0
"""Nats by which log-weights may differ before a few responses carry the estimate."""
FOLDS = 5
RIDGE = 1.0
"""What a coefficient of a standardised feature is held back by, in responses."""


def effective_share(log_weight_N: Array) -> float:
    """Kish's effective sample size as a share of the log, (sum w)^2 / (N sum w^2)."""
    weight_N = np.exp(log_weight_N - log_weight_N.max())
    return float(weight_N.sum() ** 2 / (len(weight_N) * (weight_N**2).sum()))


def spread(log_weight_N: Array) -> float:
    """Nats between the log-weights' 2.5 % and 97.5 % quantiles."""
    low, high = np.quantile(log_weight_N, [0.025, 0.975])
    return float(high - low)


def ips(outcome_N: Array, log_weight_N: Array, answered: Answered) -> Estimate:
    """Inverse propensity scoring."""
    values_N = pseudo_values(np.exp(log_weight_N) * _known(outcome_N, answered), answered)
    return clustered_mean(values_N, answered.cluster_N.tolist())


def snips(outcome_N: Array, log_weight_N: Array, answered: Answered) -> Estimate:
    """The self-normalised form; its error is that of the linearised ratio."""
    weight_N = np.exp(log_weight_N - log_weight_N.max())
    above_N = pseudo_values(weight_N * _known(outcome_N, answered), answered)
    value = float(above_N.mean() / weight_N.mean())
    values_N = value + (above_N - value * weight_N) / weight_N.mean()
    return clustered_mean(values_N, answered.cluster_N.tolist())


@dataclass(frozen=True)
class DirectModel:
    """shown_N: what the model expects of the response shown, new_N: of the new policy's."""

    shown_N: Array
    new_N: Array

    @property
    def value(self) -> float:
        """The new policy's, as right as the model is."""
        return float(self.new_N.mean())


def direct_model(
    outcome_N: Array,
    features_NX: Array,
    new_NX: Array,
    answered: Answered,
    rng: np.random.Generator,
) -> DirectModel:
    """Cross-fitted ridge regression of the outcome on features of prompt and response.

    features_NX: of the response shown; new_NX: their mean over responses of the new policy to the
    same prompt, which is all that a linear model needs. Folds are of whole clusters, drawn.
    Raises ValueError for fewer than two clusters with a known outcome.
    """
    groups, place_N = np.unique(answered.cluster_N, return_inverse=True)
    folds = min(FOLDS, len(groups))
    known_G = np.bincount(place_N, answered.known_N, len(groups)) > 0
    if known_G.sum() < 2:
        raise ValueError("a direct model needs outcomes of two users or more")
    drawn_G = rng.random(len(groups))
    fold_G = np.empty(len(groups), dtype=np.int64)  # every fold has users to be taught by outside
    fold_G[np.lexsort((drawn_G, ~known_G))] = np.arange(len(groups)) % folds
    fold_N: Index = fold_G[place_N]
    centre_X, scale_X = features_NX.mean(0), features_NX.std(0)
    scale_X = np.where(scale_X > 0, scale_X, 1.0)
    shown_N1, new_N1 = (
        np.hstack([np.ones((len(x), 1)), (x - centre_X) / scale_X]) for x in (features_NX, new_NX)
    )
    weight_N, shown_N, expected_N = answered.weight_N, np.empty(len(fold_N)), np.empty(len(fold_N))
    known_N = _known(outcome_N, answered)
    for fold in range(folds):
        here_N = fold_N == fold
        taught_N = np.where(here_N, 0.0, weight_N)
        gram_XX = (shown_N1 * taught_N[:, None]).T @ shown_N1
        held = np.diag([0.0, *[RIDGE] * features_NX.shape[1]])
        beta_X = np.linalg.lstsq(gram_XX + held, shown_N1.T @ (taught_N * known_N), rcond=None)[0]
        shown_N[here_N], expected_N[here_N] = shown_N1[here_N] @ beta_X, new_N1[here_N] @ beta_X
    return DirectModel(shown_N, expected_N)


def doubly_robust(
    outcome_N: Array, log_weight_N: Array, model: DirectModel, answered: Answered
) -> Estimate:
    """The model's value, put right by the weighted outcomes it does not explain."""
    off_N = np.exp(log_weight_N) * (_known(outcome_N, answered) - model.shown_N)
    return clustered_mean(model.new_N + pseudo_values(off_N, answered), answered.cluster_N.tolist())


def _known(outcome_N: Array, answered: Answered) -> Array:
    """Outcomes, 0 where none is known: what is not known must not be read."""
    return np.where(answered.known_N, outcome_N, 0.0)
