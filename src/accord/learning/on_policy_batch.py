"""The batch an on-policy update works on, its minibatches, checks and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from accord.errors import RunError
from accord.learning import losses
from accord.models import precision
from accord.sampling.rollout import Rollout
from accord.text.packing import Group


@dataclass(frozen=True)
class Experience:
    """One rollout with everything its update needs; per-token arrays [S] follow the responses in order.

    logp, ref: log-probabilities under the sampling policy and the reference; score_B: the final scores;
    scores_EB: the raw scores per reward-model member; entropy_S: exact entropy of the policy (nats), where asked for.
    """

    groups: Sequence[Group]
    lengths_B: Tensor
    logp_S: Tensor
    ref_S: Tensor
    values_S: Tensor
    advantages_S: Tensor
    returns_S: Tensor
    score_B: Tensor
    scores_EB: Tensor
    entropy_S: Tensor | None = None

    def __post_init__(self) -> None:
        count, tokens = sum(len(g.responses) for g in self.groups), int(self.lengths_B.sum())
        if self.lengths_B.numel() != count or self.score_B.numel() != count:
            raise ValueError(f"{count} responses, {self.lengths_B.numel()} lengths, {self.score_B.numel()} scores")
        for name in ("logp_S", "ref_S", "values_S", "advantages_S", "returns_S"):
            if getattr(self, name).numel() != tokens:
                raise ValueError(f"{name} has {getattr(self, name).numel()} entries for {tokens} tokens")

    def select(self, indices: Sequence[int]) -> Experience:
        """The sub-batch of the groups at `indices`, in that order."""
        sizes = [len(g.responses) for g in self.groups]
        starts = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        rows = [b for i in indices for b in range(starts[i], starts[i + 1])]
        token_starts = [0, *self.lengths_B.cumsum(0).tolist()]
        at = torch.cat([torch.arange(token_starts[b], token_starts[b + 1]) for b in rows]).to(self.logp_S.device)
        row_index = torch.tensor(rows, device=self.lengths_B.device)
        return Experience(
            [self.groups[i] for i in indices], self.lengths_B[row_index], self.logp_S[at], self.ref_S[at],
            self.values_S[at], self.advantages_S[at], self.returns_S[at], self.score_B[row_index],
            self.scores_EB[:, row_index.to(self.scores_EB.device)],
            None if self.entropy_S is None else self.entropy_S[at],
        )  # fmt: skip

    def slice(self, start: int, end: int) -> Experience:
        """The sub-batch of groups [start, end)."""
        return self.select(range(start, end))


def minibatches(batch: Experience, count: int, seed: int) -> Iterator[Experience]:
    """Shuffle the groups and cut them into `count` parts whose sizes differ by at most one."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(batch.groups), generator=generator)
    for part in torch.tensor_split(order, count):
        if part.numel():
            yield batch.select(part.tolist())


def check_rollout(rollout: Rollout, samples_per_prompt: int) -> None:
    """Raise RunError when a sampler returns what cannot be learned from: another number of responses than asked for, an
    empty response, or log-probabilities that do not belong to its tokens."""
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
                "a response ends with its stop token, which the sampler must keep: at least one token",
            )
        if logp.numel() != len(response):
            raise RunError(
                f"the sampler returned {logp.numel()} log-probabilities for the {len(response)} tokens of response {b}",
                "return one per response token, the stop token included",
            )


def check_scores(scores_EB: Tensor, rollout: Rollout) -> None:
    """Raise RunError unless there is one finite score per member and response."""
    if scores_EB.ndim != 2 or scores_EB.shape[1] != rollout.size:
        raise RunError(
            f"the score of {rollout.size} responses has shape {list(scores_EB.shape)}",
            f"return [members, {rollout.size}]; one reward function is one member: scores[None]",
        )
    bad = torch.nonzero(~torch.isfinite(scores_EB))
    if bad.numel():
        member, b = bad[0].tolist()
        raise RunError(
            f"the reward of response {b} is {float(scores_EB[member, b])} (member {member}; {len(bad)} of "
            f"{scores_EB.numel()} scores are not finite)",
            "look at the reward: a diverged reward model must be trained again, a function must return finite numbers; "
            "bound large ones with score_clip",
        )


