"""How far two rewards lie apart, by episodes that are there: EPIC, STARC and the order of clips.

EPIC and STARC are sqrt((1 - rho) / 2), rho Pearson's correlation over the stored steps (s, a, s')
of what is left of the rewards once potentials are taken out (`accord.control.tabular.distances` has
both exactly, for small worlds). All here is correlated, so that constants are left out of forms.

    EPIC   R(s,a,s') + E[ g R(s',A,S') - R(s,A,S') ], A and S' drawn apart from each other and from
           s. It asks rewards about steps that cannot happen             Gleave et al. 2021
    STARC  what is left of R once the g f(s') - f(s) that comes nearest to it is taken off, f of a
           given form: the "minimal" canonical form of Skalse et al. 2024. It asks about steps that
           happened, and so can be told of what an environment paid, too

DARD (Wulfe et al. 2022) is left out: it asks what several actions lead to from one and the same
state, and for rewards of steps between the states that two of them lead to; an episode shows one.

Suffixes: N steps, K pairs of an action and an outcome, E episodes, C clips, P pairs of clips, O
numbers of an observation, A of an action, F of a potential's form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from accord.control.tabular.distances import pearson_distance
from accord.errors import DataError
from accord.statistics.clusters import (
    Clustered,
    clustered,
    effective_answers,
    quantile,
    spread_freedom,
)
from accord.statistics.intervals import Array, Index, Interval, share, without_ends

FLAT = 1e-5
"""A form that varies by less, measured at the reward's own size, is rounding: networks are of
single precision."""
ROUNDING = 1e-12
"""A squared distance that is rounding."""
FEWEST = 4
"""Episodes of two pairs that have none in common."""
CHUNK = 1 << 22
"""Numbers of what is asked of a network at once."""
PER_FEATURE = 20
"""Steps that there are at least for each number of a potential's form."""

Ask = Callable[[Array, Array, Array], Array]
"""A reward of (s [..., O], a [..., A], s' [..., O]): [...]."""
Measure = Callable[[Array], float]
"""By how much every episode counts, [E]: 1 each as they are, 0 for one that is left out. Not a
number where nothing counts that it is told by."""


class TooFewSteps(DataError):
    """Fewer than a potential's form needs."""


@dataclass(frozen=True)
class StoredSteps:
    """Steps of episodes. episode_N: whose each is, from 0 on."""

    seen_NO: Array
    action_NA: Array
    next_NO: Array
    episode_N: Index

    def __len__(self) -> int:
        return len(self.episode_N)


def epic(first: Ask, second: Ask, steps: StoredSteps, pairs_K2: Index, gamma: float) -> Measure:
    """pairs: the steps whose action and whose outcome stand for (A, S'). Raises DataError for a
    reward that is nothing but a potential."""
    pair_episode_K2 = steps.episode_N[pairs_K2]
    asked = [_asked(ask, steps, pairs_K2, gamma) for ask in (first, second)]

    def forms(weight_K: Array) -> list[Array]:
        return [paid_N + ahead_NK @ (weight_K / weight_K.sum()) for paid_N, ahead_NK in asked]

    for number, (form_N, (paid_N, ahead_NK)) in enumerate(
        zip(forms(np.ones(len(pairs_K2))), asked, strict=True)
    ):
        _check_varies(form_N, max(np.abs(paid_N).max(), np.abs(ahead_NK).max()), number)

    def measure(weight_E: Array) -> float:
        weight_K = weight_E[pair_episode_K2].prod(1)
        if not weight_K.any():
            return float("nan")
        first_N, second_N = forms(weight_K)
        return pearson_distance(first_N, second_N, _shares(weight_E, steps.episode_N))

    return measure


