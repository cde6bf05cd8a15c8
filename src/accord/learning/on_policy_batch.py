"""The batch an on-policy update works on, its minibatches, checks and metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from accord.errors import ConfigError, RunError
from accord.learning import advantages as adv
from accord.learning import losses
from accord.learning.parallel import ALONE, World
from accord.models import precision
from accord.sampling.rollout import Rollout
from accord.seeds import derive_seed
from accord.text.packing import PromptGroup, cut_groups

BF16_SLACK = 3.0
"""In bf16 sampler and trainer, whose batches differ, round differently: so many times the bound of
fp32."""


@dataclass(frozen=True)
class Experience:
    """One rollout with everything its update needs; per-token arrays [S] follow the responses in
    order.

    logp, ref: log-probabilities under the sampling policy and the reference (None: no KL is
    measured); score_B: what is paid at the end of each response; scores_EB: the raw scores per
    reward-model member; entropy_S: exact entropy of the policy (nats), where asked for; cost_B:
    costs, where there is a limit on them.
    """

    groups: Sequence[PromptGroup]
    lengths_B: Tensor
    logp_S: Tensor
    ref_S: Tensor | None
    values_S: Tensor
    advantages_S: Tensor
    returns_S: Tensor
    score_B: Tensor
    scores_EB: Tensor
    entropy_S: Tensor | None = None
    cost_B: Tensor | None = None

    def __post_init__(self) -> None:
        count, tokens = sum(len(g.responses) for g in self.groups), int(self.lengths_B.sum())
        if self.lengths_B.numel() != count or self.score_B.numel() != count:
            raise ValueError(
                f"{count} responses, {self.lengths_B.numel()} lengths, {self.score_B.numel()}"
                " scores"
            )
        for name in ("logp_S", "ref_S", "values_S", "advantages_S", "returns_S"):
            values_S = getattr(self, name)
            if values_S is not None and values_S.numel() != tokens:
                raise ValueError(f"{name} has {values_S.numel()} entries for {tokens} tokens")

    def select(self, indices: Sequence[int]) -> Experience:
        """The sub-batch of the groups at `indices`, in that order."""
        sizes = [len(g.responses) for g in self.groups]
        starts = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        rows = [b for i in indices for b in range(starts[i], starts[i + 1])]
        token_starts = [0, *self.lengths_B.cumsum(0).tolist()]
        spans = [torch.arange(token_starts[b], token_starts[b + 1]) for b in rows]
        at = torch.cat([torch.zeros(0, dtype=torch.long), *spans]).to(self.logp_S.device)
        row_index = torch.tensor(rows, dtype=torch.long, device=self.lengths_B.device)
        return Experience(
            [self.groups[i] for i in indices],
            self.lengths_B[row_index],
            self.logp_S[at],
            None if self.ref_S is None else self.ref_S[at],
            self.values_S[at],
            self.advantages_S[at],
            self.returns_S[at],
            self.score_B[row_index],
            self.scores_EB[:, row_index.to(self.scores_EB.device)],
            None if self.entropy_S is None else self.entropy_S[at],
            None if self.cost_B is None else self.cost_B[row_index.to(self.cost_B.device)],
        )

    def slice(self, start: int, end: int) -> Experience:
        """The sub-batch of groups [start, end)."""
        return self.select(range(start, end))

    def cut(self, max_tokens: int) -> Experience:
        """The same responses in groups of at most `max_tokens` where a response allows it:
        advantages are known by now, so the samples of a prompt need not be in one pass."""
        return replace(self, groups=cut_groups(self.groups, max_tokens))


def minibatch_shuffle(seed: int, step: int, epoch: int) -> torch.Generator:
    """What shuffles a rollout in this pass over it: the stream `minibatches` of the pass, under the
    seed of the run."""
    of_pass = derive_seed(seed, "update", step, epoch)
    return torch.Generator().manual_seed(derive_seed(of_pass, "minibatches"))


def minibatches(
    batch: Experience,
    count: int,
    generator: torch.Generator,
    places: Sequence[int] | None = None,
    total: int | None = None,
) -> Iterator[Experience]:
    """Shuffle the groups by `generator` and cut them into `count` parts whose sizes differ by at
    most one.

    With several processes the batch holds the groups at `places` of `total`: each gets its part of
    the same cut.
    """
    here = {
        place: i for i, place in enumerate(range(len(batch.groups)) if places is None else places)
    }
    order = torch.randperm(len(here) if total is None else total, generator=generator)
    for part in torch.tensor_split(order, count):
        if part.numel():
            yield batch.select([here[place] for place in part.tolist() if place in here])


def check_rollout(rollout: Rollout, samples_per_prompt: int) -> None:
    """Raise RunError when a sampler returns what cannot be learned from: another number of
    responses than asked for, an empty response, or log-probabilities that do not belong to its
    tokens."""
    asked = [p for p in range(len(rollout.prompts)) for _ in range(samples_per_prompt)]
    if rollout.prompt_index != asked:
        raise RunError(
            f"the sampler returned {rollout.size} responses to {len(rollout.prompts)} prompts",
            f"return {samples_per_prompt} for each prompt, in the prompts' order",
        )
    for b, (response, logp) in enumerate(zip(rollout.responses, rollout.logprobs, strict=True)):
        if not response:
            raise RunError(
                f"the sampler returned an empty response (number {b} of {rollout.size})",
                "a response ends with its stop token, which the sampler must keep: at least one"
                " token",
            )
        if logp.numel() != len(response):
            raise RunError(
                f"the sampler returned {logp.numel()} log-probabilities for the {len(response)}"
                f" tokens of response {b}",
                "return one per response token, the stop token included",
            )


def check_scores(scores_EB: Tensor, rollout: Rollout, max_spread: float = 0.0) -> None:
    """Raise RunError unless there is one finite score per member and response, ConfigError where
    the guard `max_spread` has no members to compare."""
    if scores_EB.ndim != 2 or scores_EB.shape[1] != rollout.size:
        raise RunError(
            f"the score of {rollout.size} responses has shape {list(scores_EB.shape)}",
            f"return [members, {rollout.size}]; one reward function is one member: scores[None]",
        )
    if max_spread and scores_EB.shape[0] < 2:
        raise ConfigError(
            "max_spread watches how far the members of a reward model differ, and this reward has"
            " one member",
            "train the reward model with members: 3, or leave max_spread out",
        )
    bad = torch.nonzero(~torch.isfinite(scores_EB))
    if bad.numel():
        member, b = bad[0].tolist()
        raise RunError(
            f"the reward of response {b} is {float(scores_EB[member, b])} (member {member};"
            f" {len(bad)} of {scores_EB.numel()} scores are not finite)",
            "look at the reward: a diverged reward model must be trained again, a function must"
            " return finite numbers; bound large ones with score_clip",
        )


def check_sampler(
    rollout: Rollout, batch: Experience, bound: float, temperature: float, world: World = ALONE
) -> float:
    """Mean absolute difference (nats per token) between sampler and trainer; raises RunError above
    `bound` (of fp32)."""
    sampled_S = torch.cat(rollout.logprobs).to(batch.logp_S)
    sums = world.totals(
        {"gap": float((sampled_S - batch.logp_S).abs().double().sum()), "tokens": sampled_S.numel()}
    )
    gap, bound = (
        sums["gap"] / sums["tokens"],
        bound * BF16_SLACK if precision.current() == "bf16" else bound,
    )
    if not gap <= bound:
        raise RunError(
            f"the sampler's log-probabilities differ from the trainer's by {gap:.3g} nats per token"
            f" (bound {bound:g})",
            f"sample with the trainer's temperature ({temperature:g}), without top-k or top-p, from"
            " the same weights",
        )
    return gap


def check_ratio(worst: float, step: int) -> None:
    """Raise RunError unless the policy gives the rollout the probabilities it had: the largest |log
    ratio|, in nats."""
    if not worst < precision.LOG_RATIO_BOUND[precision.current()]:
        raise RunError(
            f"the first minibatch of step {step + 1} has a probability ratio of exp({worst:.3g})"
            " instead of 1",
            "old and new log-probabilities come from different arithmetic (dropout, temperature or"
            " packing)",
        )


def rollout_metrics(rollout: Rollout, batch: Experience, world: World = ALONE) -> dict[str, float]:
    """What was sampled by all processes, in numbers."""
    summed, score_B = partial(adv.per_response, lengths_B=batch.lengths_B), batch.score_B.double()
    returns_S = batch.returns_S.double()
    residual_S = returns_S - batch.values_S.double()
    columns = {
        "tokens": batch.lengths_B,
        "score": score_B,
        "raw_score": batch.scores_EB.mean(0),
        "spread": batch.scores_EB.std(0, unbiased=False),
        "finished": torch.tensor(rollout.finished),
        "logp": summed(batch.logp_S.double()),
        "returns": summed(returns_S),
        "returns2": summed(returns_S.square()),
        "residual": summed(residual_S),
        "residual2": summed(residual_S.square()),
    }
    if batch.entropy_S is not None:
        columns["entropy"] = summed(batch.entropy_S.double())
    table = world.gather(
        torch.stack([column.double().to(score_B.device) for column in columns.values()], 1)
    )
    every = dict(zip(columns, table.unbind(1), strict=True))
    tokens, responses = float(every["tokens"].sum()), table.shape[0]
    explained, variance = (
        _variance(every[n], every[n + "2"], tokens) for n in ("residual", "returns")
    )
    values = {
        "score": float(every["score"].mean()),
        "score_deviation": float(every["score"].std(unbiased=False)),
        "raw_score": float(every["raw_score"].mean()),
        "ensemble_spread": float(every["spread"].mean()),
        "response_tokens": tokens / responses,
        "finished_share": float(every["finished"].mean()),
        "unique_share": world.gather(_fingerprints(rollout)).unique().numel() / responses,
        "surprise_tok": float(-every["logp"].sum()) / tokens,
        "value_explained": 1 - explained / variance if variance > 1e-12 else 0.0,
    }
    if "entropy" in every:
        values["entropy_tok"] = float(every["entropy"].sum()) / tokens
    samples = len(batch.groups[0].responses)
    if samples > 1:
        flat = world.gather(adv.flat_groups(batch.score_B, samples).double())
        values["flat_group_share"] = float(flat.mean())
    return values


def _variance(sum_B: Tensor, square_B: Tensor, count: float) -> float:
    """Variance over tokens from each response's sum and sum of squares, in double precision."""
    return max(0.0, float(square_B.sum()) / count - (float(sum_B.sum()) / count) ** 2)