def check_sampler(rollout: Rollout, batch: Experience, bound: float, temperature: float) -> float:
    """Mean absolute difference (nats per token) between sampler and trainer; raises RunError above `bound`."""
    gap = sampler_gap(rollout, batch)
    if not gap <= bound:
        raise RunError(
            f"the sampler's log-probabilities differ from the trainer's by {gap:.3g} nats per token (bound {bound:g})",
            f"sample with the trainer's temperature ({temperature:g}), without top-k or top-p, from the same weights",
        )
    return gap


def sampler_gap(rollout: Rollout, batch: Experience) -> float:
    """Mean absolute log-probability difference between sampler and trainer, nats per token."""
    sampled_S = torch.cat(rollout.logprobs).to(batch.logp_S)
    return float((sampled_S - batch.logp_S).abs().mean())


def check_ratio(worst: float, step: int) -> None:
    """Raise RunError unless the policy gives the rollout the probabilities it had: the largest |log ratio|, in nats."""
    if not worst < precision.LOG_RATIO_BOUND[precision.current()]:
        raise RunError(
            f"the first minibatch of step {step + 1} has a probability ratio of exp({worst:.3g}) instead of 1",
            "old and new log-probabilities come from different arithmetic (dropout, temperature or packing)",
        )


def rollout_metrics(rollout: Rollout, batch: Experience) -> dict[str, float]:
    """What was sampled, in numbers."""
    finished = sum(rollout.finished) / rollout.size
    residual = (batch.returns_S - batch.values_S).var(unbiased=False)
    variance = batch.returns_S.var(unbiased=False)
    groups: dict[str, float] = {}
    if all(len(g.responses) > 1 for g in batch.groups):
        flat = [len(set(scores)) == 1 for scores in _by_group(batch)]
        groups["flat_group_share"] = sum(flat) / len(flat)
    if batch.entropy_S is not None:
        groups["entropy_tok"] = float(batch.entropy_S.mean())
    return groups | {
        "score": float(batch.score_B.mean()),
        "score_deviation": float(batch.score_B.std(unbiased=False)),
        "raw_score": float(batch.scores_EB.mean()),
        "ensemble_spread": float(batch.scores_EB.std(0, unbiased=False).mean()),
        "response_tokens": float(batch.lengths_B.double().mean()),
        "finished_share": finished,
        "unique_share": len({tuple(r) for r in rollout.responses}) / rollout.size,
        "sampler_gap": sampler_gap(rollout, batch),
        "surprise_tok": float(-batch.logp_S.mean()),
        "value_explained": float(1 - residual / variance) if variance > 0 else 0.0,
    }


def _by_group(batch: Experience) -> list[list[float]]:
    scores = iter(batch.score_B.tolist())
    return [[next(scores) for _ in g.responses] for g in batch.groups]


def kl_metrics(batch: Experience) -> dict[str, float]:
    """KL(policy || reference) of the batch by k1 and k3, per sequence and per token, and how far they disagree."""
    k1_S, k3_S = losses.kl_k1(batch.logp_S, batch.ref_S), losses.kl_k3(batch.logp_S, batch.ref_S)
    owners_S = torch.repeat_interleave(torch.arange(batch.lengths_B.numel(), device=k1_S.device), batch.lengths_B)
    k1_B = k1_S.new_zeros(batch.lengths_B.numel()).index_add(0, owners_S, k1_S)
    k3_B = k3_S.new_zeros(batch.lengths_B.numel()).index_add(0, owners_S, k3_S)
    difference_B = (k1_B - k3_B).double()
    error = difference_B.std(unbiased=False) / max(1, difference_B.numel()) ** 0.5
    return {
        "kl_seq": float(k1_B.mean()),
        "kl_seq_k3": float(k3_B.mean()),
        "kl_tok": float(k1_S.mean()),
        "kl_seq_error": float(k1_B.double().std(unbiased=False) / max(1, k1_B.numel()) ** 0.5),
        "kl_disagreement": float(difference_B.mean() / error) if error > 1e-12 else 0.0,
    }
