"""Tests of a Python program, run in a process that is shut in.

The program gets an empty directory of its own, bounded time, memory, files and output, no network
and no other process. Where the kernel permits it (user namespaces), those are walls; Python refuses
and names each attempt besides. Where the kernel does not, Python's refusal is all there is, which a
program written to break out gets past: `CodeResult.held` says which walls stood.

Tests are evaluated beside the program, so that one written to forge their results could. They judge
programs that try to solve a task, not programs that attack the judge.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field

from accord.errors import ConfigError, RunError
from accord.oversight import code_child
from accord.seeds import generator
from accord.validation import Settings

Outcome = Literal["passed", "failed", "error", "time", "memory", "output", "refused"]
"""failed: an assertion does not hold; error: an exception, or an end before the tests;
refused: it reached for the network, other processes, or files outside its directory."""
MOST_RESULTS = 1 << 20
KEPT_OUTPUT = 4000
"""Bytes of a program's output that are kept, from its beginning."""
MIB = 1 << 20


class CodeLimits(Settings):
    """What a program under test may use."""

    cpu_seconds: int = Field(5, ge=1, le=600, description="CPU time, in seconds.")
    wall_seconds: float = Field(30, gt=0, le=3600, description="Time by the clock, in seconds.")
    memory_mb: int = Field(512, ge=64, description="Memory of the process, in MiB.")
    file_mb: int = Field(1, ge=1, le=1024, description="Size of a file that it writes, in MiB.")
    output_kb: int = Field(64, ge=1, le=65536, description="Output, in KiB; more ends it.")

    def told(self) -> dict[str, int]:
        """As the other side reads them."""
        return {
            "cpu_seconds": self.cpu_seconds,
            "memory_bytes": self.memory_mb * MIB,
            "file_bytes": self.file_mb * MIB,
        }


@dataclass(frozen=True)
class CheckResult:
    """What came of one assertion, and why."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class CodeResult:
    """What came of a program's tests. held: walls of the kernel that stood (network, files,
    processes); output: the beginning of what it printed."""

    checks: Sequence[CheckResult]
    output: str
    held: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether every assertion holds."""
        return all(one.outcome == "passed" for one in self.checks)

    @property
    def first_fault(self) -> CheckResult:
        """The first assertion that does not hold; that all passed where there is none."""
        wrong = (one for one in self.checks if one.outcome != "passed")
        return next(wrong, CheckResult("passed"))

    def holds(self, places: Sequence[int]) -> bool:
        """Whether these assertions hold."""
        return all(self.checks[place].outcome == "passed" for place in places)


