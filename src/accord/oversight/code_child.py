"""The other side of `code_tests`: a script that shuts itself in, and runs a program's tests.

Started as `python -I -S code_child.py FD` in an empty directory, with the request on its standard
input; it writes a line of JSON per test to the descriptor FD. It imports the standard library
alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

NEW_USER, NEW_NET, NEW_MOUNTS, NEW_IPC, NEW_PIDS = 1 << 28, 1 << 30, 1 << 17, 1 << 27, 1 << 29
MS_REC_PRIVATE, MS_NOSUID_NODEV = 0x4000 | 1 << 18, 2 | 4
MOUNT_SETATTR, RECURSIVE, READ_ONLY, HERE = 442, 0x8000, 1, -100
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, CAPABILITY_VERSION = 1, 38, 0x20080522
TIME_UP = 124
"""Exit status of a program that used up its CPU time."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTS: tuple[str, ...] = (
    "os.fork", "os.posix_spawn", "os.exec", "os.system", "os.spawn", "subprocess.", "pty.",
    "os.kill", "signal.pthread_kill", "_posixsubprocess.",
)  # fmt: skip
CHANGES: tuple[str, ...] = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
    "os.chown", "os.truncate", "os.utime", "os.setxattr", "shutil.rmtree",
)  # fmt: skip


# --- the kernel's walls ---------------------------------------------------------------------------
def shut_in(folder: str, file_bytes: int) -> list[str]:
    """Leave the network, the other processes and the writable files, as far as the kernel permits.
    Returns what it permitted: network, files, processes."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    unshare = getattr(libc, "unshare", None)  # Linux has it
    if unshare is None or unshare(NEW_USER | NEW_NET | NEW_MOUNTS | NEW_IPC | NEW_PIDS):
        return []
    held = ["network", "processes"]
    try:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
        with open("/proc/self/gid_map", "w") as file:
            file.write(f"{group} {group} 1")
    except OSError:
        return held
    read_only = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    options = f"size={4 * file_bytes},nr_inodes=256,mode=700".encode()
    failed = (
        libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC_PRIVATE), None)
        or libc.syscall(MOUNT_SETATTR, HERE, b"/", RECURSIVE, ctypes.byref(read_only), 32)
        or libc.mount(b"tmpfs", folder.encode(), b"tmpfs", ctypes.c_ulong(MS_NOSUID_NODEV), options)
    )
    os.chdir(folder)
    return held if failed else [*held, "files"]


def give_up_rights() -> None:
    """No capability is left, and none comes back by starting a program."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    libc.capset(ctypes.byref(header), ctypes.byref(none))


def limit(limits: dict[str, Any]) -> None:
    """Bounds of the process that runs the program."""
    seconds, memory = limits["cpu_seconds"], limits["memory_bytes"]
    for name, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, 32, 32),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 1, 1),
    ):
        resource.setrlimit(name, (soft, hard))


# --- what Python refuses, and names ---------------------------------------------------------------
def refuse(folder: str, told: list[str]) -> None:
    """From here on Python raises PermissionError where the program reaches out. told: of each time,
    in words; the program cannot unsay it by catching the exception."""
    inside = os.path.realpath(folder) + os.sep

    def outside(path: Any) -> bool:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return path not in (1, 2)
        return not (os.path.realpath(path) + os.sep).startswith(inside) and path != os.devnull

    def why(event: str, args: Sequence[Any]) -> str:
        if event.startswith("socket."):
            return "it reaches for the network"
        if event.startswith(STARTS):
            return "it starts or signals processes"
        if event.startswith("ctypes."):
            return "it calls foreign code"
        if event == "open" and isinstance(args[2], int) and args[2] & WRITES and outside(args[0]):
            return "it writes outside its directory"
        changed = args[:2] if event in ("os.rename", "os.link", "os.symlink") else args[:1]
        if event.startswith(CHANGES) and any(outside(path) for path in changed):
            return "it writes outside its directory"
        return ""

    def hook(event: str, args: Sequence[Any]) -> None:
        if reason := why(event, args):
            told.append(f"{reason} ({event})")
            raise PermissionError(reason)

    sys.addaudithook(hook)


