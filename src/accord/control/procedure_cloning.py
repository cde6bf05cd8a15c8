"""Procedure cloning (Yang et al. 2022, arXiv 2205.10816): imitate how an expert found its action,
not the action alone.

The expert finds its way through a maze by breadth-first search from the goal. What it writes down
on the way are the cells reached after each round. A small convolution learns one round, from a map
to the next; at a new maze it is run round by round until nothing changes, and the agent steps to
the neighbour that was reached first. Behavioural cloning sees the same mazes and goals and learns
the first step alone. Suffixes: M mazes, N examples, P pictures of one, Y and X of a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from accord.control.tabular.gridworld import MOVES
from accord.control.tabular.mdp import Mask
from accord.errors import DataError
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Index

STEPS = MOVES[:4]
"""Up, right, down, left."""
NEVER = np.iinfo(np.int64).max
"""The round of cells that no search reaches."""
LOOPS = 0.1
"""Share of the remaining walls between corridors that are opened, so that there are several
ways."""


def draw_maze(side: int, rng: np.random.Generator) -> Mask:
    """A maze of side×side cells, True where it can be entered: corridors one cell wide, all of them
    connected, by depth-first search. Raises DataError for a side below 3."""
    if side < 3:
        raise DataError(f"side = {side}", "give a maze at least 3 cells")
    rooms = (side + 1) // 2
    open_YX = np.zeros((side, side), dtype=bool)
    stack, seen = [(0, 0)], {(0, 0)}
    open_YX[0, 0] = True
    while stack:
        y, x = stack[-1]
        ways = [
            (y + dy, x + dx)
            for dy, dx in STEPS
            if 0 <= y + dy < rooms and 0 <= x + dx < rooms and (y + dy, x + dx) not in seen
        ]
        if not ways:
            stack.pop()
            continue
        to = ways[int(rng.integers(len(ways)))]
        open_YX[y + to[0], x + to[1]] = True  # the wall between two rooms
        open_YX[2 * to[0], 2 * to[1]] = True
        seen.add(to)
        stack.append(to)
    walls = np.argwhere(~open_YX[: 2 * rooms - 1, : 2 * rooms - 1])
    for y, x in walls[(walls % 2).sum(1) == 1]:
        if rng.random() < LOOPS:
            open_YX[y, x] = True
    return open_YX


def search(open_YX: Mask, goal: tuple[int, int]) -> Iterator[Mask]:
    """The cells reached from the goal after each round of breadth-first search, the goal alone
    first, until nothing is new."""
    reached = np.zeros_like(open_YX)
    reached[goal] = True
    while True:
        yield reached
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= open_YX
        if (grown == reached).all():
            return
        reached = grown


def rounds_of(maps: Iterable[Mask]) -> Index:
    """The round in which each cell was first reached, NEVER where it was not, of maps of any
    shape."""
    every = np.stack(list(maps))
    found: Index = np.where(every.any(0), every.argmax(0), NEVER)
    return found


def first_moves(first_YX: Index) -> Index:
    """The move from each cell to the neighbour that was reached first: [Y, X]."""
    around = np.pad(first_YX, 1, constant_values=NEVER)
    sides = [
        around[1 + dy : around.shape[0] - 1 + dy, 1 + dx : around.shape[1] - 1 + dx]
        for dy, dx in STEPS
    ]
    found: Index = np.stack(sides).argmin(0)
    return found


@dataclass(frozen=True)
class MazeTask:
    """A maze, the cell to reach and the cell where one is."""

    open_YX: Mask
    goal: tuple[int, int]
    start: tuple[int, int]


def draw_tasks(mazes: list[Mask], each: int, rng: np.random.Generator) -> list[MazeTask]:
    """Goals and other cells to begin in, drawn evenly, so many per maze."""
    tasks = []
    for open_YX in mazes:
        cells = np.argwhere(open_YX)
        for _ in range(each):
            goal, start = (tuple(cells[n].tolist()) for n in rng.permutation(len(cells))[:2])
            tasks.append(MazeTask(open_YX, goal, start))
    return tasks


# --- pictures and models --------------------------------------------------------------------------
def _picture(open_YX: Mask, *cells: tuple[int, int]) -> Mask:
    """The maze, and each cell in a picture of its own: [P, Y, X]."""
    shown = np.zeros((1 + len(cells), *open_YX.shape), dtype=bool)
    shown[0] = open_YX
    for number, cell in enumerate(cells):
        shown[1 + number][cell] = True
    return shown


def _convolutions(pictures: int, channels: int, out: int) -> list[nn.Module]:
    """Three layers of 3×3, the last without its nonlinearity."""
    return [
        nn.Conv2d(pictures, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, out, 3, padding=1),
    ]  # fmt: skip


class ProcedureModel:
    """One round of the search, learned, and run until nothing changes."""

    def __init__(self, channels: int) -> None:
        self.net = nn.Sequential(*_convolutions(2, channels, 1))

    def search(self, tasks: list[MazeTask]) -> Iterator[Mask]:
        """The cells reached after each round, in all mazes at once, [M, Y, X], until nothing is new
        or there were as many rounds as there are cells."""
        pictures = np.stack([_picture(task.open_YX, task.goal) for task in tasks])
        open_MYX, reached = pictures[:, 0], pictures[:, 1]
        for _ in range(reached[0].size):
            yield reached
            shown = torch.from_numpy(np.stack([open_MYX, reached], axis=1)).float()
            with torch.no_grad():
                grown = reached | (self.net(shown)[:, 0].numpy() > 0)
            if (grown == reached).all():
                return
            reached = grown

    def moves(self, tasks: list[MazeTask]) -> list[Index]:
        """For each task the move in every cell: [Y, X] each."""
        return [first_moves(first_YX) for first_YX in rounds_of(self.search(tasks))]


class ActionModel:
    """Behavioural cloning: the step from the maze, the goal and where one is, by as many
    convolutions and a layer that sees the whole map."""

    def __init__(self, channels: int, side: int) -> None:
        last = nn.Linear(channels * side * side, len(STEPS))
        self.net = nn.Sequential(
            *_convolutions(3, channels, channels), nn.ReLU(), nn.Flatten(), last
        )

    def moves(self, tasks: list[MazeTask]) -> list[Index]:
        """For each task the move in every open cell: [Y, X] each."""
        found = []
        for task in tasks:
            cells = [tuple(cell.tolist()) for cell in np.argwhere(task.open_YX)]
            shown = np.stack([_picture(task.open_YX, task.goal, cell) for cell in cells])
            with torch.no_grad():
                said = self.net(torch.from_numpy(shown).float()).argmax(1).numpy()
            move_YX = np.zeros(task.open_YX.shape, dtype=np.int64)
            move_YX[task.open_YX] = said
            found.append(move_YX)
        return found


@dataclass(frozen=True)
class Training:
    """channels: of the convolutions; updates of `batch` examples each by Adam."""

    channels: int
    updates: int
    batch: int
    step_size: float
    seed: int


def clone_procedure(tasks: list[MazeTask], training: Training) -> ProcedureModel:
    """Learn the rounds of the search in these tasks, cell by cell."""
    before, after = [], []
    for task in tasks:
        maps = list(search(task.open_YX, task.goal))
        for reached, grown in zip(maps, [*maps[1:], maps[-1]], strict=True):
            before.append(np.stack([task.open_YX, reached]))
            after.append(grown[None])
    with _weights_from(training.seed):
        model = ProcedureModel(training.channels)
    _fit(model.net, before, after, nn.BCEWithLogitsLoss(), training)
    return model


def clone_actions(tasks: list[MazeTask], training: Training) -> ActionModel:
    """Learn the expert's step from every cell that it could be asked for in these tasks."""
    shown, said = [], []
    for task in tasks:
        first_YX = rounds_of(search(task.open_YX, task.goal))
        move_YX = first_moves(first_YX)
        for y, x in np.argwhere(task.open_YX & (first_YX > 0) & (first_YX < NEVER)).tolist():
            shown.append(_picture(task.open_YX, task.goal, (y, x)))
            said.append(move_YX[y, x])
    with _weights_from(training.seed):
        model = ActionModel(training.channels, tasks[0].open_YX.shape[0])
    _fit(model.net, shown, said, nn.CrossEntropyLoss(), training)
    return model


