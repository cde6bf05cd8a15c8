"""Records about clips of a store, read as what a reward of clips learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from accord.control.clip_reward import ClipReward
from accord.control.episodes import Episode
from accord.control.grounding import side_by_side
from accord.control.judged_clips import JudgedClips
from accord.errors import DataError
from accord.feedback.messages import Clip, clips_in
from accord.feedback.records import (
    BestWorst,
    Comparison,
    Feedback,
    Option,
    Ranking,
    Rating,
    Thumb,
)
from accord.learning.answers import THUMB, RatingScales, bad, find_scales
from accord.learning.judgements import Judgement
from accord.learning.said import choice_of, unordered
from accord.statistics.intervals import Array

AMONG = (Comparison, Ranking, BestWorst)
OF_ONE = (Rating, Thumb)


class ClipStore(Protocol):
    """Where clips lie, as in an `EpisodeStore`."""

    def clip(self, clip: Clip) -> Episode:
        """The steps that a clip shows. Raises DataError where there are none."""


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
            if not side_by_side(record):
                chosen = replace(chosen, shown_at=None)
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


def environment_of(records: Sequence[Feedback], store: ClipStore) -> str | None:
    """Whose clip the first record shows that teaches a reward; None where none does. Raises
    DataError as `judged_clips` does."""
    kept, _ = split(records)
    return store.clip(next(_clips(kept[0]))).environment if kept else None


def judged_clips(
    records: Sequence[Feedback], store: ClipStore, reward: ClipReward
) -> tuple[JudgedClips | None, dict[str, int]]:
    """(what the reward learns from, None where nothing says anything of clips; how many records
    were left out, by reason). Raises DataError for options that are no clips of the store, or of
    several environments."""
    kept, left = split(records)
    reader = ClipReader.of(kept)
    for reason, count in reader.scales.left_out.items():
        left[reason] += count
    places: dict[Clip, int] = {}
    clips: list[Array] = []
    paid: list[float] = []
    ended: list[bool] = []
    options, said = list[list[list[int]]](), list[list[Judgement]]()
    environment = None

    def place(record: Feedback, clip: Clip) -> int:
        nonlocal environment
        if clip not in places:
            piece = store.clip(clip)
            environment = environment or piece.environment
            check_one_environment(record, piece.environment, environment)
            places[clip] = len(clips)
            clips.append(reward.of_episode(piece))
            paid.append(float(piece.reward_T.sum()))
            ended.append(bool(piece.terminated_T[-1]))
        return places[clip]

    for record in kept:
        judged = reader.said(record)
        if not judged:  # counted with its scale
            continue
        options.append(
            [[place(record, clip) for clip in _shown(record, one)] for one in record.options]
        )
        said.append(judged)
    if not options:
        return None, dict(left)
    names, scales = list(reader.annotators), reader.scales.scales
    return JudgedClips.of(clips, options, said, names, scales, paid, ended), dict(left)


def _clips(record: Feedback) -> Iterator[Clip]:
    for option in record.options:
        yield from _shown(record, option)


def _shown(record: Feedback, option: Option) -> list[Clip]:
    """The clips of an option. Raises DataError for a text."""
    if not (found := clips_in(option.content)):
        raise DataError(
            f"option {option.id} of record {record.id} is a text, not a clip",
            "judge clips of episodes: {episode, start, stop}",
        )
    return found
