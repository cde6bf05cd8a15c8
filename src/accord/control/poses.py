"""What a robot did, as a browser draws it: ends of its limbs, a few kilobytes for a clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from accord.control.planar import PlanarBody
from accord.statistics.intervals import Array

PER_SECOND = 25
"""Poses kept of a second, at most."""


def poses(body: PlanarBody, positions_TQ: Array, seconds: float, note: str = "") -> dict[str, Any]:
    """A clip as plain values. seconds: of a step; limbs: thickness of each (m); frames: of each
    pose x1, z1, x2, z2 of every limb, in centimetres; dt: seconds between poses."""
    every = max(1, round(1 / (PER_SECOND * seconds)))
    ends_FG22 = body.ends(positions_TQ[::every])
    frames = np.round(100 * ends_FG22).astype(int).reshape(len(ends_FG22), -1)
    return {
        "note": note,
        "dt": round(every * seconds, 5),
        "limbs": np.round(body.radius_G, 3).tolist(),
        "frames": frames.tolist(),
    }
