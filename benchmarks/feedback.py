"""What a refit of all scores costs, in CPU time: `python -m benchmarks.feedback`.

Prints one JSON line: CPU-seconds of a fit of 60 producers and 125 annotators (reliability, side, ties) to 10,000 and to
1,000,000 simulated votes, from arrays, and of turning 10,000 records into arrays. Median of repetitions, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from accord.feedback.ratings import fit
from accord.feedback.records import Feedback
from accord.feedback.simulate import simulated_votes
from accord.feedback.votes import votes_of

PRODUCERS, ANNOTATORS = 60, 125


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    scores, reliability = rng.normal(size=PRODUCERS), 0.5 * rng.normal(size=ANNOTATORS)
    line: dict[str, object] = {"producers": PRODUCERS, "annotators": ANNOTATORS, "fit_cpu_seconds": {}}
    for count in options.votes:
        votes = simulated_votes(rng, count, scores, reliability, side=0.1)
        line["fit_cpu_seconds"][str(count)] = _cpu(lambda v=votes: fit(v), options.repetitions)  # type: ignore[index,misc]
    records = _records(min(10_000, min(options.votes)), rng)
    line[f"records_to_votes_cpu_seconds_{len(records)}"] = _cpu(lambda: votes_of(records), options.repetitions)
    print(json.dumps(line), flush=True)


def _records(count: int, rng: np.random.Generator) -> list[Feedback]:
    records = []
    for number in range(count):
        a, b = rng.choice(PRODUCERS, size=2, replace=False)
        options = [
            {"id": f"o{m}", "content": "x", "producer": f"m{m}", "shown_at": place} for place, m in enumerate((a, b))
        ]
        records.append(Feedback.model_validate({
            "id": str(number), "kind": "comparison", "prompt": "p", "options": options,
            "choice": {"preferred": f"o{a}"}, "annotator": f"a{rng.integers(ANNOTATORS)}",
        }))  # fmt: skip
    return records


def _cpu(work: Callable[[], object], repetitions: int) -> float:
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return round(statistics.median(taken), 4)


if __name__ == "__main__":
    main()
