"""Who compares clips, and their judgements as feedback records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accord.control.clip_reward import ClipReward, ComparedClips
from accord.control.episodes import Episode, EpisodeStore, check_comparable
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback, Option, content_id
from accord.feedback.simulate import SimulatedAnnotator
from accord.statistics.intervals import Array


@dataclass(frozen=True)
class AskedClips:
    """Two clips to be compared; arm: by which they were chosen; liked: what a simulated watcher
    thinks of each."""

    first: Clip
    second: Clip
    arm: str
    liked: tuple[float, float]


class Watcher(Protocol):
    """Compares clips."""

    def judge(self, asked: Sequence[AskedClips], rng: np.random.Generator) -> list[Feedback]:
        """A record for each."""


@dataclass(frozen=True)
class SimulatedWatcher:
    """Compares by the sum of what it likes, with a rationality per unit of it, and errs in a share
    `mistakes` of its answers (B-Pref's Mistake teacher, Lee et al. 2021)."""

    question: str
    rationality: float
    mistakes: float = 0.0
    annotator: str = "watcher"

    def judge(self, asked: Sequence[AskedClips], rng: np.random.Generator) -> list[Feedback]:
        """A record for each, the clips shown in either order."""
        person = SimulatedAnnotator(self.annotator, self.rationality, tie=0.0)
        return [self._record(person, one, rng) for one in asked]

    def _record(
        self, person: SimulatedAnnotator, asked: AskedClips, rng: np.random.Generator
    ) -> Feedback:
        places = [0, 1] if rng.random() < 0.5 else [1, 0]
        best = person.compare(asked.liked, places, rng)
        assert best is not None  # it knows no ties
        if rng.random() < self.mistakes:
            best = 1 - best
        clips = (asked.first, asked.second)
        return Feedback(
            id=content_id(*(clip.model_dump_json() for clip in clips)),
            kind="comparison",
            prompt=self.question,
            options=[
                Option(id=name, content=clip, shown_at=place)
                for name, clip, place in zip("ab", clips, places, strict=True)
            ],
            choice=Comparison(preferred="ab"[best]),
            annotator=self.annotator,
            meta={"selected_by": asked.arm},
        )


def compared_clips(
    records: Sequence[Feedback], store: EpisodeStore, reward: ClipReward
) -> tuple[ComparedClips | None, dict[str, int]]:
    """(comparisons as the reward learns from them, None where there are none; how many records were
    left out, by reason). Raises DataError for clips that cannot be compared."""
    rows: list[tuple[Array, Array, float]] = []
    left: dict[str, int] = {}
    for record in records:
        reason = _left_out(record)
        if reason:
            left[reason] = left.get(reason, 0) + 1
            continue
        assert isinstance(record.choice, Comparison)
        pieces = [_piece(record, option, store) for option in record.options]
        check_comparable(*pieces)
        tie, best = record.choice.tie, record.choice.preferred
        target = 0.5 if tie else float(best == record.options[0].id)
        one, other = (reward.of_episode(piece) for piece in pieces)
        rows.append((one, other, target))
    if not rows:
        return None, left
    lengths = {len(row[0]) for row in rows}
    if len(lengths) > 1:
        raise DataError(
            f"clips of {', '.join(map(str, sorted(lengths)))} steps in one set of comparisons",
            "compare clips of one length",
        )
    compared = ComparedClips(
        np.stack([row[0] for row in rows]),
        np.stack([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
    )
    return compared, left


def _left_out(record: Feedback) -> str | None:
    """Why a record says nothing of two clips; None where it does."""
    if not isinstance(record.choice, Comparison):
        return f"{record.kind}: not a comparison"
    if record.choice.both_bad:
        return "both bad: prefers neither"
    return None


def _piece(record: Feedback, option: Option, store: EpisodeStore) -> Episode:
    if not isinstance(option.content, Clip):
        raise DataError(
            f"option {option.id} of record {record.id} is a text, not a clip",
            "judge clips of episodes: {episode, start, stop}",
        )
    return store.clip(option.content)
