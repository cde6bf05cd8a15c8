"""What one optimiser trains: members of a reward model, with what is learned about annotators beside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.judgements import Form, JudgedGroup, step_positions
from accord.learning.optimizer import Optimizer, OptimizerSettings
from accord.learning.session import State
from accord.models.heads import Reading
from accord.models.scalar import ScalarModel
from accord.text.packing import PackedStream


@dataclass(frozen=True)
class Team:
    """Members and their parameters, one each."""

    members: Sequence[ScalarModel]
    parameters: Sequence[JudgementParameters]

    def read(self, stream: PackedStream, groups: Sequence[JudgedGroup]) -> list[Reading]:
        """What every member says about the responses and labelled steps of `groups`."""
        at_P = step_positions(stream, groups)
        return [member.read(stream, at_P) for member in self.members]

    def log_likelihood(
        self, stream: PackedStream, groups: Sequence[JudgedGroup], form: Form, smoothing: float
    ) -> Tensor:
        """Log-probability of all judgements, summed over them and over members: []."""
        found = [
            log_likelihood(reading, groups, parameters.effects(), smoothing, form).sum()
            for reading, parameters in zip(self.read(stream, groups), self.parameters, strict=True)
        ]
        return torch.stack(found).sum()

    def prior(self, judgements: int) -> None:
        """Accumulate the gradient of -log prior per judgement, of all there are."""
        for parameters in self.parameters:
            if list(parameters.parameters()):
                (parameters.penalty() / (judgements * len(self.members))).backward()

    def state(self) -> State:
        """Copies of everything trained, for a checkpoint."""
        return {"members": [m.state() for m in self.members], "parameters": [p.state() for p in self.parameters]}

    def load(self, state: State) -> None:
        """Put back `state()`."""
        for member, weights in zip(self.members, state["members"], strict=True):
            member.load(weights)
        for parameters, values in zip(self.parameters, state["parameters"], strict=True):
            parameters.load(values)


class Optimizers:
    """One for the weights; where annotators or scales are learned a second one, with a step size of its own.

    A threshold moves by units while the weights of a trunk move by thousandths.
    """

    def __init__(self, team: Team, settings: OptimizerSettings, annotator_rate: float, steps: int) -> None:
        weights = {id(p): p for member in team.members for p in member.parameters()}
        self.first, self.second = Optimizer(weights.values(), settings, steps), None
        learned = [p for parameters in team.parameters for p in parameters.parameters()]
        if learned:
            own = replace(settings, learning_rate=annotator_rate, weight_decay=0.0, warmup=0.0)
            self.second = Optimizer(learned, own, steps)

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
