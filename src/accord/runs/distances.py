"""How far a policy's samples lie from a reference, and how sure it was of them: log-probabilities,
exact KL and exact entropy, from whole distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from accord.learning.losses import kl_k1
from accord.models.causal_lm import CausalLM
from accord.text.packing import PromptGroup, streams


@dataclass(frozen=True)
class Distances:
    """Sums over the tokens of each response, nats: log-probabilities under policy and reference,
    KL(policy || reference) and entropy of the policy, both by the whole softmax: [B]. kl_each_B:
    the KL at each token, where it was asked for."""

    logp_B: list[float]
    ref_logp_B: list[float]
    kl_B: list[float]
    entropy_B: list[float]
    kl_each_B: list[list[float]] = field(default_factory=list)


@torch.no_grad()
def distances(
    policy: CausalLM,
    reference: CausalLM | None,
    groups: Sequence[PromptGroup],
    temperature: float,
    each_token: bool = False,
) -> Distances:
    """Of all responses of `groups`, in order, under the distributions tempered for sampling.

    reference None: the policy with its adapter switched off. The policy itself as its reference
    costs one pass, and its KL is 0. each_token: keep the KL at each token, too.
    """
    each_B: list[list[float]] = []
    sums: list[list[float]] = [[], [], [], []]
    # Whole distributions of both models are held at once, so large vocabularies get smaller
    # batches.
    for packed in streams(groups, max(256, 16_000_000 // policy.vocab_size)):
        stream = packed.to(policy.device)
        logp, ref, exact, entropy = (
            torch.zeros(stream.targets_S.numel(), device=policy.device) for _ in range(4)
        )
        if reference is policy:
            for part, p_SV in policy.full_logprobs(stream, temperature):
                logp[part] = p_SV.gather(1, stream.targets_S[part, None])[:, 0]
                entropy[part] = -(p_SV.exp() * p_SV).sum(1)
            ref = logp
        else:
            mine = policy.full_logprobs(stream, temperature)
            model = reference or policy
            with model.reference():
                theirs = list(model.full_logprobs(stream, temperature))
            for (part, p_SV), (_, q_SV) in zip(mine, theirs, strict=True):
                target, share_SV = stream.targets_S[part, None], p_SV.exp()
                logp[part] = p_SV.gather(1, target)[:, 0]
                ref[part] = q_SV.gather(1, target)[:, 0]
                exact[part] = (share_SV * kl_k1(p_SV, q_SV)).sum(1).clamp_min(0)
                entropy[part] = -(share_SV * p_SV).sum(1)
        for total, values in zip(sums, (logp, ref, exact, entropy), strict=True):
            total += stream.sum_by_response(values).tolist()
        if each_token:
            each_B += [one.tolist() for one in exact.split(stream.scored_R.tolist())]
    logp_B, ref_logp_B, kl_B, entropy_B = sums
    return Distances(logp_B, ref_logp_B, kl_B, entropy_B, each_B)
