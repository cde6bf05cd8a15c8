"""What crowd-kit takes for the same data, where it is installed: interleaved with ours, on one thread.

It has no counterpart of stores, audits, scales and annotators within prompts. Its noisy Bradley-Terry
has a reliability per annotator as ours, but no side, no ties and no errors, and is given decided
votes; its Dawid-Skene, MACE and GLAD are point estimates and stand beside our point estimates, not
beside the samplers that `accord feedback aggregate` runs for its intervals.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv

from accord.feedback.dawid_skene import dawid_skene
from accord.feedback.formats.source import DataSource
from accord.feedback.glad import glad
from accord.feedback.labels import aggregate
from accord.feedback.mace import mace
from accord.feedback.ratings import fit
from accord.feedback.simulate import simulated_votes
from accord.feedback.vote_table import read_vote_table
from accord.feedback.votes import Votes
from benchmarks.coverage.annotators import confused, varied

MISSING = "crowd-kit is not installed: pip install crowd-kit"
Beside = dict[str, float]


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    start = time.process_time()
    work()
    return time.process_time() - start


def beside(
    ours: Callable[[], object], theirs: Callable[[], object], repetitions: int = 3
) -> Beside:
    """Medians of seconds of CPU, in turns, and theirs over ours."""
    taken = [(cpu(ours), cpu(theirs)) for _ in range(repetitions)]
    our, their = (statistics.median(side) for side in zip(*taken, strict=True))
    return {"ours": round(our, 4), "theirs": round(their, 4), "ratio": round(their / our, 2)}


def against_crowd_kit(
    table: Callable[[int], Any], votes: int, many: int, items: int = 400, repetitions: int = 3
) -> dict[str, Beside] | str:
    """By cost of `benchmarks.feedback`; MISSING where crowd-kit is not installed. table: makes so
    many rows of named votes; votes: of the small fit; many: of the large one and of the table, where
    crowd-kit takes minutes for all; items: that labels are given to."""
    if find_spec("crowdkit") is None:
        return MISSING
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # crowd-kit calls pandas in ways that pandas warns of
        found = {
            "fit": {"votes": votes} | _scores(60, 125, votes, repetitions),
            "many_annotators": {"votes": many} | _scores(100, 1000, many, 1),
            "csv": {"votes": many} | _table(table(many)),
        }
        return found | _labels(items, repetitions)


def _scores(producers: int, annotators: int, count: int, repetitions: int) -> Beside:
    from crowdkit.aggregation import NoisyBradleyTerry

    rng = np.random.default_rng(0)
    scores, people = rng.normal(size=producers), 0.5 * rng.normal(size=annotators)
    votes = simulated_votes(rng, count, scores, people, side=0.1, log_nu=-30.0)
    frame = _frame(votes)
    return beside(lambda: fit(votes), lambda: NoisyBradleyTerry().fit(frame), repetitions)


def _frame(votes: Votes) -> Any:
    import pandas

    label = np.where(votes.outcome == 0, votes.first, votes.second)
    columns = {"worker": votes.annotator, "left": votes.first, "right": votes.second}
    return pandas.DataFrame(columns | {"label": label})


def _table(rows: Any) -> Beside:
    """A file of votes to fitted annotators; the ties are left out by them."""
    import pandas
    from crowdkit.aggregation import NoisyBradleyTerry

    names = {"model_a": "left", "model_b": "right", "judge": "worker"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.csv"
        pyarrow.csv.write_csv(rows, path)

        def theirs() -> object:
            read = pandas.read_csv(path).rename(columns=names)
            read = read[read["winner"] != "tie"]
            read["label"] = read["left"].where(read["winner"] == "model_a", read["right"])
            return NoisyBradleyTerry().fit(read[["worker", "left", "right", "label"]])

        return beside(lambda: fit(_read(path)), theirs, 1)


def _read(path: Path) -> Votes:
    read = read_vote_table(DataSource(path=str(path)))
    if read is None:
        raise RuntimeError(f"{path} is no table of bare votes")
    return read.votes


def _labels(items: int, repetitions: int) -> dict[str, Beside]:
    """Of items by three of 60 annotators each."""
    import pandas
    from crowdkit.aggregation import GLAD, MACE, DawidSkene, MajorityVote

    table, _ = confused(60, items, 3, varied(2, 8, 2), (0.5, 0.5))(np.random.default_rng(0))
    frame = pandas.DataFrame({"task": table.item, "worker": table.annotator, "label": table.label})
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "majority": (
            lambda: aggregate(table, "majority"),
            lambda: MajorityVote().fit_predict_proba(frame),
        ),
        "dawid-skene": (
            lambda: dawid_skene(table, 0.0, 100, 1e-5),
            lambda: DawidSkene(n_iter=100, tol=1e-5).fit_predict_proba(frame),
        ),
        "mace": (lambda: mace(table), lambda: MACE(n_restarts=10, n_iter=50).fit(frame)),
        "glad": (lambda: glad(table), lambda: GLAD().fit_predict_proba(frame)),
    }
    return {name: beside(*work, repetitions) for name, work in pairs.items()}


NAMES = {
    "majority": "labels by majority",
    "dawid-skene": "Dawid-Skene, point estimate",
    "mace": "MACE, point estimate",
    "glad": "GLAD, point estimate",
}


def label_rows(found: dict[str, Beside] | str) -> list[tuple[str, float, str]]:
    """(what, our seconds, key) of the point estimates, which stand in the table for this alone."""
    if isinstance(found, str):
        return []
    return [(f"{what}, 1,200 votes by 60", found[key]["ours"], key) for key, what in NAMES.items()]


def told(found: dict[str, Beside] | str, key: str) -> str:
    """A cell of the table: how many times as long theirs takes, and on how many votes."""
    if isinstance(found, str) or key not in found:
        return "–"
    one = found[key]
    on = f" (on {one['votes']:,.0f} votes)" if "votes" in one else ""
    return f"{one['ratio']:.3g} ×{on}"
