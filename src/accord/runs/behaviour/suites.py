"""How much is asked of policies: sizes by name, what each set holds of them, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accord.runs.behaviour.answering import Question, SampledAnswer, as_chat
from accord.runs.estimate import TokenWork
from accord.sampling.rollout import SamplingSettings
from accord.statistics.intervals import Array
from accord.text.encoding import Encoder, Prompt

if TYPE_CHECKING:
    from accord.runs.behaviour.question_set import QuestionSet
    from accord.runs.behaviour.responses import Responses


@dataclass(frozen=True)
class Suite:
    """items: of a set at most; prompts: answered, with `samples` responses each of at most
    max_new_tokens tokens."""

    name: str
    items: int
    prompts: int
    samples: int
    max_new_tokens: int


ALL = 10**9
SUITES = {
    one.name: one
    for one in (
        Suite("quick", 20, 16, 2, 32),
        Suite("standard", 150, 100, 4, 64),
        Suite("full", ALL, 1000, 8, 256),
    )
}


class Counting:
    """Stands for a policy in a plan: counts what it is asked, and answers nothing. Answers are
    taken to be half as long as they may be."""

    def __init__(self, encoder: Encoder | None, chats: bool) -> None:
        self.encoder, self.chats = encoder, chats
        self.questions = self.options = self.samples = 0
        self.work = TokenWork()

    def asked(self, turns: Sequence[str]) -> Prompt:
        if self.chats:
            return as_chat(turns)
        return "\n".join(["Q: " + turn for turn in turns])

    def _tokens(self, prompt: Prompt) -> int:
        if self.encoder is None:  # about four letters of English to a token
            said = prompt if isinstance(prompt, str) else str(prompt)
            return len(said) // 4
        return len(self.encoder.prompt(prompt))

    def choice_logps(
        self, questions: Sequence[Question], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        for question, own in zip(questions, options, strict=True):
            self.questions += 1
            self.options += len(own)
            prompt = question if isinstance(question, str) else self.asked(question)
            tokens = self._tokens(prompt) + sum(len(one) // 4 + 1 for one in own)
            self.work += TokenWork(scored=tokens)
        return [np.zeros(len(own)) for own in options]

    def text_logps(self, texts: Sequence[str]) -> Array:
        self.options += len(texts)
        self.work += TokenWork(scored=sum(len(text) // 4 + 1 for text in texts))
        return np.zeros(len(texts))

    def continued(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        self.options += len(pairs)
        tokens = sum(self._tokens(text) + len(more) // 4 + 1 for text, more in pairs)
        self.work += TokenWork(scored=tokens)
        return [(0.0, False)] * len(pairs)

    def answers(
        self, questions: Sequence[Sequence[str]], max_new_tokens: int, temperature: float, seed: int
    ) -> list[str]:
        prompts = [self.asked(turns) for turns in questions]
        settings = SamplingSettings(max_new_tokens, temperature)
        return [one.text for one in self.respond(prompts, settings, [0] * len(prompts))]

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> list[SampledAnswer]:
        self.samples += len(prompts)
        self.work += TokenWork(
            scored=sum(map(self._tokens, prompts)),
            sampled=len(prompts) * settings.max_new_tokens // 2,
        )
        return [SampledAnswer("", True, [])] * len(prompts)


@dataclass(frozen=True)
class Holding:
    """What a set asks of each policy: items of `whole`; options scored and responses sampled; how
    many tokens that is."""

    name: str
    items: int
    whole: int
    options: int
    samples: int
    work: TokenWork


def holdings(
    sets: Sequence[QuestionSet],
    responses: Responses | None,
    encoder: Encoder | None,
    chats: bool,
) -> list[Holding]:
    """Of every set, found by asking a policy that only counts."""
    found = []
    for one in sets:
        counting = Counting(encoder, chats)
        one.measure(counting)
        found.append(
            Holding(
                one.name,
                len(one.rows),
                one.whole,
                counting.options,
                counting.samples,
                counting.work,
            )
        )
    if responses is not None:
        counting = Counting(encoder, chats)
        asked = responses.asked
        counting.respond(asked, responses.settings, [0] * len(asked))
        # once more for entropy, and once by the model that KL is measured from
        again = TokenWork(scored=2 * counting.work.tokens)
        count = len(responses.prompts)
        found.append(Holding("responses", count, count, 0, counting.samples, counting.work + again))
    return found