def _asked(ask: Ask, steps: StoredSteps, pairs_K2: Index, gamma: float) -> tuple[Array, Array]:
    """(R(s,a,s') [N], g R(s',A,S') - R(s,A,S') [N, K])."""
    action_KA, next_KO = steps.action_NA[pairs_K2[:, 0]], steps.next_NO[pairs_K2[:, 1]]
    size = len(pairs_K2)
    rows = max(1, CHUNK // (size * (2 * next_KO.shape[1] + action_KA.shape[1])))

    def of_states(state_NO: Array) -> Array:
        found = []
        for at in range(0, len(state_NO), rows):
            part_NO = state_NO[at : at + rows]
            count = len(part_NO)
            found.append(
                ask(
                    np.repeat(part_NO, size, 0),
                    np.tile(action_KA, (count, 1)),
                    np.tile(next_KO, (count, 1)),
                ).reshape(count, size)
            )
        return np.concatenate(found)

    paid_N = ask(steps.seen_NO, steps.action_NA, steps.next_NO)
    return paid_N, gamma * of_states(steps.next_NO) - of_states(steps.seen_NO)


def potential_features(seen_NO: Array, next_NO: Array, gamma: float) -> Array:
    """g f(s') - f(s) for each f of the richest form that there are steps enough for: [N, F].

    The form: all products of two numbers that are observed, or their squares alone, and the numbers
    themselves. Raises DataError where there are too few steps for these.
    """
    both = np.concatenate([seen_NO, next_NO])
    spread_O = both.std(0)
    moves_O = spread_O > 0
    scaled = [((one - both.mean(0)) / np.where(moves_O, spread_O, 1))[:, moves_O] for one in
              (seen_NO, next_NO)]  # fmt: skip
    numbers = int(moves_O.sum())
    most = len(seen_NO) // PER_FEATURE
    if numbers > most:
        raise TooFewSteps(
            f"{len(seen_NO):,} steps of {numbers:,} numbers each are too few to tell potentials",
            f"use at least {numbers * PER_FEATURE:,} steps",
        )
    one_Q, other_Q = np.triu_indices(numbers)
    if numbers + len(one_Q) > most:
        one_Q = other_Q = np.arange(numbers if 2 * numbers <= most else 0)
    form = [np.concatenate([z[:, one_Q] * z[:, other_Q], z], 1) for z in scaled]
    found: Array = gamma * form[1] - form[0]
    return found


def starc(first_N: Array, second_N: Array, features_NF: Array, episode_N: Index) -> Measure:
    """Of rewards told step by step. Raises DataError for a reward that is nothing but a potential
    of the form."""
    whole_NF = np.concatenate([np.ones((len(features_NF), 1)), features_NF], 1)
    left, size, _ = np.linalg.svd(whole_NF, full_matrices=False)
    span_NF = left[:, size > size[0] * 1e-9]
    rest = []
    for number, paid_N in enumerate((first_N, second_N)):
        rest.append(paid_N - span_NF @ (span_NF.T @ paid_N))
        _check_varies(rest[-1], np.abs(paid_N).max(), number)

    def measure(weight_E: Array) -> float:
        weight_N = _shares(weight_E, episode_N)
        weighed_FN = (weight_N[:, None] * span_NF).T
        both_N2 = np.stack(rest, 1)
        fitted = np.linalg.lstsq(weighed_FN @ span_NF, weighed_FN @ both_N2, rcond=1e-10)[0]
        left_N2 = both_N2 - span_NF @ fitted
        return pearson_distance(left_N2[:, 0], left_N2[:, 1], weight_N)

    return measure


def interval(measure: Measure, episodes: int) -> Interval:
    """Distance and its 95 % interval: Student's t on the logarithm of (1 + rho) / (1 - rho), by the
    jackknife over episodes. Without ends for one episode, where all say the same, and where one has
    all there is to tell it by."""
    value = measure(np.ones(episodes))
    told = _jackknife(lambda weight_E: _log_ratio(measure(weight_E)), episodes)
    if told is None or not told.variance:
        return without_ends(value)
    reach = quantile(spread_freedom(told)) * float(np.sqrt(told.variance))
    middle = _log_ratio(value)
    low, high = (1 / np.sqrt(1 + np.exp(middle + sign * reach)) for sign in (1, -1))
    return Interval(value, float(low), float(high))


def ordered_alike(score_2C: Array, episode_C: Index, pairs_P2: Index) -> Interval:
    """Share of pairs of clips, each of two episodes, that both rewards order alike; who calls a
    pair equal agrees by half with who does not.

    The interval is that of a share at as many independent answers as have the jackknife's variance
    over episodes; they are never fewer than pairs of episodes that have none in common. Without
    ends for fewer than four episodes, and where one has a clip of every pair.
    """
    order_2P = np.sign(score_2C[:, pairs_P2[:, 0]] - score_2C[:, pairs_P2[:, 1]])
    alike_P = 1 - np.abs(order_2P[0] - order_2P[1]) / 2
    own_C = np.unique(episode_C, return_inverse=True)[1]
    of_P2, episodes = own_C[pairs_P2], int(own_C.max()) + 1

    def measure(weight_E: Array) -> float:
        weight_P = weight_E[of_P2].prod(1)
        return float(np.average(alike_P, weights=weight_P)) if weight_P.any() else float("nan")

    value = measure(np.ones(episodes))
    told = _jackknife(measure, episodes) if episodes >= FEWEST else None
    if told is None:
        return without_ends(value)
    told = replace(told, effective=float(episodes // 2))
    answers = effective_answers(value, told.variance or 0.0, told, float(len(alike_P)))
    found = share(value * answers, answers)
    return Interval(value, found.low, found.high)


def _jackknife(measure: Measure, episodes: int) -> Clustered | None:
    """The mean of what each episode adds, E m - (E - 1) m without it; its variance is the
    jackknife's. None for one episode, and where nothing is left without one of them."""
    if episodes < 2:
        return None
    ones_E = np.ones(episodes)
    without_E = np.array([measure(ones_E - row_E) for row_E in np.eye(episodes)])
    if np.isnan(without_E).any():
        return None
    return clustered(episodes * measure(ones_E) - (episodes - 1) * without_E, ones_E)


def _log_ratio(distance: float) -> float:
    """log (1 + rho) / (1 - rho); as far as it can be told from infinity."""
    apart = float(np.clip(distance**2, ROUNDING, 1 - ROUNDING))
    return float(np.log1p(-apart) - np.log(apart))


def _shares(weight_E: Array, episode_N: Index) -> Array:
    weight_N = weight_E[episode_N]
    found: Array = weight_N / weight_N.sum()
    return found


def _check_varies(form_N: Array, size: float, number: int) -> None:
    if form_N.std() <= FLAT * size:
        raise DataError(
            f"the {('first', 'second')[number]} reward pays the same for every step, but for a"
            " potential: it orders nothing, and has no distance",
            "name another reward, or episodes in which it differs",
        )
