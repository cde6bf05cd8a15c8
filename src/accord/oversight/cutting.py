"""A decomposer that learns from outcomes: where to cut a row of texts into parts that somebody else
answers, when nothing but the root's answer is ever judged.

The cutter goes through the texts from left to right and decides before each whether a part begins
there, by the logistic of a few features; it makes as many parts as are asked for, no more, no
less. It learns by REINFORCE, a plan's reward held against the mean of the same row's other plans
(`learning.advantages.leave_one_out`; Kool et al. 2019).

Suffixes: P rows of texts, B plans, N texts of a row, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accord.errors import DataError
from accord.learning.advantages import leave_one_out
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array, Index

Plans = NDArray[np.bool_]
"""Whether a part begins before each text but the first: [B, N - 1]."""
FEATURES = (
    "always",
    "length of the part so far",
    "length of the next text",
    "length left per part left",
    "texts in the part so far",
    "texts left per part left",
)
FEW = 3.0
"""Texts are counted in this unit, lengths in windows: features of about one."""
RARELY = -0.7
"""Log-odds by which an untrained cutter cuts wherever it may."""


@dataclass(frozen=True)
class Cutter:
    """weights of FEATURES [F]; parts: how many it makes of a row."""

    weights: Array
    parts: int

    @classmethod
    def untrained(cls, parts: int) -> Cutter:
        """One that knows nothing of what it cuts."""
        return cls(np.array([RARELY, *[0.0] * (len(FEATURES) - 1)]), parts)

    def plan(self, length_PN: Array) -> Plans:
        """The likelier decision before each text. length: in windows."""
        theta, lengths = torch.from_numpy(self.weights), _checked(length_PN, self.parts)
        return _walk(theta, lengths, self.parts, lambda p_B, _: p_B > 0.5)[0].numpy()

    def sampled(self, length_PN: Array, seed: int) -> Plans:
        """Drawn decisions."""
        theta, lengths = torch.from_numpy(self.weights), _checked(length_PN, self.parts)
        return _walk(theta, lengths, self.parts, _drawn(seed))[0].numpy()

    def log_probability(self, length_BN: Array, plan_BN: Plans) -> Array:
        """log P of plans; -inf for one of another number of parts."""
        theta, lengths = torch.from_numpy(self.weights), _checked(length_BN, self.parts)
        given = torch.from_numpy(plan_BN)
        made, log_p = _walk(theta, lengths, self.parts, lambda _, at: given[:, at])
        same = (made == given).all(1)
        return torch.where(same, log_p, -torch.inf).numpy()


def train_cutter(
    length_PN: Array,
    parts: int,
    reward: Callable[[Plans, Index], Array],
    seed: int,
    steps: int = 120,
    samples: int = 8,
    learning_rate: float = 0.1,
) -> tuple[Cutter, list[float]]:
    """A cutter, and the mean reward of each step. reward: (plans [B, N - 1], the row of each [B])
    -> what their roots' answers are worth [B]. Raises DataError for rows with fewer texts than
    parts, and a reward that is not finite."""
    lengths = _checked(length_PN, parts).repeat_interleave(samples, 0)
    row_B = np.repeat(np.arange(len(length_PN)), samples)
    theta = torch.from_numpy(Cutter.untrained(parts).weights.copy()).requires_grad_(True)
    optimizer, told = torch.optim.Adam([theta], lr=learning_rate), list[float]()
    for step in range(steps):
        plan_BN, log_p_B = _walk(theta, lengths, parts, _drawn(derive_seed(seed, step)))
        reward_B = np.asarray(reward(plan_BN.numpy(), row_B), dtype=np.float64)
        if reward_B.shape != row_B.shape or not np.isfinite(reward_B).all():
            raise DataError(
                f"step {step}: the reward of {len(row_B)} plans is {reward_B}",
                "return one finite number per plan",
            )
        advantage_B = leave_one_out(torch.from_numpy(reward_B), samples)
        loss = -(advantage_B * log_p_B).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        told.append(float(reward_B.mean()))
    return Cutter(theta.detach().numpy().copy(), parts), told


def _checked(length_PN: Array, parts: int) -> Tensor:
    if not 1 <= parts <= length_PN.shape[1]:
        raise DataError(
            f"{length_PN.shape[1]} texts cannot be cut into {parts} parts",
            "make at least one part, and no more than there are texts",
        )
    return torch.from_numpy(np.asarray(length_PN, dtype=np.float64))


def _drawn(seed: int) -> Callable[[Tensor, int], Tensor]:
    rng = generator(seed, "cuts")
    return lambda p_B, _: torch.from_numpy(rng.random(len(p_B))) < p_B


def _walk(
    theta_F: Tensor, length_BN: Tensor, parts: int, decide: Callable[[Tensor, int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Plans [B, N - 1] and their log P [B]. decide: (P of a cut [B], which of the N - 1 places) ->
    whether to cut; where too few texts or no parts are left there is nothing to decide."""
    rows, texts = length_BN.shape
    after_BN = length_BN.flip(1).cumsum(1).flip(1)
    part_B, begun_B = length_BN[:, 0].clone(), torch.zeros(rows)
    left_B, log_p_B = torch.full((rows,), parts - 1), length_BN.new_zeros(rows)
    cuts = []
    for at in range(1, texts):
        each_B = (left_B + 1).double()
        seen = (
            torch.ones(rows),
            part_B,
            length_BN[:, at],
            after_BN[:, at] / each_B,
            (at - begun_B) / FEW,
            (texts - at) / each_B / FEW,
        )
        logit_B = torch.stack([one.double() for one in seen], 1) @ theta_F
        never_B, must_B = left_B == 0, texts - at == left_B
        chosen_B = decide(torch.sigmoid(logit_B.detach()), at - 1)
        cut_B = (chosen_B & ~never_B) | (must_B & ~never_B)
        side_B = torch.where(cut_B, logit_B, -logit_B)
        free_B = ~(never_B | must_B)
        log_p_B = log_p_B + torch.where(free_B, torch.nn.functional.logsigmoid(side_B), 0.0)
        begun_B = torch.where(cut_B, at, begun_B)
        part_B = torch.where(cut_B, 0.0, part_B) + length_BN[:, at]
        left_B = left_B - cut_B.long()
        cuts.append(cut_B)
    plan_BN = torch.stack(cuts, 1) if cuts else torch.zeros(rows, 0, dtype=torch.bool)
    return plan_BN, log_p_B


