"""Tasks of MuJoCo robots, for a whole batch of states: what is seen, what is paid, when it is over.

Suffixes: N robots, Q positions, V velocities, O numbers of an observation, A of an action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from accord.control.environments import Mask
from accord.control.flips import count_flips
from accord.control.planar import PlanarBody
from accord.statistics.intervals import Array

CONTACT = 0.01
"""Metres above the floor below which a limb touches it."""


@dataclass(frozen=True)
class Moment:
    """Robots at one time: positions, velocities."""

    qpos_NQ: Array
    qvel_NV: Array

    def __len__(self) -> int:
        return len(self.qpos_NQ)


class Task:
    """One task. file: of gymnasium's models; frame_skip: physics steps per step; limit: steps of an
    episode; ends: whether one is over where it is `lost`; starts: kinds of starts beside the
    robot's own; integrator: by MuJoCo's name, where it is not the one that the model's file asks
    for."""

    name: ClassVar[str]
    file: ClassVar[str] = "hopper.xml"
    frame_skip: ClassVar[int] = 4
    limit: ClassVar[int] = 1000
    ends: ClassVar[bool] = True
    noise: ClassVar[float] = 5e-3
    starts: ClassVar[Sequence[str]] = ()
    integrator: ClassVar[str | None] = None

    def __init__(self, body: PlanarBody, first_Q: Array, velocities: int, seconds: float) -> None:
        self.body, self.first_Q, self.velocities, self.seconds = body, first_Q, velocities, seconds

    def begin(self, count: int, rng: np.random.Generator) -> Moment:
        """The robot's own start, a little off in everything."""
        return Moment(
            self.first_Q + rng.uniform(-self.noise, self.noise, (count, len(self.first_Q))),
            rng.uniform(-self.noise, self.noise, (count, self.velocities)),
        )

    def begin_elsewhere(self, count: int, rng: np.random.Generator) -> Moment:
        """One of `starts`."""
        raise NotImplementedError(f"{self.name} has one kind of start")

    def observe(self, now: Moment) -> Array:
        """[N, O]."""
        raise NotImplementedError

    def pay(self, before: Moment, action_NA: Array, now: Moment, lost_N: Mask) -> Array:
        """The task's own reward of a step; lost_N: whether it is `lost` now: [N]."""
        raise NotImplementedError

    def lost(self, now: Moment) -> Mask:
        """Whether the robot is where the task is lost: [N]."""
        return np.zeros(len(now), dtype=bool)

    def count(self, positions_TNQ: Array, alive_TN: Mask) -> dict[str, Array]:
        """What can be counted in whole episodes, by name: [N] each."""
        return {}


class Hopper(Task):
    """Gymnasium's Hopper-v5, with its defaults."""

    name = "Hopper"

    def observe(self, now: Moment) -> Array:
        return np.concatenate([now.qpos_NQ[:, 1:], np.clip(now.qvel_NV, -10, 10)], 1)

    def pay(self, before: Moment, action_NA: Array, now: Moment, lost_N: Mask) -> Array:
        forward_N = (now.qpos_NQ[:, 0] - before.qpos_NQ[:, 0]) / self.seconds
        paid: Array = forward_N + ~lost_N - 1e-3 * np.square(action_NA).sum(1)
        return paid

    def lost(self, now: Moment) -> Mask:
        rest = np.concatenate([now.qpos_NQ[:, 2:], now.qvel_NV], 1)
        usual_N = (np.abs(rest) < 100).all(1)
        up_N = (now.qpos_NQ[:, 1] > 0.7) & (np.abs(now.qpos_NQ[:, 2]) < 0.2)
        lost: Mask = ~(usual_N & up_N)
        return lost


class HalfCheetah(Task):
    """Gymnasium's HalfCheetah-v5, with its defaults."""

    name, file, frame_skip, ends = "HalfCheetah", "half_cheetah.xml", 5, False

    def begin(self, count: int, rng: np.random.Generator) -> Moment:
        return Moment(
            self.first_Q + rng.uniform(-0.1, 0.1, (count, len(self.first_Q))),
            0.1 * rng.standard_normal((count, self.velocities)),
        )

    def observe(self, now: Moment) -> Array:
        return np.concatenate([now.qpos_NQ[:, 1:], now.qvel_NV], 1)

    def pay(self, before: Moment, action_NA: Array, now: Moment, lost_N: Mask) -> Array:
        forward_N = (now.qpos_NQ[:, 0] - before.qpos_NQ[:, 0]) / self.seconds
        paid: Array = forward_N - 0.1 * np.square(action_NA).sum(1)
        return paid


