"""What was said of clips, every kind as a choice among sums of reward, or as a level of one (Jeon,
Milli, Dragan 2020): the judgements and the likelihood that a reward of texts is learned by.

Suffixes: C clips, L steps of the longest, I numbers of an input, M records, O options: the clips,
then the sets of clips that options stand for; R options of some records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from accord.control.environments import Mask
from accord.control.option_means import OptionMeans
from accord.feedback.words import counted
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import JudgedGroup, Judgement, RatingScale, rated_pairs
from accord.statistics.intervals import Array, Index
from accord.text.packing import PromptGroup


@dataclass(frozen=True)
class JudgedClips:
    """M records about clips whose steps are inputs of the model.

    clips_CLI: shorter ones are padded at the end; length_C: their steps; options: those of each
    record, by their numbers: a clip's own, or C and more, of `sets`: the clips of options that
    stand for several; said: about the options, by their places in the record; annotators, scales:
    whose and on which; paid_C: by the environment over each clip, None where nobody knows, never
    learned from; ended_C: whether the task ended an episode with the clip's last step, None where
    nobody knows.
    """

    clips_CLI: Array
    length_C: Index
    options: tuple[tuple[int, ...], ...]
    said: tuple[tuple[Judgement, ...], ...]
    annotators: tuple[str, ...] = ("",)
    scales: tuple[RatingScale, ...] = ()
    paid_C: Array | None = None
    sets: tuple[tuple[int, ...], ...] = ()
    ended_C: Mask | None = None

    @classmethod
    def of(
        cls,
        clips: Sequence[Array],
        options: Sequence[Sequence[int | Sequence[int]]],
        said: Sequence[Sequence[Judgement]],
        annotators: Sequence[str] = ("",),
        scales: Sequence[RatingScale] = (),
        paid: Sequence[float] | None = None,
        ended: Sequence[bool] | None = None,
    ) -> JudgedClips:
        """clips: [steps, I] each, of any length; options: each a clip, or the clips it stands for;
        paid: over each of the clips; ended: at the last step of each."""
        length_C = np.array([len(clip) for clip in clips])
        clips_CLI = np.zeros((len(clips), length_C.max(), clips[0].shape[1]))
        for padded, clip in zip(clips_CLI, clips, strict=True):
            padded[: len(clip)] = clip
        sets: dict[tuple[int, ...], int] = {}

        def number(option: int | Sequence[int]) -> int:
            if isinstance(option, int) or len(option) == 1:
                return option if isinstance(option, int) else option[0]
            return sets.setdefault(tuple(sorted(option)), len(clips) + len(sets))

        return cls(
            clips_CLI,
            length_C,
            tuple(tuple(map(number, shown)) for shown in options),
            tuple(map(tuple, said)),
            tuple(annotators),
            tuple(scales),
            None if paid is None else np.array(paid, dtype=np.float64),
            tuple(sets),
            None if ended is None else np.array(ended, dtype=bool),
        )

    def __len__(self) -> int:
        return len(self.options)

    @cached_property
    def there_CL(self) -> Mask:
        """Where there are steps, and no padding."""
        found: Mask = np.arange(self.clips_CLI.shape[1]) < self.length_C[:, None]
        return found

    @property
    def steps_BI(self) -> Array:
        """All steps of all clips, one clip's after the other's."""
        return self.clips_CLI[self.there_CL]

    @property
    def ends_BI(self) -> Array:
        """Steps by which the task ended an episode."""
        assert self.ended_C is not None  # the caller knows
        ends: Array = self.clips_CLI[self.ended_C, self.length_C[self.ended_C] - 1]
        return ends

    @property
    def padding_CL(self) -> Tensor | None:
        """Where there are steps, as 0 and 1; None where all clips are as long."""
        return None if self.there_CL.all() else torch.tensor(self.there_CL, dtype=torch.float32)

    @cached_property
    def batch(self) -> JudgedBatch:
        """A group for each record, whose responses are its options."""
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
        """Choices among clips of different lengths, of several on average: each step adds to the
        sum that decides."""
        length_O = self.of_options(self.length_C.astype(np.float64))
        return sum(len({*length_O[list(shown)]}) > 1 for shown in self.options)

    def tell_uneven(self, say: Callable[[str], None]) -> None:
        """Say how many choices are `uneven`, where any are."""
        if self.uneven:
            choose = "chooses" if self.uneven == 1 else "choose"
            say(
                f"{counted(self.uneven, 'judgement')} {choose} among clips of different lengths:"
                " each step adds to the sum that decides"
            )

    def options_of(self, rows: Iterable[int]) -> Index:
        """The options of these records in packing order, one record's after the other's: [R]."""
        return np.concatenate([self._options[row] for row in rows])

    def means(self, of_R: Index) -> OptionMeans | None:
        """How these options are scored by their clips; None where each is one."""
        if not self.sets or (of_R < len(self.length_C)).all():
            return None
        return OptionMeans.of([self._clips_of(option) for option in of_R.tolist()])

    def of_options(self, value_C: Array) -> Array:
        """A clip's own, a set's mean: [..., O]."""
        sets = [value_C[..., list(clips)].mean(-1, keepdims=True) for clips in self.sets]
        return np.concatenate([value_C, *sets], -1) if sets else value_C

    @cached_property
    def judged_R(self) -> Index:
        """The clips that were judged, as often as they were; those of a set once for each set."""
        of_R, clips = self.options_of(range(len(self))), len(self.length_C)
        sets = [self._clips_of(option) for option in sorted({*of_R[of_R >= clips].tolist()})]
        return np.concatenate([of_R[of_R < clips], *sets]).astype(np.int64)

    def _clips_of(self, option: int) -> tuple[int, ...]:
        clips = len(self.length_C)
        return (option,) if option < clips else self.sets[option - clips]

    @cached_property
    def _options(self) -> list[Index]:
        return [np.array(shown) for shown in self.options]

    def ordered(self, which: Mask) -> list[tuple[int, int]]:
        """(better, worse) option of every two that these records order, ratings of one scale by
        one annotator among them."""
        pairs = [(better, worse) for _, better, worse in self._chosen(which)]
        return pairs + [(a.options[0], b.options[0]) for a, b in rated_pairs(self._rated(which))]

    def apart(self, which: Mask) -> list[tuple[int, int, int]]:
        """(number, better, worse): the same two options, with a number that those of one record
        share; of ratings only as many as have no rated option in common."""
        pairs, used = self._chosen(which), set[int]()
        for a, b in rated_pairs(self._rated(which)):
            both = {a.options[0], b.options[0]}
            if not both & used:
                used |= both
                pairs.append((len(self) + len(used), a.options[0], b.options[0]))
        return pairs

    def _chosen(self, which: Mask) -> list[tuple[int, int, int]]:
        """(record, better, worse) of every two options of one record that it orders."""
        return [
            (row, self.options[row][better], self.options[row][worse])
            for row in np.flatnonzero(which).tolist()
            for j in self.said[row]
            for better, worse in j.pairs
        ]

    def _rated(self, which: Mask) -> list[Judgement]:
        """Ratings in these records, each about an option."""
        return [
            replace(j, options=(self.options[row][j.options[0]],))
            for row in np.flatnonzero(which).tolist()
            for j in self.said[row]
            if j.kind == "rating"
        ]
