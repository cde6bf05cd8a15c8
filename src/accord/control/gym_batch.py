"""Any Gymnasium environment with Box or Discrete spaces, a user's own too. Its state cannot be set:
a resumed run begins new episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accord.control.environments import (
    ActionForm,
    EnvironmentBatch,
    Stepped,
    check_actions,
    check_finite,
)
from accord.control.extra import needed
from accord.control.hanging import HangsError, TimeLimit, hangs
from accord.control.poses import FRAME_SECONDS, PIXELS, Frame, small
from accord.errors import AccordError, ConfigError, RunError
from accord.seeds import derive_seed
from accord.statistics.intervals import Array, Index
from accord.user_code import import_module, told
from accord.validation import suggest

PATIENCE = 60.0
"""Seconds that a step, a reset or the making of an environment may take, unless told."""


class GymBatch:
    """An `EnvironmentBatch` of environments that gymnasium makes, one after another in this
    process."""

    settable = False
    ends: bool | None = None
    starts: Sequence[str] = ()

    def __init__(
        self,
        name: str,
        count: int,
        limit: int | None = None,
        patience: float = PATIENCE,
        rendered: bool = False,
        absorb: bool = False,
        first: int = 0,
    ) -> None:
        """patience: seconds that a step, a reset or the making of one may take; rendered: `frames`
        will be asked for; absorb: an episode that the task ended stays where it ended, is paid
        nothing and is over when its time is; first: the number of the first environment, by which
        it begins: one alone can begin as the third of many did. Raises ConfigError where that time
        is not known."""
        self._gym = needed("gymnasium", name)
        self.name, self.count = name, count
        self._first, self._limit = first, TimeLimit(patience)
        self._size: tuple[int, ...] | None = None  # of its pictures
        self.physics = f"gymnasium {self._gym.__version__}"
        self._environments = [self._made(limit, rendered) for _ in range(count)]
        spec = self._environments[0].spec
        self.limit: int | None = limit or (spec.max_episode_steps if spec is not None else None)
        one = self._environments[0]
        self.observation_size = flat_size(self._gym, name, one.observation_space)
        self.actions = action_form(self._gym, name, one.action_space)
        self._seen_NO = np.zeros((count, self.observation_size))
        self._absorbs, self._over_N = absorb, np.zeros(count, dtype=bool)
        self._elapsed_N = np.zeros(count, dtype=np.int64)
        self.stood_still = False  # before its end, where what ended is told by that
        if absorb:
            self.limit = known_limit(self)

    def reset(self, rows_R: Index, rng: np.random.Generator, elsewhere: float = 0.0) -> None:
        """See `EnvironmentBatch.reset`. Raises ConfigError where other starts are asked for."""
        if elsewhere:
            raise ConfigError(
                f"{self.name} begins where it does: its state cannot be set",
                "set the share of starts to 0",
            )
        seed = int(rng.integers(2**62))
        for row in rows_R.tolist():
            # Gymnasium's seeds have 32 bits.
            own = derive_seed(seed, "reset", self._first + row) % 2**32
            with self._own("reset"):
                seen, _ = self._environments[row].reset(seed=own)
                self._seen_NO[row] = self._flat(seen)
        self._over_N[rows_R], self._elapsed_N[rows_R] = False, 0
        check_finite(self.name, "the observation", self._seen_NO)

    def observe(self) -> Array:
        return self._seen_NO.copy()

    def states(self) -> Array | None:
        return None

    def step(self, action_NA: Array) -> Stepped:
        reward_N = np.zeros(self.count)
        ended = np.zeros((2, self.count), dtype=bool)
        check_actions(self.name, self.actions, self.count, action_NA)
        bounded_NA, before_NO = self.actions.bounded(action_NA), self._seen_NO.copy()
        for row, environment in enumerate(self._environments):
            if self._over_N[row]:
                continue
            action = self._own_action(environment, bounded_NA[row])
            with self._own("step"):
                seen, reward, terminated, truncated, _ = environment.step(action)
                self._seen_NO[row], reward_N[row] = self._flat(seen), _paid(reward)
                ended[:, row] = terminated, truncated
        if self._absorbs:
            self._elapsed_N += 1
            self._over_N |= ended[0]
            still_N = (before_NO == self._seen_NO).all(1)
            self.stood_still |= bool((still_N & ~self._over_N).any())
            ended[0], ended[1] = False, self._elapsed_N == self.limit
        check_finite(self.name, "the observation", self._seen_NO)
        check_finite(self.name, "the reward", reward_N)
        return Stepped(self._seen_NO.copy(), reward_N, ended[0], ended[1])

    @property
    def frame_seconds(self) -> float:
        """Between two frames, as the environment wants them shown."""
        fps = self._environments[0].metadata.get("render_fps")
        return 1 / float(fps) if fps else FRAME_SECONDS

    def frames(self) -> list[Frame]:
        """A picture of each, all of one size. Raises ConfigError where one renders none, or
        another size than before: a clip is one film."""
        pictures = []
        for environment in self._environments:
            with self._own("render"):
                picture = environment.render()
            pictures.append(small(picture, self.name))
            size = pictures[-1].shape
            if self._size not in (None, size):
                raise ConfigError(
                    f"{self.name} renders pictures of different sizes: {_pixels(size)} after"
                    f" {_pixels(self._size)}, brought to at most {PIXELS} a side",
                    "let render() return pictures of one size",
                )
            self._size = size
        return pictures

    def _own(self, what: str) -> _EnvironmentsOwn:
        return _EnvironmentsOwn(self.name, what, self._limit)

    def _made(self, limit: int | None, rendered: bool) -> Any:
        with self._own("make"):
            made = _made(self._gym, self.name, limit, {})
            if not rendered:
                return made
            modes = made.metadata.get("render_modes", [])
            if "rgb_array" in modes:
                made.close()
                return _made(self._gym, self.name, limit, {"render_mode": "rgb_array"})
        raise ConfigError(
            f"{self.name} cannot be shown: it has no poses and no render_mode rgb_array",
            'give it metadata = {"render_modes": ["rgb_array"]} and a render() that returns a uint8'
            " array [height, width, 3]",
        )

    def memory(self) -> dict[str, Any] | None:
        return None

    def recall(self, memory: dict[str, Any]) -> None:
        raise ConfigError(f"the state of {self.name} cannot be set")

    def _own_action(self, environment: Any, action_A: Array) -> Any:
        if self.actions.kind == "discrete":
            return int(action_A[0]) + int(environment.action_space.start)
        space = environment.action_space
        return action_A.reshape(space.shape).astype(space.dtype)

    def _flat(self, seen: Any) -> Array:
        return flat(self._gym, self._environments[0].observation_space, seen)


def check_moves(environments: EnvironmentBatch) -> None:
    """Raise RunError where an environment that absorbs observed the same twice before an episode's
    end: its steps could not be told from those after it."""
    if isinstance(environments, GymBatch) and environments.stood_still:
        raise RunError(
            f"a step of {environments.name} changed nothing of what is observed, and its episode"
            " went on: with horizon: absorb that cannot be told from one that is over",
            "let it observe something that changes, as the time"
            " (gymnasium.wrappers.TimeAwareObservation), or set horizon: floor",
        )


def known_limit(environments: Any) -> int:
    """Steps of an episode. Raises ConfigError where the environment does not say."""
    limit = getattr(environments, "limit", None)
    if limit is None:
        raise ConfigError(
            f"{environments.name} does not say how long an episode is", "set episode_steps"
        )
    return int(limit)


def flat_size(gym: Any, name: str, space: Any) -> int:
    """Numbers of an observation, flat. Raises ConfigError for a space that is not supported."""
    if isinstance(space, gym.spaces.Box):
        return int(np.prod(space.shape))
    if isinstance(space, gym.spaces.Discrete):
        return int(space.n)
    raise _unsupported(name, "observes", space)


def flat(gym: Any, space: Any, seen: Any) -> Array:
    """An observation as numbers; one of a Discrete space as a one at its place. Raises ValueError
    where there are not as many as the space says: one number would be taken for all."""
    if isinstance(space, gym.spaces.Discrete):
        one_hot: Array = np.eye(int(space.n))[int(seen) - int(space.start)]
        return one_hot
    seen_O: Array = np.asarray(seen, dtype=np.float64).ravel()
    if seen_O.size != np.prod(space.shape):
        raise ValueError(f"it observed {seen_O.size} numbers; its observation_space says {space}")
    return seen_O


def _pixels(size: Sequence[int] | None) -> str:
    return " × ".join(str(pixels) for pixels in (size or ())[:2])


def _paid(reward: Any) -> float:
    """A reward as a number. Raises TypeError where it is none."""
    if isinstance(reward, str) or np.ndim(reward):
        raise TypeError(f"its reward is {reward!r:.100}: pay one number a step")
    return float(reward)


def action_form(gym: Any, name: str, space: Any) -> ActionForm:
    """What an environment takes. Raises ConfigError for a space that is not supported."""
    if isinstance(space, gym.spaces.Discrete):
        none = np.zeros(0)
        return ActionForm("discrete", int(space.n), none, none)
    if isinstance(space, gym.spaces.Box):
        low, high = (np.asarray(end, dtype=np.float64).ravel() for end in (space.low, space.high))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigError(
                f"actions of {name} have no bounds: {space}",
                "give its Box finite bounds (gymnasium.wrappers.RescaleAction does)",
            )
        return ActionForm("box", len(low), low, high)
    raise _unsupported(name, "takes", space)


def _made(gym: Any, name: str, limit: int | None, mode: dict[str, str]) -> Any:
    """One environment. Raises ConfigError for an unknown id, and for a module of the user's that
    fails."""
    module, _, _ = name.rpartition(":")
    try:
        if module:
            import_module(module)
        return gym.make(name, max_episode_steps=limit, **mode)
    except gym.error.UnregisteredEnv as error:
        raise ConfigError(
            f"there is no environment {name!r}: {error}",
            f"{_meant(name.rpartition(':')[2], list(gym.registry))}name an id that gymnasium.make"
            " takes, or module:EnvId of your own",
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the environment {name!r} cannot be made: {told(error)}",
            "check its module, its id and what it needs",
        ) from error


def _meant(wanted: str, known: list[str]) -> str:
    """The nearest id, or how to bring those of a package that was not imported."""
    space, named, _ = wanted.rpartition("/")
    if named and not any(one.startswith(f"{space}/") for one in known):
        return (
            f"{space}/… comes with a package: install it and write its module before the id"
            f" (ale_py:ALE/Pong-v5), "
        )
    return suggest(wanted, known)


def _unsupported(name: str, does: str, space: Any) -> ConfigError:
    return ConfigError(
        f"{name} {does} {type(space).__name__} spaces ({space})",
        "only Box and Discrete are supported: wrap it (gymnasium.wrappers.FlattenObservation, or"
        " your own)",
    )


class _EnvironmentsOwn:
    """Within it, errors are the environment's own, and say so; it lasts only so long."""

    def __init__(self, name: str, what: str, limit: TimeLimit) -> None:
        self.name, self.what, self.limit = name, what, limit

    def __enter__(self) -> None:
        self.limit.begin(self.name, self.what)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.limit.end()
        if isinstance(error, HangsError):
            raise hangs(self.name, self.what, told(error)) from error
        # Who leaves Python would end the run with an exit code that means something else.
        if isinstance(error, Exception | SystemExit) and not isinstance(error, AccordError):
            raise RunError(
                f"the environment {self.name} failed in {self.what}(): {told(error)}",
                "the error is the environment's own: mend it, then resume; nothing judged is lost",
            ) from error
