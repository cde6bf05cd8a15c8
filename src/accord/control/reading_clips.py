"""Records about clips of a store, read as what a reward of clips learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from accord.control.clip_reward import ClipReward
from accord.control.episodes import Episode
from accord.control.judged_clips import ClipReader, JudgedClips, check_one_environment, split
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback, Option
from accord.learning.judgements import Judgement
from accord.statistics.intervals import Array


class ClipStore(Protocol):
    """Where clips lie, as in an `EpisodeStore`."""

    def clip(self, clip: Clip) -> Episode:
        """The steps that a clip shows. Raises DataError where there are none."""


def clips_of(records: Sequence[Feedback], store: ClipStore) -> list[Episode]:
    """What records that teach a reward show, each once, in their order. Raises DataError as
    `judged_clips` does."""
    shown: dict[str, Episode] = {}
    for record in split(records)[0]:
        for option in record.options:
            piece = _piece(record, option, store)
            first = next(iter(shown.values()), piece)
            check_one_environment(record, piece.environment, first.environment)
            shown.setdefault(_name(option), piece)
    return list(shown.values())


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
    places: dict[str, int] = {}
    clips: list[Array] = []
    paid: list[float] = []
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
            name = _name(option)
            if name not in places:
                places[name] = len(clips)
                clips.append(reward.of_episode(piece))
                paid.append(float(piece.reward_T.sum()))
            shown.append(places[name])
        options.append(shown)
        said.append(judged)
    if not options:
        return None, dict(left)
    names, scales = list(reader.annotators), reader.scales.scales
    return JudgedClips.of(clips, options, said, names, scales, paid), dict(left)


def _name(option: Option) -> str:
    """One name for each clip, whatever it is called in a record."""
    assert isinstance(option.content, Clip)  # its piece was found
    return option.content.model_dump_json()


def _piece(record: Feedback, option: Option, store: ClipStore) -> Episode:
    if not isinstance(option.content, Clip):
        raise DataError(
            f"option {option.id} of record {record.id} is a text, not a clip",
            "judge clips of episodes: {episode, start, stop}",
        )
    return store.clip(option.content)