# --- the tests ------------------------------------------------------------------------------------
class approx:
    """Equal within a millionth of the value, inside lists, tuples and mappings too; what is no
    number has to be equal (as pytest's function of this name)."""

    def __init__(self, expected: Any, rel: float = 1e-6, abs: float = 1e-12) -> None:
        self.expected, self.rel, self.abs = expected, rel, abs

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, actual: object) -> bool:
        return self._same(actual, self.expected)

    def _same(self, actual: Any, expected: Any) -> bool:
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and actual.keys() == expected.keys()
                and all(self._same(actual[key], one) for key, one in expected.items())
            )
        if isinstance(expected, list | tuple):
            return (
                isinstance(actual, list | tuple)
                and len(actual) == len(expected)
                and all(map(self._same, actual, expected))
            )
        if isinstance(expected, int | float) and isinstance(actual, int | float):
            allowed = max(self.abs, self.rel * abs(expected))
            return actual == expected or abs(actual - expected) <= allowed
        return bool(actual == expected)


def outcome(run: Callable[[], object]) -> tuple[str, str]:
    """(what came of it, why)."""
    try:
        run()
    except AssertionError as error:
        return "failed", str(error) or "an assertion does not hold"
    except MemoryError:
        return "memory", "it took more memory than it may"
    except BaseException as error:  # whatever a program may raise, SystemExit too
        try:
            told = str(error)
        except Exception:  # a program's own exception may fail to say itself
            told = ""
        return "error", f"{type(error).__name__}: {told}"
    return "passed", ""


def run_tests(request: dict[str, Any], tell: Callable[[int, str, str], None]) -> None:
    """Load the program, run each test, and tell what came of it. tell(-1, ...): of the program,
    where it cannot be loaded."""
    told: list[str] = []
    pytest = types.ModuleType("pytest")
    pytest.approx = approx  # type: ignore[attr-defined]
    module = types.ModuleType("program")
    sys.modules |= {"pytest": pytest, "program": module}
    sys.setrecursionlimit(5000)
    refuse(os.getcwd(), told)

    def tell_all(number: int, found: tuple[str, str]) -> None:
        tell(number, *(("refused", told[0]) if told else found))

    names = module.__dict__
    loaded = outcome(lambda: exec(compile(request["program"], "<program>", "exec"), names))
    if loaded[0] != "passed" or told:
        return tell_all(-1, loaded)
    for number, test in enumerate(request["tests"]):
        tell_all(number, outcome(partial(exec, test, {**names, "program": names})))
    return None


def worker(request: dict[str, Any], results: int, held: list[str]) -> None:
    """The process that the program runs in. It tells what holds it once all limits are set."""
    if held:
        give_up_rights()
    limit(request["limits"])
    os.write(results, json.dumps({"held": held}).encode() + b"\n")

    def tell(number: int, what: str, why: str) -> None:
        line = json.dumps({"test": number, "outcome": what, "reason": why[:300]})
        os.write(results, line.encode() + b"\n")

    run_tests(request, tell)


def wait_for(child: int, cpu_seconds: float) -> int:
    """Exit status of a process and all of its kind: TIME_UP, or 128 + the signal that ended it."""
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return TIME_UP
    if code < 0 and used.ru_utime + used.ru_stime >= cpu_seconds - 0.05:
        return TIME_UP
    return code if code >= 0 else 128 - code


def main() -> int:
    """Shut in, fork, wait."""
    results, request = int(sys.argv[1]), json.loads(sys.stdin.buffer.read())
    cpu_seconds = request["limits"]["cpu_seconds"]
    held = shut_in(os.getcwd(), request["limits"]["file_bytes"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    first = os.fork()
    if first:
        return wait_for(first, cpu_seconds)
    if held:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    second = os.fork()  # the first is the new world's process 1: where it ends, all end
    if second:
        os._exit(wait_for(second, cpu_seconds))
    try:
        worker(request, results, held)
    finally:
        try:
            sys.stdout.flush()
        finally:
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
