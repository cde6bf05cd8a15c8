"""Who judges clips: a simulated watcher, whose judgements are feedback records like any others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from accord.control.answering import SimulatedAnswers
from accord.control.asked_kinds import AskedKind
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback, Option, content_id
from accord.feedback.simulate import SimulatedAnnotator, flip
from accord.statistics.intervals import Array

LEVELS = (-1.5, -0.5, 0.5, 1.5)
"""Where the levels of a simulated watcher's ratings part, in deviations of the first clips."""


@dataclass(frozen=True)
class AskedClips:
    """Clips that one question is about; arm: by which they were chosen; liked: what a simulated
    watcher thinks of each step of each: [steps] each."""

    clips: tuple[Clip, ...]
    arm: str
    liked: tuple[Array, ...]


class Watcher(Protocol):
    """Judges clips."""

    def judge(self, asked: Sequence[AskedClips], rng: np.random.Generator) -> list[Feedback]:
        """A record for each."""

    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""


@dataclass
class SimulatedWatcher:
    """Judges by the sum of what it likes, with a rationality per unit of it, and errs in a share
    `mistakes` of its answers, which are turned round (B-Pref's Mistake teacher, Lee et al. 2021).

    Ratings and thumbs are held against the clips it saw first: a rating's levels part at LEVELS
    deviations from their mean, a thumb is up above it, and both are as uncertain near a threshold
    as a comparison is of two clips as far apart.
    """

    question: str
    rationality: float
    mistakes: float = 0.0
    kind: AskedKind = "comparison"
    annotator: str = "watcher"
    usual: tuple[float, float] | None = field(default=None, init=False)
    """Mean and deviation of the first clips' sums."""

    def judge(self, asked: Sequence[AskedClips], rng: np.random.Generator) -> list[Feedback]:
        """A record for each, the clips shown in any order."""
        if self.kind == "comparison":
            person = SimulatedAnnotator(self.annotator, self.rationality, tie=0.0)
            return [self._compared(person, one, rng) for one in asked]
        if self.usual is None and asked:
            sums = [float(liked.sum()) for one in asked for liked in one.liked]
            self.usual = float(np.mean(sums)), float(np.std(sums))
        return [self._answered(one, rng) for one in asked]

    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {"usual": None if self.usual is None else list(self.usual)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        usual = state["usual"]
        self.usual = None if usual is None else (usual[0], usual[1])

    def _answered(self, asked: AskedClips, rng: np.random.Generator) -> Feedback:
        assert self.usual is not None  # judge has looked
        mean, deviation = self.usual
        kappa = self.rationality
        person = SimulatedAnnotator(
            self.annotator, kappa, tie=0.0, sharpness=kappa, offset=-kappa * mean
        )
        levels = [kappa * deviation * one for one in LEVELS]
        seed, flipped = (int(one) for one in rng.integers(2**62, size=2))
        said = SimulatedAnswers(self.question, self.kind, person, thresholds=levels)
        record = flip(said.answer(asked.clips, asked.liked, seed), self.mistakes, flipped)
        return record.model_copy(update={"meta": record.meta | {"selected_by": asked.arm}})

    def _compared(
        self, person: SimulatedAnnotator, asked: AskedClips, rng: np.random.Generator
    ) -> Feedback:
        places = [0, 1] if rng.random() < 0.5 else [1, 0]
        best = person.compare([float(one.sum()) for one in asked.liked], places, rng)
        assert best is not None  # it knows no ties
        if rng.random() < self.mistakes:
            best = 1 - best
        return Feedback(
            id=content_id(*(clip.model_dump_json() for clip in asked.clips)),
            kind="comparison",
            prompt=self.question,
            options=[
                Option(id=name, content=clip, shown_at=place)
                for name, clip, place in zip("ab", asked.clips, places, strict=True)
            ],
            choice=Comparison(preferred="ab"[best]),
            annotator=self.annotator,
            meta={"selected_by": asked.arm},
        )
