"""What learning the smoothing of Dawid and Skene's model is worth: `python -m benchmarks.labels`.

Thirty simulated crowds (ten kinds of annotators; two, three and five votes per item; even and uneven
classes), several draws of each. Prints, per crowd, the loss -log P(truth) in nats per item of EM at
fixed numbers of pseudo-votes, of the learned model, and two differences with their standard errors
over draws: from the number that turned out best on these draws, which nobody knows beforehand and
which the least of five noisy means flatters, and from the number that was best on the other draws of
the same crowd, which a test on labelled items could have chosen. With --votes FILE (any format), the
same for real votes: one vote of each item is held out, and the loss is that of predicting it.

`--out FILE` keeps the losses of every draw, `--docs PAGE` writes the table between the page's marks;
`--draws 0` only writes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from accord.feedback.dawid_skene import dawid_skene, draw_rows
from accord.feedback.label_table import LabelTable, label_tables
from accord.feedback.sampled_confusions import sample
from accord.files import write_text
from accord.seeds import generator
from accord.statistics.intervals import Array, Index

FIXED = (1.0, 3.0, 10.0, 30.0, 100.0)
ITEMS = 400
VOTES = (2, 3, 5)
TOLERATED = 0.01
"""Nats per item that the learned model may lose to the best number."""
REAL_DRAWS = 3
HELD_OUT = ", held-out votes"
BEGIN, END = "<!-- labels: begin -->", "<!-- labels: end -->"
FIRST_CLASS = {2: 1.0, 3: 3.0, 5: 1.5}
"""How much more frequent the first class is, by votes per item."""


def coin(right: float, classes: int = 2) -> Array:
    """Right with this probability, else wrong to all sides alike."""
    wrong = (1 - right) / (classes - 1)
    return np.full((classes, classes), wrong) + np.eye(classes) * (right - wrong)


def kinds() -> dict[str, Array]:
    """Confusion matrices [A, C, C] of the annotators of each kind of crowd."""
    rng = generator(0, "kinds of crowds")
    first, lenient = np.array([[0.95, 0.05], [0.9, 0.1]]), np.array([[0.6, 0.4], [0.02, 0.98]])
    near = np.array(
        [[0.7, 0.25, 0.03, 0.02], [0.2, 0.7, 0.08, 0.02], [0.02, 0.03, 0.8, 0.15], [0.02, 0.03, 0.3, 0.65]]
    )  # fmt: skip
    made = {
        "alike": [coin(0.8)] * 12,
        "alike and weak": [coin(0.65)] * 12,
        "a third clicks at random": [coin(0.8)] * 8 + [coin(0.5)] * 4,
        "some press one side": [coin(0.8)] * 9 + [first] * 3,
        "some are contrary": [coin(0.8)] * 9 + [coin(0.2)] * 3,
        "err to both sides": [lenient] * 6 + [lenient[::-1, ::-1]] * 6,
        "sixty, varied": [coin(q) for q in rng.beta(4, 2, 60)],
        "three classes, varied": [coin(q, 3) for q in rng.beta(6, 3, 15)],
        "four classes, near ones confused": [near * w + (1 - w) / 4 for w in rng.beta(6, 2, 20)],
        "five people": [coin(q) for q in (0.9, 0.75, 0.65, 0.85, 0.6)],
    }
    return {name: np.array(matrices) for name, matrices in made.items()}


def shares(classes: int, votes: int) -> Array:
    """Of the classes."""
    weight = np.ones(classes)
    weight[0] = FIRST_CLASS[votes]
    return weight / weight.sum()


def crowd(
    rng: np.random.Generator, matrices_ACC: Array, items: int, votes: int, share_C: Array
) -> tuple[LabelTable, Index]:
    """Votes of such annotators, each item by other ones, and the truth."""
    annotators, classes = matrices_ACC.shape[:2]
    truth = rng.choice(classes, size=items, p=share_C)
    item = np.repeat(np.arange(items), votes)
    who = np.argsort(rng.random((items, annotators)), axis=1)[:, :votes].ravel()
    said = draw_rows(matrices_ACC[who, truth[item]], rng)
    table = LabelTable(
        "simulated",
        [(f"{i:06d}",) for i in range(items)],
        [f"{a:04d}" for a in range(annotators)],
        list(map(float, range(classes))),
        item,
        who,
        said,
    )
    return table, truth


@dataclass(frozen=True)
class Row:
    """Losses in nats per item by draw: at each fixed number, then of the learned model."""

    name: str
    losses: list[list[float]]

    @property
    def fixed(self) -> list[float]:
        """Mean loss at each number."""
        means: list[float] = np.mean(self.losses, axis=0).tolist()
        return means[:-1]

    @property
    def learned(self) -> float:
        """Mean loss of the learned model."""
        return float(np.mean([draw[-1] for draw in self.losses]))

    @property
    def worse(self) -> float:
        """Than the number that is best on these draws."""
        return self.learned - min(self.fixed)

    @property
    def worse_than_chosen(self) -> float:
        """Than the number that is best on the other draws, over draws."""
        losses_DF = np.array(self.losses)
        others_DF = (losses_DF.sum(0) - losses_DF)[:, :-1]
        chosen_D = losses_DF[np.arange(len(losses_DF)), others_DF.argmin(1)]
        return float((losses_DF[:, -1] - chosen_D).mean())

    @property
    def error(self) -> float:
        """Standard error of `worse`, the number given."""
        apart = np.array(self.losses)[:, -1] - np.array(self.losses)[:, int(np.argmin(self.fixed))]
        return float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else float("nan")


def loss(p_IC: Array, right_I: Index) -> float:
    """Mean of -log P(right)."""
    return float(-np.log(np.maximum(p_IC[np.arange(len(right_I)), right_I], 1e-12)).mean())


def simulated(name: str, votes: int, draws: int, items: int = ITEMS) -> Row:
    """One crowd, its mean loss over draws."""
    matrices_ACC = kinds()[name]
    share_C = shares(matrices_ACC.shape[1], votes)
    losses = []
    for number in range(draws):
        rng = generator(number, "crowd", name, votes)
        table, truth = crowd(rng, matrices_ACC, items, votes, share_C)
        fits = [dawid_skene(table, s, 200, 1e-4)[0] for s in FIXED]
        found = (*fits, sample(table, number).truth_IC)
        losses.append([round(loss(p_IC, truth), 5) for p_IC in found])
    return Row(f"{name}, {votes} votes", losses)


def held_out(table: LabelTable, name: str, draws: int) -> Row:
    """One vote of each item with two or more is left out and predicted."""
    losses = []
    for number in range(draws):
        out = _one_vote_each(table, generator(number, "held out"))
        kept = replace(
            table, item=table.item[~out], annotator=table.annotator[~out], label=table.label[~out]
        )
        found = [dawid_skene(kept, s, 200, 1e-4)[:2] for s in FIXED]
        fit = sample(kept, number)
        found.append((fit.truth_IC, fit.confusion_ACC))
        where = (table.item[out], table.annotator[out], table.label[out])
        losses.append([round(_prediction_loss(*one, *where), 5) for one in found])
    return Row(name, losses)


def _one_vote_each(table: LabelTable, rng: np.random.Generator) -> Array:
    order = rng.permutation(len(table.item))
    _, first = np.unique(table.item[order], return_index=True)
    out = np.zeros(len(table.item), dtype=bool)
    out[order[first]] = True
    return out & (np.bincount(table.item)[table.item] >= 2)


def _prediction_loss(truth_IC: Array, pi_ACC: Array, item: Index, who: Index, said: Index) -> float:
    p_M = np.einsum("mc,mc->m", truth_IC[item], pi_ACC[who, :, said])
    return float(-np.log(np.maximum(p_M, 1e-12)).mean())


def lines(rows: Sequence[Row]) -> list[str]:
    """As Markdown."""
    head = " | ".join(f"{s:g}" for s in FIXED)
    table = [
        f"| crowd | {head} | learned | less the best | less the chosen |",
        f"|{'---|' * (len(FIXED) + 4)}",
    ]
    for row in rows:
        fixed = " | ".join(f"{value:.3f}" for value in row.fixed)
        table.append(
            f"| {row.name} | {fixed} | {row.learned:.3f} | {row.worse:+.3f} ± {row.error:.3f} |"
            f" {row.worse_than_chosen:+.3f} |"
        )
    return table


def summary(rows: Sequence[Row]) -> str:
    """What the table of simulated crowds says."""
    mean = np.mean([row.fixed for row in rows], axis=0)
    worse = np.array([row.worse for row in rows])
    chosen = np.array([row.worse_than_chosen for row in rows])
    sure = sum(row.worse - 2 * row.error > TOLERATED for row in rows)
    return (
        f"Over {len(rows)} crowds of {len(rows[0].losses)} draws: learned"
        f" {np.mean([r.learned for r in rows]):.3f}, best one number for all ({FIXED[int(mean.argmin())]:g})"
        f" {mean.min():.3f}. Learned is worse than the best number of each crowd by {worse.mean():+.4f} on"
        f" average and {worse.max():+.3f} at most, by more than {TOLERATED} on {(worse > TOLERATED).sum()} of"
        f" them and by more than that and two standard errors on {sure}; worse than the number chosen on other"
        f" draws by {chosen.mean():+.4f} on average and {chosen.max():+.3f} at most."
    )


def main() -> None:
    """Print the table, and keep it where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--draws", type=int, default=8, help="of each crowd")
    parser.add_argument("--votes", type=Path, help="real votes, in any known format")
    parser.add_argument("--out", type=Path, help="JSON of every draw's losses")
    parser.add_argument("--docs", type=Path, help="page whose table is written")
    options = parser.parse_args()
    kept: dict[str, list[list[float]]] = {}
    if options.out and options.out.is_file():
        kept = json.loads(options.out.read_text("utf-8"))
    if options.draws:
        rows = (simulated(name, votes, options.draws) for name in kinds() for votes in VOTES)
        kept |= {row.name: row.losses for row in rows}
    if options.votes:
        from accord.feedback.formats import read_feedback

        for table in label_tables(read_feedback(options.votes).records):
            row = held_out(table, f"{options.votes.stem}: {table.what}{HELD_OUT}", REAL_DRAWS)
            kept[row.name] = row.losses
    print(told := page(kept))
    if options.out:
        write_text(options.out, json.dumps(kept, separators=(",", ":")) + "\n")
    if options.docs:
        from benchmarks.coverage.__main__ import write_between  # whose cells take crowds from here

        write_between(options.docs, BEGIN, END, told)


def page(kept: dict[str, list[list[float]]]) -> str:
    """Tables and summary of the losses of every draw, by crowd."""
    rows = [Row(name, losses) for name, losses in kept.items()]
    simulated_rows = [row for row in rows if not row.name.endswith(HELD_OUT)]
    said = [summary(simulated_rows)] if simulated_rows else []
    return "\n".join([*lines(rows), "", *said])


if __name__ == "__main__":
    main()
