"""Deep maximum entropy inverse reinforcement learning (Wulfmeier, Ondruska and Posner 2015): the
reward of entering a state is a network of the state's features.

With the horizon T of the demonstrations, undiscounted, and the soft values V of
`accord.control.tabular.mdp`, what is maximised is

    L(r) = mean over demonstrations of [sum_t r(s_t, a_t) - V_0(s_0)],   r(s, a) = E r(s')

whose slope in r is the difference of two visitation counts, the demonstrated ones less those of the
soft policy that r leads to; backpropagation takes it to the weights. Where moves are certain L is
the log-likelihood of the demonstrations; where they are not, it is the dual of maximum causal
entropy under equal visits. Suffixes as in `mdp`; F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from accord.control.networks import SmallNet, SmallNetOptimizer, aligned
from accord.control.tabular.irl import Demonstrations
from accord.control.tabular.mdp import (
    FiniteMdp,
    boltzmann,
    finite_q,
    occupancy_finite,
    soft,
)
from accord.errors import DataError, RunError
from accord.learning.optimizer import Optimizer
from accord.statistics.intervals import Array


@dataclass(frozen=True)
class NetTraining:
    """hidden: units of both layers; updates: of Adam, each on everything that was shown;
    weight_decay: of its weights, per unit of step size."""

    hidden: int = 16
    updates: int = 150
    step_size: float = 0.02
    weight_decay: float = 0.1

    @property
    def optimizer(self) -> SmallNetOptimizer:
        """Adam at a constant step size."""
        return SmallNetOptimizer(learning_rate=self.step_size, weight_decay=self.weight_decay)


class RewardNet:
    """What it is worth to enter a state, by its features."""

    def __init__(self, net: SmallNet) -> None:
        self.net = net

    def of(self, features_SF: Array) -> Array:
        """[S]."""
        with torch.no_grad():
            found: Array = self.net(aligned(features_SF))[:, 0].double().numpy()
            return found


def soft_likelihood(mdp: FiniteMdp, reward_S: Array, shown: Demonstrations) -> tuple[float, Array]:
    """L of the reward for entering each state, and its slope [S]."""
    states_NT, actions_NT = shown
    steps = actions_NT.shape[1]
    undiscounted = FiniteMdp(mdp.transition_SAS, mdp.start_S, 1.0)
    reward_SA = mdp.transition_SAS @ reward_S
    q_HSA = finite_q(undiscounted, reward_SA, steps, soft())
    start_S = np.bincount(states_NT[:, 0], minlength=mdp.states) / len(states_NT)
    shown_SA = np.zeros((mdp.states, mdp.actions))
    np.add.at(shown_SA, (states_NT[:, :steps], actions_NT), 1 / len(states_NT))
    value = float((shown_SA * reward_SA).sum() - start_S @ soft()(q_HSA[0]))
    expected_SA = occupancy_finite(mdp, np.exp(boltzmann(q_HSA, 1.0)), start_S)
    slope_S = np.einsum("sa,sat->t", shown_SA - expected_SA, mdp.transition_SAS)
    return value, slope_S


def fit_reward_net(
    mdp: FiniteMdp,
    features_SF: Array,
    shown: Demonstrations,
    seed: int,
    training: NetTraining = NetTraining(),
) -> RewardNet:
    """The network after so many steps up L. Raises DataError without a step shown, and for features
    of other worlds, RunError where L is not finite."""
    if not shown[1].size:
        raise DataError("nothing was demonstrated", "give an episode of one step or more")
    if len(features_SF) != mdp.states:
        raise DataError(f"features of {len(features_SF)} states", f"give them for {mdp.states}")
    net = SmallNet([features_SF.shape[1], training.hidden, training.hidden, 1], 1.0, seed)
    read_SF, likelihood = aligned(features_SF), partial(soft_likelihood, mdp, shown=shown)
    optimizer = Optimizer(net.parameters(), training.optimizer, training.updates)
    for update in range(training.updates):
        reward_S = net(read_SF)[:, 0]
        value, slope_S = likelihood(reward_S.detach().double().numpy())
        if not np.isfinite(value):
            raise RunError(f"the likelihood is {value} at update {update + 1}", "use smaller steps")
        reward_S.backward(-aligned(slope_S))
        optimizer.step(f"update {update + 1} of the reward")
    return RewardNet(net)
