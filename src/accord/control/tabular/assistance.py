"""Assistance games, solved exactly: a robot does what a person wants without being told which of
several goals it is, while the person shows or answers (cooperative inverse reinforcement learning:
Hadfield-Menell et al. 2016).

The person's part is a way of speaking that both know: P(word | goal), by what the robot does in
that step. What the robot then knows is a belief, and the game a decision process over beliefs.
Beliefs depend on how often which word was heard, not in which order: that makes it small.

Suffixes: X states seen by all, A actions of the robot, G goals, O words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from accord.control.tabular.mdp import FiniteMdp, check_probabilities, finite_q, one_hot
from accord.errors import DataError
from accord.statistics.intervals import Array, Index

Heard = tuple[tuple[int, ...], ...]
"""How often each word was heard, by channel."""


@dataclass(frozen=True)
class AssistanceGame:
    """mdp: what moves by the robot's actions; reward_GXA; prior_G: of the goals; channels: [G, O]
    each, P(word | goal); channel_A: over which the person speaks during each action.

    Raises DataError for words and goals that do not sum to 1, and rewards of another world.
    """

    mdp: FiniteMdp
    reward_GXA: Array
    prior_G: Array
    channels: tuple[Array, ...]
    channel_A: Index

    def __post_init__(self) -> None:
        wanted = (len(self.prior_G), self.mdp.states, self.mdp.actions)
        if self.reward_GXA.shape != wanted:
            raise DataError(f"rewards {self.reward_GXA.shape}", f"give {wanted}")
        check_probabilities(self.prior_G, "the goal")
        for number, said_GO in enumerate(self.channels):
            check_probabilities(said_GO, f"channel {number}, goal {{}}: the word")

    def belief(self, heard: Heard) -> Array:
        """P(goal) after these words: [G]."""
        weight_G = self.prior_G.copy()
        for said_GO, count_O in zip(self.channels, heard, strict=True):
            weight_G = weight_G * np.prod(said_GO ** np.array(count_O), axis=1)
        found: Array = weight_G / weight_G.sum()
        return found


Choose = Callable[[int, Array, Array], Array]
"""The policy [X, A] with so many steps left, a belief [G], and the values of the actions [X, A] if
the same chooser goes on."""


def play(game: AssistanceGame, horizon: int, choose: Choose) -> Array:
    """What the chooser gets over the horizon, on average over goals and words, by first state:
    [X]."""
    known: dict[tuple[int, Heard], Array] = {}

    def value(left: int, heard: Heard) -> Array:
        if left == 0:
            return np.zeros(game.mdp.states)
        if (left, heard) not in known:
            belief_G = game.belief(heard)
            q_XA = np.tensordot(belief_G, game.reward_GXA, 1)
            for channel, said_GO in enumerate(game.channels):
                actions = np.flatnonzero(game.channel_A == channel)
                if len(actions):
                    next_X = sum(
                        p * value(left - 1, _with(heard, channel, word))
                        for word, p in enumerate(belief_G @ said_GO)
                        if p > 0
                    )
                    ahead_XA = game.mdp.transition_SAS[:, actions] @ np.asarray(next_X)
                    q_XA[:, actions] += game.mdp.discount * ahead_XA
            known[left, heard] = (choose(left, belief_G, q_XA) * q_XA).sum(1)
        return known[left, heard]

    return value(horizon, tuple((0,) * said.shape[1] for said in game.channels))


def _with(heard: Heard, channel: int, word: int) -> Heard:
    """One word more; a channel of one word tells nothing and is not counted."""
    own = heard[channel]
    if len(own) == 1:
        return heard
    more = (*own[:word], own[word] + 1, *own[word + 1 :])
    return (*heard[:channel], more, *heard[channel + 1 :])


# --- choosers -------------------------------------------------------------------------------------
def planning(left: int, belief_G: Array, q_XA: Array) -> Array:
    """The optimum: it reckons with all that it will hear."""
    del left, belief_G
    return one_hot(q_XA.argmax(1), q_XA.shape[1])


def told(game: AssistanceGame, horizon: int) -> Array:
    """The values of the actions if the goal is known, with `horizon` steps left down to one:
    [G, H, X, A]."""
    return np.stack([finite_q(game.mdp, own_XA, horizon) for own_XA in game.reward_GXA])


def learn_then_act(game: AssistanceGame, horizon: int, steps: int, asking: int) -> Choose:
    """First takes the action `asking` so many steps; then acts on the mean value over goals, as if
    all became known after the next step (QMDP): it does nothing any more in order to learn."""
    q_GHXA = told(game, horizon)

    def choose(left: int, belief_G: Array, q_XA: Array) -> Array:
        states, actions = q_XA.shape
        if horizon - left < steps:
            return one_hot(np.full(states, asking), actions)
        mean_XA = np.tensordot(belief_G, q_GHXA[:, horizon - left], 1)
        return one_hot(mean_XA.argmax(1), actions)

    return choose


def myopic(game: AssistanceGame) -> Choose:
    """Takes what is best in this step, by what was heard so far."""

    def choose(left: int, belief_G: Array, q_XA: Array) -> Array:
        now_XA = np.tensordot(belief_G, game.reward_GXA, 1)
        return one_hot(now_XA.argmax(1), q_XA.shape[1])

    return choose


def choosers(
    game: AssistanceGame, horizon: int, first: Sequence[int], asking: int
) -> dict[str, Choose]:
    """All that are compared: plans, myopic, and first_N, which asks in so many steps first."""
    found: dict[str, Choose] = {"plans": planning, "myopic": myopic(game)}
    return found | {f"first_{n}": learn_then_act(game, horizon, n, asking) for n in first}
