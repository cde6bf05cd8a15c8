"""A local model as a judge: the probabilities of the allowed answers after the question, all
questions of a batch in packed passes, each asked once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from math import fsum
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from accord.oversight.judge_answers import JudgeAnswer, NoAnswer
from accord.oversight.judge_questions import REASON, JudgeQuestion
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.endpoint import Completion
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed
from accord.statistics.intervals import Array
from accord.text.chats import Prompt

BATCH = 64
"""Questions that are answered and kept at a time: what is lost when the process is killed."""


class WrittenReasoning(Protocol):
    """A sampled text; finished: it ended by itself."""

    @property
    def text(self) -> str: ...
    @property
    def finished(self) -> bool: ...


class ChoosingModel(Protocol):
    """What is needed of a local model: `LocalPolicy` of the runs has it."""

    def asked(self, turns: Sequence[str]) -> Prompt:
        """What stands before an answer to these turns."""

    def choice_logps(
        self, questions: Sequence[Sequence[str]], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        """Per question (turns) the log-probability of each option, nats: [K]."""

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> Sequence[WrittenReasoning]:
        """A sampled response per prompt."""


class LocalAnswers:
    """load: makes the model, where anything is left to answer; identity: what it is, such as a hash
    of its files: part of what answers are kept by. reasoning_tokens: longest reasoning before the
    answer, 0 for none; temperature, seed: of its sampling alone."""

    def __init__(
        self,
        load: Callable[[], ChoosingModel],
        identity: str,
        kept: AnswerCache,
        reasoning_tokens: int = 0,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._load, self.identity, self.kept = load, identity, kept
        self.reasoning_tokens, self.temperature, self.seed = reasoning_tokens, temperature, seed
        self.computed = 0
        """Questions that were not answered before."""

    @cached_property
    def model(self) -> ChoosingModel:
        """Loaded when it is first needed."""
        return self._load()

    def fresh(self, questions: Sequence[JudgeQuestion]) -> dict[str, JudgeQuestion]:
        """Those that were not answered before, by key."""
        wanted = {self.key(question): question for question in questions}
        return {key: one for key, one in wanted.items() if self.kept.get(key) is None}

    def key(self, question: JudgeQuestion) -> str:
        """SHA-256 of the model and all that decides its answer."""
        how: list[float] = []
        if self.reasoning_tokens:
            how = [self.reasoning_tokens, self.temperature, self.seed]
        asked = ["local", self.identity, question.text, question.closing, question.allowed, how]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def ask(
        self, questions: Sequence[JudgeQuestion], later: int = 0
    ) -> list[JudgeAnswer | NoAnswer]:
        """An answer to each, those kept from before included."""
        keys = [self.key(question) for question in questions]
        fresh = list(self.fresh(questions).items())
        for start in range(0, len(fresh), BATCH):
            self._answer(fresh[start : start + BATCH])
        return [self._read(key, one) for key, one in zip(keys, questions, strict=True)]

    def _answer(self, batch: Sequence[tuple[str, JudgeQuestion]]) -> None:
        reasons = self._reasons(batch) if self.reasoning_tokens else None
        turns, asked = [], []
        for n, (key, question) in enumerate(batch):
            if reasons is None:
                turns.append([f"{question.text}\n\n{question.closing}"])
            elif reasons[n].finished and reasons[n].text.strip():
                turns.append([question.text + REASON, reasons[n].text, question.closing])
            else:
                self._keep(key, Completion(reasons[n].text, reasons[n].finished))
                continue
            asked.append((key, question, "" if reasons is None else reasons[n].text))
        options = [question.allowed for _, question, _ in asked]
        found = self.model.choice_logps(turns, options) if asked else []
        for (key, question, text), logp_K in zip(asked, found, strict=True):
            logps = dict(zip(question.allowed, map(float, logp_K), strict=True))
            self._keep(key, Completion(text, True, None, None, logps))
        self.computed += len(batch)

    def _reasons(self, batch: Sequence[tuple[str, JudgeQuestion]]) -> Sequence[WrittenReasoning]:
        """Each with a seed of its own, so that it does not depend on the others."""
        prompts = [self.model.asked([question.text + REASON]) for _, question in batch]
        settings = SamplingSettings(self.reasoning_tokens, self.temperature)
        seeds = [derive_seed(self.seed, "judge reasoning", key) for key, _ in batch]
        return self.model.respond(prompts, settings, seeds)

    def _keep(self, key: str, answer: Completion) -> None:
        self.kept.keep(key, self.identity, answer)

    def _read(self, key: str, question: JudgeQuestion) -> JudgeAnswer | NoAnswer:
        said = self.kept.get(key)
        assert said is not None, "a question was not answered"
        if said.first_logps is None:
            cut = f"cut at {self.reasoning_tokens} tokens" if not said.finished else "empty"
            return NoAnswer(f"the reasoning is {cut}", key)
        logp_K = np.array([said.first_logps[one] for one in question.allowed])
        p_K = np.exp(logp_K - logsumexp(logp_K))
        mass = min(1.0, fsum(np.exp(logp_K).tolist()))
        return JudgeAnswer(tuple(p_K.tolist()), "logprobs", mass, key)
