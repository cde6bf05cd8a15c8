"""A cell: one interval of the product in one setting, and how its coverage is measured.

`simulate` draws data and the truth behind it, `interval` is the function that the product calls on
such data: never a copy. Coverage is counted over the simulations that gave an interval; those that
gave none are counted too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from scipy.stats import binom

from accord.seeds import generator

REQUIRED, EXCEPTION = 0.93, 0.90
"""Least coverage of a nominal 95 % interval, and of the few cells that say why they reach less."""
UNLIKELY = 1e-4
"""Chance of so few hits, were the required coverage true, at which a cell is refused."""


class Ends(Protocol):
    """What an interval is here: `Interval` and `Estimate` alike."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


Found = Ends | None
Drawn = tuple[Any, float | Sequence[float]]
"""Data, and the truth: one number, or as many as the interval function gives intervals."""


@dataclass(frozen=True)
class Cell:
    """name: the estimate, as the documentation calls it; setting: of the data; units: how many
    independent ones (prompts, annotators); interval: data -> interval, or a list of them; seldom:
    why it covers less than required, or nothing; slow: a simulation takes more than 1.5 ms; tested:
    how many simulations the tests run."""

    name: str
    setting: str
    units: int
    simulate: Callable[[np.random.Generator], Drawn]
    interval: Callable[[Any], Found | Sequence[Found]]
    seldom: str = ""
    slow: bool = False
    tested: int = 200

    @property
    def key(self) -> str:
        return f"{self.name}: {self.setting}"

    @property
    def required(self) -> float:
        return EXCEPTION if self.seldom else REQUIRED


@dataclass(frozen=True)
class Measured:
    """Of one cell: simulations; intervals that held the truth, lay above or below it, or were not
    given, as shares of all intervals; width: median; seconds of CPU."""

    name: str
    setting: str
    units: int
    simulations: int
    coverage: float
    above: float
    below: float
    none: float
    width: float
    required: float
    seldom: str
    seconds: float

    @property
    def key(self) -> str:
        return f"{self.name}: {self.setting}"

    @property
    def failed(self) -> bool:
        """So few held the truth that the required coverage cannot be believed; of several intervals
        per simulation, as if they were one (which is cautious)."""
        hits = round(self.coverage * self.simulations)
        return bool(binom.cdf(hits, self.simulations, self.required) < UNLIKELY)

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


CELLS: dict[str, Cell] = {}


def add(*cells: Cell) -> None:
    """Put cells into the registry. Raises ValueError for one of the same name and setting."""
    for cell in cells:
        if cell.key in CELLS:
            raise ValueError(f"there are two cells {cell.key!r}")
        CELLS[cell.key] = cell


def measure(cell: Cell, simulations: int, seed: int = 0) -> Measured:
    """Simulate a cell; every simulation has a stream of its own."""
    started = time.process_time()
    held = above = below = none = 0
    widths: list[float] = []
    for number in range(simulations):
        data, truth = cell.simulate(generator(seed, "coverage", cell.key, number))
        found = cell.interval(data)
        intervals = list(found) if isinstance(found, Sequence) else [found]
        truths = np.atleast_1d(np.asarray(truth, dtype=np.float64))
        for true, interval in zip(truths, intervals, strict=True):
            low, high = (None, None) if interval is None else (interval.low, interval.high)
            if low is None or high is None or not (low <= high):
                none += 1
                continue
            widths.append(high - low)
            above += low > true
            below += high < true
            held += low <= true <= high
    given, every = max(1, held + above + below), held + above + below + none
    return Measured(
        cell.name,
        cell.setting,
        cell.units,
        simulations,
        held / given,
        above / given,
        below / given,
        none / max(1, every),
        float(np.median(widths)) if widths else float("nan"),
        cell.required,
        cell.seldom,
        time.process_time() - started,
    )


def table(rows: Sequence[Measured]) -> list[str]:
    """As Markdown, a row per cell."""
    lines = [
        "| interval | data | covers | too high | too low | none given | median width |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mark = " ¹" if row.seldom else ""
        parts = f"{row.coverage:.1%}{mark} | {row.above:.1%} | {row.below:.1%} | {row.none:.1%}"
        lines.append(f"| {row.name} | {row.setting} | {parts} | {row.width:.3f} |")
    return lines
