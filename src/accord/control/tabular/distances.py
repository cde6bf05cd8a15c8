"""Distances between rewards that need no learning: EPIC, DARD and STARC, exact where transitions
are listed.

Each brings a reward into a form that its equivalents share, then compares forms.

    EPIC   C(R)(s,a,s') = R(s,a,s') + E[ g R(s',A,S') - R(s,A,S') - g R(S,A,S') ]
           S, S', A drawn apart from the world                     Gleave et al. 2021
    DARD   the same with S' ~ T(s,A), S'' ~ T(s',A), the last two terms R(s,A,S'), g R(S',A,S'')
           so that what the world does is looked at                Wulfe et al. 2022
    STARC  C(R)(s,a) = E[ R(s,a,S') + g V(S') ] - V(s), V the value of a policy: its advantage, over
           its norm                                                Skalse et al. 2024

EPIC and DARD are sqrt((1 - rho) / 2), rho Pearson's correlation of forms over transitions; STARC is
half the distance of the forms as unit vectors. All lie in [0, 1]: 0 for rewards that differ by a
positive factor and a potential (STARC: or by where the same expected reward is paid), 1 for
opposites. A reward that is equivalent to none at all has no correlation: it is 0 from another such,
and 1/2 from any other.
"""

from __future__ import annotations

import numpy as np

from accord.control.tabular.mdp import FiniteMdp, evaluate, uniform
from accord.errors import DataError
from accord.statistics.intervals import Array

FLAT = 1e-10
"""Forms that vary by less, measured at the reward's own size, are those of no reward at all."""


def epic(reward_SAS: Array, other_SAS: Array, discount: float) -> float:
    """Over all transitions alike, whether the world has them or not."""
    first, second = (_sized(epic_form(r, discount), r) for r in (reward_SAS, other_SAS))
    return pearson_distance(first, second, np.full(first.shape, 1 / first.size))


def dard(reward_SAS: Array, other_SAS: Array, mdp: FiniteMdp) -> float:
    """Over states and actions alike, and where the world leads from there."""
    first, second = (_sized(dard_form(r, mdp), r) for r in (reward_SAS, other_SAS))
    return pearson_distance(first, second, mdp.transition_SAS / (mdp.states * mdp.actions))


def starc(reward_SAS: Array, other_SAS: Array, mdp: FiniteMdp) -> float:
    """By the advantage of the policy that does anything equally often."""
    first, second = (_sized(starc_form(r, mdp), r) for r in (reward_SAS, other_SAS))
    return float(np.linalg.norm(_unit(first) - _unit(second)) / 2)


def epic_form(reward_SAS: Array, discount: float) -> Array:
    """[S, A, S]."""
    mean_S = reward_SAS.mean((1, 2))
    form: Array = (
        reward_SAS
        + discount * mean_S[None, None, :]
        - mean_S[:, None, None]
        - discount * mean_S.mean()
    )
    return form


def dard_form(reward_SAS: Array, mdp: FiniteMdp) -> Array:
    """[S, A, S]; one action A for all three means, as in the paper."""
    t_SAS = mdp.transition_SAS
    mean_S = mdp.expected(reward_SAS).mean(1)
    both_SS = np.einsum("sau,uav,tav->st", t_SAS, reward_SAS, t_SAS, optimize=True) / mdp.actions
    form: Array = (
        reward_SAS
        + mdp.discount * mean_S[None, None, :]
        - mean_S[:, None, None]
        - mdp.discount * both_SS[:, None, :]
    )
    return form


def starc_form(reward_SAS: Array, mdp: FiniteMdp) -> Array:
    """[S, A]; "value-adjusted levelling"."""
    reward_SA = mdp.expected(reward_SAS)
    value_S = evaluate(mdp, reward_SA, uniform(np.ones(reward_SA.shape, dtype=bool)))
    form: Array = reward_SA + mdp.ahead(value_S) - value_S[:, None]
    return form


def sampled_epic(
    reward_SAS: Array, other_SAS: Array, discount: float, samples: int, rng: np.random.Generator
) -> float:
    """EPIC as it is estimated where rewards can only be asked for: correlation over `samples`
    transitions, and means over as many pairs of action and state, the same for both rewards."""
    states, actions, _ = reward_SAS.shape
    from_N, to_N, mean_N = (rng.integers(states, size=samples) for _ in range(3))
    taken_N, mean_action_N = (rng.integers(actions, size=samples) for _ in range(2))

    def form_N(reward_SAS: Array) -> Array:
        mean_S = reward_SAS[:, mean_action_N, mean_N].mean(1)
        paid_N = reward_SAS[from_N, taken_N, to_N]
        found: Array = paid_N + discount * mean_S[to_N] - mean_S[from_N]
        return _sized(found, reward_SAS)

    return pearson_distance(form_N(reward_SAS), form_N(other_SAS), np.full(samples, 1 / samples))


def _sized(form: Array, reward_SAS: Array) -> Array:
    """The form of a reward of size 1; 0 where nothing but rounding is left of it."""
    if not np.isfinite(reward_SAS).all():
        raise DataError("a reward is not a finite number", "give one for every transition")
    size = float(np.abs(reward_SAS).max())
    found: Array = form / size if size else form
    return np.where(np.abs(found - found.mean()).max() > FLAT, found, 0.0)


def _unit(form: Array) -> Array:
    length = float(np.linalg.norm(form))
    found: Array = form / length if length else form
    return found


def pearson_distance(first: Array, second: Array, weight: Array) -> float:
    """sqrt((1 - rho) / 2), as half the distance of the centred forms as unit vectors. weight: of
    each place, 1 in all."""
    units = []
    for form in (first, second):
        centred = np.sqrt(weight) * (form - (weight * form).sum())
        units.append(_unit(centred))
    return float(np.linalg.norm(units[0] - units[1]) / 2)
