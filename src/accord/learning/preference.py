"""Preference learning without a reward model: DPO and its relatives are one loop over pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning import losses
from accord.learning.kinds import REFERENCE_FREE
from accord.learning.parallel import ALONE, World
from accord.learning.rows import Values, at_rows, logprob_sums, rows_visited, train_rows
from accord.learning.session import Session
from accord.learning.settings import PreferenceSettings
from accord.learning.shared_responses import rows_of, share_responses, values_by_row
from accord.learning.weights import check_doubt, check_weight, counting, total
from accord.models.causal_lm import CausalLM
from accord.text.packing import Mask, PromptGroup, micro_batches, pack


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a dispreferred response (token ids).

    doubt: probability that the label is wrong, at most one half; weight: how much the pair counts
    beside the others; source: who judged it, where several sources are told apart;
    masks: of chosen and rejected, which tokens are scored (see `PromptGroup`).
    """

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]
    row: str = ""
    doubt: float = 0.0
    weight: float = 1.0
    masks: Sequence[Mask | None] = ()
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("prompt", "chosen", "rejected"):
            if not getattr(self, name):
                raise DataError(
                    f"pair {self.row!r}: the {name} has no tokens",
                    "a response holds at least its EOS",
                )
        if not all(self.group.scored):
            raise DataError(
                f"pair {self.row!r}: no token of a response is scored", "leave the pair out"
            )
        check_weight(self.weight, f"pair {self.row!r}")
        check_doubt(self.doubt, f"pair {self.row!r}")

    @property
    def group(self) -> PromptGroup:
        """Both responses after one shared prompt, chosen first."""
        return PromptGroup(self.prompt, [self.chosen, self.rejected], self.masks)


@dataclass(frozen=True)
class PreferenceResult:
    """Mean loss and agreement of the last step, and on pairs kept aside where there are any; tokens
    processed in training."""

    steps: int
    tokens: int
    loss: float
    agreement: float
    heldout_loss: float | None = None
    heldout_agreement: float | None = None


def train_preference(
    policy: CausalLM,
    reference: CausalLM | None,
    pairs: Sequence[Pair],
    settings: PreferenceSettings,
    session: Session | None = None,
    on_step: Callable[[int, int], object] | None = None,
    world: World = ALONE,
    seed: int = 0,
    heldout: Sequence[Pair] = (),
) -> PreferenceResult:
    """Tune `policy` in place on those of the `pairs` that count; `heldout` are only measured.

    `reference` is the frozen model the KL is measured against; None switches the policy's adapter
    off instead. Its log-probabilities are computed once (never for SimPO and ORPO, which have no
    reference). `on_step(step, total)` is called after each update. `seed`: of the order of the
    pairs.
    """
    pairs, heldout = counting(pairs), counting(heldout)
    if not pairs:
        raise DataError(
            "there is nothing to learn from: 0 strict pairs", "ties alone cannot train DPO"
        )
    if settings.loss == "robust" and (
        open_ := [p.row for p in [*pairs, *heldout] if _doubt(p, settings) >= 0.5]
    ):
        raise DataError(
            f"pair {open_[0]!r}: either response may be the better one, which robust DPO"
            " cannot use",
            "leave such pairs out, or choose the loss sigmoid",
        )
    blocks = [tuple(pair.prompt) for pair in pairs] if settings.by_prompt else None
    visited = rows_visited(len(pairs), settings, seed, blocks)
    reference_P2 = torch.zeros(len(pairs), 2)
    heldout_P2 = torch.zeros(len(heldout), 2)
    if settings.loss not in REFERENCE_FREE:
        most = settings.micro_batch_tokens
        some = [pairs[row] for row in visited]
        found = reference_logprobs(policy, reference, some, most, world)
        reference_P2 = at_rows(visited, found, len(pairs))
        if heldout:
            heldout_P2 = reference_logprobs(policy, reference, heldout, most, world)

    def gradient(rows: Sequence[int]) -> tuple[Values, int]:
        return preference_step(
            policy, [pairs[r] for r in rows], reference_P2[list(rows)], settings, world
        )

    def evaluate() -> Values:
        return preference_evaluation(policy, heldout, heldout_P2, settings, world)

    start = {"loss": float("nan"), "preference_agreement": 0.5}
    done = train_rows(
        policy,
        len(pairs),
        settings,
        session,
        gradient,
        start,
        on_step,
        evaluate if heldout else None,
        world=world,
        seed=seed,
        blocks=blocks,
    )
    return PreferenceResult(
        done.steps,
        done.tokens,
        done.values["loss"],
        done.values["preference_agreement"],
        done.heldout.get("heldout_loss"),
        done.heldout.get("heldout_agreement"),
    )