@dataclass(frozen=True)
class CodeTask:
    """A program's tests, an assertion each: Python that sees the program's names."""

    tests: Sequence[str]

    @classmethod
    def parse(cls, source: str, entry: str | None = None) -> CodeTask:
        """Of `assert` statements, or of a function `check(candidate)` that holds them; entry: the
        name that `candidate` stands for. What is no assertion comes before each of them. Raises
        ConfigError where there is no assertion."""
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"these tests are no Python: {error}", "write assert statements"
            ) from error
        before: list[ast.stmt] = []
        statements: list[ast.stmt] = []
        for one in body:
            if isinstance(one, ast.FunctionDef) and one.name == "check" and one.args.args:
                if entry is None:
                    raise ConfigError(
                        "tests in check(candidate) do not say what they test",
                        "name the function: entry",
                    )
                before.append(ast.parse(f"{one.args.args[0].arg} = program[{entry!r}]").body[0])
                statements += one.body
            else:
                statements.append(one)
        asserting = [one for one in statements if _asserts(one)]
        before += [one for one in statements if not _asserts(one)]
        if not asserting:
            raise ConfigError(
                f"these tests assert nothing: {source[:80]!r}", "write assert statements"
            )
        return cls([_source([*before, one]) for one in asserting])

    def hidden(self, seed: int) -> list[int]:
        """Places of the assertions that are kept from whoever writes and chooses programs: a third
        of them, one at least, none of a single one."""
        count = len(self.tests)
        if count == 1:
            return []
        drawn = generator(seed, "hidden").permutation(count)[: max(1, count // 3)]
        return sorted(int(place) for place in drawn)

    def shown(self, seed: int) -> list[int]:
        """Places of the others."""
        return sorted({*range(len(self.tests))} - {*self.hidden(seed)})


def _asserts(statement: ast.stmt) -> bool:
    return any(isinstance(one, ast.Assert) for one in ast.walk(statement))


def _source(statements: list[ast.stmt]) -> str:
    return ast.unparse(ast.Module(statements, []))


def run_tests(program: str, task: CodeTask, limits: CodeLimits | None = None) -> CodeResult:
    """Run a program, and every assertion of the task after it, in a process that is shut in."""
    limits = limits or CodeLimits()
    told = {"program": program, "tests": list(task.tests), "limits": limits.told()}
    with (
        tempfile.TemporaryDirectory(prefix="accord-tests-") as folder,
        tempfile.TemporaryFile() as request,
    ):
        request.write(json.dumps(told).encode())
        request.seek(0)
        run = _ShutIn(request, folder, limits)
        run.watch()
    return run.result(len(task.tests))


class _ShutIn:
    """One program's process, watched to its end."""

    def __init__(self, request: IO[bytes], folder: str, limits: CodeLimits) -> None:
        self.limits, self.stopped = limits, CheckResult("passed")
        self.results, self.output, self.printed = bytearray(), bytearray(), 0
        self.read_end, write_end = os.pipe()
        command = [sys.executable, "-I", "-S", str(Path(code_child.__file__)), str(write_end)]
        self.until = time.monotonic() + limits.wall_seconds
        try:
            self.process = subprocess.Popen(
                command,
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
                cwd=folder,
                env={},
                start_new_session=True,
            )
        finally:
            os.close(write_end)

    def watch(self) -> None:
        """Until it ends, or is ended; nothing of it is left."""
        assert self.process.stdout is not None
        out = self.process.stdout.fileno()
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in (out, self.read_end):
                    selector.register(descriptor, selectors.EVENT_READ)
                while selector.get_map() and self._goes_on():
                    for key, _ in selector.select(0.05):
                        if not self._take(key.fd, out):
                            selector.unregister(key.fd)
                    if self.process.poll() is not None and not selector.select(0):
                        break
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdout.close()
            os.close(self.read_end)

    def _goes_on(self) -> bool:
        if self.printed > self.limits.output_kb * 1024:
            why = f"it printed more than {self.limits.output_kb} KiB"
            self.stopped = CheckResult("output", why)
        elif len(self.results) > MOST_RESULTS:
            self.stopped = CheckResult("output", "it wrote where results are written")
        elif time.monotonic() > self.until:
            why = f"it took more than {self.limits.wall_seconds:g} s by the clock"
            self.stopped = CheckResult("time", why)
        return self.stopped.outcome == "passed"

    def _take(self, descriptor: int, out: int) -> bool:
        data = os.read(descriptor, 1 << 16)
        if descriptor == out:
            self.printed += len(data)
            self.output += data[: max(0, KEPT_OUTPUT - len(self.output))]
        else:
            self.results += data
        return bool(data)

    def result(self, count: int) -> CodeResult:
        """An outcome for each of `count` assertions. Raises RunError where the process that should
        run them did not start."""
        lines = [_line(line) for line in bytes(self.results).split(b"\n")[:-1]]
        if not lines or "held" not in lines[0]:
            raise RunError(
                f"no process to run tests in: {self.output.decode(errors='replace')[-300:]}",
                f"{sys.executable} -I -S has to start, on a system that takes its limits (Linux)",
            )
        found = {
            one["test"]: CheckResult(one["outcome"], _sayable(one["reason"]))
            for one in lines[1:]
            if isinstance(one.get("test"), int)
        }
        rest = found.get(-1) or self._fate()
        return CodeResult(
            [found.get(number, rest) for number in range(count)],
            self.output.decode(errors="replace"),
            lines[0]["held"],
        )

    def _fate(self) -> CheckResult:
        """What became of assertions that nothing was told of."""
        if self.stopped.outcome != "passed":
            return self.stopped
        code = self.process.returncode
        if code == code_child.TIME_UP:
            return CheckResult("time", f"it took more than {self.limits.cpu_seconds} s of CPU")
        if code == 128 + signal.SIGKILL:
            return CheckResult("memory", "the machine ended it, as where memory ends")
        if code > 128:
            return CheckResult("error", f"it ended by {signal.Signals(code - 128).name}")
        return CheckResult("error", f"it ended before its tests, with status {code}")


def _sayable(text: str) -> str:
    """Without halves of characters, which no file takes."""
    return text.encode("utf-8", "replace").decode()


def _line(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
