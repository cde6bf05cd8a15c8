"""Corrections on disk: a folder of episodes, and feedback.jsonl that one is preferred to the other.

Only ever added to: what is kept there is not lost by a kill, nor by two who keep at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accord.control.episodes import Episode, EpisodeStore
from accord.errors import ConfigError, DataError, RunError
from accord.feedback.records import Feedback
from accord.files import AppendLog, take_lock

FEEDBACK, LOCK = "feedback.jsonl", "writing.lock"


class Corrections:
    """Those of a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError for a folder within a run: resumed, it forgets what it did not
        write."""
        for above in (folder.resolve(), *folder.resolve().parents):
            if (above / "recipe.yaml").is_file() and (above / "stages").is_dir():
                raise ConfigError(
                    f"{folder} lies in the run {above}, which may forget what it did not write",
                    "name a folder outside of it",
                )
        self.folder = folder

    def check(self, original: Episode) -> None:
        """Raise DataError where another episode of this id is there."""
        self._check(EpisodeStore(self.folder), original, "name another folder")

    def free_name(self, stem: str) -> str:
        """An id that no episode has yet: the stem and a number."""
        taken, number = set(EpisodeStore(self.folder).ids), 0
        while f"{stem}-{number}" in taken:
            number += 1
        return f"{stem}-{number}"

    def keep(self, original: Episode, taken: Episode, found: Feedback) -> bool:
        """Both episodes, then what is preferred; whether the new episode was there without its
        correction, as a kill between the two leaves it, which is completed so. Raises DataError
        where all is there already, or another episode of a name."""
        with self._alone():
            kept, log = EpisodeStore(self.folder), AppendLog(self.folder / FEEDBACK)
            self._check(kept, original, "name another folder")
            self._check(kept, taken, "give another --seed")
            if any(row["id"] == found.id for row in log.rows):
                raise DataError(
                    f"the correction by {taken.id} is there already", "give another --seed"
                )
            missing = [one for one in (original, taken) if one.id not in kept.ids]
            kept.append(missing)
            log.append([found.model_dump(mode="json")])
            return not missing

    def _check(self, kept: EpisodeStore, one: Episode, fix: str) -> None:
        if one.id in kept.ids and kept.episode(one.id).digest != one.digest:
            raise DataError(f"{self.folder} holds another episode {one.id}", fix)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that append at once would take the same block."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = take_lock(self.folder / LOCK)
        if handle is None:
            raise RunError(f"another process keeps a correction in {self.folder}", "try again")
        try:
            yield
        finally:
            os.close(handle)
