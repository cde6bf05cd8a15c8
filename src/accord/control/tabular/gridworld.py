"""Grids with walls, drawn as text, and processes drawn by chance.

    grid_world(["..#.", "..#.", "...."], discount=0.95, slip=0.1)

"." is a cell that can be entered, "#" a wall. States are the cells in reading order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.control.tabular.mdp import FiniteMdp
from accord.errors import DataError
from accord.statistics.intervals import Array

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0))
"""What the actions add to row and column: up, right, down, left, stay."""
ACTIONS = len(MOVES)


@dataclass(frozen=True)
class GridWorld:
    """cells: (row, column) of each state, in order."""

    cells: tuple[tuple[int, int], ...]
    mdp: FiniteMdp

    def state(self, row: int, column: int) -> int:
        """The number of a cell. Raises DataError for a wall and what lies outside."""
        if (row, column) not in self.cells:
            raise DataError(
                f"row {row}, column {column} is no cell of the grid", "name one drawn as '.'"
            )
        return self.cells.index((row, column))

    def steps(self) -> Array:
        """Fewest moves from each state to each other, inf where there is no way: [S, S]."""
        count = len(self.cells)
        links_SS = (self.mdp.transition_SAS > 0).any(1)
        steps_SS = np.where(np.eye(count, dtype=bool), 0.0, np.inf)
        reached_SS, number = np.eye(count, dtype=bool), 0
        while True:
            number += 1
            further_SS = (reached_SS @ links_SS) & ~reached_SS
            if not further_SS.any():
                return steps_SS
            steps_SS[further_SS] = number
            reached_SS |= further_SS


def grid_world(
    drawn: Sequence[str],
    discount: float,
    slip: float = 0.0,
    start: tuple[int, int] | None = None,
    ends: Sequence[tuple[int, int]] = (),
) -> GridWorld:
    """A grid from its drawing; a move into a wall or over the edge stays where it is.

    slip: probability of an action drawn by chance from all five instead; start: where episodes
    begin, anywhere with the same probability if not given; ends: cells that are never left.
    Raises DataError for lines of unequal length, an unknown sign, and cells that are none.
    """
    for number, line in enumerate(drawn):
        other = set(line) - {".", "#"}
        if len(line) != len(drawn[0]) or other:
            raise DataError(
                f"line {number + 1} of the grid is {line!r}",
                f"draw '.' and '#' alone, {len(drawn[0])} in each line",
            )
    cells = tuple(
        (r, c) for r, line in enumerate(drawn) for c, sign in enumerate(line) if sign == "."
    )
    if not cells:
        raise DataError("the grid has no cell", "draw one as '.'")
    if not 0 <= slip <= 1:
        raise DataError(f"slip = {slip:g}", "give a probability")
    number_of = {cell: number for number, cell in enumerate(cells)}
    moved_SAS = np.zeros((len(cells), ACTIONS, len(cells)))
    for (row, column), here in number_of.items():
        for action, (down, right) in enumerate(MOVES):
            moved_SAS[here, action, number_of.get((row + down, column + right), here)] = 1
    moved_SAS = (1 - slip) * moved_SAS + slip * moved_SAS.mean(1, keepdims=True)
    start_S = np.full(len(cells), 1 / len(cells))
    world = GridWorld(cells, FiniteMdp(moved_SAS, start_S, discount))
    for end in (world.state(*cell) for cell in ends):
        moved_SAS[end] = 0
        moved_SAS[end, :, end] = 1
    if start is not None:
        start_S = np.eye(len(cells))[world.state(*start)]
    return GridWorld(cells, FiniteMdp(moved_SAS, start_S, discount))


def open_grid(side: int) -> list[str]:
    """The drawing of a square without walls."""
    return ["." * side] * side


def random_mdp(
    states: int, actions: int, leads_to: int, discount: float, rng: np.random.Generator
) -> FiniteMdp:
    """Every action in every state leads to `leads_to` states, by probabilities drawn evenly."""
    transition_SAS = np.zeros((states, actions, states))
    for row in transition_SAS.reshape(-1, states):
        row[rng.permutation(states)[:leads_to]] = rng.dirichlet(np.ones(leads_to))
    return FiniteMdp(transition_SAS, np.full(states, 1 / states), discount)
