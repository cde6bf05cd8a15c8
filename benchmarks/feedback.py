"""What a refit of all scores costs, in CPU time, and how soon drift is found: `python -m
benchmarks.feedback`.

Prints one JSON line: CPU-seconds and peak memory, each in a process of its own, of a table of a
million bare votes (CSV and Parquet) to fitted annotators and of importing 100,000 comparisons into a
store, all imports of Python included; CPU-seconds of a fit of 60 producers and 125 annotators (reliability, side,
ties) to 10,000 and to 1,000,000 simulated votes, from arrays, and of turning 10,000 records into
arrays (median of repetitions, one thread); the same of 100 producers and 1,000 annotators, and beside
crowd-kit's noisy Bradley-Terry where it is installed. Then, per number of an annotator's votes and agreement
with the others: the median of votes until a change after half of them (30 % of the answers turned
round) is found, with a 95 % interval by bootstrap over simulated annotators, how many were not
found, and how many alarmed of as many whose same votes were put in random order.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from accord.feedback.drift import agreement_channel, watch
from accord.feedback.ratings import fit
from accord.feedback.records import Feedback
from accord.feedback.simulate import simulated_drifter, simulated_votes
from accord.feedback.votes import votes_of
from accord.statistics.intervals import share

PRODUCERS, ANNOTATORS = 60, 125


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--drifters", type=int, default=200, help="simulated annotators per line, one seed each"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table of votes")
    parser.add_argument("--comparisons", type=int, default=100_000, help="imported into a store")
    parser.add_argument(
        "--many", type=int, default=1_000_000, help="votes of the fit of 100 by 1,000"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    scores, reliability = rng.normal(size=PRODUCERS), 0.5 * rng.normal(size=ANNOTATORS)
    line: dict[str, object] = {
        "producers": PRODUCERS,
        "annotators": ANNOTATORS,
        "fit_cpu_seconds": {},
    }
    for count in options.votes:
        votes = simulated_votes(rng, count, scores, reliability, side=0.1)
        line["fit_cpu_seconds"][str(count)] = _cpu(lambda v=votes: fit(v), options.repetitions)  # type: ignore[index,misc]
    records = _records(min(10_000, min(options.votes)), rng)
    line[f"records_to_votes_cpu_seconds_{len(records)}"] = _cpu(
        lambda: votes_of(records), options.repetitions
    )
    if options.rows:
        line[f"table_of_{options.rows}_votes_to_annotators"] = table_cost(options.rows)
    if options.comparisons:
        line[f"import_of_{options.comparisons}_comparisons"] = import_cost(options.comparisons)
    line["many_annotators"] = many_annotators(options.many, options.repetitions)
    line["crowd_kit"] = against_crowd_kit(min(10_000, min(options.votes)), options.repetitions)
    if options.drifters:
        line["drift"] = [
            drift_delay(n, spread, options.drifters) for n in (300, 600) for spread in (2.0, 1.5)
        ]
    print(json.dumps(line), flush=True)


def table_cost(rows: int) -> dict[str, dict[str, float]]:
    """By container: CPU-seconds and MiB of `accord feedback ratings` on simulated votes between 100
    models by 1,000 annotators."""
    rng = np.random.default_rng(0)
    scores, a = rng.normal(size=100), rng.integers(100, size=rows)
    b = (a + rng.integers(1, 100, size=rows)) % 100
    wins = rng.random(rows) < 1 / (1 + np.exp(scores[b] - scores[a]))
    winner = np.where(rng.random(rows) < 0.15, "tie", np.where(wins, "model_a", "model_b"))
    names = np.array([f"model-{n:03}" for n in range(100)])
    judges = np.array([f"judge-{n:04}" for n in range(1000)])[rng.integers(1000, size=rows)]
    columns = {"model_a": names[a], "model_b": names[b], "winner": winner, "judge": judges}
    table, costs = pa.table(columns), {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in (
            ("csv", pyarrow.csv.write_csv),
            ("parquet", pyarrow.parquet.write_table),
        ):
            path = Path(folder) / f"votes.{kind}"
            write(table, path)
            costs[kind] = _command("feedback", "ratings", str(path))
    return costs


def import_cost(comparisons: int) -> dict[str, float]:
    """CPU-seconds and MiB of `accord feedback import` of comparisons of 60 words each."""
    rng, words = (
        np.random.default_rng(0),
        np.array(["the", "of", "and", "a", "to", "in", "is", "you", "that", "it", "he", "was"]),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "comparisons.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(comparisons):
                said = [" ".join(rng.choice(words, size)) for size in (20, 60, 60)]
                row = dict(zip(("prompt", "chosen", "rejected"), said, strict=True))
                row |= {"prompt": f"{number} {row['prompt']}", "annotator": f"a{number % 50}"}
                file.write(json.dumps(row) + "\n")
        return _command("feedback", "import", str(path), str(Path(folder) / "store.sqlite"))


def _command(*words: str) -> dict[str, float]:
    """What one command costs."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, [sys.executable, "-m", "accord.cli", *words])
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"accord {' '.join(words)} ended with {status}")
    seconds = used.ru_utime + used.ru_stime
    return {"cpu_seconds": round(seconds, 1), "peak_mib": round(used.ru_maxrss / 1024)}