def _fingerprints(rollout: Rollout) -> Tensor:
    """A 63-bit number per response, equal for equal responses: [B]."""
    digests = (hashlib.blake2b(str(r).encode(), digest_size=8).digest() for r in rollout.responses)
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests])


def kl_metrics(batch: Experience, world: World = ALONE) -> dict[str, float]:
    """KL(policy || reference) of the batch by k1 and k3, per sequence and per token, and how far
    they disagree.

    Empty where it is not measured: a KL nobody computed is not a KL of 0.
    """
    if batch.ref_S is None:
        return {}
    estimates = (kl(batch.logp_S, batch.ref_S).double() for kl in (losses.kl_k1, losses.kl_k3))
    columns = [
        *(adv.per_response(kl_S, batch.lengths_B) for kl_S in estimates),
        batch.lengths_B.double(),
    ]
    k1_B, k3_B, tokens_B = world.gather(torch.stack(columns, 1)).unbind(1)
    difference_B, responses = k1_B - k3_B, k1_B.numel()
    error = difference_B.std(unbiased=False) / responses**0.5
    return {
        "kl_seq": float(k1_B.mean()),
        "kl_seq_k3": float(k3_B.mean()),
        "kl_tok": float(k1_B.sum() / tokens_B.sum()),
        "kl_seq_error": float(k1_B.std(unbiased=False) / responses**0.5),
        "kl_disagreement": float(difference_B.mean() / error) if error > 1e-12 else 0.0,
    }
