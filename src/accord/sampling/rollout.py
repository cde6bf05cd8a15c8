"""What a sampler is asked for and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from accord.errors import ConfigError
from accord.text.packing import PromptGroup


@dataclass(frozen=True)
class SamplingSettings:
    """max_new_tokens: response limit; temperature: of the distribution sampled from, 0 is greedy.

    There is no top-k or top-p: they change the distribution away from the one the trainer scores.
    """

    max_new_tokens: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(
                f"max_new_tokens is {self.max_new_tokens}", "ask for at least one token"
            )
        if self.temperature < 0:
            raise ConfigError(
                f"temperature is {self.temperature}", "use 0 (greedy) or a positive number"
            )


@dataclass(frozen=True)
class Rollout:
    """B sampled responses to P prompts; response b answers prompts[prompt_index[b]], in prompt
    order.

    logprobs: the sampler's log-probability per response token (nats), under the tempered
    distribution;
    finished: ended by a stop token (which is the last one) rather than cut at the limit;
    rows: where each prompt stands among all that are sampled from, empty where nobody asked.
    """

    prompts: list[list[int]]
    prompt_index: list[int]
    responses: list[list[int]]
    logprobs: list[Tensor]
    finished: list[bool]
    rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        sizes = {len(x) for x in (self.prompt_index, self.responses, self.logprobs, self.finished)}
        if len(sizes) != 1:
            raise ValueError(f"fields of a rollout differ in length: {sizes}")
        if self.prompt_index != sorted(self.prompt_index):
            raise ValueError("responses must be in prompt order")

    @property
    def size(self) -> int:
        return len(self.responses)

    def groups(self) -> list[PromptGroup]:
        """One packing group per prompt, responses in order."""
        by_prompt: dict[int, list[list[int]]] = {}
        for index, response in zip(self.prompt_index, self.responses, strict=True):
            by_prompt.setdefault(index, []).append(response)
        return [
            PromptGroup(self.prompts[index], responses) for index, responses in by_prompt.items()
        ]


class Sampler(Protocol):
    """Draws responses from a policy."""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        settings: SamplingSettings,
        seeds: Sequence[int],
        samples_per_prompt: int = 1,
    ) -> Rollout:
        """`samples_per_prompt` responses for each of P prompts; `seeds` has one number per
        response.

        Response b depends on its prompt, its seed and the policy only, up to floating-point
        rounding.
        """
