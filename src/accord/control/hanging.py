"""Code of a user's environment that takes too long is interrupted, and named; what does not end by
that ends the process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from accord.errors import RunError
from accord.user_code import in_user_code

AGAIN = 1.0
"""Seconds after which one that caught the interruption is interrupted again."""
GRACE = 10.0
"""Seconds after the first interruption at which the process is ended."""
SOON = 0.001
"""Seconds in which a process that was stopped and goes on is told so, after its time was over."""
LOOK = 1.0
"""Seconds between two looks at what is under way, at most."""


class HangsError(BaseException):
    """Raised within code that took too long. No Exception, so that `except Exception` there does
    not end it."""


class TimeLimit:
    """Python code, sleeps and waits of the main thread between `begin` and `end` last `seconds` at
    most: then HangsError is raised in them, again and again. What swallows it, or is compiled code
    that lets other threads run, has GRACE seconds more: then the process ends with exit code 1, and
    says where it was. Out of reach are other threads, and compiled code that keeps the
    interpreter's lock.

    The timer runs on while the process is stopped (Ctrl-Z): what was under way then has all its
    time again once the process goes on (SIGCONT)."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._before: tuple[Any, Any] | None = None
        self._over = False

    def begin(self, name: str, what: str) -> None:
        """name: of the environment; what: the function of it that is called."""
        if threading.current_thread() is threading.main_thread():
            self._before = (
                signal.signal(signal.SIGALRM, self._interrupt),
                signal.signal(signal.SIGCONT, self._go_on),
            )
            self._start()
            _WATCHDOG.watch(self.seconds, name, what)

    def end(self) -> None:
        """It came back, or raised."""
        if self._before is not None:
            _WATCHDOG.call = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before[0])
            signal.signal(signal.SIGCONT, self._before[1])
            self._before = None

    def _start(self) -> None:
        self._over = False
        signal.setitimer(signal.ITIMER_REAL, self.seconds, AGAIN)

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        self._start()
        if self._before is not None and callable(self._before[1]):
            self._before[1](number, frame)

    def _interrupt(self, *_: Any) -> None:
        """Of two signals that came while the process was stopped Python handles SIGALRM first: only
        if SIGCONT's does not follow is the time really over."""
        if not self._over:
            self._over = True
            signal.setitimer(signal.ITIMER_REAL, SOON, AGAIN)
            return
        raise HangsError(f"it did not come back within {self.seconds:g} seconds")


def hangs(name: str, what: str, told: str) -> RunError:
    """The error of an environment that hangs; told: for how long, and where."""
    return RunError(
        f"the environment {name} hangs in {what}(): {told}",
        "mend it, or allow it more seconds (patience); nothing judged is lost",
    )


class _Watchdog:
    """A thread that ends the process where one call lasts too long. call: seconds, name, function
    of what is under way, a new one for each call."""

    def __init__(self) -> None:
        self.call: tuple[float, str, str] | None = None
        self._thread: threading.Thread | None = None

    def watch(self, seconds: float, name: str, what: str) -> None:
        self.call = seconds, name, what
        if self._thread is None or not self._thread.is_alive():  # as in a process forked off
            self._thread = threading.Thread(target=self._look, name="accord's hangs", daemon=True)
            self._thread.start()

    def _look(self) -> NoReturn:
        """Counts what it waited itself: while the process was stopped, nothing hung."""
        last, waited = None, 0.0
        while True:
            pause = min(LOOK, GRACE)
            time.sleep(pause)
            call = self.call
            waited = waited + pause if call is last else 0.0
            last = call
            if call is not None and waited >= call[0] + GRACE:
                self._end_process(*call)

    def _end_process(self, seconds: float, name: str, what: str) -> NoReturn:
        """A run that ends so can be resumed, as one that was killed. Straight to the terminal: who
        hangs may hold the locks of sys.stdout and sys.stderr."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        told = (
            f"it did not come back within {seconds:g} seconds, nor where it was interrupted"
            f"{in_user_code(frame)}"
        )
        with suppress(OSError):
            os.write(2, f"\nerror: {hangs(name, what, told)}\n".encode())
        flushing = threading.Thread(target=_flush, daemon=True)
        flushing.start()
        flushing.join(1)
        os._exit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


_WATCHDOG = _Watchdog()
