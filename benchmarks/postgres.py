"""A PostgreSQL server of one's own for tests and benchmarks: in a temporary folder, on a local
socket, gone at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"


def why_not() -> str | None:
    """Why no server can be started here; None when one can."""
    if _binary("initdb") is None or _binary("postgres") is None:
        return "the PostgreSQL server (initdb, postgres) is not installed"
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            return "PostgreSQL does not run as root, and there is no runuser to become another user"
        if subprocess.run(["id", USER], capture_output=True, check=False).returncode:
            return f"PostgreSQL does not run as root, and there is no user {USER}"
    return None


@contextmanager
def server(durable: bool = False) -> Iterator[str]:
    """The address of a running server, without a database's name: append one. durable: commits
    reach the disk."""
    memory = Path("/dev/shm")
    place = (
        memory
        if not durable and memory.is_dir() and shutil.disk_usage(memory).free > 2**30
        else Path("/tmp")
    )
    folder = Path(tempfile.mkdtemp(prefix="accord-pg-", dir=place))  # a socket's path must be short
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        _run(
            "initdb",
            "-D",
            f"{folder}/data",
            "-U",
            USER,
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        )
        options = [] if durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        command = _as_user(
            _needed("postgres"),
            "-D",
            f"{folder}/data",
            "-k",
            str(folder),
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=200",
            "-c",
            "shared_buffers=64MB",
            "-c",
            "autovacuum_naptime=10s",
            *options,
        )
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _run("pg_isready", "-h", str(folder), "-t", "30", tries=100)
            yield f"postgresql://{USER}@/{{name}}?host={folder}"
        finally:
            _run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binary(name: str) -> str | None:
    """On the path, or where Debian keeps the newest."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(debian[-1]) if debian else shutil.which(name)


def _needed(name: str) -> str:
    found = _binary(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed")
    return found


def _as_user(*command: str) -> list[str]:
    return ["runuser", "-u", USER, "--", *command] if os.geteuid() == 0 else list(command)


def _run(name: str, *arguments: str, tries: int = 1) -> None:
    for attempt in range(tries):
        done = subprocess.run(
            _as_user(_needed(name), *arguments),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if done.returncode == 0:
            return
        if attempt == tries - 1:
            raise RuntimeError(f"{name} failed: {done.stdout}{done.stderr}")
        time.sleep(0.1)
