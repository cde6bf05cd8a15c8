"""Who compares clips, and their judgements as feedback records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accord.control.clip_reward import ClipReward
from accord.control.episodes import Episode, EpisodeStore
from accord.control.judged_clips import ClipReader, JudgedClips, check_one_environment, split
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback, Option, content_id
from accord.feedback.simulate import SimulatedAnnotator
from accord.learning.judgements import Judgement
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


def judged_clips(
    records: Sequence[Feedback], store: EpisodeStore, reward: ClipReward
) -> tuple[JudgedClips | None, dict[str, int]]:
    """(what the reward learns from, None where nothing says anything of clips; how many records
    were left out, by reason). Raises DataError for options that are no clips of the store, or of
    several environments."""
    kept, left = split(records)
    reader = ClipReader.of(kept)
    for reason, count in reader.scales.left_out.items():
        left[reason] += count
    places: dict[str, int] = {}
    clips: list[Array] = []
    options, said = list[list[int]](), list[list[Judgement]]()
    environment = None
    for record in kept:
        judged = reader.said(record)
        if not judged:  # counted with its scale
            continue
        shown = []
        for option in record.options:
            piece = _piece(record, option, store)
            environment = environment or piece.environment
            check_one_environment(record, piece.environment, environment)
            name = f"{piece.id} {piece.first_step} {piece.steps}"
            if name not in places:
                places[name] = len(clips)
                clips.append(reward.of_episode(piece))
            shown.append(places[name])
        options.append(shown)
        said.append(judged)
    if not options:
        return None, dict(left)
    names, scales = list(reader.annotators), reader.scales.scales
    return JudgedClips.of(clips, options, said, names, scales), dict(left)


def _piece(record: Feedback, option: Option, store: EpisodeStore) -> Episode:
    if not isinstance(option.content, Clip):
        raise DataError(
            f"option {option.id} of record {record.id} is a text, not a clip",
            "judge clips of episodes: {episode, start, stop}",
        )
    return store.clip(option.content)
