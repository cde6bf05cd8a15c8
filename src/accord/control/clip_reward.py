"""A reward learned from comparisons of clips: an ensemble on (s, a, s'), or on s' alone, summed
over a clip's steps (Christiano et al. 2017 section 2.2.3).

Suffixes: C clips, L steps of a clip, I numbers of an input, M comparisons, E members, T, N as in
rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from accord.control.environments import ActionForm, Mask
from accord.control.episodes import Episode
from accord.control.networks import SmallNetOptimizer, StackedNet, aligned, without_denormals
from accord.control.rollouts import Steps
from accord.learning.likelihoods import bradley_terry, with_lapse
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.settings import Share
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.validation import Unit

HELD_OUT = 10
"""One comparison in so many is kept aside to tell how well the reward predicts."""
BOUND = 5.0
"""Deviations at which scaled inputs are cut."""


class ClipRewardSettings(SmallNetOptimizer):
    """A reward model on clips."""

    weight_decay: float = Field(0.01, ge=0, description="Decay of weights, per unit of step size.")
    sees: Literal["step", "outcome"] = Field(
        "step",
        description=(
            "What of a step is paid for; step: what was seen, what was done and what was seen then;"
            " outcome: what was seen then alone, of which fewer comparisons tell as much."
        ),
    )
    members: Annotated[int, Unit("members")] = Field(
        3, ge=1, description="Networks, each with its own bootstrap of the comparisons."
    )
    hidden: Annotated[int, Unit("units")] = Field(64, ge=1, description="Units of a layer.")
    layers: Annotated[int, Unit("layers")] = Field(2, ge=1, description="Hidden layers.")
    minibatch: Annotated[int, Unit("comparisons")] = Field(
        32, ge=1, description="Comparisons per update."
    )
    first_steps: StepCount = Field(300, ge=1, description="Updates on the first comparisons.")
    round_steps: StepCount = Field(100, ge=1, description="Updates when others have come.")
    lapse: Share = Field(
        0.1, ge=0, lt=1, description="Share of choices taken to fall on either clip alike."
    )


@dataclass(frozen=True)
class ComparedClips:
    """M comparisons of clips whose steps are inputs of the model: first, second [M, L, I];
    target_M: 1 where the first was preferred, 0 where the second was, 0.5 for a tie."""

    first_MLI: Array
    second_MLI: Array
    target_M: Array

    def __len__(self) -> int:
        return len(self.target_M)

    def joined(self, other: ComparedClips) -> ComparedClips:
        """These, then the other's."""
        return ComparedClips(
            *(np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(),
                                                   strict=True))
        )  # fmt: skip


