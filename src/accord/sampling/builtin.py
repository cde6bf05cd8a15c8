"""The built-in sampler: preallocated cache, one prefill per prompt, finished rows leave, slots are
refilled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accord.errors import ConfigError, DataError
from accord.models import precision
from accord.models.causal_lm import CausalLM
from accord.models.loading import generation_stops
from accord.models.soup import LogitSoup
from accord.models.tuning import release_memory
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.seeds import generator
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup, micro_batches, pack

REFILL_SHARE = 0.25
"""Refill when at least this share of the slots is free; compact likewise when nothing waits."""
PREFILL_TOKENS = 1024
"""Prompt tokens per prefill pass: a memory knob only."""


@dataclass
class _Response:
    """One response on its way. tag_next: what was drawn last ends a segment, and a tag follows it
    before anything else is drawn."""

    index: int
    prompt: Sequence[int]
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tag_next: bool = False


class BuiltinSampler:
    """Samples from a `CausalLM`, or a soup of several, on its own device with at most `slots`
    sequences at a time."""

    def __init__(self, model: CausalLM | LogitSoup, slots: int = 128) -> None:
        if model.tokenizer.eos_token_id is None:
            raise ConfigError(
                "the tokenizer has no EOS token", "set eos_token: responses must be able to finish"
            )
        self.model, self.slots = model, slots
        models = model.models if isinstance(model, LogitSoup) else [model]
        stops = [stop for one in models for stop in generation_stops(one.hf)]
        self.stop_ids = frozenset([*Encoder(model.tokenizer).stop_ids, *stops])

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        seeds: Sequence[int],
        samples_per_prompt: int = 1,
        on_token: Callable[[int, int], None] | None = None,
    ) -> Rollout:
        """See `Sampler.sample`. `on_token(response, token)` is called as tokens appear
        (streaming)."""
        if len(seeds) != len(prompts) * samples_per_prompt:
            raise ValueError(
                f"{len(seeds)} seeds for {len(prompts)} x {samples_per_prompt} responses"
            )
        self._check_lengths(prompts, settings)
        index = [p for p in range(len(prompts)) for _ in range(samples_per_prompt)]
        tags = self.model.tags
        read = prompts if tags is None else [tags.tagged(prompt) for prompt in prompts]
        rows = [
            _Response(b, read[p], generator(seed, "tokens").random(settings.max_new_tokens))
            for b, (p, seed) in enumerate(zip(index, seeds, strict=True))
        ]
        batch = _DecodingBatch(self.model, settings, self.stop_ids, self.slots, on_token)
        release_memory()
        with precision.scope(self.model.device.type):
            batch.run(rows)
        del batch
        release_memory()
        return Rollout(
            prompts=[list(p) for p in prompts],
            prompt_index=index,
            responses=[row.tokens for row in rows],
            logprobs=[torch.tensor(row.logprobs) for row in rows],
            finished=[row.tokens[-1] in self.stop_ids for row in rows],
        )

    def _check_lengths(self, prompts: Sequence[Sequence[int]], settings: SamplingSettings) -> None:
        if not prompts:
            raise DataError("there is nothing to sample: 0 prompts")
        tags = self.model.tags
        for row, prompt in enumerate(prompts if tags is None else map(tags.tagged, prompts)):
            if len(prompt) + settings.max_new_tokens > self.model.context:
                raise DataError(
                    f"prompt {row} has {len(prompt)} tokens; with {settings.max_new_tokens} "
                    "new ones it exceeds "
                    f"the model's context of {self.model.context}",
                    "shorten the prompts or lower max_new_tokens",
                )


class _DecodingBatch:
    """The rows being decoded: row i of the cache belongs to active[i]."""

    def __init__(
        self,
        model: CausalLM | LogitSoup,
        settings: SamplingSettings,
        stop_ids: frozenset[int],
        slots: int,
        on_token: Callable[[int, int], None] | None,
    ) -> None:
        self.model, self.settings, self.stop_ids, self.slots = model, settings, stop_ids, slots
        self.on_token = on_token

    def run(self, rows: Sequence[_Response]) -> None:
        """Decode all rows to their end."""
        waiting = deque(rows)
        self.slots = min(self.slots, len(rows))
        new = self.settings.max_new_tokens * (1 if self.model.tags is None else 2)
        longest = max(len(row.prompt) for row in rows) + new
        self.cache: Any = self.model.cache(self.slots, longest)
        self.decoder: Any = self.model.decoder(self.slots)
        self.active: list[_Response | None] = [None] * self.slots
        self.at_B = torch.zeros(self.slots, dtype=torch.long, device=self.model.device)
        self.next_B = torch.zeros(self.slots, dtype=torch.long, device=self.model.device)
        while waiting or any(row is not None for row in self.active):
            free = [i for i, row in enumerate(self.active) if row is None]
            if waiting and len(free) >= REFILL_SHARE * len(self.active):
                self._refill(free, waiting)
                continue
            if not waiting and len(free) >= REFILL_SHARE * len(self.active):
                self._compact()
            self._step()

    def _refill(self, free: list[int], waiting: deque[_Response]) -> None:
        """Prefill waiting rows into free slots; neighbours with the same prompt share one
        prefill."""
        taken = [(slot, waiting.popleft()) for slot in free[: len(waiting)]]
        shared: list[tuple[Sequence[int], list[int]]] = []
        for slot, row in taken:
            if shared and shared[-1][0] == row.prompt:
                shared[-1][1].append(slot)
            else:
                shared.append((row.prompt, [slot]))
            self.active[slot] = row
        # The last prompt token is fed by the first decoding step, so the prefill stops before it.
        heads = [(prompt[:-1], slots) for prompt, slots in shared if len(prompt) > 1]
        groups = [PromptGroup([prompt[0]], [list(prompt[1:]) or [0]]) for prompt, _ in heads]
        for start, end in micro_batches(groups, PREFILL_TOKENS):
            stream = pack(groups[start:end]).to(self.model.device)
            self.model.prefill(stream, self.cache, [slots for _, slots in heads[start:end]])
        for prompt, slots in shared:
            self.at_B[slots] = len(prompt) - 1
            self.next_B[slots] = prompt[-1]

    def _compact(self) -> None:
        """Nothing waits: keep only the rows still running."""
        kept = [i for i, row in enumerate(self.active) if row is not None]
        index = torch.tensor(kept, device=self.model.device)
        self.cache.keep(kept, self.at_B[index].tolist())
        self.at_B, self.next_B = self.at_B[index], self.next_B[index]
        self.active = [self.active[i] for i in kept]

    def _step(self) -> None:
        hidden = self.decoder.decode(self.next_B, self.at_B, self.cache)
        uniform_B = torch.tensor(
            [row.uniforms[len(row.tokens)] if row is not None else 0.0 for row in self.active],
            dtype=torch.float64,
        )
        tokens, logprobs = draw(self.decoder.logits(hidden), uniform_B, self.settings.temperature)
        self.next_B, tags = tokens, self.model.tags
        running = torch.tensor([row is not None for row in self.active], device=tokens.device)
        self.at_B = self.at_B + running  # idle slots stay where they are
        for slot, (token, logprob) in enumerate(
            zip(tokens.tolist(), logprobs.tolist(), strict=True)
        ):
            row = self.active[slot]
            if row is None:
                continue
            if tags is not None and row.tag_next:
                self.next_B[slot], row.tag_next = tags.good, False
                continue
            row.tokens.append(token)
            row.logprobs.append(logprob)
            row.tag_next = tags is not None and token in tags.ends
            if self.on_token is not None:
                self.on_token(row.index, token)
            if token in self.stop_ids or len(row.tokens) == self.settings.max_new_tokens:
                self.active[slot] = None


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """One token per row and its log-probability (nats): ([B], [B]).

    By inverse CDF: one number from [0, 1) per row chooses; at temperature 0 the best token wins.
    """
    if temperature == 0:
        best = torch.log_softmax(logits_BV, dim=-1).max(dim=-1)
        return best.indices, best.values
    tempered_BV = logits_BV if temperature == 1 else logits_BV / temperature
    chance_BV = torch.softmax(tempered_BV, dim=-1)
    cdf_BV = torch.cumsum(chance_BV, dim=-1)
    # No token of probability 0 is drawn: "right" sees to it at the number 0, and at the other end
    # the number is scaled by the total and kept below 1, to which it may have been rounded.
    below_one = 1 - torch.finfo(cdf_BV.dtype).eps / 2
    uniform_B = uniform_B.to(cdf_BV).clamp(max=below_one)
    drawn_B = torch.searchsorted(cdf_BV, (uniform_B * cdf_BV[:, -1])[:, None], right=True)[:, 0]
    drawn_B = drawn_B.clamp_(max=chance_BV.shape[1] - 1)
    return drawn_B, chance_BV.gather(1, drawn_B[:, None])[:, 0].log()