@contextmanager
def _weights_from(seed: int) -> Iterator[None]:
    """Modules made inside have the weights of this seed, and nothing outside changes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        yield


def _fit(
    net: nn.Module, shown: list[Any], said: list[Any], loss: nn.Module, training: Training
) -> None:
    """Minibatches drawn with replacement; answers of whole numbers are classes."""
    shown_NPYX = torch.from_numpy(np.stack(shown)).float()
    said_N = torch.from_numpy(np.stack(said))
    said_N = said_N.float() if said_N.dtype == torch.bool else said_N
    rng = generator(training.seed, "batches")
    optimizer = torch.optim.Adam(net.parameters(), lr=training.step_size)
    for _ in range(training.updates):
        rows = torch.from_numpy(rng.integers(len(shown_NPYX), size=training.batch))
        optimizer.zero_grad()
        loss(net(shown_NPYX[rows]), said_N[rows]).backward()
        optimizer.step()


def solved(task: MazeTask, move_YX: Index) -> bool:
    """Whether the moves lead from the start to the goal. A move into a wall stays; where one has
    been before, one will be again."""
    at, seen = task.start, set()
    while at != task.goal and at not in seen:
        seen.add(at)
        dy, dx = STEPS[int(move_YX[at])]
        to = at[0] + dy, at[1] + dx
        inside = all(0 <= n < size for n, size in zip(to, move_YX.shape, strict=True))
        at = to if inside and task.open_YX[to] else at
    return at == task.goal