def reference_logprobs(
    policy: CausalLM,
    reference: CausalLM | None,
    pairs: Sequence[Pair],
    micro_batch_tokens: int,
    world: World = ALONE,
) -> Tensor:
    """Summed reference log-probability of (chosen, rejected) per pair: [P, 2]."""
    groups = [pair.group for pair in pairs]
    return logprob_sums(reference or policy, groups, micro_batch_tokens, world, as_reference=True)


def preference_step(
    policy: CausalLM,
    batch: Sequence[Pair],
    reference_B2: Tensor,
    settings: PreferenceSettings,
    world: World = ALONE,
) -> tuple[dict[str, float], int]:
    """Accumulate the gradient of the batch's weighted mean loss, this process's share of it;
    returns (metrics, tokens processed) of the whole batch."""
    shared = share_responses([pair.group for pair in batch], settings.micro_batch_tokens)
    mine = [shared[i] for i in world.share([one.group.tokens for one in shared])]
    groups = [one.group for one in mine]
    counted = total(p.weight for p in batch)
    chosen_tokens = total(p.weight * p.group.scored[0] for p in batch)
    sums = {
        "loss": 0.0,
        "preference_agreement": 0.0,
        "preference_margin": 0.0,
        "chosen_shift": 0.0,
        "rejected_shift": 0.0,
        "tokens": 0.0,
    }
    for start, end in micro_batches(groups, settings.micro_batch_tokens):
        rows = rows_of(mine[start:end])
        part, stream = [batch[row] for row in rows], pack(groups[start:end]).to(policy.device)
        logp_R = stream.sum_by_response(policy.logprobs(stream))
        pair_B2, lengths_B2 = (
            values_by_row(mine[start:end], values_R) for values_R in (logp_R, stream.scored_R)
        )
        numbers = _numbers(pair_B2, reference_B2[rows], lengths_B2)
        weight_B = torch.tensor([p.weight for p in part]).to(numbers.chosen_B)
        loss_B = _losses(numbers, part, settings)
        loss = (weight_B * loss_B).sum() / counted
        if settings.nll_weight:
            nll = (weight_B * numbers.chosen_B).sum() / chosen_tokens
            loss = loss - settings.nll_weight * nll
        loss.backward()
        with torch.no_grad():
            gap = losses.preference_gap(numbers, settings.loss, settings.strength, settings.gamma)
            shift_chosen, shift_rejected = numbers.shift_B
            sums["loss"] += loss.item()
            sums["preference_agreement"] += _ordered(gap) / len(batch)
            sums["preference_margin"] += float(gap.sum()) / len(batch)
            sums["chosen_shift"] += float(shift_chosen.sum()) / len(batch)
            sums["rejected_shift"] += float(shift_rejected.sum()) / len(batch)
        sums["tokens"] += stream.tokens
    sums = world.totals(sums)
    return sums, int(sums.pop("tokens"))


@torch.no_grad()
def preference_evaluation(
    policy: CausalLM,
    pairs: Sequence[Pair],
    reference_P2: Tensor,
    settings: PreferenceSettings,
    world: World = ALONE,
) -> Values:
    """Weighted mean of the objective (without `nll_weight`'s part), and the share of pairs that the
    implicit reward orders as judged."""
    groups = [pair.group for pair in pairs]
    pair_P2 = logprob_sums(policy, groups, settings.micro_batch_tokens, world)
    lengths_P2 = torch.tensor([group.scored for group in groups])
    numbers = _numbers(pair_P2, reference_P2, lengths_P2)
    weight_P = torch.tensor([p.weight for p in pairs]).to(pair_P2)
    gap_P = losses.preference_gap(numbers, settings.loss, settings.strength, settings.gamma)
    loss = float((weight_P * _losses(numbers, pairs, settings)).sum() / weight_P.sum())
    return {"heldout_loss": loss, "heldout_agreement": _ordered(gap_P) / len(pairs)}


def _numbers(pair_B2: Tensor, reference_B2: Tensor, lengths_B2: Tensor) -> losses.PairLogprobs:
    """Summed log-probabilities of (chosen, rejected) under both models, and their tokens."""
    columns = (pair_B2, reference_B2.to(pair_B2.device), lengths_B2.to(pair_B2))
    return losses.PairLogprobs(*(one for pair in columns for one in pair.unbind(1)))


def _losses(
    numbers: losses.PairLogprobs, pairs: Sequence[Pair], settings: PreferenceSettings
) -> Tensor:
    doubt_B = torch.tensor([_doubt(p, settings) for p in pairs]).to(numbers.chosen_B)
    return losses.preference(numbers, settings.loss, settings.strength, doubt_B, settings.gamma)


def _ordered(gap_B: Tensor) -> float:
    """Pairs that are ordered as judged; equal ones count half."""
    return float((gap_B > 0).sum() + 0.5 * (gap_B == 0).sum())


def _doubt(pair: Pair, settings: PreferenceSettings) -> float:
    return max(pair.doubt, settings.label_smoothing)
