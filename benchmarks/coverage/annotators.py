"""Cells of what the labels of others say about an annotator, the truth unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from accord.feedback.label_table import LabelTable
from accord.feedback.labels import Method, aggregate
from accord.statistics.intervals import Array, Interval
from benchmarks.coverage.registry import Cell, Drawn, add
from benchmarks.labels import coin, crowd

Matrices = Callable[[np.random.Generator, int], Array]
"""Draws confusion matrices of so many annotators: [A, C, C]."""


def varied(classes: int, a: float, b: float) -> Matrices:
    """Accuracies from Beta(a, b), errors to all sides alike."""
    return lambda rng, people: np.array([coin(q, classes) for q in rng.beta(a, b, people)])


def lopsided(rng: np.random.Generator, people: int) -> Array:
    """Each class has an accuracy of its own, of each annotator."""
    return np.array([[[p, 1 - p], [1 - q, q]] for p, q in rng.beta(7, 2, (people, 2))])


def confused(
    people: int, items: int, votes: int, matrices: Matrices, share: Sequence[float]
) -> Callable[[np.random.Generator], Drawn]:
    """Votes, and each annotator's chance to be right."""

    def draw(rng: np.random.Generator) -> Drawn:
        matrices_ACC, share_C = matrices(rng, people), np.array(share)
        table, _ = crowd(rng, matrices_ACC, items, votes, share_C)
        return table, np.einsum("acc,c->a", matrices_ACC, share_C)

    return draw


def spamming(people: int, items: int, votes: int) -> Callable[[np.random.Generator], Drawn]:
    """MACE's own model: competences from Beta(2, 1), tastes from Dirichlet(10)."""

    def draw(rng: np.random.Generator) -> Drawn:
        knows_A, taste_AC = rng.beta(2, 1, people), rng.dirichlet(np.full(3, 10.0), people)
        spam_ACC = (1 - knows_A)[:, None, None] * taste_AC[:, None, :]
        matrices_ACC = knows_A[:, None, None] * np.eye(3) + spam_ACC
        return crowd(rng, matrices_ACC, items, votes, np.full(3, 1 / 3))[0], knows_A

    return draw


def difficult(people: int, items: int, votes: int) -> Callable[[np.random.Generator], Drawn]:
    """GLAD's own model: abilities and logarithms of ease from N(1, 1)."""

    def draw(rng: np.random.Generator) -> Drawn:
        ability_A, log_ease_I = rng.normal(1, 1, people), rng.normal(1, 1, items)
        table, truth = crowd(rng, np.tile(np.eye(2), (people, 1, 1)), items, votes, np.full(2, 0.5))
        eta_M = ability_A[table.annotator] * np.exp(log_ease_I[table.item])
        right_M = rng.random(len(eta_M)) < 1 / (1 + np.exp(-eta_M))
        table.label[:] = np.where(right_M, truth[table.item], 1 - truth[table.item])
        return table, ability_A

    return draw


def qualities(method: Method) -> Callable[[LabelTable], list[Interval | None]]:
    """What `accord feedback aggregate` prints of the annotators."""
    return lambda table: [a.quality for a in aggregate(table, method).annotators]


for people, items, votes, kind, matrices, share in (
    (5, 60, 3, "Beta(8, 2)", varied(2, 8, 2), (0.5, 0.5)),
    (12, 200, 2, "Beta(8, 2)", varied(2, 8, 2), (0.5, 0.5)),
    (12, 200, 3, "Beta(8, 2), classes 4 to 1", varied(2, 8, 2), (0.8, 0.2)),
    (12, 200, 5, "Beta(4, 2)", varied(2, 4, 2), (0.5, 0.5)),
    (12, 200, 3, "by class Beta(7, 2)", lopsided, (0.6, 0.4)),
    (40, 300, 3, "of three classes Beta(6, 3)", varied(3, 6, 3), (0.5, 0.3, 0.2)),
):
    setting = f"{people} annotators, {items} items, {votes} votes each, {kind}"
    draws = confused(people, items, votes, matrices, share)
    add(Cell("accuracy", setting, people, draws, qualities("dawid-skene"), slow=True, tested=1))
for people, items, votes in ((8, 100, 4), (20, 300, 3)):
    setting = f"{people} annotators, {items} items, {votes} votes each"
    for name, method, model in (
        ("competence (MACE)", "mace", spamming),
        ("ability (GLAD)", "glad", difficult),
    ):
        draws = model(people, items, votes)
        add(Cell(name, setting, people, draws, qualities(method), slow=True, tested=1))
