"""What was done in a clip, as a browser draws it: ends of limbs, a few kilobytes, or a sheet of
frames where there are no limbs.

Suffixes: T steps, Q coordinates, F poses, L limbs, H and W pixels, C colours.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accord.control.classic import classic_task
from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode
from accord.control.extra import needed
from accord.control.mujoco_batch import MujocoBatch
from accord.errors import ConfigError, DataError
from accord.statistics.intervals import Array
from accord.studio.tasks.drawings import HEAVIEST, LONGEST

PER_SECOND, JUDGED = 25, 60
"""Poses kept of a second, at most: on pages, and where people judge them, slowly. Fewer of what is
longer than the studio takes."""
PIXELS = 160
"""Of the longer side of a frame, at most."""
FRAME_SECONDS = 1 / 20
"""Of a step, where an environment does not say how fast it is to be shown."""
Frame = NDArray[np.uint8]


def _drawn(
    ends_TL4: Array, radius_L: Sequence[float] | Array, seconds: float, per_second: int
) -> dict[str, Any]:
    every = max(1, round(1 / (per_second * seconds)), -(-len(ends_TL4) // LONGEST))
    frames = np.round(100 * ends_TL4[::every]).astype(int)
    return {
        "dt": round(every * seconds, 5),
        "every": every,
        "limbs": np.round(np.asarray(radius_L), 3).tolist(),
        "frames": frames.reshape(len(frames), -1).tolist(),
    }


def has_poses(name: str) -> bool:
    """Whether an environment's clips are drawn from what is stored of them; others are seen by
    their frames."""
    return name.startswith("accord:") or classic_task(name) is not None


def pose_drawing(
    piece: Episode, environments: EnvironmentBatch, per_second: int = JUDGED
) -> dict[str, Any]:
    """A piece of an episode as browsers draw it. per_second: poses kept, at most. Raises DataError
    where there are no poses."""
    positions_TQ = None
    if isinstance(environments, MujocoBatch) and piece.state_TS is not None:
        positions_TQ = piece.state_TS[:, environments.positions]
    return movement(environments, piece.observation_TO, positions_TQ, per_second)


def movement(
    environments: EnvironmentBatch,
    observation_TO: Array,
    positions_TQ: Array | None,
    per_second: int,
) -> dict[str, Any]:
    """What was done as plain values: of a robot by its coordinates, of a classic task by what was
    observed. Raises DataError where there are no poses.

    limbs: thickness of each (m); frames: of each pose x1, z1, x2, z2 of every limb, in centimetres;
    dt: seconds between poses; view: what is seen of the world, where it is no robot's.
    """
    if isinstance(environments, MujocoBatch) and positions_TQ is not None:
        body, seconds = environments.body, environments.task.seconds
        ends_TL4 = body.ends(positions_TQ).reshape(len(positions_TQ), -1, 4)
        return {"kind": "poses"} | _drawn(ends_TL4, body.radius_G, seconds, per_second)
    task = classic_task(environments.name)
    if task is None:
        raise DataError(
            f"{environments.name} has no poses: it is no planar robot and no classic task",
            "it is seen by frames alone, which an episode does not keep: a run's own page shows the"
            " policy at its end (accord report RUN)",
        )
    drawn = _drawn(task.ends(observation_TO), task.radius_L, task.seconds, per_second)
    return {"kind": "poses"} | drawn | {"view": task.view}


def small(frame: Any, name: str) -> Frame:
    """A picture that an environment rendered, of at most PIXELS a side. Raises ConfigError for what
    is no picture."""
    picture = np.asarray(frame)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        kind = "nothing" if frame is None else f"{picture.dtype} {list(picture.shape)}"
        raise ConfigError(
            f"{name} renders {kind}, not a picture",
            'let render() return a uint8 array [height, width, 3] with render_mode="rgb_array"',
        )
    every = max(1, -(-max(picture.shape[:2]) // PIXELS))
    return np.ascontiguousarray(picture[::every, ::every])


def frame_drawing(frames_T: Sequence[Frame], seconds: float) -> dict[str, Any]:
    """Frames of a clip on one sheet, as the studio draws them."""
    strip = FilmStrip(seconds)
    for frame in frames_T:
        strip.add(frame)
    return strip.drawing()


class FilmStrip:
    """Frames of a clip of any length, of which no more are kept than are shown: PER_SECOND, fewer
    of what is longer, or heavier, than the studio takes."""

    def __init__(self, seconds: float) -> None:
        """seconds: between two frames."""
        self._seconds, self._every = seconds, max(1, round(1 / (PER_SECOND * seconds)))
        self._kept: list[Frame] = []
        self._given = 0

    def add(self, frame: Frame) -> None:
        """The next frame; all are of one size."""
        if self._given % self._every == 0:
            if len(self._kept) == LONGEST:
                self._halve()
            if self._given % self._every == 0:
                self._kept.append(frame)
        self._given += 1

    def drawing(self) -> dict[str, Any]:
        """What was added, on one sheet. Raises ConfigError where a sheet cannot be written."""
        sheet = _sheet(self._kept)
        while len(sheet) > HEAVIEST and len(self._kept) > 1:
            self._halve()
            sheet = _sheet(self._kept)
        height, width = self._kept[0].shape[:2]
        return {
            "kind": "frames",
            "dt": round(self._every * self._seconds, 5),
            "every": self._every,
            "sheet": sheet,
            "type": "image/webp",
            "width": width,
            "height": height,
            "columns": _columns(len(self._kept)),
            "count": len(self._kept),
        }

    def _halve(self) -> None:
        self._kept, self._every = self._kept[::2], 2 * self._every


def _columns(count: int) -> int:
    return int(np.ceil(np.sqrt(count)))


def _sheet(frames_F: Sequence[Frame]) -> str:
    """Frames row by row as a WebP, in base64."""
    image = needed("PIL.Image", "clips as frames")
    height, width = frames_F[0].shape[:2]
    columns = _columns(len(frames_F))
    rows = -(-len(frames_F) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), dtype=np.uint8)
    for number, frame in enumerate(frames_F):
        y, x = divmod(number, columns)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = frame
    written = io.BytesIO()
    image.fromarray(sheet).save(written, "WEBP", quality=60, method=2)
    return base64.b64encode(written.getvalue()).decode()
