"""What somebody does or says of episodes, on disk: a folder of these, and feedback.jsonl.

Only ever added to: what is kept there is not lost by a kill, nor by two who keep at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from accord.control.episodes import Episode, EpisodeStore
from accord.errors import ConfigError, DataError, RunError
from accord.feedback.records import Feedback
from accord.files import AppendLog, take_lock

FEEDBACK, LOCK = "feedback.jsonl", "writing.lock"


class KeptFeedback:
    """That of a folder."""

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
        """Raise DataError where another episode of this id is there, or any of another
        environment."""
        kept = EpisodeStore(self.folder)
        self._check_environment(kept, [original])
        kept.missing([original])

    def free_name(self, stem: str) -> str:
        """An id that no episode has yet: the stem and a number."""
        taken, number = set(EpisodeStore(self.folder).ids), 0
        while f"{stem}-{number}" in taken:
            number += 1
        return f"{stem}-{number}"

    def keep(self, episodes: Sequence[Episode], found: Feedback, fix: str) -> bool:
        """The episodes, then what is said of them; whether all were there without it, as a kill
        between the two leaves them, which is completed so. Raises DataError, with this `fix`, where
        it is there already, or another episode of a name; and for episodes of another environment
        than those there, since no reward would learn from them together."""
        with self._alone():
            _end_last_line(self.folder / FEEDBACK)
            kept, log = EpisodeStore(self.folder), AppendLog(self.folder / FEEDBACK)
            self._check_environment(kept, episodes)
            missing = kept.missing(episodes, fix)
            if any(row["id"] == found.id for row in log.rows):
                what = found.meta["grounds"].replace("_", " ")
                raise DataError(f"this {what} by {found.annotator} is there already", fix)
            kept.append(missing)
            log.append([found.model_dump(mode="json")])
            return not missing

    def _check_environment(self, kept: EpisodeStore, episodes: Sequence[Episode]) -> None:
        there = [kept.episode(name) for name in kept.ids[:1]]
        names = list(dict.fromkeys(one.environment for one in (*there, *episodes)))
        if len(names) > 1:
            raise DataError(
                f"{self.folder} is to hold episodes of {names[0]} and of {names[1]}",
                "keep those of each environment in a folder of their own",
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that append at once would take the same block."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = take_lock(self.folder / LOCK)
        if handle is None:
            raise RunError(f"another process keeps something in {self.folder}", "try again")
        try:
            yield
        finally:
            os.close(handle)


def _end_last_line(path: Path) -> None:
    """What is written by hand may end without a line break, and a log takes that for half a row; a
    whole one is no half, since what is kept here is added row by row."""
    last = path.read_bytes().rpartition(b"\n")[2] if path.is_file() else b""
    with suppress(ValueError):
        if isinstance(json.loads(last), dict):
            with path.open("ab") as handle:
                handle.write(b"\n")
