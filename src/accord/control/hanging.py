"""Code of a user's environment that takes too long is interrupted, and named."""

from __future__ import annotations

import signal
import threading
from typing import Any

AGAIN = 1.0
"""Seconds after which one that caught the interruption is interrupted again."""


class HangsError(BaseException):
    """Raised within code that took too long. No Exception, so that `except Exception` there does
    not end it."""


class TimeLimit:
    """A context within which Python code, sleeps and waits of the main thread last `seconds` at
    most. It cannot reach other threads, nor compiled code that does not come back."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGALRM, self._interrupt)
            signal.setitimer(signal.ITIMER_REAL, self.seconds, AGAIN)

    def __exit__(self, *_: Any) -> None:
        if self._before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._before = None

    def _interrupt(self, *_: Any) -> None:
        raise HangsError(f"it did not come back within {self.seconds:g} seconds")
