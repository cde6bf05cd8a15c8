"""What learning the smoothing of Dawid and Skene's model is worth: `python -m benchmarks.labels`.

Thirty simulated crowds (ten kinds of annotators; two, three and five votes per item; even and uneven
classes), several draws of each. Prints, per crowd, the loss -log P(truth) in nats per item of EM at
fixed numbers of pseudo-votes, of the learned model, and the difference from the best fixed number
for that crowd, which nobody knows beforehand. With --votes FILE (any format), the same for real
votes: one vote of each item is held out, and the loss is that of predicting it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from accord.feedback.dawid_skene import dawid_skene, draw_rows, sample
from accord.feedback.label_table import LabelTable, label_tables
from accord.seeds import generator
from accord.statistics.intervals import Array, Index

FIXED = (1.0, 3.0, 10.0, 30.0, 100.0)
ITEMS = 400
VOTES = (2, 3, 5)
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
    """Loss in nats per item at each fixed number, and of the learned model."""

    name: str
    fixed: list[float]
    learned: float

    @property
    def worse(self) -> float:
        """Than the best fixed number."""
        return self.learned - min(self.fixed)


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
        losses.append([loss(p_IC, truth) for p_IC in (*fits, sample(table, number).truth_IC)])
    *fixed, learned = np.mean(losses, axis=0).tolist()
    return Row(f"{name}, {votes} votes", fixed, learned)


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
        losses.append([_prediction_loss(*one, *where) for one in found])
    *fixed, learned = np.mean(losses, axis=0).tolist()
    return Row(name, fixed, learned)


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
    table = [f"| crowd | {head} | learned | less the best |", f"|{'---|' * (len(FIXED) + 3)}"]
    for row in rows:
        fixed = " | ".join(f"{value:.3f}" for value in row.fixed)
        table.append(f"| {row.name} | {fixed} | {row.learned:.3f} | {row.worse:+.3f} |")
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels")
    parser.add_argument("--draws", type=int, default=8, help="of each crowd")
    parser.add_argument("--votes", type=Path, help="real votes, in any known format")
    options = parser.parse_args()
    rows = [simulated(name, votes, options.draws) for name in kinds() for votes in VOTES]
    mean = np.mean([row.fixed for row in rows], axis=0)
    print("\n".join(lines(rows)))
    print(
        f"\nmean over crowds: learned {np.mean([r.learned for r in rows]):.3f}, best one number for all "
        f"({FIXED[int(mean.argmin())]:g}) {mean.min():.3f}; learned is worse than the best number of each "
        f"crowd by {np.mean([r.worse for r in rows]):+.4f} on average, {max(r.worse for r in rows):+.3f} at most"
    )
    if options.votes:
        from accord.feedback.formats import read_feedback

        for table in label_tables(read_feedback(options.votes).records):
            print("\n".join(["", *lines([held_out(table, f"{table.what}, held-out votes", 3)])]))


if __name__ == "__main__":
    main()