# --- by rule --------------------------------------------------------------------------------------
def equal_texts(rows: int, texts: int, parts: int) -> Plans:
    """Parts of equally many texts, as nearly as can be."""
    plan = np.zeros((rows, texts - 1), dtype=bool)
    plan[:, [round(texts * k / parts) - 1 for k in range(1, parts)]] = True
    return plan


def equal_lengths(length_PN: Array, parts: int) -> Plans:
    """Parts of equal lengths, as nearly as texts that stay whole allow: each ends at the text whose
    end is nearest to its share of the row."""
    rows, texts = length_PN.shape
    plan = np.zeros((rows, texts - 1), dtype=bool)
    for row, ends_N in enumerate(length_PN.cumsum(1)):
        last = 0
        for k in range(1, parts):
            nearest = int(np.abs(ends_N - ends_N[-1] * k / parts).argmin()) + 1
            last = min(max(nearest, last + 1), texts - (parts - k))
            plan[row, last - 1] = True
    return plan


def totals(answer_PNN: Array, row_B: Index, plan_BN: Plans) -> Array:
    """The sum of the parts' answers: [B]. answer [P, N, N + 1]: of texts i to j - 1 of a row."""
    total_B, begun_B = np.zeros(len(plan_BN)), np.zeros(len(plan_BN), dtype=np.int64)
    for at in range(1, plan_BN.shape[1] + 1):
        cut_B = plan_BN[:, at - 1]
        total_B += np.where(cut_B, answer_PNN[row_B, begun_B, at], 0.0)
        begun_B = np.where(cut_B, at, begun_B)
    found: Array = total_B + answer_PNN[row_B, begun_B, plan_BN.shape[1] + 1]
    return found
