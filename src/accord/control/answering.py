"""Simulated people who answer about clips in one of all kinds, by the sum of what they like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

from accord.control.grounding import SetChoice, among, corrected, demonstrated, stopped, thumb_at
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.feedback.simulate import (
    Offered,
    SimulatedAnnotator,
    judge_best_worst,
    judge_comparison,
    judge_ranking,
    judge_rating,
    judge_thumb,
)
from accord.seeds import generator
from accord.statistics.intervals import Array

AnswerKind = Literal[
    "comparison",
    "ranking",
    "best_worst",
    "rating",
    "thumb",
    "moment",
    "stop",
    "correction",
    "demonstration",
]
ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
SEVERAL = 4
"""Clips that are ranked, of which the best and the worst are told, or that one of is shown."""
SHOWN: dict[AnswerKind, int] = {
    "comparison": 2,
    "ranking": SEVERAL,
    "best_worst": SEVERAL,
    "rating": 1,
    "thumb": 1,
    "moment": 1,
    "stop": 1,
    "correction": 2,
    "demonstration": SEVERAL,
}
"""Clips that one answer of each kind is about."""


@dataclass(frozen=True)
class SimulatedAnswers:
    """Answers in one kind. person: with its rationality, sharpness and ties; before: steps that a
    thumb at a moment is about; thresholds: of the levels of a rating."""

    question: str
    kind: AnswerKind
    person: SimulatedAnnotator
    before: int = 10
    thresholds: Sequence[float] = (-2.0, -0.7, 0.7, 2.0)

    def answer(self, clips: Sequence[Clip], liked: Sequence[Array], seed: int) -> Feedback:
        """One record about SHOWN[kind] clips; liked: what the person thinks of each of their steps,
        [steps] each."""
        rng, person, question = generator(seed, "answer"), self.person, self.question
        sums = [float(one.sum()) for one in liked]
        offered = Offered(question, clips, sums, "policy", [True] * len(clips), str(seed))
        match self.kind:
            case "comparison":
                return judge_comparison(offered, (0, 1), person, seed, "")
            case "ranking":
                return judge_ranking(offered, person, seed, "")
            case "best_worst":
                return judge_best_worst(offered, person, seed, "")
            case "rating":
                return judge_rating(offered, 0, person, seed, "", self.thresholds)
            case "thumb":
                return judge_thumb(offered, 0, person, seed, "")
            case "correction":
                worse, better = person.rank(sums, [0, 1], rng)[::-1]
                return corrected(question, clips[worse], clips[better], person.id)
            case "demonstration":
                best, *others = person.rank(sums, list(range(len(sums))), rng)
                beside = [clips[n] for n in others]
                return demonstrated(question, clips[best], beside, person.id)
        clip = clips[0]
        done = int(rng.integers(1, clip.stop - clip.start))
        if self.kind == "stop":
            until = float(liked[0][:done].sum())
            over = person.rank([until, sums[0]], [0, 1], rng)[0] == 0
            return stopped(question, clip, clip.start + done, person.id, over)
        recent = float(liked[0][max(0, done - self.before) : done].sum())
        up = person.thumb(recent, 0.0, rng)
        return thumb_at(question, clip, clip.start + done, self.before, up, person.id)


def choose(
    grounds: SetChoice,
    question: str,
    options: Mapping[str, Sequence[Clip]],
    liked: Mapping[Clip, float],
    person: SimulatedAnnotator,
    seed: int,
) -> Feedback:
    """A choice by somebody who was shown nothing: among options that stand for clips, by the mean
    of what the person thinks of these. Raises DataError as `among` does."""
    means = [fmean(liked[clip] for clip in several) for several in options.values()]
    nowhere = [0] * len(means)  # alike, so that no side is favoured
    best = person.rank(means, nowhere, generator(seed, "answer"))[0]
    return among(grounds, question, options, list(options)[best], person.id)
