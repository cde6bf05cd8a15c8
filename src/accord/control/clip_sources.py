"""Judgements of clips from several places, each with the episodes that its clips lie in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accord.control.episodes import Episode, EpisodeStore
from accord.errors import ConfigError
from accord.feedback.messages import Behaviour, Clip, ClipSet
from accord.feedback.records import Feedback


class ClipSources:
    """Stores of episodes, read as one. Two runs give their episodes the same names: the records of
    a source name its episodes with its number before them (`of_source`)."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Raises DataError as `EpisodeStore` does."""
        self._stores = [EpisodeStore(folder) for folder in folders]

    def of_source(self, number: int, records: Sequence[Feedback]) -> list[Feedback]:
        """The records of a source, their clips named so that `clip` finds them in its store."""
        return [record.model_copy(update={"options": [
            one.model_copy(update={"content": _numbered(number, one.content)})
            if isinstance(one.content, Behaviour) else one
            for one in record.options
        ]}) for record in records]  # fmt: skip

    def clip(self, clip: Clip) -> Episode:
        """The steps that a clip of a source shows, under the name it has here. Raises DataError as
        `EpisodeStore.clip` does."""
        number, _, name = clip.episode.partition("/")
        return self._stores[int(number)].clip(clip.model_copy(update={"episode": name}))


def store_folder(place: Path) -> Path:
    """The folder of blocks, where `place` is a store of episodes or holds one, as a run does.
    Raises ConfigError for none, or several."""
    if not place.is_dir():
        raise ConfigError(f"there is no folder {place}", "name a store of episodes, or a run")
    found = sorted({block.parent for block in place.glob("**/block-*.safetensors")})
    if len(found) != 1:
        several = f": {', '.join(map(str, found))}" if found else ""
        raise ConfigError(
            f"{place} holds {len(found)} stores of episodes{several}", "name the one that is meant"
        )
    return found[0]


def _numbered(number: int, shown: Behaviour) -> Behaviour:
    if isinstance(shown, ClipSet):
        return ClipSet(clips=[_name(number, clip) for clip in shown.clips])
    return _name(number, shown)


def _name(number: int, clip: Clip) -> Clip:
    return clip.model_copy(update={"episode": f"{number}/{clip.episode}"})
