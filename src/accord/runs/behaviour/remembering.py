"""Policies whose answers are kept on disk by what was asked: a rerun asks nothing again, and a
model is loaded only where something is missing."""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from accord.errors import DataError, RunError
from accord.files import AppendLog, take_lock
from accord.models.loading import locate_model
from accord.runs.behaviour.answering import (
    EndpointPolicy,
    LocalPolicy,
    Question,
    SampledAnswer,
    answer_seeds,
    open_policy,
)
from accord.runs.contents import commit_of, hash_of_model
from accord.runs.distances import Distances
from accord.sampling.addresses import is_remote
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import AskingSettings
from accord.sampling.rollout import SamplingSettings
from accord.statistics.intervals import Array
from accord.text.encoding import Prompt

CHUNK = 64
"""Questions between two writes."""
FORM = 1
"""Raised when the same question would be answered otherwise by a later version."""


def default_folder() -> Path:
    """Where answers are kept unless somebody says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "accord" / "answers"


class Cache:
    """Answers of several policies and judges, a file for each. folder None: in memory alone;
    asking: how those behind addresses are asked."""

    def __init__(self, folder: Path | None, asking: AskingSettings | None = None) -> None:
        self.folder, self.asking = folder, asking or AskingSettings()
        self._kept: dict[str, Kept] = {}

    def of(self, name: str) -> Kept:
        """The answers of what `name` stands for, by content. Raises RunError where another process
        is writing them."""
        if name not in self._kept:
            file = f"{hashlib.sha256(f'{FORM} {name}'.encode()).hexdigest()[:32]}.jsonl"
            self._kept[name] = Kept(None if self.folder is None else self.folder / file)
        return self._kept[name]

    @cached_property
    def of_endpoints(self) -> AnswerCache:
        """Those that somebody may have been paid for."""
        return AnswerCache(None if self.folder is None else self.folder / "endpoints.sqlite")

    @property
    def reused(self) -> int:
        """Answers that were at hand."""
        return sum(one.reused for one in self._kept.values())


class Kept:
    """Values on disk by the hash of what they answer."""

    def __init__(self, file: Path | None) -> None:
        self._lock = None if file is None else _locked(file)
        self._log = None if file is None else AppendLog(file)
        if self._lock is not None:
            weakref.finalize(self, os.close, self._lock)
        rows = () if self._log is None else self._log.rows
        self._values: dict[str, Any] = {row["asked"]: row["value"] for row in rows}
        self.reused = 0

    def all(
        self,
        keys: Sequence[Any],
        find: Callable[[list[int]], Sequence[Any]],
        chunk: int = CHUNK,
    ) -> list[Any]:
        """The value of every key: those at hand, and what `find(places)` says of the others, kept
        after each `chunk`."""
        names = [_name(key) for key in keys]
        first = {name: n for n, name in reversed(list(enumerate(names)))}
        missing = sorted(n for name, n in first.items() if name not in self._values)
        self.reused += len(names) - len(missing)
        for places in _chunks(missing, chunk):
            new = {names[n]: value for n, value in zip(places, find(places), strict=True)}
            if self._log is not None:
                self._log.append({"asked": name, "value": value} for name, value in new.items())
            self._values |= new
        return [self._values[name] for name in names]


def _locked(file: Path) -> int:
    """Held for as long as the process lives: two that append at once would spoil the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = take_lock(file.with_suffix(".lock"))
    if handle is None:
        raise RunError(
            f"another examination of the same model keeps its answers in {file.parent}",
            "wait for it, or name another folder with --cache",
        )
    return handle