class Backflip(Task):
    """The hopper, which is to turn backwards in the air and land on its foot.

    There is no reward of the task's own that says so: what is paid is what a watcher likes, W =
    0.2 clip(-w, -4, 10) + 0.4 (z - 0.6) - [a limb lies on the floor], of the torso's turning w
    (rad/s, negative backwards) and height z (m). Learners are not shown it; they see its
    comparisons. Pitch is seen by sine and cosine, since it grows with every turn. Integrated by
    MuJoCo's implicitfast, which costs a third of the file's Runge-Kutta method of fourth order. An
    episode is over as soon as a limb touches the floor.
    """

    name, limit = "Backflip", 300
    starts = ("in the air",)
    integrator: ClassVar[str | None] = "implicitfast"

    def begin_elsewhere(self, count: int, rng: np.random.Generator) -> Moment:
        """In the air, at any pitch, turning backwards at any speed."""
        own = self.begin(count, rng)
        qpos_NQ, qvel_NV = own.qpos_NQ.copy(), own.qvel_NV.copy()
        qpos_NQ[:, 1] += rng.uniform(0.0, 0.6, count)
        qpos_NQ[:, 2] += rng.uniform(-2 * np.pi, 0, count)
        qpos_NQ[:, 3:5] += rng.uniform(-1.2, 0, (count, 2))
        qvel_NV[:, 0] += rng.uniform(-1, 1, count)
        qvel_NV[:, 1] += rng.uniform(-2, 2, count)
        qvel_NV[:, 2] += rng.uniform(-8, 0, count)
        return Moment(qpos_NQ, qvel_NV)

    def observe(self, now: Moment) -> Array:
        pitch_N = now.qpos_NQ[:, 2:3]
        return np.concatenate(
            [
                now.qpos_NQ[:, 1:2],
                np.sin(pitch_N),
                np.cos(pitch_N),
                now.qpos_NQ[:, 3:],
                np.clip(now.qvel_NV, -10, 10),
            ],
            1,
        )

    def pay(self, before: Moment, action_NA: Array, now: Moment, lost_N: Mask) -> Array:
        turning_N = np.clip(-now.qvel_NV[:, 2], -4, 10)
        liked: Array = 0.2 * turning_N + 0.4 * (now.qpos_NQ[:, 1] - 0.6) - lost_N
        return liked

    def count(self, positions_TNQ: Array, alive_TN: Mask) -> dict[str, Array]:
        """Whole turns backwards, and those in which no limb lay on the floor."""
        down_TN = np.stack([self._down(qpos_NQ) for qpos_NQ in positions_TNQ])
        turns_N, clean_N = count_flips(positions_TNQ[..., 2], down_TN, alive_TN)
        return {"turns": turns_N.astype(np.float64), "clean_flips": clean_N.astype(np.float64)}

    def lost(self, now: Moment) -> Mask:
        """The torso, the hip or the knee touches the floor. (The leg's other end is the ankle,
        within the foot.)"""
        return self._down(now.qpos_NQ)

    def _down(self, qpos_NQ: Array) -> Mask:
        limbs = [name in ("torso_geom", "thigh_geom") for name in self.body.names]
        lowest_N = self.body.clearance(qpos_NQ)[:, limbs].min(1)
        down: Mask = lowest_N < CONTACT
        return down


class WrittenBackflip(Backflip):
    """The backflip by the reward that OpenAI's people wrote for it in two hours, to compare with
    comparisons (Amodei, Christiano and Ray 2017), of Hopper's observation o after the step and the
    action a, in episodes that never end before their time:

        -o7 (1 + 0.3 o0 + 0.1 (a0 o8 + a1 o9 + a2 o10) - 0.05 o5)

    that is backwards turning times what height, joints that turn as they are driven and going
    backwards add. It says nothing of the floor.
    """

    name, limit, ends = "WrittenBackflip", 400, False
    integrator = None

    def pay(self, before: Moment, action_NA: Array, now: Moment, lost_N: Mask) -> Array:
        height_N = now.qpos_NQ[:, 1]
        velocity_NV = np.clip(now.qvel_NV, -10, 10)
        forward_N, turning_N, joints_NA = velocity_NV[:, 0], velocity_NV[:, 2], velocity_NV[:, 3:]
        driven_N = (action_NA * joints_NA).sum(1)
        paid: Array = -turning_N * (1 + 0.3 * height_N + 0.1 * driven_N - 0.05 * forward_N)
        return paid

    def lost(self, now: Moment) -> Mask:
        return np.zeros(len(now), dtype=bool)


TASKS: tuple[type[Task], ...] = (Hopper, HalfCheetah, Backflip, WrittenBackflip)
