"""Rates from few labels and many verdicts: width and coverage of each estimator, the judge alone
included: `python -m benchmarks.judged_rates --sims 2000`."""

from __future__ import annotations

import argparse

import numpy as np

from accord.seeds import generator
from accord.statistics.judged_rates import JudgedRate, judged_rate
from accord.statistics.means import Estimate
from benchmarks.coverage.judges import GOOD, WEAK, judged

SETTINGS = ((100, 0.5), (100, 0.2), (300, 0.2))


def row(labels: int, rate: float, judge: tuple[float, float], sims: int, seed: int = 0) -> str:
    """Of one setting: median width (coverage) by estimator, and what the judge is worth."""
    draw, found = judged(labels, rate, judge), list[JudgedRate]()
    for number in range(sims):
        data, _ = draw(generator(seed, "judged rates", labels, f"{rate} {judge}", number))
        found.append(judged_rate(*data))
    cells = [
        _told([one.people for one in found], rate),
        _told([one.judge for one in found], rate),
        _told([one.corrected for one in found], rate),
        _told([one.turned for one in found], rate),
        f"{np.median([one.worth or np.nan for one in found]):.0f}",
    ]
    return f"| {labels}, {rate:g} | {judge[0]:g}, {judge[1]:g} | {' | '.join(cells)} |"


def _told(estimates: list[Estimate | None], rate: float) -> str:
    ends = [(e.low, e.high) for e in estimates if e is not None]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    width = np.median([high - low for low, high in known])
    covered = np.mean([low <= rate <= high for low, high in known])
    return f"{width:.3f} ({covered:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sims", type=int, default=2000, help="simulations of each row")
    options = parser.parse_args()
    print("| labels, rate | sensitivity, specificity | labels alone | judge alone | PPI++ "
          "| Rogan, Gladen | worth |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for judge in (WEAK, GOOD):
        for labels, rate in SETTINGS:
            print(row(labels, rate, judge, options.sims), flush=True)


if __name__ == "__main__":
    main()
