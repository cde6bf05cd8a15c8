"""What was said of clips, every kind as a choice among sums of reward, or as a level of one (Jeon,
Milli, Dragan 2020): the judgements and the likelihood that a reward of texts is learned by.

Suffixes: C clips, L steps of the longest, I numbers of an input, M records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from accord.control.environments import Mask
from accord.errors import DataError
from accord.feedback.records import BestWorst, Comparison, Feedback, Ranking, Rating, Thumb
from accord.learning.answers import THUMB, RatingScales, bad, find_scales
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import JudgedGroup, Judgement, RatingScale, rated_pairs
from accord.learning.said import choice_of, unordered
from accord.statistics.intervals import Array, Index
from accord.text.packing import PromptGroup

AMONG = (Comparison, Ranking, BestWorst)
OF_ONE = (Rating, Thumb)


@dataclass(frozen=True)
class JudgedClips:
    """M records about clips whose steps are inputs of the model.

    clips_CLI: shorter ones are padded at the end; length_C: their steps; options: the clips of each
    record; said: about these, by their places there; annotators, scales: whose and on which;
    paid_C: by the environment over each clip, None where nobody knows. Never learned from.
    """

    clips_CLI: Array
    length_C: Index
    options: tuple[tuple[int, ...], ...]
    said: tuple[tuple[Judgement, ...], ...]
    annotators: tuple[str, ...] = ("",)
    scales: tuple[RatingScale, ...] = ()
    paid_C: Array | None = None

    @classmethod
    def of(
        cls,
        clips: Sequence[Array],
        options: Sequence[Sequence[int]],
        said: Sequence[Sequence[Judgement]],
        annotators: Sequence[str] = ("",),
        scales: Sequence[RatingScale] = (),
        paid: Sequence[float] | None = None,
    ) -> JudgedClips:
        """clips: [steps, I] each, of any length; paid: over each of them."""
        length_C = np.array([len(clip) for clip in clips])
        clips_CLI = np.zeros((len(clips), length_C.max(), clips[0].shape[1]))
        for padded, clip in zip(clips_CLI, clips, strict=True):
            padded[: len(clip)] = clip
        return cls(
            clips_CLI,
            length_C,
            tuple(map(tuple, options)),
            tuple(map(tuple, said)),
            tuple(annotators),
            tuple(scales),
            None if paid is None else np.array(paid, dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.options)

    @cached_property
    def there_CL(self) -> Mask:
        """Where there are steps, and no padding."""
        found: Mask = np.arange(self.clips_CLI.shape[1]) < self.length_C[:, None]
        return found

    @property
    def padding_CL(self) -> Tensor | None:
        """Where there are steps, as 0 and 1; None where all clips are as long."""
        return None if self.there_CL.all() else torch.tensor(self.there_CL, dtype=torch.float32)

    @cached_property
    def batch(self) -> JudgedBatch:
        """A group for each record, whose responses are its clips."""
        groups = [
            JudgedGroup(PromptGroup([0], [[place] for place in range(len(shown))]), said)
            for shown, said in zip(self.options, self.said, strict=True)
        ]
        return JudgedBatch.of(groups)

    @property
    def joint(self) -> bool:
        """Whether judgements tell of who judged beside the reward: of one who never ties they tell
        no more than its scale."""
        ties = any(table.likelihood == "comparison" for table in self.batch.choices)
        return ties or len(self.annotators) > 1

    @property
    def uneven(self) -> int:
        """Choices among clips of different lengths: each step adds to the sum that decides."""
        return sum(len({*self.length_C[list(shown)]}) > 1 for shown in self.options)

    def tell_uneven(self, say: Callable[[str], None]) -> None:
        """Say how many choices are `uneven`, where any are."""
        if self.uneven:
            say(
                f"{self.uneven:,} judgements choose among clips of different lengths: each step"
                " adds to the sum that decides"
            )

    def clips_of(self, rows: Iterable[int]) -> Index:
        """The clips of these records in packing order, one record's after the other's: [R]."""
        return np.concatenate([self._options[row] for row in rows])

    @cached_property
    def _options(self) -> list[Index]:
        return [np.array(shown) for shown in self.options]

    def ordered(self, which: Mask) -> list[tuple[int, int]]:
        """(better, worse) clip of every two that these records order, ratings of one scale by one
        annotator among them."""
        pairs = [(better, worse) for _, better, worse in self._chosen(which)]
        return pairs + [(a.options[0], b.options[0]) for a, b in rated_pairs(self._rated(which))]

    def apart(self, which: Mask) -> list[tuple[int, int, int]]:
        """(number, better, worse): the same two clips, with a number that those of one record
        share; of ratings only as many as have no rated clip in common."""
        pairs, used = self._chosen(which), set[int]()
        for a, b in rated_pairs(self._rated(which)):
            both = {a.options[0], b.options[0]}
            if not both & used:
                used |= both
                pairs.append((len(self) + len(used), a.options[0], b.options[0]))
        return pairs

    def _chosen(self, which: Mask) -> list[tuple[int, int, int]]:
        """(record, better, worse) of every two clips of one record that it orders."""
        return [
            (row, self.options[row][better], self.options[row][worse])
            for row in np.flatnonzero(which).tolist()
            for j in self.said[row]
            for better, worse in j.pairs
        ]

    def _rated(self, which: Mask) -> list[Judgement]:
        """Ratings in these records, each about a clip."""
        return [
            replace(j, options=(self.options[row][j.options[0]],))
            for row in np.flatnonzero(which).tolist()
            for j in self.said[row]
            if j.kind == "rating"
        ]


@dataclass(frozen=True)
class ClipReader:
    """Turns records about clips into judgements.

    ties: whether somebody calls ties; where nobody does, a comparison has two answers (Bradley and
    Terry's), not three.
    """

    annotators: Mapping[str, int]
    scales: RatingScales
    ties: bool

    @classmethod
    def of(cls, records: Sequence[Feedback]) -> ClipReader:
        """Raises DataError for ratings that are of no one scale, as for texts."""
        names = {name: n for n, name in enumerate(sorted({r.annotator for r in records}))}
        ties = any(isinstance(r.choice, Comparison) and r.choice.preferred is None for r in records)
        return cls(names, find_scales(records), ties)

    def said(self, record: Feedback) -> list[Judgement]:
        """About the record's options by their places in it; nothing where all say the same."""
        who = self.annotators[record.annotator]
        found = [
            Judgement((0,), None, who, "rating", level=level, scale=scale)
            for scale, level in self.scales.levels(record)
        ]
        if isinstance(record.choice, AMONG):
            places = {option.id: n for n, option in enumerate(record.options)}
            chosen = choice_of(record, places, who)
            decided = chosen.kind == "order" and len(chosen.options) == 2 and not self.ties
            if decided and chosen.doubt is None:
                chosen = replace(chosen, doubt=0.0)
            found.append(chosen)
            if bad(record) and THUMB in self.scales.keys:
                scale = self.scales.keys.index(THUMB)
                found += [
                    Judgement((n,), None, who, "rating", scale=scale) for n in places.values()
                ]
        return [replace(j, weight=record.weight) for j in found]


def says_nothing(record: Feedback) -> str | None:
    """Why a record teaches no reward of clips; None where it does."""
    if not record.weight:
        return f"{record.kind} of weight 0"
    if not isinstance(record.choice, (*AMONG, *OF_ONE)):
        return f"{record.kind}: no choice among clips"
    return unordered(record)


def split(records: Sequence[Feedback]) -> tuple[list[Feedback], Counter[str]]:
    """(records that teach a reward, how many others there are by reason)."""
    reasons = [says_nothing(record) for record in records]
    kept = [record for record, reason in zip(records, reasons, strict=True) if reason is None]
    return kept, Counter(reason for reason in reasons if reason)


def check_one_environment(record: Feedback, environment: str, other: str) -> None:
    """Raise DataError for clips of another environment than the others'."""
    if environment != other:
        raise DataError(
            f"record {record.id} shows a clip of {environment}, others are of {other}",
            "learn one reward for each environment",
        )
