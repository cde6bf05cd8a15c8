"""How often the intervals of `control.watcher_estimate` hold what a simulated watcher is like.

    python -m benchmarks.watchers [--simulations 100] [--questions 400] [--first-seed 0]

Questions are put in ten rounds, each about two clips of eight steps liked by chance. Printed are the
shares of simulations whose 95 % interval holds the truth, in percent, with Clopper and Pearson's 95 %
intervals, and how far apart the ends of the interval of rationality lie in the middle simulation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from accord.control.watcher_estimate import WatcherEstimate, estimate_watcher
from accord.control.watchers import AskedClips, SimulatedWatcher
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Interval, share

ROUNDS, STEPS = 10, 8
PLAIN = {"rationality": 1.0, "mistakes": 0.0, "memory": 1.0}
"""Of everybody, unless told: what is estimated."""
KINDS: dict[str, dict[str, float]] = {
    "Boltzmann": {}, "lapsing": {"mistakes": 0.15}, "myopic": {"memory": 0.8},
    "skipping": {"skips": 0.25}, "calling equal": {"equal": 0.2},
    "all of it": {"mistakes": 0.25, "memory": 0.75, "skips": 0.1, "equal": 0.1},
}  # fmt: skip


def pairs(count: int, seed: int) -> list[AskedClips]:
    """Questions about two clips whose steps are liked by chance."""
    rng = np.random.default_rng(seed)
    return [
        AskedClips(
            tuple(Clip(episode=f"{n}-{k}", start=0, stop=STEPS) for k in range(2)), "random",
            tuple(rng.normal(size=(2, STEPS))),
        )
        for n in range(count)
    ]  # fmt: skip


def estimated(told: Mapping[str, float], questions: int, seed: int) -> WatcherEstimate:
    """From the answers of a watcher who is as `told`, and else as PLAIN."""
    asked, records = pairs(questions, derive_seed(seed, "clips")), list[Feedback]()
    watcher = SimulatedWatcher("Which is better?", **(PLAIN | dict(told)))  # type: ignore[arg-type]
    rng, size = generator(seed, "answers"), questions // ROUNDS
    for first in range(0, questions, size):
        records += watcher.judge(asked[first : first + size], rng)
    return estimate_watcher(records, [(one.liked[0], one.liked[1]) for one in asked])


def held(found: WatcherEstimate, told: Mapping[str, float]) -> dict[str, bool]:
    """Whether each interval holds what the watcher is like, its ends, values of a grid, included."""
    intervals = {name: getattr(found, name) for name in PLAIN}
    true = PLAIN | dict(told)
    return {
        name: bool(one.low - 1e-9 <= true[name] <= one.high + 1e-9)
        for name, one in intervals.items()
    }


def coverage(
    told: Mapping[str, float], simulations: int, questions: int, seed: int
) -> tuple[dict[str, Interval], float]:
    """(by what is estimated, the share of intervals that hold the truth; the middle ratio of the
    ends of rationality's)."""
    found = [
        estimated(told, questions, derive_seed(seed, "watcher", number))
        for number in range(simulations)
    ]
    hits = [held(one, told) for one in found]
    ratio = np.median([one.rationality.high / one.rationality.low for one in found])
    return {n: share(sum(one[n] for one in hits), simulations) for n in PLAIN}, float(ratio)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{given.simulations} simulations of {given.questions} questions each")
    print(f"| | {' | '.join(PLAIN)} | ends of rationality's |\n|---|{'---|' * (len(PLAIN) + 1)}")
    for kind, told in KINDS.items():
        held, ratio = coverage(told, given.simulations, given.questions, given.first_seed)
        cells = [
            f"{100 * c.value:.0f} [{100 * c.low:.0f}, {100 * c.high:.0f}]" for c in held.values()
        ]
        print(f"| {kind} | {' | '.join(cells)} | × {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
