"""What a piece of work costs: peak memory beyond what was there, and seconds of CPU, in a process of
its own that was forked when all imports were done."""

from __future__ import annotations

import importlib
import re
import resource
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from accord.errors import AccordError
from forked import forked

MOST_MIB, MOST_SECONDS = 256, 2.0
"""What one hostile file may cost."""
USUAL_PACE = 0.045
"""Seconds of CPU that `pace` takes on the machine that the bound is meant for, when it is idle."""
_ADDRESSES, _CPU = 6 << 30, 15
"""Where the process is ended: the machine must survive what the test finds."""


@dataclass(frozen=True)
class Cost:
    """mib: peak resident memory above that at the start; seconds: of CPU, user and system, less as
    much as the machine is slower than usual just then (other work on it makes them longer); said:
    what the work returned, or the message of the AccordError that it raised; failed: any other
    exception."""

    mib: float
    seconds: float
    said: str
    failed: str = ""

    @property
    def fits(self) -> bool:
        """Within the bounds."""
        return self.mib <= MOST_MIB and self.seconds <= MOST_SECONDS and not self.failed


def cost_of(module: str, work: str, *given: Any) -> Cost:
    """Of `module.work(folder, *given)`: it prepares (uncounted) and returns the function that is
    measured."""
    ours, theirs = Pipe(duplex=False)
    child = forked(_measured, theirs, module, work, given)
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        child.join()
        return Cost(float("inf"), float("inf"), "", f"ended with {child.exitcode}")
    child.join()
    return Cost(*found)


def _measured(pipe: Connection, module: str, work: str, given: tuple[Any, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        act: Callable[[], object] = getattr(importlib.import_module(module), work)(
            Path(folder), *given
        )
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU, _CPU))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        before = pace()
        memory, cpu = _memory("VmRSS"), _seconds()
        said, failed = "", ""
        try:
            said = str(act())
        except AccordError as error:
            said = str(error)
        except BaseException as error:
            failed = f"{type(error).__name__}: {str(error)[:300]}"
        memory, cpu = _memory("VmHWM") - memory, _seconds() - cpu
        pipe.send((memory, cpu / slower(before, pace()), said, failed))
        pipe.close()


def slower(before: float, after: float) -> float:
    """How much slower than usual the machine is, by its pace before and after the work: 1 or
    more."""
    return max(1.0, (before + after) / 2 / USUAL_PACE)


def pace() -> float:
    """Seconds of CPU that a fixed piece of Python takes."""
    start, number = _seconds(), 0
    for k in range(800_000):
        number = (number * 31 + k) % 1_000_003
    return _seconds() - start


def _memory(name: str) -> float:
    """MiB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024


def _seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime
