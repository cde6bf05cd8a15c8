"""A local policy that answers: log-probabilities of given answers, and sampled responses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from accord.models.loading import freeze, load_causal_lm
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed
from accord.statistics.intervals import Array
from accord.text.encoding import Encoder, Prompt
from accord.text.packing import SCORING_TOKENS, PromptGroup, response_offsets, streams

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM


class LocalPolicy:
    """A model loaded from a directory, adapter or Hub id. Asked as a chat where its tokenizer has a
    template, as plain text otherwise."""

    def __init__(self, reference: str, device: str = "cpu") -> None:
        self.reference = reference
        self.model: CausalLM = freeze(load_causal_lm(reference, device))
        self.encoder = Encoder(self.model.tokenizer)

    @property
    def chats(self) -> bool:
        """Whether questions are put as messages."""
        return self.model.tokenizer.chat_template is not None

    def asked(self, turns: Sequence[str]) -> Prompt:
        """What stands before an answer: user and assistant turns in order, the user's last. As
        plain text they are "Q: ... A: ..."."""
        if self.chats:
            roles = ("user", "assistant")
            return [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
        marks = ("Q: ", "A: ")
        lines = [f"{marks[n % 2]}{turn}" for n, turn in enumerate(turns)]
        return "\n".join([*lines, "A:"])

    def choice_logps(
        self, questions: Sequence[Sequence[str]], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        """Per question (turns) the log-probability of each option, summed over its tokens, nats:
        [K]."""
        groups = []
        for row, (turns, answers) in enumerate(zip(questions, options, strict=True)):
            prompt = self.asked(turns)
            space = "" if self.chats else " "
            encoded = [
                self.encoder.example(prompt, space + answer.strip(), False, str(row))
                for answer in answers
            ]
            groups.append(
                PromptGroup(encoded[0].prompt_ids, [example.response_ids for example in encoded])
            )
        return self._logps(groups)

    def text_logps(self, texts: Sequence[str]) -> Array:
        """Log-probability of whole plain texts after BOS, or EOS where there is none, nats: [I]."""
        tokenizer = self.model.tokenizer
        start = [
            tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        ]
        ids = (self.encoder.prompt(text, str(row)) for row, text in enumerate(texts))
        groups = [PromptGroup(start, [own[1:] if own[:1] == start else own]) for own in ids]
        return np.concatenate(self._logps(groups))

    @torch.no_grad()
    def _logps(self, groups: Sequence[PromptGroup]) -> list[Array]:
        sums: list[float] = []
        for packed in streams(groups, SCORING_TOKENS):
            stream = packed.to(self.model.device)
            sums += stream.sum_by_response(self.model.logprobs(stream)).tolist()
        ends = response_offsets(groups)
        return [np.array(sums[a:b]) for a, b in pairwise(ends)]

    def answers(
        self, questions: Sequence[Sequence[str]], max_new_tokens: int, temperature: float, seed: int
    ) -> list[str]:
        """A sampled response per question."""
        ids = [self.encoder.prompt(self.asked(turns), str(n)) for n, turns in enumerate(questions)]
        seeds = [derive_seed(seed, "behaviour", place) for place in range(len(ids))]
        settings = SamplingSettings(max_new_tokens, temperature)
        rollout = BuiltinSampler(self.model).sample(ids, settings, seeds)
        return [self.encoder.text(response) for response in rollout.responses]
