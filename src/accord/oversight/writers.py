"""Models that write: behind an endpoint, or on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from accord.models.causal_lm import CausalLM
from accord.oversight.drafts import UNANSWERED, Failure, WrittenText
from accord.sampling.asking import Asker, Unanswered
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.endpoint import ChatQuestion
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed
from accord.text.encoding import Encoder

Turns = Sequence[Mapping[str, str]]
"""Messages of role and content, the user's last."""


class Writer(Protocol):
    """name: of the model; limit: most tokens that it writes."""

    name: str
    limit: int

    def write(
        self, conversations: Sequence[Turns], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        """A reply to each conversation, in order."""


class EndpointWriter:
    """A model behind an address: each question once, within the asker's budget."""

    def __init__(self, asker: Asker, limit: int, temperature: float) -> None:
        self.asker, self.limit, self.temperature = asker, limit, temperature
        self.name = f"{asker.endpoint.url}#{asker.endpoint.model}"

    def write(
        self, conversations: Sequence[Turns], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        """A question that stays unanswered is a failure, and is asked again by the next run."""
        answers = self.asker.ask(self.questions(conversations, seeds))
        return [
            Failure(f"{UNANSWERED}{one.reason}")
            if isinstance(one, Unanswered)
            else WrittenText(one.text, one.finished)
            for one in answers
        ]

    def questions(self, conversations: Sequence[Turns], seeds: Sequence[int]) -> list[ChatQuestion]:
        """As they are put; endpoints take seeds of 31 bits."""
        return [
            ChatQuestion(
                tuple((m["role"], m["content"]) for m in turns),
                self.limit,
                self.temperature,
                derive_seed(seed, "endpoint") % 2**31,
            )
            for turns, seed in zip(conversations, seeds, strict=True)
        ]


class ModelWriter:
    """A model on this machine, asked through its chat template."""

    def __init__(
        self, model: CausalLM, encoder: Encoder, name: str, limit: int, temperature: float
    ) -> None:
        self.encoder, self.name, self.limit = encoder, name, limit
        self.sampler = BuiltinSampler(model)
        self.settings = SamplingSettings(limit, temperature)
        self.context = model.context

    def write(
        self, conversations: Sequence[Turns], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        """A conversation that leaves no room for a reply is a failure."""
        ids = [self.encoder.prompt(list(c), str(n)) for n, c in enumerate(conversations)]
        fits = [n for n, one in enumerate(ids) if len(one) + self.limit <= self.context]
        found: list[WrittenText | Failure] = [
            Failure(f"{len(one)} tokens and {self.limit} to write are more than {self.context}")
            for one in ids
        ]
        if fits:
            rollout = self.sampler.sample(
                [ids[n] for n in fits], self.settings, [seeds[n] for n in fits]
            )
            for n, tokens, finished in zip(fits, rollout.responses, rollout.finished, strict=True):
                found[n] = WrittenText(self.encoder.text(tokens), finished)
        return found
