"""What one optimiser trains: members of a reward model, with what is learned about annotators
beside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from accord.learning.annotators import JudgementParameters
from accord.learning.choices import centring, log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.optimizer import Optimizer
from accord.learning.parallel import ALONE, World
from accord.learning.session import State
from accord.learning.settings import OptimizerSettings, RewardSettings
from accord.models.heads import HeadOutput
from accord.models.scalar import ScalarModel, score_members
from accord.text.packing import PackedStream

TRAVEL = 5.0
"""How far parameters of annotators and scales can move in a run, in units of utility."""


@dataclass(frozen=True)
class Team:
    """Members and their parameters, one each; several members share one trunk."""

    members: Sequence[ScalarModel]
    parameters: Sequence[JudgementParameters]

    def each(self, said: Sequence[JudgedBatch]) -> Sequence[JudgedBatch]:
        """A batch for each member: its own, or the one that all learn from."""
        return said if len(said) > 1 else [*said] * len(self.members)

    def read(self, stream: PackedStream, said: Sequence[JudgedBatch]) -> list[HeadOutput]:
        """What every member says about the responses, and about the steps labelled in its own
        version of what was said."""
        return score_members(self.members, stream, [batch.step_ends(stream) for batch in said])

    def loss(
        self,
        stream: PackedStream,
        said: Sequence[JudgedBatch],
        whole: Sequence[JudgedBatch],
        settings: RewardSettings,
    ) -> tuple[Tensor, float]:
        """(this stream's part of the batch's loss: [], the part of it that is negative
        log-likelihood).

        said, whole: each member's version of what was said about the stream, and in the whole
        batch. The members' losses are averaged.
        """
        nll, spread = [], []
        for reading, batch, parameters, everything in zip(
            self.read(stream, said), said, self.parameters, whole, strict=True
        ):
            if not batch:
                continue  # none of it was drawn for this member
            found = log_likelihood(
                reading, batch, parameters.effects(), settings.label_smoothing, settings
            )
            nll.append(-found.sum / everything.weight)
            if settings.centring:
                mean = centring(reading.rewards_R, batch) / everything.compared_weight
                spread.append(settings.centring * mean)
        loss = torch.stack([*nll, *spread]).sum() / len(self.members)
        return loss, float(torch.stack(nll).sum().detach()) / len(self.members)

    def prior(self, judgements: float) -> None:
        """Accumulate the gradient of -log prior per judgement, of all there are."""
        for parameters in self.parameters:
            if list(parameters.parameters()):
                (parameters.penalty() / (judgements * len(self.members))).backward()

    def state(self) -> State:
        """Copies of everything trained, for a checkpoint; a shared trunk once."""
        return {
            "members": [m.state(trunk=i == 0) for i, m in enumerate(self.members)],
            "parameters": [p.state() for p in self.parameters],
        }

    def load(self, state: State) -> None:
        """Put back `state()`."""
        for i, (member, weights) in enumerate(zip(self.members, state["members"], strict=True)):
            member.load(weights, trunk=i == 0)
        for parameters, values in zip(self.parameters, state["parameters"], strict=True):
            parameters.load(values)


class Optimizers:
    """One for the weights; where annotators or scales are learned a second one, with a step size of
    its own.

    A threshold moves by units while the weights of a trunk move by thousandths: unless a rate is
    given, TRAVEL units are within reach of the run's steps (fewer in a run of less than a hundred).
    The second one warms up over a quarter of the steps, so that no annotator is taken for a
    contrarian before there is a reward to be contrary to.
    """

    def __init__(
        self,
        team: Team,
        settings: OptimizerSettings,
        annotator_rate: float | None,
        steps: int,
        world: World = ALONE,
    ) -> None:
        weights = {id(p): p for member in team.members for p in member.parameters()}
        self.first, self.second = Optimizer(weights.values(), settings, steps, world), None
        learned = [p for parameters in team.parameters for p in parameters.parameters()]
        if learned:
            rate = annotator_rate or min(
                0.1, 2 * TRAVEL / steps
            )  # rising and falling, its mean is half of the peak
            own = settings.changed(learning_rate=rate, weight_decay=0.0, warmup=0.25)
            self.second = Optimizer(learned, own, steps, world)

    def ready(self) -> None:
        """Make room for the gradients of the next update."""
        self.first.ready()
        if self.second is not None:
            self.second.ready()

    def step(self, where: str) -> dict[str, float]:
        """Update both; the metrics are those of the weights."""
        values = self.first.step(where)
        if self.second is not None:
            self.second.step(f"{where}, parameters of annotators and scales")
        return values

    def state(self) -> State:
        """Everything a bit-identical continuation needs."""
        return {"first": self.first.state(), "second": self.second.state() if self.second else None}

    def load(self, state: State) -> None:
        """Continue from `state()`."""
        self.first.load(state["first"])
        if self.second is not None:
            self.second.load(state["second"])
