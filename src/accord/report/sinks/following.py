"""New rows of a run's `metrics.jsonl` files, each once, also where a resumed stage writes some
again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

METRICS = "metrics.jsonl"
MORE_FOLLOWS = b" \n"
"""How a line ends whose append is not at its end (see `accord.files.AppendLog`)."""


@dataclass(frozen=True)
class Scalars:
    """One row. stage: its name; step: of the stage, from 1; time: seconds since the epoch; values:
    by tag, `stage/metric` or `stage/member_N/metric`; number: of the row in its file, from 0."""

    stage: str
    step: int
    time: float
    values: dict[str, float]
    number: int


@dataclass
class _File:
    """offset: bytes that were read of the file with this inode; rows: lines in them."""

    inode: int = 0
    offset: int = 0
    rows: int = 0


@dataclass
class Follower:
    """Rows of all stages of the run that were not taken yet.

    sent: rows of each stage (by the name of its folder) that were taken before. A resumed stage
    makes the rows after its checkpoint again, bit for bit; they are known by their number. broken:
    lines that are no row of metrics, which are passed over; torn: stages whose file does not end
    with a whole append (yet).
    """

    run_dir: Path
    sent: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    torn: set[str] = field(default_factory=set)
    _files: dict[str, _File] = field(default_factory=dict, repr=False)

    def new(self, most: int = 1000) -> Iterator[list[Scalars]]:
        """New rows, at most `most` at a time, in the order of stages and steps. The caller notes
        them in `sent` (see `taken`) once they are safe."""
        for path in sorted(self.run_dir.glob(f"stages/*/{METRICS}")):
            rows: list[Scalars] = []
            for row in self._of(path):
                rows.append(row)
                if len(rows) == most:
                    yield rows
                    rows = []
            if rows:
                yield rows

    def taken(self, rows: list[Scalars]) -> None:
        """These rows are safe with the tracker."""
        for row in rows:
            self.sent[row.stage] = max(self.sent.get(row.stage, 0), row.number + 1)

    def _of(self, path: Path) -> Iterator[Scalars]:
        stage = path.parent.name.partition("-")[2]
        seen = self._files.setdefault(stage, _File())
        with open(path, "rb") as handle:
            found = path.stat()
            if found.st_ino != seen.inode or found.st_size < seen.offset:  # written anew
                seen.inode, seen.offset, seen.rows = found.st_ino, 0, 0
            handle.seek(seen.offset)
            for line in _whole(handle):
                seen.offset += len(line)
                number, seen.rows = seen.rows, seen.rows + 1
                if number < self.sent.get(stage, 0):
                    continue
                row = _scalars(stage, number, line)
                if row is None:
                    self.broken += 1
                else:
                    yield row
            if found.st_size > seen.offset:
                self.torn.add(stage)
            else:
                self.torn.discard(stage)


def _whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines up to the end of the last whole append."""
    append: list[bytes] = []
    for line in lines:
        if not line.endswith(b"\n"):
            return
        append.append(line)
        if not line.endswith(MORE_FOLLOWS):
            yield from append
            append = []


def _scalars(stage: str, number: int, line: bytes) -> Scalars | None:
    try:
        row = json.loads(line)
        step, time = int(row.pop("step")), float(row.pop("time", 0.0))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    prefix = _prefix(stage, row.pop("member", None))
    values = {prefix + name: float(value) for name, value in row.items() if _is_number(value)}
    return Scalars(stage, step, time, values, number)


def _prefix(stage: str, member: object) -> str:
    if not _is_number(member):
        return f"{stage}/"
    return f"{stage}/member_{int(cast(float, member)) + 1}/"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
