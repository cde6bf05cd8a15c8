"""Steps of a policy in a batch of environments, as arrays, cut into episodes.

Suffixes: T steps, N environments, O numbers of an observation, A of an action, S of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from accord.control.environments import ActionForm, EnvironmentBatch, Mask
from accord.statistics.intervals import Array, Index

Act = Callable[[Array, np.random.Generator], tuple[Array, Array]]
"""(observations [N, O], random numbers) -> actions [N, A], their log-probabilities [N]."""


@dataclass(frozen=True)
class Steps:
    """T steps of N environments. next: what was seen after a step and before any reset; state,
    then: physics states before and after each step, where there are any; begun: how many steps of
    its episode came before the first row [N]."""

    observation_TNO: Array
    action_TNA: Array
    next_TNO: Array
    reward_TN: Array
    log_p_TN: Array
    terminated_TN: Mask
    truncated_TN: Mask
    state_TNS: Array | None
    then_TNS: Array | None
    begun_N: Index

    @property
    def size(self) -> int:
        return self.reward_TN.size

    @property
    def ended_TN(self) -> Mask:
        """By the task or by time."""
        return self.terminated_TN | self.truncated_TN

    def begun_at(self, environment: int, row: int) -> int:
        """How many steps of its episode came before a row where a piece begins."""
        return int(self.begun_N[environment]) if row == 0 else 0

    def pieces(self) -> list[tuple[int, int, int]]:
        """(environment, first row, row after the last) of every piece of an episode, environment by
        environment."""
        found = []
        total = len(self.reward_TN)
        for n, ended_T in enumerate(self.ended_TN.T):
            start = 0
            for end in [*(np.flatnonzero(ended_T) + 1).tolist(), total]:
                if end > start:
                    found.append((n, start, end))
                start = end
        return found


class Walker:
    """Steps environments by a policy, and begins new episodes where they end. elapsed_N: steps of
    the present episodes."""

    def __init__(self, environments: EnvironmentBatch) -> None:
        self.environments = environments
        self.elapsed_N = np.zeros(environments.count, dtype=np.int64)

    def begin(self, rng: np.random.Generator, elsewhere: float = 0.0) -> None:
        """New episodes everywhere."""
        self.environments.reset(np.arange(self.environments.count), rng, elsewhere)
        self.elapsed_N[:] = 0

    def walk(
        self,
        act: Act,
        steps: int,
        rng: np.random.Generator,
        elsewhere: float = 0.0,
        watch: Callable[[], None] | None = None,
    ) -> Steps:
        """`steps` of all environments. watch: called before each step, to look at them."""
        env, begun_N = self.environments, self.elapsed_N.copy()
        rows: list[tuple[Any, ...]] = []
        states: list[Array | None] = []
        after: list[Array | None] = []
        seen_NO = env.observe()
        for _ in range(steps):
            states.append(env.states())
            if watch is not None:
                watch()
            action_NA, log_p_N = act(seen_NO, rng)
            stepped = env.step(action_NA)
            after.append(env.states())
            rows.append(
                (
                    seen_NO,
                    action_NA,
                    stepped.observation_NO,
                    stepped.reward_N,
                    log_p_N,
                    stepped.terminated_N,
                    stepped.truncated_N,
                )
            )
            self.elapsed_N += 1
            ended_R = np.flatnonzero(stepped.ended_N)
            seen_NO = stepped.observation_NO
            if len(ended_R):
                env.reset(ended_R, rng, elsewhere)
                self.elapsed_N[ended_R] = 0
                seen_NO = env.observe()
        seen, action, then, reward, log_p, terminated, truncated = (
            np.stack(column) for column in zip(*rows, strict=True)
        )
        return Steps(
            seen,
            action,
            then,
            reward,
            log_p,
            terminated,
            truncated,
            _stacked(states),
            _stacked(after),
            begun_N,
        )

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Where the environments are; without them where their state cannot be set."""
        memory = self.environments.memory()
        known = None if memory is None else {k: torch.from_numpy(v) for k, v in memory.items()}
        return {"elapsed": self.elapsed_N.tolist(), "environments": known}

    def load(self, state: Mapping[str, Any]) -> bool:
        """Continue from `state()`, to the bit; False, and nothing is done, where the environments'
        state cannot be set."""
        memory: dict[str, Any] | None = state["environments"]
        if memory is None:
            return False
        self.environments.recall({name: one.numpy() for name, one in memory.items()})
        self.elapsed_N = np.array(state["elapsed"], dtype=np.int64)
        return True


def _stacked(rows: list[Array | None]) -> Array | None:
    known = [one for one in rows if one is not None]
    return np.stack(known) if known else None


def at_random(form: ActionForm) -> Act:
    """A policy that takes every action equally often."""

    def act(seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        count = len(seen_NO)
        if form.kind == "discrete":
            log_p = -np.log(form.size)
            action_NA = rng.integers(form.size, size=(count, 1)).astype(np.float64)
            return action_NA, np.full(count, log_p)
        log_p = -float(np.log(form.high_A - form.low_A).sum())
        return rng.uniform(form.low_A, form.high_A, (count, form.size)), np.full(count, log_p)

    return act


def joined(walks: Sequence[Steps]) -> Steps:
    """Walks as one, each going on where the one before it ended."""
    first = walks[0]
    if len(walks) == 1:
        return first
    all_of_them = {
        field.name: np.concatenate([getattr(one, field.name) for one in walks])
        for field in fields(Steps)
        if field.name != "begun_N" and getattr(first, field.name) is not None
    }
    return replace(first, **all_of_them)
