"""A reward learned from what is said of clips: an ensemble on (s, a, s'), or on s' alone, summed
over a clip's steps (Christiano et al. 2017 section 2.2.3).

Suffixes: C clips, L steps of a clip, I numbers of an input, M judgements, R their options, O all
options, P clips or pairs of options, E members, T, N as in rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from accord.control.environments import ActionForm, Mask
from accord.control.episodes import Episode
from accord.control.judged_clips import JudgedClips
from accord.control.networks import SmallNetOptimizer, StackedNet, aligned, without_denormals
from accord.control.rollouts import Steps
from accord.learning.annotators import JudgementParameters, LearnedValues, check_reward_sign
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.settings import Share
from accord.learning.settings import Steps as StepCount
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array, Index
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
        3, ge=1, description="Networks, each with its own bootstrap of the judgements."
    )
    hidden: Annotated[int, Unit("units")] = Field(64, ge=1, description="Units of a layer.")
    layers: Annotated[int, Unit("layers")] = Field(2, ge=1, description="Hidden layers.")
    minibatch: Annotated[int, Unit("comparisons")] = Field(
        32, ge=1, description="Comparisons per update."
    )
    first_steps: StepCount = Field(300, ge=1, description="Updates on the first comparisons.")
    round_steps: StepCount = Field(100, ge=1, description="Updates when others have come.")
    anew_steps: StepCount = Field(
        0,
        ge=0,
        description=(
            "Updates, on all that was judged so far, of networks that begin anew where the policy"
            " does: what is learned first, from little, is hard to forget; 0: they stay."
        ),
    )
    annotator_rate: float = Field(
        0.005, gt=0, description="Step size of what is learned about annotators and scales."
    )
    lapse: Share = Field(
        0.1, ge=0, lt=1, description="Share of choices taken to fall on any of the answers alike."
    )
    lapses: Literal["alike", "each"] = Field(
        "alike",
        description=(
            "Whose it is; alike: everybody's; each: learned of every annotator, beginning there."
        ),
    )

    @model_validator(mode="after")
    def _begin_above_0(self) -> ClipRewardSettings:
        if self.lapses == "each" and not self.lapse:
            raise ValueError("lapses: each begin at lapse, which is 0: use 0.1")
        return self


class ClipReward:
    """The learned reward. Inputs are scaled by what the first clips were like, once and for all: a
    scale that moved would move what was learned. Each member's reward has mean 0 and deviation 1
    over the clips that were compared; `floor` is what the end of an episode pays (see
    `settle`).

    absorbs: what ended stays as it is until its time is over (`horizon: absorb`). A step that
    changes nothing is then one of an episode that is over, and all of these are one and the same
    input, told apart from the others (Kostrikov et al. 2019, "Discriminator-actor-critic"). Were
    each what it looks like, whole clips could be told from where they ended: most steps of a clip
    are that one, and a policy would learn to fall where long episodes had ended."""

    def __init__(
        self,
        settings: ClipRewardSettings,
        observation: int,
        form: ActionForm,
        seed: int,
        absorbs: bool = False,
    ) -> None:
        self.settings, self.seed, self.form, self.absorbs = settings, seed, form, absorbs
        size = observation if settings.sees == "outcome" else 2 * observation + form.size
        size += absorbs
        self._begin(size, seed)
        self.centre_I, self.spread_I = np.zeros(size), np.ones(size)
        self.mean_E, self.deviation_E = np.zeros(settings.members), np.ones(settings.members)
        self.floor, self.trained = 0.0, 0
        self.learned: list[LearnedValues] = []

    def _begin(self, size: int, seed: int) -> None:
        settings = self.settings
        self.net = StackedNet(size, settings.hidden, settings.layers, settings.members, seed)
        self.optimizer = Optimizer(self.net.parameters(), settings, 1)

    def begin_anew(self) -> None:
        """Networks that have learned nothing yet; the scale of their inputs stays."""
        self._begin(len(self.centre_I), derive_seed(self.seed, "anew", self.trained))

    # --- inputs -----------------------------------------------------------------------------------
    def inputs(self, seen: Array, action: Array, then: Array) -> Array:
        """(s, a, s'), or s' alone, not scaled, and last, where it absorbs, whether the episode was
        over: [..., I]."""
        outcome = self.settings.sees == "outcome"
        parts = [then] if outcome else [seen, self.form.read(action), then]
        if self.absorbs:
            parts.append((seen == then).all(-1, keepdims=True).astype(np.float64))
        return np.concatenate(parts, -1)

    def staying(self, seen_NO: Array) -> Array:
        """Inputs of steps that change nothing, though nothing is over: [N, I]."""
        still_NA = np.zeros((len(seen_NO), self.form.numbers))
        inputs_NI = self.inputs(seen_NO, still_NA, seen_NO)
        if self.absorbs:
            inputs_NI[:, -1] = 0
        return inputs_NI

    def of_steps(self, steps: Steps, which: Mask | None = None) -> Array:
        """Inputs of a rollout, [T, N, I], or of some of its steps, [B, I]."""
        parts = steps.observation_TNO, steps.action_TNA, steps.next_TNO
        return self.inputs(*(parts if which is None else (part[which] for part in parts)))

    def of_episode(self, episode: Episode) -> Array:
        """Inputs of an episode, or a piece of one: [L, I]."""
        seen_TO = episode.observation_TO
        return self.inputs(seen_TO[:-1], episode.action_TA, seen_TO[1:])

    def fix_scale(self, inputs_BI: Array) -> None:
        """Scale inputs by these from now on; where it absorbs, by those that were not over."""
        if self.absorbs and not inputs_BI[:, -1].all():
            inputs_BI = inputs_BI[inputs_BI[:, -1] == 0]
        self.centre_I = inputs_BI.mean(0)
        self.spread_I = np.maximum(inputs_BI.std(0), 1e-3)
        if self.absorbs:
            self.centre_I[-1], self.spread_I[-1] = 0, 1

    def scaled(self, inputs: Array) -> Array:
        """Inputs as the networks see them: [..., I]."""
        scaled: Array = np.clip((inputs - self.centre_I) / self.spread_I, -BOUND, BOUND)
        if self.absorbs:
            scaled[..., :-1] *= 1 - inputs[..., -1:]  # whatever it looks like
        return scaled

    def _scaled(self, inputs: Array) -> Tensor:
        return aligned(self.scaled(inputs))

    # --- scores -----------------------------------------------------------------------------------
    def scores(self, clips_CLI: Array, there_CL: Mask | None = None) -> Array:
        """Sums of each member's reward over clips (where there are steps), in nats of log-odds: [E,
        C]."""
        there = None if there_CL is None else torch.tensor(there_CL)
        with torch.no_grad():
            sums: Array = self._sums(self._scaled(clips_CLI), there).double().numpy()
            return sums

    def _sums(self, clips_CLI: Tensor, there_CL: Tensor | None) -> Tensor:
        count, steps, size = clips_CLI.shape
        reward_ECL = self.net(clips_CLI.reshape(count * steps, size)).reshape(-1, count, steps)
        if there_CL is not None:
            reward_ECL = reward_ECL * there_CL
        return reward_ECL.sum(-1)  # type: ignore[no-any-return]

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
    def begin_unsure(self, judged: JudgedClips) -> None:
        """Before anything is learned: let each member's scores of what was judged deviate by a nat
        at most. Of long clips an untrained network is tens of nats sure; where it is sure and
        wrong, an answer is taken for a lapse, and teaches next to nothing."""
        sums_EC = self.scores(judged.clips_CLI, judged.there_CL)
        deviation_E = judged.of_options(sums_EC)[:, judged.options_of(range(len(judged)))].std(1)
        weight, bias = self.net.weights[-1], self.net.biases[-1]
        with torch.no_grad():
            least_E = aligned(1 / np.maximum(deviation_E, 1))[:, None, None]
            weight.mul_(least_E)
            bias.mul_(least_E)

    @without_denormals()
    def learn(self, judged: JudgedClips, updates: int) -> dict[str, float]:
        """Updates on all judgements but those held out; returns metrics, of which those of the
        held-out ones are missing where there are none. What annotators and scales are like is
        fitted anew each time, from the shares of their answers on."""
        held_M = aside(len(judged))
        rows = np.flatnonzero(~held_M)
        weight_EM = self._bootstrap(len(judged))
        clips, there = self._scaled(judged.clips_CLI), judged.padding_CL
        people = self._people(judged)
        alike = self.settings.members // len(people)
        learned = [one for person in people for one in person.parameters()]
        theirs = torch.optim.Adam(learned, self.settings.annotator_rate) if learned else None
        rng, total = generator(self.seed, "comparisons", self.trained), 0.0
        for update in range(updates):
            picked = rng.choice(rows, min(self.settings.minibatch, len(rows)), replace=False)
            score_ER = self._worth(judged, clips, there, judged.options_of(picked))
            part = judged.batch.select(picked.tolist() * alike)
            found = self._loss(score_ER, part, people, weight_EM[:, picked])
            if theirs is not None:
                prior = torch.stack([person.penalty() for person in people]).sum() / len(rows)
                (found + prior).backward()
                theirs.step()
                theirs.zero_grad()
            else:
                found.backward()
            self.optimizer.step(f"update {update} on {len(judged)} judgements")
            total += found.item() / self.settings.members
        check_reward_sign(people)
        self.learned = [person.values() for person in people]
        self.trained += 1
        self._normalise(judged)
        return {"judgement_nll": total / updates} | self._held_out(judged, held_M, clips, there)

    def _worth(
        self, judged: JudgedClips, clips_CLI: Tensor, there_CL: Tensor | None, of_R: Index
    ) -> Tensor:
        """Scores of these options: of a clip its sum, of several the mean of their sums: [E, R]."""
        means = judged.means(of_R)
        of_P = of_R if means is None else means.clip_P
        score_EP = self._sums(clips_CLI[of_P], None if there_CL is None else there_CL[of_P])
        return score_EP if means is None else means.mean(score_EP)

    def _people(self, judged: JudgedClips) -> list[JudgementParameters]:
        """What annotators and scales are like, by member; of all members together where there is
        nothing to learn about them."""
        none = AnnotatorEffects.none(len(judged.annotators))
        start, each = replace(none, lapse=self.settings.lapse), self.settings.lapses == "each"
        made = partial(JudgementParameters, start, judged.scales, judged.joint, each)
        first = made()
        others = self.settings.members - 1 if any(True for _ in first.parameters()) else 0
        return [first, *(made() for _ in range(others))]

    def _loss(
        self,
        score_ER: Tensor,
        part: JudgedBatch,
        people: Sequence[JudgementParameters],
        weight_EM: Tensor,
    ) -> Tensor:
        """-log P of what was said, the mean over judgements summed over the members: []. part: as
        often, one after the other, as there are members to each of the people."""
        alike = len(score_ER) // len(people)
        of_T = torch.cat([table.group_M for table in (*part.choices, *part.answers)])
        blocks = zip(people, score_ER.split(alike), weight_EM.split(alike), strict=True)
        each = []
        for person, score_BR, weight_BM in blocks:
            terms = log_likelihood(score_BR.flatten(), part, person.effects())
            each.append(-terms.logp_M * (weight_BM.flatten()[of_T] * terms.weight_M))
        return torch.cat(each).sum() / weight_EM.shape[1]

    def _bootstrap(self, judgements: int) -> Tensor:
        """How often each member's bootstrap has each judgement, which does not change when more
        come: [E, M]. Poisson, with mean 1; one member has all of them once, and so has one that
        would have none."""
        members = self.settings.members
        if members == 1:
            return torch.ones(1, judgements)
        drawn = [
            generator(self.seed, "bootstrap", member).poisson(1.0, judgements)
            for member in range(members)
        ]
        some = [own if own[~aside(judgements)].any() else np.ones(judgements) for own in drawn]
        return torch.from_numpy(np.stack(some).astype(np.float32))

    def _normalise(self, judged: JudgedClips) -> None:
        of_R = judged.judged_R
        steps_BI = judged.clips_CLI[of_R][judged.there_CL[of_R]]
        with torch.no_grad():
            raw = self.net(self._scaled(steps_BI)).double().numpy()
        self.mean_E, self.deviation_E = raw.mean(1), np.maximum(raw.std(1), 1e-6)

    def _held_out(
        self, judged: JudgedClips, held_M: Mask, clips_CLI: Tensor, there_CL: Tensor | None
    ) -> dict[str, float]:
        pairs = judged.ordered(held_M)
        if not pairs:
            return {}
        shown_O, at = np.unique(np.array(pairs), return_inverse=True)
        with torch.no_grad():
            score_EO = self._worth(judged, clips_CLI, there_CL, shown_O).double().numpy()
        better_P, worse_P = score_EO.mean(0)[at.reshape(-1, 2)].T
        right_P = better_P > worse_P
        return {"heldout_agreement": float(right_P.mean()), "heldout_pairs": float(len(pairs))}

    def settle(self, ends_BI: Array) -> None:
        """Take the mean reward of steps that ended an episode as the floor that all rewards are
        told above; where it absorbs, what a step is worth of an episode that is over, so that the
        sum up to the end is, but for a constant, that of the whole time. A learned reward has no
        zero of its own: with mean 0, whether ending pays would hang on its sign."""
        if self.absorbs:
            ends_BI = np.eye(len(self.centre_I))[-1:]
        if len(ends_BI):
            self.floor = float(self.member_rewards(ends_BI).mean())

    def keep_zero(self) -> None:
        """Take the zero that was learned, in place of a floor. Where judgements choose among clips
        of different lengths it is: every step adds to the sum that decides, so that by another zero
        clips may be ordered the other way."""
        self.floor = -float((self.mean_E / self.deviation_E).mean())

    def orders(self, judged: JudgedClips) -> tuple[int, int]:
        """(of the pairs that these judgements order how many it orders alike, by its sums above its
        zero; how many there are)."""
        pairs = judged.ordered(np.ones(len(judged), dtype=bool))
        if not pairs:
            return 0, 0
        sum_C = (self.rewards(judged.clips_CLI) * judged.there_CL).sum(1)
        better_P, worse_P = judged.of_options(sum_C)[np.array(pairs).T]
        return int((better_P > worse_P).sum()), len(pairs)

    def arrays(self) -> dict[str, Array]:
        """What scores: the members and all scales."""
        found = {name: p.detach().numpy() for name, p in self.net.named_parameters()}
        absorbs = {"absorbs": np.ones(1)} if self.absorbs else {}
        return (
            found
            | absorbs
            | {
                "centre": self.centre_I,
                "spread": self.spread_I,
                "mean": self.mean_E,
                "deviation": self.deviation_E,
                "floor": np.array([self.floor]),
            }
        )

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
            "learned": self.learned,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        load_trainable(self.net, state["net"])
        self.optimizer.load(state["optimizer"])
        self.centre_I, self.spread_I = (np.array(one) for one in state["scale"])
        self.mean_E, self.deviation_E = (np.array(one) for one in state["normal"])
        self.floor, self.trained = float(state["floor"]), int(state["trained"])
        self.learned = list(state["learned"])


def aside(comparisons: int) -> Mask:
    """Which are kept aside."""
    held_M: Mask = np.arange(comparisons) % HELD_OUT == HELD_OUT - 1
    return held_M


def member_seed(seed: int) -> int:
    """Of the reward's own random numbers, under a run's."""
    return derive_seed(seed, "clip reward")
