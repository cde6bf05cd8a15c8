"""Log-probabilities of given next tokens after many prompts, such as the answers "A" and "B" after
questions: in packed passes, without padding, the beginnings that prompts share computed once, and
the vocabulary's table only at the last position of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from accord.statistics.intervals import Array
from accord.text.packing import SCORING_TOKENS, PromptGroup, common_start, join, streams

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM


@torch.no_grad()
def next_token_logps(
    model: CausalLM,
    prompts: Sequence[Sequence[int]],
    tokens: Sequence[Sequence[int]],
    max_tokens: int = SCORING_TOKENS,
) -> list[Array]:
    """Per prompt the log-probability of each of its tokens as the next one, nats: [K]."""
    order = sorted(range(len(prompts)), key=lambda n: list(prompts[n]))
    found: list[Array] = [np.zeros(0)] * len(prompts)
    done = 0
    for packed in streams(sharing_starts([prompts[n] for n in order]), max_tokens):
        stream = packed.to(model.device)
        for part, full_SV in model.full_logprobs(stream):
            for row, logp_V in enumerate(full_SV, part.start):
                place = order[done + row]
                wanted = torch.tensor(list(tokens[place]), device=logp_V.device)
                found[place] = logp_V[wanted].double().cpu().numpy()
        done += stream.responses
    return found


def sharing_starts(prompts: Sequence[Sequence[int]]) -> list[PromptGroup]:
    """The sorted prompts, in order, in groups that share their beginning, wherever it saves tokens.
    What stands for the answer is not read: one token that is."""
    groups: list[PromptGroup] = []
    members: list[PromptGroup] = []
    shared = 0
    for prompt in prompts:
        one = PromptGroup(prompt, [[prompt[-1]]])
        if members:
            common = min(common_start(members[0].prompt, prompt), shared)
            if common and common * len(members) >= shared * (len(members) - 1):
                members.append(one)
                shared = common
                continue
            groups.append(join(members))
        members, shared = [one], len(prompt)
    return [*groups, join(members)] if members else groups
