"""Environments as users write them, good and bad."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from contextlib import suppress
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env[Any, Any]):
    """A place on a line that ends at 1: seen as it is, moved by an action."""

    observation_space = spaces.Box(-10, 10, (1,))
    action_space = spaces.Box(-1, 1, (1,))
    reward: float = 1.0
    breaks_at: int | None = None
    unseen_at: int | None = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.steps = self.np_random.uniform(-0.1, 0.1), 0
        return np.array([self.at], dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == self.breaks_at:
            raise ValueError("the motor burnt out")
        self.at += 0.2 * float(action[0])
        seen = np.nan if self.steps == self.unseen_at else self.at
        return np.array([seen], dtype=np.float32), self.reward, self.at > 1, False, {}


class Breaking(Walk):
    breaks_at = 3


class Singular(Walk):
    def step(self, action: Any) -> Any:
        np.linalg.inv(np.zeros((2, 2)))
        return super().step(action)


class Blind(Walk):
    unseen_at = 2


class Unpaid(Walk):
    reward = float("nan")


class Worded(Walk):
    observation_space = spaces.Text(5)  # type: ignore[assignment]


class Unbounded(Walk):
    action_space = spaces.Box(-np.inf, np.inf, (1,))


class Narrow(Walk):
    """Observes one number where its space has two."""

    observation_space = spaces.Box(-10, 10, (2,))


class Praised(Walk):
    reward = "well done"  # type: ignore[assignment]


class Leaving(Walk):
    def step(self, action: Any) -> Any:
        raise SystemExit(3)


class Short(Walk):
    """Over after four steps, whatever is done."""

    def step(self, action: Any) -> Any:
        seen, reward, _, _, more = super().step(action)
        return seen, reward, self.steps >= 4, False, more


class Hanging(Walk):
    """Never comes back from its third step, whatever it is told."""

    def step(self, action: Any) -> Any:
        while self.steps == 2:
            try:
                time.sleep(5)
            except Exception:
                continue
        return super().step(action)


class Slow(Walk):
    def step(self, action: Any) -> Any:
        time.sleep(0.05)
        return super().step(action)


class Stopping(Walk):
    """Stops the process in every step, as Ctrl-Z does, with work left in it; never comes back from
    the second."""

    def step(self, action: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.2)
        while self.steps == 1:
            time.sleep(5)
        return super().step(action)


class Stubborn(Walk):
    """Never comes back from a step, and swallows whatever it is told."""

    def step(self, action: Any) -> Any:
        while True:
            with suppress(BaseException):
                time.sleep(5)


class Compiled(Walk):
    """Its step is compiled code that takes half an hour."""

    def step(self, action: Any) -> Any:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


class Walled(Walk):
    """A wall at 0 that nothing gets through: to push against it changes nothing."""

    def step(self, action: Any) -> Any:
        _, *more = super().step(action)
        self.at = max(0.0, self.at)
        return np.array([self.at], dtype=np.float32), *more


class Shown(Walk):
    """Renders its place as the brightness of a picture."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((200, 300, 3), int(np.clip(100 + 100 * self.at, 0, 255)), dtype=np.uint8)


class Torn(Shown):
    breaks_at = 3


class Misdrawn(Shown):
    def render(self) -> Any:
        return np.zeros((4, 4))


class Growing(Shown):
    """Every picture is larger than the one before."""

    def render(self) -> Any:
        return np.zeros((50 + self.steps, 50, 3), dtype=np.uint8)


class Nowhere(Shown):
    def render(self) -> Any:
        return np.zeros((0, 0, 3), dtype=np.uint8)


class Fickle(Shown):
    """Draws its chances where no seed reaches."""

    def step(self, action: Any) -> Any:
        return super().step(action + np.random.default_rng().normal(0, 0.1, 1))


MADE: tuple[type[gymnasium.Env[Any, Any]], ...] = (
    Walk, Breaking, Singular, Blind, Unpaid, Worded, Unbounded, Narrow, Praised, Leaving, Short, Hanging, Slow,
    Stopping, Stubborn, Compiled, Walled, Shown, Torn, Misdrawn, Growing, Nowhere, Fickle,
)  # fmt: skip
gymnasium.register("Endless-v0", Walk)
for one in MADE:
    gymnasium.register(f"{one.__name__}-v0", one, max_episode_steps=50)