class ClipReward:
    """The learned reward. Inputs are scaled by what the first clips were like, once and for all: a
    scale that moved would move what was learned. Each member's reward has mean 0 and deviation 1
    over the clips that were compared; `floor` is what the end of an episode pays (see
    `settle`)."""

    def __init__(
        self, settings: ClipRewardSettings, observation: int, form: ActionForm, seed: int
    ) -> None:
        self.settings, self.seed, self.form = settings, seed, form
        size = observation if settings.sees == "outcome" else 2 * observation + form.size
        self.net = StackedNet(size, settings.hidden, settings.layers, settings.members, seed)
        self.optimizer = Optimizer(self.net.parameters(), settings, 1)
        self.centre_I, self.spread_I = np.zeros(size), np.ones(size)
        self.mean_E, self.deviation_E = np.zeros(settings.members), np.ones(settings.members)
        self.floor, self.trained = 0.0, 0

    # --- inputs -----------------------------------------------------------------------------------
    def inputs(self, seen: Array, action: Array, then: Array) -> Array:
        """(s, a, s'), or s' alone, not scaled: [..., I]."""
        if self.settings.sees == "outcome":
            return then
        return np.concatenate([seen, self.form.read(action), then], -1)

    def of_steps(self, steps: Steps, which: Mask | None = None) -> Array:
        """Inputs of a rollout, [T, N, I], or of some of its steps, [B, I]."""
        parts = steps.observation_TNO, steps.action_TNA, steps.next_TNO
        return self.inputs(*(parts if which is None else (part[which] for part in parts)))

    def of_episode(self, episode: Episode) -> Array:
        """Inputs of an episode, or a piece of one: [L, I]."""
        seen_TO = episode.observation_TO
        return self.inputs(seen_TO[:-1], episode.action_TA, seen_TO[1:])

    def fix_scale(self, inputs_BI: Array) -> None:
        """Scale inputs by these from now on."""
        self.centre_I = inputs_BI.mean(0)
        self.spread_I = np.maximum(inputs_BI.std(0), 1e-3)

    def _scaled(self, inputs: Array) -> Tensor:
        scaled = np.clip((inputs - self.centre_I) / self.spread_I, -BOUND, BOUND)
        return aligned(scaled)

    # --- scores -----------------------------------------------------------------------------------
    def scores(self, clips_CLI: Array) -> Array:
        """Sums of each member's reward over clips, in nats of log-odds: [E, C]."""
        with torch.no_grad():
            sums: Array = self._sums(self._scaled(clips_CLI)).double().numpy()
            return sums

    def _sums(self, clips_CLI: Tensor) -> Tensor:
        count, steps, size = clips_CLI.shape[-3:]
        flat = clips_CLI.reshape(*clips_CLI.shape[:-3], count * steps, size)
        return self.net(flat).reshape(-1, count, steps).sum(-1)  # type: ignore[no-any-return]

    def member_rewards(self, inputs: Array) -> Array:
        """Of each member, mean 0 and deviation 1: [E, ...]."""
        with torch.no_grad():
            raw = self.net(self._scaled(inputs.reshape(-1, inputs.shape[-1]))).double().numpy()
        scaled = (raw - self.mean_E[:, None]) / self.deviation_E[:, None]
        each: Array = scaled.reshape(-1, *inputs.shape[:-1])
        return each

    def rewards(self, inputs: Array) -> Array:
        """The members' mean less the floor: [...]."""
        reward: Array = self.member_rewards(inputs).mean(0) - self.floor
        return reward

    # --- learning ---------------------------------------------------------------------------------
    @without_denormals()
    def learn(self, compared: ComparedClips, updates: int) -> dict[str, float]:
        """Updates on all comparisons but those held out; returns metrics, of which those of the
        held-out ones are missing where there are none."""
        aside = _aside(len(compared))
        rows = np.flatnonzero(~aside)
        weight_EM = self._bootstrap(len(compared))
        first, second = (self._scaled(one) for one in (compared.first_MLI, compared.second_MLI))
        target_M = torch.from_numpy(compared.target_M.astype(np.float32))
        total = 0.0
        for update in range(updates):
            rng = generator(self.seed, "comparisons", self.trained, update)
            picked = torch.from_numpy(rng.choice(rows, min(self.settings.minibatch, len(rows)),
                                                 replace=False))  # fmt: skip
            gap_EM = self._sums(first[picked]) - self._sums(second[picked])
            loss = (self._loss(gap_EM, target_M[picked]) * weight_EM[:, picked]).mean(1).sum()
            loss.backward()
            self.optimizer.step(f"update {update} on {len(compared)} comparisons")
            total += loss.item() / self.settings.members
        self.trained += 1
        self._normalise(compared)
        return {"judgement_nll": total / updates} | self._held_out(compared, aside)

    def _loss(self, gap_EM: Tensor, target_M: Tensor) -> Tensor:
        """-log P of what was chosen, of a soft choice its mean: [E, M]."""
        zero, lapse = torch.zeros_like(gap_EM), self.settings.lapse
        first = with_lapse(bradley_terry(gap_EM, zero), lapse)
        second = with_lapse(bradley_terry(zero, gap_EM), lapse)
        return -(target_M * first + (1 - target_M) * second)

    def _bootstrap(self, comparisons: int) -> Tensor:
        """How often each member's bootstrap has each comparison, which does not change when more
        come: [E, M]. Poisson, with mean 1; one member has all of them once."""
        members = self.settings.members
        if members == 1:
            return torch.ones(1, comparisons)
        drawn = [
            generator(self.seed, "bootstrap", member).poisson(1.0, comparisons)
            for member in range(members)
        ]
        return torch.from_numpy(np.stack(drawn).astype(np.float32))

    def _normalise(self, compared: ComparedClips) -> None:
        clips = np.concatenate([compared.first_MLI, compared.second_MLI])
        with torch.no_grad():
            flat = self._scaled(clips.reshape(-1, clips.shape[-1]))
            raw = self.net(flat).double().numpy()
        self.mean_E, self.deviation_E = raw.mean(1), np.maximum(raw.std(1), 1e-6)

    def _held_out(self, compared: ComparedClips, aside: Mask) -> dict[str, float]:
        strict = aside & (compared.target_M != 0.5)
        if not strict.any():
            return {}
        gap_EM = self.scores(compared.first_MLI[strict]) - self.scores(compared.second_MLI[strict])
        right = (gap_EM.mean(0) > 0) == (compared.target_M[strict] > 0.5)
        return {"heldout_agreement": float(right.mean())}

    def settle(self, ends_BI: Array) -> None:
        """Take the mean reward of steps that ended an episode as the floor that all rewards are
        told above. A learned reward has no zero of its own: with mean 0, whether ending pays would
        hang on its sign."""
        if len(ends_BI):
            self.floor = float(self.member_rewards(ends_BI).mean())

    def arrays(self) -> dict[str, Array]:
        """What scores: the members and all scales."""
        found = {name: p.detach().numpy() for name, p in self.net.named_parameters()}
        return found | {
            "centre": self.centre_I,
            "spread": self.spread_I,
            "mean": self.mean_E,
            "deviation": self.deviation_E,
            "floor": np.array([self.floor]),
        }

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {
            "net": trainable_state(self.net),
            "optimizer": self.optimizer.state(),
            "scale": [self.centre_I.tolist(), self.spread_I.tolist()],
            "normal": [self.mean_E.tolist(), self.deviation_E.tolist()],
            "floor": self.floor,
            "trained": self.trained,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        load_trainable(self.net, state["net"])
        self.optimizer.load(state["optimizer"])
        self.centre_I, self.spread_I = (np.array(one) for one in state["scale"])
        self.mean_E, self.deviation_E = (np.array(one) for one in state["normal"])
        self.floor, self.trained = float(state["floor"]), int(state["trained"])


def _aside(comparisons: int) -> Mask:
    """Which are kept aside."""
    aside: Mask = np.arange(comparisons) % HELD_OUT == HELD_OUT - 1
    return aside


def held_out(comparisons: int) -> int:
    """How many of so many are kept aside, the undecided ones among them."""
    return int(_aside(comparisons).sum())


def member_seed(seed: int) -> int:
    """Of the reward's own random numbers, under a run's."""
    return derive_seed(seed, "clip reward")
