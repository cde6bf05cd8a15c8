"""Learning from thumbs: each response is desirable or not, no pairs needed (KTO, Ethayarajh et al.
2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning import losses
from accord.learning.parallel import ALONE, World
from accord.learning.rows import Values, at_rows, logprob_sums, rows_visited, train_rows
from accord.learning.session import Session
from accord.learning.settings import UnpairedSettings
from accord.learning.weights import check_weight, counting, total
from accord.models.causal_lm import CausalLM
from accord.text.packing import Mask, PromptGroup, micro_batches, pack


@dataclass(frozen=True)
class ThumbExample:
    """A response (token ids) somebody found desirable or not; weight: how much it counts beside the
    others; mask: which of its tokens are scored (None: all)."""

    prompt: Sequence[int]
    response: Sequence[int]
    desirable: bool
    row: str = ""
    weight: float = 1.0
    mask: Mask | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "response"):
            if not getattr(self, name):
                raise DataError(
                    f"thumb {self.row!r}: the {name} has no tokens",
                    "a response holds at least its EOS",
                )
        if not all(self.group.scored):
            raise DataError(
                f"thumb {self.row!r}: no token of the response is scored", "leave it out"
            )
        check_weight(self.weight, f"thumb {self.row!r}")

    @property
    def group(self) -> PromptGroup:
        return PromptGroup(self.prompt, [self.response], [self.mask])


@dataclass(frozen=True)
class UnpairedResult:
    """Mean loss of the last step, and loss and agreement on responses kept aside where there are
    any; tokens processed in training."""

    steps: int
    tokens: int
    loss: float
    heldout_loss: float | None = None
    heldout_agreement: float | None = None


def train_unpaired(
    policy: CausalLM,
    reference: CausalLM | None,
    thumbs: Sequence[ThumbExample],
    settings: UnpairedSettings,
    session: Session | None = None,
    on_step: Callable[[int, int], object] | None = None,
    world: World = ALONE,
    seed: int = 0,
    heldout: Sequence[ThumbExample] = (),
) -> UnpairedResult:
    """Tune `policy` in place on those of the `thumbs` that count; `reference` None switches its
    adapter off instead. `seed`: of the order of the responses.

    Raises DataError when all responses have the same label or there are too few for a mismatched
    batch.
    """
    thumbs, heldout = counting(thumbs), counting(heldout)
    desirable = sum(t.desirable for t in thumbs)
    if not 0 < desirable < len(thumbs):
        raise DataError(
            f"{desirable} of {len(thumbs)} responses are desirable: there is nothing to tell apart",
            "give both desirable and undesirable responses",
        )
    if min(settings.batch, len(thumbs)) < 2:
        raise DataError("KTO needs at least 2 responses per batch", "raise batch or give more data")
    visited = rows_visited(len(thumbs), settings, seed)
    some = [thumbs[row] for row in visited]
    found = _reference(policy, reference, some, settings, world)
    reference_R, heldout_R = at_rows(visited, found, len(thumbs)), torch.zeros(0)
    if heldout:
        heldout_R = _reference(policy, reference, heldout, settings, world)

    def gradient(rows: Sequence[int]) -> tuple[Values, int]:
        batch = [thumbs[r] for r in rows]
        kl = reference_point(policy, reference, batch, settings.micro_batch_tokens, world)
        return unpaired_step(policy, batch, reference_R[list(rows)], kl, settings, world)

    def evaluate() -> Values:
        kl = reference_point(policy, reference, heldout, settings.micro_batch_tokens, world)
        return unpaired_evaluation(policy, heldout, heldout_R, kl, settings, world)

    done = train_rows(
        policy,
        len(thumbs),
        settings,
        session,
        gradient,
        {"loss": float("nan")},
        on_step,
        evaluate if heldout else None,
        world=world,
        seed=seed,
    )
    return UnpairedResult(
        done.steps,
        done.tokens,
        done.values["loss"],
        done.heldout.get("heldout_loss"),
        done.heldout.get("heldout_agreement"),
    )


def _reference(
    policy: CausalLM,
    reference: CausalLM | None,
    thumbs: Sequence[ThumbExample],
    settings: UnpairedSettings,
    world: World,
) -> Tensor:
    """Summed log-probability of each response under the reference: [R]."""
    groups = [thumb.group for thumb in thumbs]
    model, most = reference or policy, settings.micro_batch_tokens
    return logprob_sums(model, groups, most, world, as_reference=True)[:, 0]


def reference_point(
    policy: CausalLM,
    reference: CausalLM | None,
    batch: Sequence[ThumbExample],
    micro_batch_tokens: int,
    world: World = ALONE,
) -> Tensor:
    """z0 >= 0: mean log pi/ref of each prompt with the previous row's response (a one-row batch has
    none: 0). An estimate of
    the KL and no loss: rows count the same."""
    if len(batch) < 2:
        return torch.zeros((), device=policy.device)
    groups = [
        replace(t, response=batch[i - 1].response, mask=batch[i - 1].mask).group
        for i, t in enumerate(batch)
    ]
    mine = logprob_sums(policy, groups, micro_batch_tokens, world)
    theirs = logprob_sums(reference or policy, groups, micro_batch_tokens, world, as_reference=True)
    return (mine - theirs).mean().clamp_min(0)


def unpaired_step(
    policy: CausalLM,
    batch: Sequence[ThumbExample],
    reference_B: Tensor,
    kl: Tensor,
    settings: UnpairedSettings,
    world: World = ALONE,
) -> tuple[dict[str, float], int]:
    """Accumulate the gradient of the batch's weighted mean loss, this process's share of it;
    returns (metrics, tokens processed) of the whole batch. The weights of the two classes are
    factors of the loss, no part of the mean."""
    share = world.share([thumb.group.tokens for thumb in batch])
    mine, reference_B = [batch[i] for i in share], reference_B[share]
    groups = [thumb.group for thumb in mine]
    weight_of = {True: settings.desirable_weight, False: settings.undesirable_weight}
    sums = {"loss": 0.0, "desirable_shift": 0.0, "undesirable_shift": 0.0, "tokens": 0.0}
    good, counted = sum(t.desirable for t in batch), total(t.weight for t in batch)
    for start, end in micro_batches(groups, settings.micro_batch_tokens):
        stream, part = pack(groups[start:end]).to(policy.device), mine[start:end]
        shift_B = stream.sum_by_response(policy.logprobs(stream)) - reference_B[start:end].to(
            policy.device
        )
        desirable_B = torch.tensor([t.desirable for t in part], device=shift_B.device)
        weight_B = torch.tensor([t.weight * weight_of[t.desirable] for t in part]).to(shift_B)
        loss = losses.kto(shift_B, desirable_B, kl, settings.beta, weight_B).sum() / counted
        loss.backward()
        sums["loss"] += loss.item()
        sums["desirable_shift"] += float(shift_B.detach()[desirable_B].sum()) / max(1, good)
        sums["undesirable_shift"] += float(shift_B.detach()[~desirable_B].sum()) / max(
            1, len(batch) - good
        )
        sums["tokens"] += stream.tokens
    sums = world.totals(sums)
    tokens = int(sums.pop("tokens"))
    return sums | {"reference_point": float(kl)}, tokens


@torch.no_grad()
def unpaired_evaluation(
    policy: CausalLM,
    thumbs: Sequence[ThumbExample],
    reference_R: Tensor,
    kl: Tensor,
    settings: UnpairedSettings,
    world: World = ALONE,
) -> Values:
    """Weighted mean loss, and how often a desirable response has gained more than an undesirable
    one (half where alike; left out where there are none of a kind)."""
    groups = [thumb.group for thumb in thumbs]
    shift_R = logprob_sums(policy, groups, settings.micro_batch_tokens, world)[
        :, 0
    ] - reference_R.to(policy.device)
    good_R = torch.tensor([t.desirable for t in thumbs], device=shift_R.device)
    sides = torch.where(good_R, settings.desirable_weight, settings.undesirable_weight)
    weight_R = sides * torch.tensor([t.weight for t in thumbs]).to(shift_R)
    loss = losses.kto(shift_R, good_R, kl, settings.beta, weight_R).sum()
    values = {"heldout_loss": float(loss) / total(t.weight for t in thumbs)}
    if 0 < int(good_R.sum()) < len(thumbs):
        gap = shift_R[good_R][:, None] - shift_R[~good_R][None]
        values["heldout_agreement"] = float(
            (gap > 0).double().mean() + (gap == 0).double().mean() / 2
        )
    return values
