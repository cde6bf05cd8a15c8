"""Files that are whole or absent: written aside, fsynced, renamed. And append-only logs that
survive `kill -9`."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from accord.errors import AccordError, DataError, DiskFull, RunError

TEMPORARY = ".writing-"
"""Prefix of the folders things are written in before they are renamed; `sweep` removes what a kill
left."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXT = (
    "no space left",
    "os error 28",
    "disk quota exceeded",
    "disk is full",
    "file too large",
)
"""How libraries that lose the error number (safetensors, SQLite) say it."""


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def disk_full(error: BaseException, path: Path) -> DiskFull | None:
    """The error for an error that a full disk caused somewhere along its chain; None for other
    errors.

    torch.save turns the system's error into a RuntimeError and keeps it as context only.
    """
    link: BaseException | None = error
    while link is not None:
        text = str(link).lower()
        if (isinstance(link, OSError) and link.errno in FULL) or any(
            sign in text for sign in FULL_TEXT
        ):
            return DiskFull(
                f"no space left while writing {path} ({_free_mib(path):,.0f} MiB free); what was"
                " complete before is kept",
                "free some space",
            )
        link = link.__cause__ or link.__context__
    return None


def _free_mib(path: Path) -> float:
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free / 2**20


def write_error(error: Exception, path: Path) -> Exception:
    """What to raise for `error` met while writing `path`."""
    full = disk_full(error, path)
    if full is not None or isinstance(error, AccordError) or not isinstance(error, OSError):
        return full or error
    return RunError(
        f"cannot write {path}: {error.strerror or error}", "check the path and its permissions"
    )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` for a file or folder beside `path`, make it durable, then rename it
    over `path`.

    Raises RunError (the old content is kept) when the disk is full or the place not writable.
    """
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}.", dir=path.parent))
        write(aside / path.name)
        sync(aside / path.name)
        if path.is_dir():  # folders cannot be replaced in one step
            os.replace(path, aside / "before")
        os.replace(aside / path.name, path)
        fsync_folder(path.parent)
    except Exception as error:
        raised = write_error(error, path)
        if raised is error:
            raise
        raise raised from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file, or a folder with all it holds, durable."""
    for place in [path, *(path.rglob("*") if path.is_dir() else ())]:
        if place.is_dir():
            fsync_folder(place)
        elif place.is_file():
            with open(place, "rb+") as handle:
                os.fsync(handle.fileno())


def sweep(folder: Path) -> int:
    """Remove what writers killed half-way left under `folder`; returns how many. No writer may be
    at work there."""
    left = [place for place in folder.rglob(f"{TEMPORARY}*") if place.is_dir()]
    for place in left:
        shutil.rmtree(place, ignore_errors=True)
    return len(left)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def take_lock(path: Path) -> int | None:
    """A handle that holds the file's lock until it is closed or its process dies; None where
    somebody else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def read_json_if_whole(path: Path) -> Any:
    """What a JSON file of a run that may be at work says; None where it is not there or not whole
    yet."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file of our own; raises DataError naming the line that does not parse."""
    rows = []
    with open(path, encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise DataError(
                    f"{path} line {number} is not JSON: {error}", "repair or remove the line"
                ) from error
    return rows


class AppendLog:
    """An append-only JSONL file. `append` returns once its rows are on disk; all of them survive or
    none.

    A blank before the line break says that more rows of the same append follow, so that recovery
    finds the end of the last whole append after a kill in the middle of a write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = self._recover()

    def _recover(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        raw = self.path.read_bytes()
        lines = raw[: raw.rfind(b"\n") + 1].splitlines(keepends=True)
        while lines and lines[-1].endswith(b" \n"):
            lines.pop()
        whole = sum(map(len, lines))
        if whole < len(raw):
            os.truncate(self.path, whole)
        return read_jsonl(self.path)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows durably. Raises RunError when the disk is full (earlier rows are kept)."""
        new = [dict(row) for row in rows]
        if not new:
            return
        data = " \n".join(json.dumps(row, ensure_ascii=False) for row in new) + "\n"
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab") as handle:
                handle.write(data.encode())
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            with suppress(OSError):  # half an append would keep the disk full
                os.truncate(self.path, before)
            raise write_error(error, self.path) from error
        self.rows += new

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite the log with the wanted rows only (work after the last checkpoint is redone)."""
        kept = [row for row in self.rows if wanted(row)]
        if len(kept) != len(self.rows):
            write_jsonl(self.path, kept)
            self.rows = kept


def digest(path: Path, but: str | None = None) -> str:
    """SHA-256 of a file, or of a folder's files with their relative names, but for the one named
    `but`."""
    total, left_out = hashlib.sha256(), None if but is None else path / but
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if file == left_out:
            continue
        if path.is_dir():
            total.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        with open(file, "rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()