def _name(key: Any) -> str:
    text = json.dumps(key, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _chunks(places: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(places), size):
        yield list(places[start : start + size])


class RememberedPolicy:
    """A policy that answers what it has been asked before from disk. gives_text_alone: it is an
    endpoint, whose answers are kept one by one in a file of their own, for several processes."""

    def __init__(self, reference: str, cache: Cache) -> None:
        self.reference, self.cache = reference, cache
        self.gives_text_alone = is_remote(reference)
        self.name = reference if self.gives_text_alone else self._content()
        self.kept = cache.of(self.name)

    @cached_property
    def inner(self) -> LocalPolicy | EndpointPolicy:
        """The policy itself, loaded when something is asked for the first time."""
        return open_policy(self.reference, self.cache.of_endpoints, self.cache.asking)

    def _content(self) -> str:
        """The hash of a model's files, which are downloaded first where that must be."""
        if not Path(locate_model(self.reference)).exists() and commit_of(self.reference) is None:
            _ = self.inner
        return hash_of_model(self.reference)

    def forget(self) -> None:
        """Free the model's memory; what was kept stays."""
        self.__dict__.pop("inner", None)

    def choice_logps(
        self, questions: Sequence[Question], options: Sequence[Sequence[str]]
    ) -> list[Array]:
        """As the policy itself."""
        keys = [
            ("choice", q if isinstance(q, str) else list(q), list(o))
            for q, o in zip(questions, options, strict=True)
        ]
        found = self.kept.all(
            keys,
            lambda places: [
                logp_K.tolist()
                for logp_K in self.inner.choice_logps(
                    [questions[n] for n in places], [options[n] for n in places]
                )
            ],
        )
        return [np.array(logp_K) for logp_K in found]

    def text_logps(self, texts: Sequence[str]) -> Array:
        """As the policy itself."""
        found = self.kept.all(
            [("text", text) for text in texts],
            lambda places: self.inner.text_logps([texts[n] for n in places]).tolist(),
        )
        return np.array(found)

    def continued(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """As the policy itself."""
        found = self.kept.all(
            [("continued", *pair) for pair in pairs],
            lambda places: self.inner.continued([pairs[n] for n in places]),
        )
        return [(float(logp), bool(likeliest)) for logp, likeliest in found]

    def answers(
        self, questions: Sequence[Sequence[str]], max_new_tokens: int, temperature: float, seed: int
    ) -> list[str]:
        """As the policy itself."""
        settings = SamplingSettings(max_new_tokens, temperature)
        found = self._sampled(
            [("turns", list(turns)) for turns in questions],
            lambda n: self.inner.asked(questions[n]),
            settings,
            answer_seeds(seed, len(questions)),
        )
        return [one.text for one in found]

    def respond(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, seeds: Sequence[int]
    ) -> list[SampledAnswer]:
        """As the policy itself."""
        keys = [("prompt", prompt) for prompt in prompts]
        return self._sampled(keys, lambda n: prompts[n], settings, seeds)

    def _sampled(
        self,
        asked: Sequence[Any],
        prompt: Callable[[int], Prompt],
        settings: SamplingSettings,
        seeds: Sequence[int],
    ) -> list[SampledAnswer]:
        how = (settings.max_new_tokens, settings.temperature)
        found = self.kept.all(
            [("sample", one, *how, seed) for one, seed in zip(asked, seeds, strict=True)],
            lambda places: [
                asdict(answer)
                for answer in self.inner.respond(
                    [prompt(n) for n in places], settings, [seeds[n] for n in places]
                )
            ],
        )
        return [SampledAnswer(**one) for one in found]

    def distances(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[Sequence[int]],
        reference: RememberedPolicy,
        temperature: float,
    ) -> Distances:
        """As the policy itself. Raises DataError for an endpoint."""

        def find(places: list[int]) -> list[list[float]]:
            policies = self.inner, reference.inner
            if not all(isinstance(one, LocalPolicy) for one in policies):
                raise DataError(
                    "an endpoint gives text alone, and distances need whole distributions",
                    "name the model's directory or Hub id",
                )
            mine, other = policies
            assert isinstance(mine, LocalPolicy)
            assert isinstance(other, LocalPolicy)
            found = mine.distances(
                [prompts[n] for n in places], [responses[n] for n in places], other, temperature
            )
            columns = (found.logp_B, found.ref_logp_B, found.kl_B, found.entropy_B)
            return [list(row) for row in zip(*columns, strict=True)]

        keys = [
            ("distance", prompt, list(ids), temperature, reference.name)
            for prompt, ids in zip(prompts, responses, strict=True)
        ]
        rows = self.kept.all(keys, find)
        return Distances(*(list(column) for column in zip(*rows, strict=True)))
