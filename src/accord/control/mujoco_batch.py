"""MuJoCo robots stepped in batch by `mujoco.rollout`: the state is ours, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from accord.control.environments import ActionForm, Stepped, check_actions, check_finite
from accord.control.extra import needed
from accord.control.mujoco_tasks import TASKS, Moment, Task
from accord.control.planar import PlanarBody
from accord.errors import ConfigError, DataError
from accord.statistics.intervals import Array, Index
from accord.validation import suggest

HUGE = 1e10
"""MuJoCo's own bound (mjMAXVAL) of what it takes for a state."""
UNSTABLE = "the simulation is unstable there: use smaller actions, or other starts"


def task_of(name: str) -> type[Task]:
    """The task that `accord:NAME` names. Raises ConfigError where there is none."""
    known = {f"accord:{task.name}": task for task in TASKS}
    if name not in known:
        near = suggest(name.removeprefix("accord:"), [task.name for task in TASKS])
        meant = suggest(name, list(known)) if near else ""
        raise ConfigError(
            f"there is no environment {name!r}",
            f"{meant}known: {', '.join(known)}, and any id of Gymnasium's",
        )
    return known[name]


def _model(mujoco: Any, file: str) -> Any:
    """Of gymnasium's; what MuJoCo has to say of old ways to write it is no matter of the user's."""
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        with as_file(files("gymnasium") / "envs/mujoco/assets" / file) as path:
            return mujoco.MjModel.from_xml_path(str(path))
    finally:
        mujoco.set_mju_user_warning(None)


def _driven(model: Any) -> list[str]:
    """What every actuator drives: its own name, or its joint's."""
    joints = model.actuator_trnid[:, 0].tolist()
    return [str(model.actuator(n).name or model.joint(j).name) for n, j in enumerate(joints)]


class MujocoBatch:
    """An `EnvironmentBatch` of one task. Every physics step begins without what the solver
    remembers, so that a state alone says how it goes on."""

    settable = True

    def __init__(
        self, task: type[Task], count: int, limit: int | None = None, endless: bool = False
    ) -> None:
        mujoco = needed("mujoco", f"accord:{task.name}")
        rollout = needed("mujoco.rollout", f"accord:{task.name}")
        needed("gymnasium", f"the model of accord:{task.name}")
        self.model = _model(mujoco, task.file)
        self.name, self.physics = f"accord:{task.name}", f"mujoco {mujoco.__version__}"
        if task.integrator is not None:
            named = f"mjINT_{task.integrator.upper()}"
            self.model.opt.integrator = int(getattr(mujoco.mjtIntegrator, named))
            self.physics += f", {task.integrator}"
        # else a state that is no number becomes the start again, within the episode, in silence
        self.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self._data = mujoco.MjData(self.model)
        self._rollout = rollout.Rollout(nthread=0)
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        size, nq, nv = mujoco.mj_stateSize(self.model, full), self.model.nq, self.model.nv
        self.positions, self._velocities = slice(1, 1 + nq), slice(1 + nq, 1 + nq + nv)
        seconds = task.frame_skip * float(self.model.opt.timestep)
        self.body = PlanarBody(self.model, mujoco)
        self.task = task(self.body, self.model.qpos0.copy(), nv, seconds)
        self.count, self.limit = count, limit or task.limit
        self.ends: bool | None = task.ends and not endless
        self.starts: Sequence[str] = task.starts
        low, high = (self.model.actuator_ctrlrange[:, end].copy() for end in (0, 1))
        self.actions = ActionForm("box", len(low), low, high, _driven(self.model))
        self._state_NS = np.zeros((count, size))
        self._elapsed_N = np.zeros(count, dtype=np.int64)
        self.observation_size = self.observe().shape[1]

    def moment(self, state_NS: Array | None = None) -> Moment:
        """Positions and velocities in states: the present ones where none are given."""
        state_NS = self._state_NS if state_NS is None else state_NS
        return Moment(state_NS[:, self.positions], state_NS[:, self._velocities])

    def reset(self, rows_R: Index, rng: np.random.Generator, elsewhere: float = 0.0) -> None:
        """See `EnvironmentBatch.reset`. Raises ConfigError for other starts where there are
        none."""
        if elsewhere and not self.starts:
            raise ConfigError(f"{self.name} has no other starts", "set the share of starts to 0")
        own = self.task.begin(len(rows_R), rng)
        qpos, qvel = own.qpos_NQ, own.qvel_NV
        if elsewhere:
            other = self.task.begin_elsewhere(len(rows_R), rng)
            taken = rng.random(len(rows_R)) < elsewhere
            qpos = np.where(taken[:, None], other.qpos_NQ, qpos)
            qvel = np.where(taken[:, None], other.qvel_NV, qvel)
        state = np.zeros((len(rows_R), self._state_NS.shape[1]))
        state[:, self.positions], state[:, self._velocities] = qpos, qvel
        self.set_states(rows_R, state)

    def set_states(self, rows_R: Index, state_RS: Array) -> None:
        """Begin episodes of these rows at physics states. Raises DataError for states of another
        size."""
        if state_RS.shape != (len(rows_R), self._state_NS.shape[1]):
            raise DataError(
                f"states of {state_RS.shape[-1]} numbers: {self.name} has"
                f" {self._state_NS.shape[1]} ({self.physics})",
                "replay them in the environment and the version that stored them",
            )
        self._state_NS[rows_R] = state_RS
        self._elapsed_N[rows_R] = 0

    def observe(self) -> Array:
        return self.task.observe(self.moment())

    def states(self) -> Array | None:
        return self._state_NS.copy()

    def step(self, action_NA: Array) -> Stepped:
        before = self.moment(self._state_NS.copy())
        skip = self.task.frame_skip
        check_actions(self.name, self.actions, self.count, action_NA)
        control = np.repeat(self.actions.bounded(action_NA)[:, None], skip, axis=1)
        states, _ = self._rollout.rollout(self.model, self._data, self._state_NS, control)
        self._state_NS = np.ascontiguousarray(states[:, -1])
        check_finite(self.name, "the state", self._state_NS, HUGE, UNSTABLE)
        now = self.moment()
        lost_N = self.task.lost(now)
        self._elapsed_N += 1
        reward_N = self.task.pay(before, action_NA, now, lost_N)
        terminated_N = lost_N & bool(self.ends)
        truncated_N = self._elapsed_N >= self.limit
        return Stepped(self.task.observe(now), reward_N, terminated_N, truncated_N)

    def memory(self) -> dict[str, Any] | None:
        return {"states": self._state_NS.copy(), "elapsed": self._elapsed_N.copy()}

    def recall(self, memory: dict[str, Any]) -> None:
        self._state_NS = np.array(memory["states"], dtype=np.float64)
        self._elapsed_N = np.array(memory["elapsed"], dtype=np.int64)
