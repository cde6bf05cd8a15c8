"""Gymnasium's classic tasks as limbs, from what is observed of them: nothing need be rendered.

Suffixes: T steps, L limbs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from accord.statistics.intervals import Array


@dataclass(frozen=True)
class ClassicTask:
    """How one is drawn. seconds: of a step; radius_L (m); ends: observations [T, O] -> x1, z1, x2,
    z2 of each limb in metres [T, L, 4]; view: what is seen of the world, as the studio takes it."""

    seconds: float
    radius_L: tuple[float, ...]
    ends: Callable[[Array], Array]
    view: dict[str, Any]


def _limbs(*limbs: tuple[Any, Any, Any, Any]) -> Array:
    """Limbs of columns and constants: [T, L, 4]."""
    together = np.broadcast_arrays(*(number for limb in limbs for number in limb))
    return np.stack(together, -1).reshape(len(together[0]), len(limbs), 4)


def _cart_pole(seen_TO: Array) -> Array:
    x, angle = seen_TO[:, 0], seen_TO[:, 2]
    tip = x + np.sin(angle), 0.1 + np.cos(angle)
    return _limbs((x - 0.2, 0.1, x + 0.2, 0.1), (x, 0.1, *tip))


def _pendulum(seen_TO: Array) -> Array:
    """The angle's cosine and sine; 0 is up, and it grows against the clock."""
    return _limbs((np.zeros(len(seen_TO)), 0.0, -seen_TO[:, 1], seen_TO[:, 0]))


def _acrobot(seen_TO: Array) -> Array:
    """Cosines and sines of both angles; the first 0 hangs down, the second is from the first."""
    first = np.arctan2(seen_TO[:, 1], seen_TO[:, 0])
    second = first + np.arctan2(seen_TO[:, 3], seen_TO[:, 2])
    elbow = np.sin(first), -np.cos(first)
    tip = elbow[0] + np.sin(second), elbow[1] - np.cos(second)
    return _limbs((0.0, 0.0, *elbow), (*elbow, *tip))


def _hill(x: Array) -> Array:
    height: Array = 0.45 * np.sin(3 * x) + 0.55
    return height


def _mountain_car(seen_TO: Array) -> Array:
    x = seen_TO[:, 0]
    turn = np.arctan(1.35 * np.cos(3 * x))
    along = 0.05 * np.cos(turn), 0.05 * np.sin(turn)
    z = _hill(x) + 0.05
    return _limbs((x - along[0], z - along[1], x + along[0], z + along[1]))


def _outline() -> list[int]:
    x = np.linspace(-1.2, 0.6, 91)
    return [int(number) for number in np.round(100 * np.stack([x, _hill(x)], -1)).ravel()]


_MIDDLE = {"wide": 3.2, "high": 2.6, "up": 1.3, "follows": False, "ground": []}
_CAR = {"wide": 2.6, "high": 1.3, "up": 0.05, "follows": False, "ground": _outline()}
CLASSIC = {
    "CartPole": ClassicTask(
        0.02, (0.1, 0.04), _cart_pole, {"wide": 5.2, "high": 1.7, "up": 0.3, "follows": False}
    ),
    "Pendulum": ClassicTask(0.05, (0.08,), _pendulum, _MIDDLE),
    "Acrobot": ClassicTask(
        0.2, (0.08, 0.06), _acrobot, {**_MIDDLE, "wide": 4.8, "high": 4.4, "up": 2.2}
    ),
    "MountainCar": ClassicTask(1 / 30, (0.05,), _mountain_car, _CAR),
    "MountainCarContinuous": ClassicTask(1 / 30, (0.05,), _mountain_car, _CAR),
}
"""By the name in their ids, whatever the version."""


def classic_task(name: str) -> ClassicTask | None:
    """How the environment of this id is drawn, where it is a classic one."""
    base, _, version = name.rpartition("-v")
    return CLASSIC.get(base) if version.isdigit() else None
