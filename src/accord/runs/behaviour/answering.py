"""Policies that answer: local models, with log-probabilities, and models behind an endpoint, of
which text comes back and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from accord.errors import DataError
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze, load_causal_lm
from accord.models.next_tokens import next_token_logps
from accord.runs.distances import Distances, distances
from accord.sampling.addresses import is_remote, open_endpoints
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import AskingSettings, Unanswered
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.endpoint import ChatQuestion, Completion, EndpointError
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed
from accord.statistics.intervals import Array
from accord.text.encoding import Encoder, Prompt
from accord.text.packing import SCORING_TOKENS, PromptGroup, response_offsets, streams


@dataclass(frozen=True)
class SampledAnswer:
    """A sampled response; finished: it ended by itself; ids: its tokens, None of an endpoint's."""

    text: str
    finished: bool
    ids: list[int] | None = None


Question = Sequence[str] | str
"""Turns, the user's and the assistant's in order, the user's last; or a text (a str) that is
continued as it stands."""


class Policy(Protocol):
    """What is asked of a policy."""

    def choice_logps(
        self, questions: Sequence[Question], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        """Per question the log-probability of each option, summed over its tokens, nats: [K]."""

    def text_logps(self, texts: Sequence[str]) -> Array:
        """Log-probability of whole plain texts, nats: [I]."""

    def continued(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Of every (text, what continues it): the log-probability of the latter, nats, and whether
        it is the likeliest token by token."""

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> list[SampledAnswer]:
        """A sampled response per prompt."""

    def answers(
        self, questions: Sequence[Sequence[str]], max_new_tokens: int, temperature: float, seed: int
    ) -> list[str]:
        """A sampled response per question."""


def answer_seeds(seed: int, count: int) -> list[int]:
    """One per sampled response."""
    return [derive_seed(seed, "behaviour", place) for place in range(count)]


def open_policy(
    reference: str, kept: AnswerCache | None = None, asking: AskingSettings | None = None
) -> LocalPolicy | EndpointPolicy:
    """A directory, adapter, accord:NAME, Hub id, or http(s)://…/v1#model, whose answers are
    kept."""
    if is_remote(reference):
        return EndpointPolicy(reference, kept or AnswerCache(None), asking)
    return LocalPolicy(reference)


def as_chat(turns: Sequence[str]) -> list[dict[str, str]]:
    """Turns as messages."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]


class _Sampled:
    """Answers to questions, where it is known how to put a question and how to answer prompts."""

    def asked(self, turns: Sequence[str]) -> Prompt:
        """What stands before an answer."""
        raise NotImplementedError

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> list[SampledAnswer]:
        """A sampled response per prompt."""
        raise NotImplementedError

    def answers(
        self, questions: Sequence[Sequence[str]], max_new_tokens: int, temperature: float, seed: int
    ) -> list[str]:
        """A sampled response per question."""
        prompts = [self.asked(turns) for turns in questions]
        settings = SamplingSettings(max_new_tokens, temperature)
        found = self.respond(prompts, settings, answer_seeds(seed, len(prompts)))
        return [one.text for one in found]


class LocalPolicy(_Sampled):
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
            return as_chat(turns)
        marks = ("Q: ", "A: ")
        lines = [f"{marks[n % 2]}{turn}" for n, turn in enumerate(turns)]
        return "\n".join([*lines, "A:"])

    def choice_logps(
        self, questions: Sequence[Question], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        """Per question the log-probability of each option, summed over its tokens, nats: [K]. The
        options of a text are continued as they stand, too."""
        groups: list[PromptGroup] = []
        for row, (question, answers) in enumerate(zip(questions, options, strict=True)):
            if isinstance(question, str):
                prompt: Prompt = question
                said = list(answers)
            else:
                prompt, space = self.asked(question), "" if self.chats else " "
                said = [space + answer.strip() for answer in answers]
            encoded = [self.encoder.example(prompt, text, False, str(row)) for text in said]
            groups.append(
                PromptGroup(encoded[0].prompt_ids, [example.response_ids for example in encoded])
            )
        if all(len(said) == 1 for group in groups for said in group.responses):
            tokens = [[said[0] for said in group.responses] for group in groups]
            return next_token_logps(self.model, [group.prompt for group in groups], tokens)
        return self._logps(groups)

    def text_logps(self, texts: Sequence[str]) -> Array:
        """Log-probability of whole plain texts after BOS, or EOS where there is none, nats: [I]."""
        return np.concatenate(self._logps([self._alone(n, text) for n, text in enumerate(texts)]))

    def continued(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Text and continuation are tokenised as one; spaces between them go with the latter."""
        import torch

        groups = [self._continuing(row, *pair) for row, pair in enumerate(pairs)]
        found: list[tuple[float, bool]] = []
        for packed in streams(groups, SCORING_TOKENS):
            stream = packed.to(self.model.device)
            logps, likeliest = [], []
            for part, full_SV in self.model.full_logprobs(stream):
                own_S = full_SV.gather(1, stream.targets_S[part, None])[:, 0]
                logps.append(own_S)
                likeliest.append(own_S >= full_SV.max(dim=1).values)
            missed_S = (~torch.cat(likeliest)).float()
            sums, missed = (stream.sum_by_response(x) for x in (torch.cat(logps), missed_S))
            found += zip(sums.tolist(), (missed == 0).tolist(), strict=True)
        return found

    def _continuing(self, row: int, text: str, continuation: str) -> PromptGroup:
        kept = text.rstrip()
        if not kept:
            return self._alone(row, text + continuation)
        start = self.encoder.prompt(kept, str(row))
        whole = self.encoder.prompt(text + continuation, str(row))
        return PromptGroup(start, [whole[len(start) :]])

    def _alone(self, row: int, text: str) -> PromptGroup:
        tokenizer = self.model.tokenizer
        start = [
            tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        ]
        ids = self.encoder.prompt(text, str(row))
        return PromptGroup(start, [ids[1:] if ids[:1] == start else ids])

    def _logps(self, groups: Sequence[PromptGroup]) -> list[Array]:
        import torch

        sums: list[float] = []
        with torch.no_grad():
            for packed in streams(groups, SCORING_TOKENS):
                stream = packed.to(self.model.device)
                sums += stream.sum_by_response(self.model.logprobs(stream)).tolist()
        ends = response_offsets(groups)
        return [np.array(sums[a:b]) for a, b in pairwise(ends)]

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> list[SampledAnswer]:
        """A sampled response per prompt: a text is continued as it stands, messages go through the
        template."""
        ids = [self.encoder.prompt(prompt, str(n)) for n, prompt in enumerate(prompts)]
        rollout = BuiltinSampler(self.model).sample(ids, settings, seeds)
        return [
            SampledAnswer(self.encoder.text(response), finished, list(response))
            for response, finished in zip(rollout.responses, rollout.finished, strict=True)
        ]

    def distances(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[Sequence[int]],
        reference: LocalPolicy,
        temperature: float,
    ) -> Distances:
        """Of responses to prompts, one each, from a reference (or from this policy itself). Raises
        DataError where the two read other tokens."""
        self._check_vocabulary(reference)
        ids = [self.encoder.prompt(prompt, str(n)) for n, prompt in enumerate(prompts)]
        groups = [PromptGroup(p, [list(r)]) for p, r in zip(ids, responses, strict=True)]
        return distances(self.model, reference.model, groups, temperature)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        found: Any = self.model.tokenizer
        return dict(found.get_vocab())

    def _check_vocabulary(self, other: LocalPolicy) -> None:
        if self is other:
            return
        if self._vocabulary != other._vocabulary:
            mine, theirs = len(self._vocabulary), len(other._vocabulary)
            raise DataError(
                f"{self.reference} has another vocabulary than {other.reference} ({mine:,} and"
                f" {theirs:,} tokens), so that their distributions cannot be compared",
                "compare policies tuned from one model",
            )


class EndpointPolicy(_Sampled):
    """A model behind an OpenAI-compatible endpoint: it answers, and tells no log-probabilities."""

    def __init__(
        self, reference: str, kept: AnswerCache, asking: AskingSettings | None = None
    ) -> None:
        self.reference, asking = reference, asking or AskingSettings()
        (endpoint,) = open_endpoints([reference], asking.timeout)
        self.asker = asking.asker(reference, endpoint, kept)

    def asked(self, turns: Sequence[str]) -> Prompt:
        """Turns as messages."""
        return as_chat(turns)

    def choice_logps(
        self, questions: Sequence[Question], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        """Raises DataError."""
        raise self._text_only()

    def text_logps(self, texts: Sequence[str]) -> Array:
        """Raises DataError."""
        raise self._text_only()

    def continued(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Raises DataError."""
        raise self._text_only()

    def _text_only(self) -> DataError:
        return DataError(
            f"{self.reference} is an endpoint: it gives text, and this needs the log-probabilities"
            " of given answers",
            "name the model's directory or Hub id",
        )

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> list[SampledAnswer]:
        """A response per prompt, one call each; a text is sent as the user's message. Raises
        EndpointError where one stays unanswered."""
        found = self.asker.ask(
            [
                ChatQuestion(
                    tuple((m["role"], m["content"]) for m in _messages(prompt)),
                    settings.max_new_tokens,
                    settings.temperature,
                    derive_seed(seed, "endpoint") % 2**31,
                )
                for prompt, seed in zip(prompts, seeds, strict=True)
            ]
        )
        failed = [one.reason for one in found if isinstance(one, Unanswered)]
        if failed:
            raise EndpointError(
                f"{len(failed)} of {len(found)} questions stayed unanswered: {failed[0]}",
                "run it again: what was answered is kept",
            )
        return [
            SampledAnswer(one.text, one.finished) for one in found if isinstance(one, Completion)
        ]


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    if isinstance(prompt, str):
        return as_chat([prompt])
    messages: Sequence[Any] = prompt["messages"] if isinstance(prompt, Mapping) else prompt
    found = [{"role": m["role"], "content": m["content"]} for m in messages]
    if not all(isinstance(m["content"], str) for m in found):
        raise DataError("an endpoint is sent text messages alone", "leave tools and parts out")
    return found