def many_annotators(count: int, repetitions: int) -> dict[str, object]:
    """CPU-seconds of a fit of 100 producers by 1,000 annotators, everything fitted."""
    rng = np.random.default_rng(0)
    votes = simulated_votes(rng, count, rng.normal(size=100), 0.5 * rng.normal(size=1000), 0.1)
    return {"votes": count, "fit_cpu_seconds": _cpu(lambda: fit(votes), repetitions)}


def against_crowd_kit(count: int, repetitions: int) -> dict[str, object] | str:
    """CPU-seconds of crowd-kit's noisy Bradley-Terry over ours, on the same decided votes."""
    try:
        import pandas
        from crowdkit.aggregation import NoisyBradleyTerry
    except ImportError:
        return "not installed"
    rng = np.random.default_rng(0)
    scores, people = rng.normal(size=PRODUCERS), 0.5 * rng.normal(size=ANNOTATORS)
    votes = simulated_votes(rng, count, scores, people, side=0.1, log_nu=-30.0)
    columns = {"worker": votes.annotator, "left": votes.first, "right": votes.second}
    columns["label"] = np.where(votes.outcome == 0, votes.first, votes.second)
    table = pandas.DataFrame(columns)
    ours = _cpu(lambda: fit(votes), repetitions)
    theirs = _cpu(lambda: NoisyBradleyTerry().fit(table), repetitions)
    return {"votes": count, "ours": ours, "theirs": theirs, "ratio": round(theirs / ours, 1)}


def drift_delay(votes: int, spread: float, seeds: int) -> dict[str, object]:
    """Votes from a change after half of them until it is found; not found counts as all that were
    left."""
    at, after = np.arange(votes), votes // 2
    delays, false, agreed = np.zeros(seeds), 0, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        seen = simulated_drifter(rng, votes, after, 0.3, spread)
        agreed.append((seen[:after] > 0.5).mean())
        found = watch(agreement_channel([[(p, 1.0)] for p in seen], at), seed).detected_at
        delays[seed] = votes - after if found is None else found - after
        false += watch(
            agreement_channel([[(p, 1.0)] for p in rng.permutation(seen)], at), seed
        ).alarm
    drawn = np.random.default_rng(0).choice(delays, size=(2000, seeds))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    alarms = share(false, seeds)
    return {
        "votes": votes,
        "agreement": round(float(np.mean(agreed)), 2),
        "annotators": seeds,
        "median_delay": float(np.median(delays)),
        "interval": [float(low), float(high)],
        "not_found": round(float((delays >= votes - after).mean()), 3),
        "false_alarms": [round(x, 3) for x in (alarms.value, alarms.low, alarms.high)],
    }


def _records(count: int, rng: np.random.Generator) -> list[Feedback]:
    records = []
    for number in range(count):
        a, b = rng.choice(PRODUCERS, size=2, replace=False)
        options = [
            {"id": f"o{m}", "content": "x", "producer": f"m{m}", "shown_at": place}
            for place, m in enumerate((a, b))
        ]
        records.append(
            Feedback.model_validate(
                {
                    "id": str(number),
                    "kind": "comparison",
                    "prompt": "p",
                    "options": options,
                    "choice": {"preferred": f"o{a}"},
                    "annotator": f"a{rng.integers(ANNOTATORS)}",
                }
            )
        )
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
