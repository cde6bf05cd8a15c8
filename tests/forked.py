"""Processes forked from one in which everything is imported: they start at once, and may be killed."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

PRELOADED = ("hostile", "forked_imports")
"""The last one freezes what is there."""


@cache
def _start_server() -> None:
    """It finds what it imports by PYTHONPATH alone, and passes over what it does not find."""
    get_context("forkserver").set_forkserver_preload(list(PRELOADED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def forked(target: Callable[..., None], *given: Any) -> ForkServerProcess:
    """Started: target(*given), where everything is imported."""
    _start_server()
    process = get_context("forkserver").Process(target=_with_paths, args=(sys.path, target, given))
    process.start()
    return process


def _with_paths(path: list[str], target: Callable[..., None], given: tuple[Any, ...]) -> None:
    sys.path[:] = path
    missing = [name for name in PRELOADED if name not in sys.modules]
    assert not missing, f"not imported before the process was forked: {missing}"
    target(*given)


class Command:
    """target(arguments), under way here and in this environment, its return value the exit code;
    returncode: None until it has ended."""

    def __init__(self, target: Callable[[list[str]], int | None], *arguments: str) -> None:
        handle, name = tempfile.mkstemp(suffix=".txt")
        os.close(handle)
        self._said = Path(name)
        given = target, arguments, name, os.getcwd(), dict(os.environ)
        self._process = forked(_command, *given)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        """SIGKILL; ended when this returns."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()

    def kill_when(self, reached: Callable[[], bool]) -> None:
        """SIGKILL as soon as something is so, which must be before it ends by itself."""
        while not reached():
            assert self.poll() is None, self.ended()
            time.sleep(0.005)
        self.kill()

    def continue_after(self, seconds: float) -> None:
        """SIGCONT so long after it has stopped itself."""
        pid = self._process.pid
        assert pid is not None
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert self.poll() is None, self.ended()
            time.sleep(0.005)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def ended(self) -> str:
        """What it wrote, on either stream, once it has ended by itself."""
        self._process.join()
        return self._said.read_text(encoding="utf-8")


class Accord(Command):
    """`accord ARGUMENTS`, under way."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(_accord, *arguments)


def accord(*arguments: str) -> str:
    """What `accord ARGUMENTS` writes; it must not fail."""
    command = Accord(*arguments)
    said = command.ended()
    assert command.returncode == 0, said
    return said


def _accord(arguments: list[str]) -> None:
    from accord.cli.main import main

    main(arguments, prog_name="accord")


def _command(
    target: Callable[[list[str]], int | None],
    arguments: tuple[str, ...],
    said: str,
    folder: str,
    environ: dict[str, str],
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    out = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.exit(target(list(arguments)))
