"""Records about clips of a store, read as what a reward of clips learns from."""

from __future__ import annotations

from collections.abc import Sequence

from accord.control.clip_reward import ClipReward
from accord.control.episodes import Episode, EpisodeStore
from accord.control.judged_clips import ClipReader, JudgedClips, check_one_environment, split
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback, Option
from accord.learning.judgements import Judgement
from accord.statistics.intervals import Array


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
            name = f"{piece.id} {piece.first_step} {piece.steps}"
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


def _piece(record: Feedback, option: Option, store: EpisodeStore) -> Episode:
    if not isinstance(option.content, Clip):
        raise DataError(
            f"option {option.id} of record {record.id} is a text, not a clip",
            "judge clips of episodes: {episode, start, stop}",
        )
    return store.clip(option.content)
