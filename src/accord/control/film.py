"""What people see of a rollout's clips: poses of what is stored, or frames that were taken while it
was walked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode
from accord.control.gym_batch import GymBatch
from accord.control.people import Drawings, clip_key
from accord.control.poses import Frame, frame_drawing, has_poses, pose_drawing
from accord.control.rollouts import Steps
from accord.feedback.messages import Clip


class Film:
    """Takes the frames of rollouts whose clips are judged, where there are no poses."""

    def __init__(self, environments: EnvironmentBatch) -> None:
        self.environments = environments
        self._taken: list[list[Frame]] = []
        self._frames: dict[str, list[Frame]] = {}

    def take(self) -> None:
        """Look at the environments before a step."""
        if not has_poses(self.environments.name):
            assert isinstance(self.environments, GymBatch)  # what has no poses is Gymnasium's
            self._taken.append(self.environments.frames())

    def cut(self, steps: Steps, episodes: Sequence[Episode]) -> None:
        """The rollout is over; these are its pieces, in their order."""
        if self._taken:
            for (n, start, end), episode in zip(steps.pieces(), episodes, strict=True):
                self._frames[episode.id] = [row[n] for row in self._taken[start:end]]
        self._taken = []

    def drawings(self, clips: Iterable[Clip], episodes: Mapping[str, Episode]) -> Drawings:
        """What is seen of these clips, by `clip_key`; nothing more is asked of what was cut."""
        found = {
            clip_key(clip): self._drawing(clip, episodes[clip.episode].piece(clip))
            for clip in clips
        }
        self._frames = {}
        return found

    def _drawing(self, clip: Clip, piece: Episode) -> dict[str, Any]:
        """A clip, of which `piece` are the steps, as the studio draws it."""
        if clip.episode in self._frames:
            assert isinstance(self.environments, GymBatch)  # it took them
            frames = self._frames[clip.episode][clip.start : clip.stop]
            return frame_drawing(frames, self.environments.frame_seconds)
        return pose_drawing(piece, self.environments)
