"""What estimates from judgements cost, and what they find: `python -m benchmarks.feedback`.

Prints one JSON line of three parts (`--only` some of them):

costs     CPU-seconds and peak memory, each in a process of its own, of a table of a million bare
          votes (CSV and Parquet) to fitted annotators and of importing 100,000 comparisons into a
          store, and of the audit of 100,000 votes by 1,000 annotators, all imports of Python included;
          CPU-seconds (median of repetitions, one thread) of a
          fit of 60 producers and 125 annotators (reliability, side, ties) to simulated votes, from
          arrays; of turning 10,000 records into arrays; of 100 producers and 1,000 annotators;
          of rating scales, labels and annotators within prompts; and beside each what crowd-kit takes
          where it is installed and does the like (`benchmarks.crowd_kit`).
drift     per number of an annotator's votes and agreement with the others: the median of votes
          until a change after half of them (30 % of the answers turned round) is found, with a 95 %
          interval by bootstrap over simulated annotators, how many were not found, and how many
          alarmed of as many whose same votes were put in random order.
clickers  `benchmarks.clickers`

`--out FILE` keeps the parts that were not measured now, `--docs PAGE` writes all as tables between the
page's marks.
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
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from accord.feedback.crowd_likelihood import fit_crowd
from accord.feedback.drift import agreement_channel, watch
from accord.feedback.labels import aggregate
from accord.feedback.ratings import fit
from accord.feedback.records import Feedback
from accord.feedback.scales import fit_scales
from accord.feedback.simulate import simulated_drifter, simulated_votes
from accord.feedback.votes import votes_of
from accord.files import write_text
from accord.statistics.intervals import share
from benchmarks.clickers import clicker_power, judgements_of
from benchmarks.coverage.__main__ import write_between
from benchmarks.coverage.annotators import confused, varied
from benchmarks.coverage.scales import rated
from benchmarks.crowd_kit import against_crowd_kit, label_rows, told

PRODUCERS, ANNOTATORS = 60, 125


CROWD_KIT = (
    "*crowd-kit*: how many times as long it takes for the like, in turns with ours on the same data: its"
    " noisy Bradley-Terry for scores (decided votes only, neither side nor errors), its point estimates of"
    " labels beside ours. – : it has nothing like it."
)
NOT_ASKED = "crowd-kit was not asked for (--crowd-kit)"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Part = dict[str, Any]


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="*", choices=PARTS, default=list(PARTS), help="none: only write"
    )
    parser.add_argument("--votes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--drifters", type=int, default=200, help="simulated annotators per line, one seed each"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the table of votes")
    parser.add_argument("--comparisons", type=int, default=100_000, help="imported into a store")
    parser.add_argument("--audited", type=int, default=100_000, help="votes of the audit")
    parser.add_argument(
        "--many", type=int, default=1_000_000, help="votes of the fit of 100 by 1,000"
    )
    parser.add_argument(
        "--crowd-kit", action=argparse.BooleanOptionalAction, default=True, help="beside our costs"
    )
    parser.add_argument("--crowds", type=int, default=40, help="with clickers, per line")
    parser.add_argument("--out", type=Path, help="JSON; parts that are not measured now stay")
    parser.add_argument("--docs", type=Path, help="page whose tables are written")
    options = parser.parse_args()
    line: Part = {name: PARTS[name](options) for name in options.only}
    print(json.dumps(line), flush=True)
    if options.out:
        then = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else {}
        line = {name: (then | line)[name] for name in PARTS if name in then | line}
        write_text(options.out, json.dumps(line, indent=1) + "\n")
    if options.docs:
        write_between(options.docs, BEGIN, END, tables(line))


def _costs(options: argparse.Namespace) -> Part:
    rng = np.random.default_rng(0)
    scores, reliability = rng.normal(size=PRODUCERS), 0.5 * rng.normal(size=ANNOTATORS)
    found: Part = {
        "producers": PRODUCERS,
        "annotators": ANNOTATORS,
        "fit_cpu_seconds": {},
    }
    for count in options.votes:
        votes = simulated_votes(rng, count, scores, reliability, side=0.1)
        found["fit_cpu_seconds"][str(count)] = _cpu(lambda v=votes: fit(v), options.repetitions)  # type: ignore[misc]
    records = _records(min(10_000, min(options.votes)), rng)
    seconds = _cpu(lambda: votes_of(records), options.repetitions)
    found["records_to_votes"] = {"records": len(records), "cpu_seconds": seconds}
    if options.rows:
        found["table"] = {"rows": options.rows} | table_cost(options.rows)
    if options.comparisons:
        cost = import_cost(options.comparisons)
        found["import"] = {"comparisons": options.comparisons} | cost
    if options.audited:
        found["audit"] = {"votes": options.audited} | audit_cost(options.audited)
    found["many_annotators"] = many_annotators(options.many, options.repetitions)
    small, many = min(10_000, min(options.votes)), max(100, min(20_000, options.many))
    found["crowd_kit"] = NOT_ASKED
    if options.crowd_kit:
        found["crowd_kit"] = against_crowd_kit(lambda rows: _votes_between(100, rows), small, many)
    found["estimates"] = estimates_cost(options.repetitions)
    found["load_average"] = round(os.getloadavg()[1], 1)
    return found


def _drift(options: argparse.Namespace) -> list[dict[str, object]]:
    return [drift_delay(n, spread, options.drifters) for spread in (2.0, 1.5) for n in (300, 600)]


def _clickers(options: argparse.Namespace) -> list[dict[str, float]]:
    return [clicker_power(votes, options.crowds) for votes in (30, 90)]


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "costs": _costs,
    "drift": _drift,
    "clickers": _clickers,
}


def estimates_cost(repetitions: int) -> dict[str, float]:
    """CPU-seconds of: levels of 20 annotators with 40 ratings each; labels of 400 items by three of
    60 annotators, per method; rationality of 30 annotators with 30 comparisons each."""
    rng = np.random.default_rng(0)
    rated_votes, _ = rated(20, 200, 4, 3.0, "logistic", "offset")(rng)
    table, _ = confused(60, 400, 3, varied(2, 8, 2), (0.5, 0.5))(rng)
    data = judgements_of(rng, np.exp(0.4 + 0.35 * rng.normal(size=30)), 150)
    work: dict[str, Callable[[], object]] = {
        "rating scale, 800 ratings by 20": lambda: fit_scales("overall", rated_votes),
        "Dawid-Skene, 1,200 votes by 60": lambda: aggregate(table, "dawid-skene"),
        "MACE, 1,200 votes by 60": lambda: aggregate(table, "mace"),
        "GLAD, 1,200 votes by 60": lambda: aggregate(table, "glad"),
        "annotators within prompts, 900 comparisons by 30": lambda: fit_crowd(data, 4),
    }
    return {name: _cpu(once, repetitions) for name, once in work.items()}


def tables(line: Part) -> str:
    """As Markdown, of the parts that were measured."""
    parts = []
    if costs := line.get("costs"):
        kit = costs["crowd_kit"]
        rows = [
            (f"scores of {costs['producers']} producers by {costs['annotators']} annotators, "
             f"{int(votes):,} votes", seconds, "fit")
            for votes, seconds in costs["fit_cpu_seconds"].items()
        ]  # fmt: skip
        many, records = costs["many_annotators"], costs["records_to_votes"]
        rows.append(
            (f"scores of 100 by 1,000 annotators, {many['votes']:,} votes", many["fit_cpu_seconds"],
             "many_annotators")
        )  # fmt: skip
        rows.append((f"{records['records']:,} records to votes", records["cpu_seconds"], ""))
        rows += [(what, seconds, "") for what, seconds in costs["estimates"].items()]
        rows += label_rows(kit)
        for kind in ("csv", "parquet"):
            if kind in costs.get("table", {}):
                used = costs["table"][kind]
                what = f"`accord feedback ratings` on {costs['table']['rows']:,} votes, {kind}"
                rows.append((f"{what}; {used['peak_mib']:,} MiB", used["cpu_seconds"], kind))
        if used := costs.get("import"):
            what = f"`accord feedback import` of {used['comparisons']:,} comparisons"
            rows.append((f"{what}; {used['peak_mib']:,} MiB", used["cpu_seconds"], ""))
        if used := costs.get("audit"):
            what = f"`accord feedback audit` of {used['votes']:,} votes"
            rows.append((f"{what}; {used['peak_mib']:,} MiB", used["cpu_seconds"], ""))
        text = ["| what | seconds of CPU | crowd-kit |", "|---|---|---|"]
        text += [f"| {what} | {seconds:.3g} | {told(kit, key)} |" for what, seconds, key in rows]
        text += ["", f"{kit}." if isinstance(kit, str) else CROWD_KIT]
        if "load_average" in costs:
            text += ["", f"The machine's load average was {costs['load_average']:g} meanwhile; what"
                     " shares its cores and caches takes more seconds of CPU than alone."]  # fmt: skip
        parts.append("\n".join(text))
    if drift := line.get("drift"):
        text = [
            "| votes | agrees with the others in | found after | not found | false alarms |",
            "|---|---|---|---|---|",
        ]
        for row in drift:
            low, high = row["interval"]
            share_of, least, most = row["false_alarms"]
            text.append(
                f"| {row['votes']} | {row['agreement']:.0%} | {row['median_delay']:g} ({low:g} to"
                f" {high:g}) | {row['not_found']:.1%} | {share_of:.1%} ({least:.1%} to {most:.1%}) |"
            )
        head = f"Drift, {drift[0]['annotators']} simulated annotators a line:"
        parts.append("\n".join([head, "", *text]))
    if clickers := line.get("clickers"):
        text = [
            "| votes of each | found | said | an oracle finds | honest among the named | of its |",
            "|---|---|---|---|---|---|",
        ]
        text += [
            f"| {row['votes']} | {row['found']:.1%} ± {row['found_error']:.1%} | {row['said']:.1%} |"
            f" {row['oracle_found']:.1%} | {row['false']:.1%} | {row['oracle_false']:.1%} |"
            for row in clickers
        ]
        head = f"Random clickers, {clickers[0]['crowds']} simulated crowds a line:"
        parts.append("\n".join([head, "", *text]))
    return "\n\n".join(parts)


def _votes_between(models: int, rows: int) -> pa.Table:
    """Simulated votes by 1,000 annotators, 15 % ties."""
    rng = np.random.default_rng(0)
    scores, a = rng.normal(size=models), rng.integers(models, size=rows)
    b = (a + rng.integers(1, models, size=rows)) % models
    wins = rng.random(rows) < 1 / (1 + np.exp(scores[b] - scores[a]))
    winner = np.where(rng.random(rows) < 0.15, "tie", np.where(wins, "model_a", "model_b"))
    names = np.array([f"model-{n:03}" for n in range(models)])
    judges = np.array([f"judge-{n:04}" for n in range(1000)])[rng.integers(1000, size=rows)]
    columns = {"model_a": names[a], "model_b": names[b], "winner": winner, "judge": judges}
    return pa.table(columns)


def audit_cost(votes: int) -> dict[str, float]:
    """CPU-seconds and MiB of `accord feedback audit` on simulated votes between 60 models."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.csv"
        pyarrow.csv.write_csv(_votes_between(PRODUCERS, votes), path)
        return _command("feedback", "audit", str(path))


def table_cost(rows: int) -> dict[str, dict[str, float]]:
    """By container: CPU-seconds and MiB of `accord feedback ratings` on simulated votes between 100
    models by 1,000 annotators."""
    table, costs = _votes_between(100, rows), {}
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
