"""Where the limbs of a planar robot are: forward kinematics in the x-z plane, for a whole batch.

MuJoCo has it for one robot at a time; this is one sum per joint for all of them, and what draws
poses. Suffixes: N robots, Q coordinates, G capsules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accord.errors import ConfigError
from accord.statistics.intervals import Array

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class _Joint:
    """at: its coordinate; rest: where that is 0; hinge: +1 or -1 about y, or 0; slide: its
    direction; pin: a hinge's place in the body."""

    at: int
    rest: float
    hinge: float
    slide: complex
    pin: complex


class PlanarBody:
    """The capsules of a MuJoCo model that moves in the x-z plane alone: slides along x and z,
    hinges about y. A place is x + iz, a turn by t about y multiplies by exp(-it).

    names [G]: of its capsules; radius_G (metres).
    """

    def __init__(self, model: Any, mujoco: Any) -> None:
        hinge, slide = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)
        if any(kind not in (slide, hinge) for kind in model.jnt_type.tolist()):
            raise ConfigError("only robots of slides and hinges are planar")
        self._bodies = [
            (
                int(model.body_parentid[body]),
                _place(model.body_pos[body]),
                _turn(model.body_quat[body]),
                [
                    _joint(model, joint, hinge)
                    for joint in range(model.njnt)
                    if int(model.jnt_bodyid[joint]) == body
                ],
            )
            for body in range(1, model.nbody)
        ]
        capsule = int(mujoco.mjtGeom.mjGEOM_CAPSULE)
        geoms = [g for g in range(model.ngeom) if int(model.geom_type[g]) == capsule]
        self._body_G = np.array([int(model.geom_bodyid[g]) for g in geoms])
        centre_G = np.array([_place(model.geom_pos[g]) for g in geoms])
        half_G = np.array([1j * model.geom_size[g, 1] * _turn(model.geom_quat[g]) for g in geoms])
        self._ends_G2 = np.stack([centre_G - half_G, centre_G + half_G], -1)
        self.names = [str(model.geom(g).name) for g in geoms]
        self.radius_G = np.array([float(model.geom_size[g, 0]) for g in geoms])

    def ends(self, qpos_NQ: Array) -> Array:
        """(x, z) of both ends of every capsule's axis, in metres: [N, G, 2, 2]."""
        place_NG2 = self._places(qpos_NQ)
        return np.stack([place_NG2.real, place_NG2.imag], -1)

    def clearance(self, qpos_NQ: Array) -> Array:
        """Height of every capsule's lowest point above the floor, in metres: [N, G]."""
        height: Array = self._places(qpos_NQ).imag.min(-1) - self.radius_G
        return height

    def _places(self, qpos_NQ: Array) -> Complex:
        place = [np.zeros(len(qpos_NQ), dtype=np.complex128)]
        turned = [np.ones(len(qpos_NQ), dtype=np.complex128)]
        for parent, offset, turn, joints in self._bodies:
            here, way = place[parent] + offset * turned[parent], turned[parent] * turn
            for joint in joints:
                moved_N = qpos_NQ[:, joint.at] - joint.rest
                if not joint.hinge:
                    here = here + moved_N * joint.slide * way
                    continue
                anchor, way = here + joint.pin * way, way * np.exp(-1j * joint.hinge * moved_N)
                here = anchor - joint.pin * way
            place.append(here)
            turned.append(way)
        place_NG, turned_NG = (np.stack(one, -1)[:, self._body_G] for one in (place, turned))
        ends: Complex = place_NG[..., None] + self._ends_G2 * turned_NG[..., None]
        return ends


def _joint(model: Any, joint: int, hinge: int) -> _Joint:
    at = int(model.jnt_qposadr[joint])
    turns = int(model.jnt_type[joint]) == hinge
    return _Joint(
        at,
        float(model.qpos0[at]),
        float(model.jnt_axis[joint][1]) if turns else 0.0,
        0j if turns else _place(model.jnt_axis[joint]),
        _place(model.jnt_pos[joint]),
    )


def _place(vector: NDArray[np.float64]) -> complex:
    return complex(vector[0], vector[2])


def _turn(quaternion: NDArray[np.float64]) -> complex:
    """A rotation that is about y, as what it multiplies by."""
    return complex(np.exp(-2j * np.arctan2(quaternion[2], quaternion[0])))
