"""Self-play fine-tuning (SPIN: Chen et al. 2024, arXiv 2401.01335), solved where every response is
listed: what its rounds do when each one is trained to its end.

SPIN's loss in round t, over demonstrations x ~ p and the policy's own responses y ~ pi_t, is

    E[ -log sigmoid( beta log pi(x) / pi_t(x) - beta log pi(y) / pi_t(y) ) ]

It is a Bradley-Terry likelihood in which x beats y as often as p(x) pi_t(y) is to p(y) pi_t(x), so
that beta log pi / pi_t = log p / pi_t + constant at its minimum: the round goes 1 / beta of the way
from log pi_t to log p. At beta = 1 it arrives, above it comes nearer, below it goes beyond, and
below one half each round ends farther away than it began.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from accord.statistics.intervals import Array


def spin_step(log_pi_V: Array, log_data_V: Array, beta: float, trained: float = 1.0) -> Array:
    """log pi_{t+1}: log pi_t + trained (log p - log pi_t) / beta, normalised, over V responses.

    trained: how far a round goes towards its minimum, 1 to its end; stopping early is what small
    betas live on. Raises ValueError for a beta or share that is not above 0.
    """
    if not beta > 0 or not 0 < trained <= 1:
        raise ValueError(f"beta {beta:g}, trained {trained:g}: above 0, and at most 1")
    moved = log_pi_V + trained / beta * (log_data_V - log_pi_V)
    found: Array = moved - logsumexp(moved)
    return found


def divergence(log_p_V: Array, log_q_V: Array) -> float:
    """KL(p || q), in nats."""
    return float((np.exp(log_p_V) * (log_p_V - log_q_V)).sum())
