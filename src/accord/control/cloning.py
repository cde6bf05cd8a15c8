"""Behavioural cloning, and DAgger (Ross, Gordon and Bagnell 2011, algorithm 3.1).

Cloning maximises the likelihood of the demonstrated actions, mean of log pi(a | s), under the
policy's own network: nothing tells it what to do where the expert never was, so that its errors
grow along an episode (compounding, at worst with the square of the horizon). DAgger goes where the
learner goes: in round i the expert acts in a share beta^(i - 1) of the steps and the learner in the
others, the expert says what it would have done in every one of them, and the policy is cloned anew
from all that was said so far.

Suffixes: S steps, A numbers of an action, N environments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from accord.control.demonstrations import ShownSteps, walked_steps
from accord.control.environments import EnvironmentBatch
from accord.control.networks import SmallNetOptimizer, aligned, without_denormals
from accord.control.ppo import VectorPpo
from accord.control.rollouts import Act, Walker
from accord.control.running import RunningScale
from accord.errors import DataError, RunError
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.settings import Share
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array, Index
from accord.validation import Settings, Unit


class CloningSettings(SmallNetOptimizer):
    """Maximum likelihood of demonstrated actions, stopped by those that were kept aside."""

    weight_decay: float = Field(0.1, ge=0, description="Decay of weights, per unit of step size.")
    minibatch: StepCount = Field(128, ge=1, description="Demonstrated steps per update.")
    passes: Annotated[int, Unit("passes")] = Field(
        200, ge=1, description="Passes over the demonstrations, at most."
    )
    held_out: Share = Field(
        0.1, gt=0, lt=1, description="Demonstrated steps kept aside, drawn at random."
    )
    patience: Annotated[int, Unit("passes")] = Field(
        10,
        ge=1,
        description=(
            "Stop after so many passes in a row that are no better on what was kept aside; the best"
            " weights are kept."
        ),
    )


class DaggerSettings(Settings):
    """How DAgger asks."""

    rounds: Annotated[int, Unit("rounds")] = Field(
        4, ge=2, description="Rounds, each of as many episodes; the expert alone acts in the first."
    )
    beta: Share = Field(
        0.5, ge=0, le=1, description="The expert's share of the steps falls by this every round."
    )


@dataclass(frozen=True)
class Cloned:
    """passes: over the demonstrations; held_out: -log pi of the kept weights, in nats per step that
    was kept aside."""

    passes: int
    held_out: float


@without_denormals()
def clone(learner: VectorPpo, shown: ShownSteps, settings: CloningSettings, seed: int) -> Cloned:
    """Make a learner's policy the likeliest one for what was shown; its value is left as it is.
    Raises DataError for fewer than two steps, RunError for a loss that is not finite."""
    if len(shown) < 2:
        raise DataError(
            f"{len(shown)} demonstrated steps", "give two or more: some are kept aside to stop by"
        )
    learner.seen.load(RunningScale(shown.seen_SO.shape[1]).state())
    learner.seen.add(shown.seen_SO)
    seen_SO, action_SA = aligned(learner.seen.scaled(shown.seen_SO)), aligned(shown.action_SA)
    order = generator(seed, "held out").permutation(len(shown))
    aside_S, rows = np.split(order, [max(1, round(settings.held_out * len(shown)))])
    model = learner.model
    trained = [p for p in (*model.policy.parameters(), model.log_deviation_A) if p.requires_grad]
    batches = -(-len(rows) // settings.minibatch)
    optimizer = Optimizer(trained, settings, settings.passes * batches)

    def loss_of(which: Index) -> Tensor:
        return -model.log_p(seen_SO[which], action_SA[which])[0].mean()

    best, best_weights, since, done = np.inf, trainable_state(model), 0, 0
    while done < settings.passes and since < settings.patience:
        shuffled = generator(seed, "pass", done).permutation(rows)
        for number, part in enumerate(np.array_split(shuffled, batches)):
            loss_of(part).backward()
            optimizer.step(f"pass {done + 1}, update {number + 1} of cloning")
        done += 1
        with torch.no_grad():
            now = loss_of(aside_S).item()
        if not np.isfinite(now):
            raise RunError(
                f"-log pi of what was kept aside is {now} after pass {done} of cloning",
                "lower the learning rate",
            )
        since = 0 if now < best else since + 1
        if now < best:
            best, best_weights = now, trainable_state(model)
    load_trainable(model, best_weights)
    return Cloned(done, best)


def dagger(
    fresh: Callable[[], VectorPpo],
    environments: EnvironmentBatch,
    expert: Act,
    first: ShownSteps,
    steps: int,
    settings: DaggerSettings,
    cloning: CloningSettings,
    seed: int,
) -> tuple[VectorPpo, ShownSteps]:
    """(the policy of the last round, all that the expert said). fresh: makes an untrained policy;
    environments: as many as a round has episodes of `steps` each; first: what was shown in the
    first round, in which the expert acts alone."""
    said, walker = first, Walker(environments)
    for number in range(1, settings.rounds + 1):
        learner = fresh()
        clone(learner, said, cloning, derive_seed(seed, "round", number))
        if number == settings.rounds:
            break
        asked = _MixedPolicy(learner.actor(), expert, settings.beta**number)
        rng = generator(seed, "walk", number)
        walker.begin(rng)
        walked = walker.walk(asked, steps, rng)
        told = replace(walked_steps(walked), action_SA=np.concatenate(asked.said))
        said = said.joined(told)
    return learner, said


class _MixedPolicy:
    """A policy in which the expert acts in a share of the steps, drawn step by step, and says what
    it would do in all of them."""

    def __init__(self, learner: Act, expert: Act, beta: float) -> None:
        self.learner, self.expert, self.beta = learner, expert, beta
        self.said: list[Array] = []

    def __call__(self, seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        own_NA, _ = self.learner(seen_NO, rng)
        told_NA, _ = self.expert(seen_NO, rng)
        self.said.append(told_NA)
        takes_N = rng.random(len(seen_NO)) < self.beta
        acts_NA = np.where(takes_N[:, None], told_NA, own_NA)
        return acts_NA, np.full(len(seen_NO), np.nan)  # of the mixture: nobody learns from it
