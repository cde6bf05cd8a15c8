"""Files that are whole or absent: written aside, fsynced, renamed. And append-only logs that survive `kill -9`."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from accord.errors import DataError, RunError


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_error(error: OSError, path: Path) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free / 2**20
        return RunError(
            f"no space left while writing {path} ({free:.0f} MiB free); what was complete before is kept",
            "free some space, then continue with --resume (or choose another place with --out)",
        )
    return RunError(f"cannot write {path}: {error.strerror}", "check the path and its permissions")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` for a file or folder beside `path`, make it durable, then rename it over `path`.

    Raises RunError (the old content is kept) when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)) / path.name
    try:
        write(temporary)
        _sync_tree(temporary)
        if temporary.is_dir() and path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise _disk_error(error, path) from error
    finally:
        shutil.rmtree(temporary.parent, ignore_errors=True)


def _sync_tree(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with open(file, "rb+") as handle:
                os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file of our own; raises DataError naming the line that does not parse."""
    rows = []
    with open(path, encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise DataError(f"{path} line {number} is not JSON: {error}", "repair or remove the line") from error
    return rows


class AppendLog:
    """An append-only JSONL file. `append` returns once the rows are on disk; a torn last line is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = self._recover()

    def _recover(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            with open(self.path, "rb+") as handle:
                handle.truncate(len(whole))
        return [json.loads(line) for line in whole.splitlines()]

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows durably. Raises RunError when the disk is full (earlier rows are kept)."""
        new = list(rows)
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new)
        try:
            with open(self.path, "ab") as handle:
                handle.write(data.encode())
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise _disk_error(error, self.path) from error
        self.rows += new

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite the log with the wanted rows only (work after the last checkpoint is redone)."""
        kept = [row for row in self.rows if wanted(row)]
        if len(kept) != len(self.rows):
            write_jsonl(self.path, kept)
            self.rows = kept


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their relative names."""
    total = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if path.is_dir():
            total.update(str(file.relative_to(path)).encode())
        with open(file, "rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()
