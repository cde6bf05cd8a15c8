"""Who judges clips: a simulated watcher, whose judgements are feedback records like any others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from accord.control.answering import SimulatedAnswers
from accord.control.asked_kinds import AskedKind
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback, Option, Skip, content_id
from accord.feedback.simulate import SimulatedAnnotator, flip
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.control.question_settings import ClipQuestionSettings

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
    `mistakes` of its answers, which are turned round. It may forget: of a step it counts `memory`
    of what it counts of the next one. Of what it is asked at once it skips a share `skips`, where
    the best clip is liked least, and calls of the rest a share `equal` equal, which differ least.
    These are B-Pref's Mistake, Myopic, Skip and Equal teachers (Lee et al. 2021), whose thresholds
    are shares here: in the program there they shrink with every session.

    Ratings and thumbs are held against the clips it saw first: a rating's levels part at LEVELS
    deviations from their mean, a thumb is up above it, and both are as uncertain near a threshold
    as a comparison is of two clips as far apart.
    """

    question: str
    rationality: float
    mistakes: float = 0.0
    kind: AskedKind = "comparison"
    annotator: str = "watcher"
    memory: float = 1.0
    skips: float = 0.0
    equal: float = 0.0
    usual: tuple[float, float] | None = field(default=None, init=False)
    """Mean and deviation of the first clips' sums."""

    @classmethod
    def of(cls, settings: ClipQuestionSettings, question: str) -> SimulatedWatcher:
        """As settings have it. question: as it is put."""
        told = {
            name: getattr(settings, name)
            for name in ("rationality", "mistakes", "memory", "skips", "equal")
        }
        return cls(question, kind=settings.asks, **told)

    def judge(self, asked: Sequence[AskedClips], rng: np.random.Generator) -> list[Feedback]:
        """A record for each, the clips shown in any order."""
        asked = [replace(one, liked=self._remembered(one.liked)) for one in asked]
        if self.kind != "comparison" and self.usual is None and asked:
            sums = [float(liked.sum()) for one in asked for liked in one.liked]
            self.usual = float(np.mean(sums)), float(np.std(sums))
        skipped, equal = self._undecided(asked)
        person = SimulatedAnnotator(self.annotator, self.rationality, tie=0.0)
        records = []
        for number, one in enumerate(asked):
            if number in skipped:
                records.append(self._record(one, Skip(reason="nothing here is worth judging")))
            elif number in equal:
                records.append(self._record(one, Comparison(preferred=None, tie=True)))
            elif self.kind == "comparison":
                records.append(self._compared(person, one, rng))
            else:
                records.append(self._answered(one, rng))
        return records

    def guesses(self, asked: Sequence[AskedClips]) -> bool:
        """Whether it likes all these clips alike, so that every answer is one by chance."""
        sums = {float(liked.sum()) for one in asked for liked in self._remembered(one.liked)}
        return len(sums) == 1

    def _remembered(self, liked: Sequence[Array]) -> tuple[Array, ...]:
        """What it counts of each step."""
        if self.memory == 1:
            return tuple(liked)
        return tuple(one * remembered(len(one), self.memory) for one in liked)

    def _undecided(self, asked: Sequence[AskedClips]) -> tuple[set[int], set[int]]:
        """(which it skips, which it calls equal), by their places."""
        sums = [[float(liked.sum()) for liked in one.liked] for one in asked]
        by_best = np.argsort([max(row) for row in sums], kind="stable").tolist()
        skipped = set(by_best[: int(self.skips * len(asked))])
        left = [number for number in range(len(asked)) if number not in skipped]
        if not self.equal:
            return skipped, set()
        apart = [abs(sums[number][0] - sums[number][1]) for number in left]
        nearest = np.argsort(apart, kind="stable").tolist()
        return skipped, {left[place] for place in nearest[: int(self.equal * len(left))]}

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
        return self._record(asked, Comparison(preferred="ab"[best]), places)

    def _record(
        self, asked: AskedClips, choice: Comparison | Skip, places: Sequence[int] | None = None
    ) -> Feedback:
        """places: where each was shown; as they come, where none are given."""
        places = range(len(asked.clips)) if places is None else places
        return Feedback(
            id=content_id(*(clip.model_dump_json() for clip in asked.clips)),
            kind=choice.kind,
            prompt=self.question,
            options=[
                Option(id=name, content=clip, shown_at=place)
                for name, clip, place in zip("abcdefghi", asked.clips, places, strict=False)
            ],
            choice=choice,
            annotator=self.annotator,
            meta={"selected_by": asked.arm},
        )


def remembered(steps: int, memory: float) -> Array:
    """What each step of a clip counts for somebody who counts of each `memory` of what they count
    of the next: [steps], the last one 1."""
    counts: Array = memory ** np.arange(steps - 1, -1, -1.0)
    return counts
