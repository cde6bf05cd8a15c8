"""Mazes and their search are right, a learned round of it carries over, and every seed is the same
again."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control import procedure_cloning as cloning
from accord.errors import DataError

SIDES = st.integers(3, 12)


def distances(open_YX: np.ndarray, goal: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Steps to the goal of every cell from which there is a way, by a queue."""
    far, left = {goal: 0}, deque([goal])
    while left:
        y, x = left.popleft()
        for dy, dx in cloning.STEPS:
            to = y + dy, x + dx
            inside = 0 <= to[0] < len(open_YX) and 0 <= to[1] < len(open_YX)
            if inside and open_YX[to] and to not in far:
                far[to] = far[y, x] + 1
                left.append(to)
    return far


@settings(max_examples=25)
@given(SIDES, st.integers(0, 999))
def test_mazes_are_connected_and_the_search_takes_the_shortest_way(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    open_YX = cloning.draw_maze(side, rng)
    assert open_YX.shape == (side, side)
    (task,) = cloning.draw_tasks([open_YX], 1, rng)
    far = distances(open_YX, task.goal)
    assert set(far) == {tuple(cell) for cell in np.argwhere(open_YX).tolist()}
    first_YX = cloning.rounds_of(cloning.search(open_YX, task.goal))
    assert all(first_YX[cell] == steps for cell, steps in far.items())
    assert (first_YX[~open_YX] == cloning.NEVER).all()
    move_YX = cloning.first_moves(first_YX)
    for cell, steps in far.items():
        if steps:
            dy, dx = cloning.STEPS[move_YX[cell]]
            assert far[cell[0] + dy, cell[1] + dx] == steps - 1
    assert task.start != task.goal
    assert cloning.solved(task, move_YX)
    up_alone = cloning.solved(task, np.zeros_like(move_YX))
    column = open_YX[task.goal[0] : task.start[0], task.goal[1]]
    above = task.start[1] == task.goal[1] and task.start[0] > task.goal[0]
    assert up_alone == (above and bool(column.all()))


def test_a_model_of_the_search_searches_all_mazes_at_once() -> None:
    """Weights by hand: a cell is reached when it is open, and it or a neighbour was."""
    model = cloning.ProcedureModel(2)
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.zero_()
        first, second, last = (model.net[place] for place in (0, 2, 4))
        for dy, dx in (*cloning.STEPS, (0, 0)):
            first.weight[0, 1, 1 + dy, 1 + dx] = 1  # some neighbour reached
        first.weight[1, 0, 1, 1] = 1  # open
        second.weight[0, 0, 1, 1] = second.weight[1, 1, 1, 1] = 1
        last.weight[0, 0, 1, 1], last.weight[0, 1, 1, 1], last.bias[0] = 1, 10, -10.5
    rng = np.random.default_rng(0)
    tasks = cloning.draw_tasks([cloning.draw_maze(9, rng) for _ in range(4)], 1, rng)
    for task, first_YX in zip(tasks, cloning.rounds_of(model.search(tasks)), strict=True):
        alone = cloning.rounds_of(cloning.search(task.open_YX, task.goal))
        np.testing.assert_array_equal(first_YX, alone)
    assert all(cloning.solved(t, m) for t, m in zip(tasks, model.moves(tasks), strict=True))


def test_a_cloned_procedure_finds_its_way_where_cloned_actions_do_not() -> None:
    rng = np.random.default_rng(0)
    mazes = [cloning.draw_maze(7, rng) for _ in range(16)]
    shown = cloning.draw_tasks(mazes[:6], 2, rng)
    unseen = cloning.draw_tasks(mazes[6:], 2, rng)
    training = cloning.Training(channels=8, updates=120, batch=16, step_size=0.02, seed=1)

    def found(model: cloning.ProcedureModel | cloning.ActionModel) -> float:
        moves = model.moves(unseen)
        return float(np.mean([cloning.solved(*pair) for pair in zip(unseen, moves, strict=True)]))

    state = torch.get_rng_state()
    model = cloning.clone_procedure(shown, training)
    assert torch.equal(state, torch.get_rng_state())
    first, again = (cloning.clone_procedure(shown, replace(training, updates=5)) for _ in range(2))
    for one, other in zip(first.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(one, other)
    assert found(model) >= 0.9
    assert found(cloning.clone_actions(shown, training)) <= 0.6


def test_a_maze_too_small_is_refused() -> None:
    with pytest.raises(DataError, match="side = 2"):
        cloning.draw_maze(2, np.random.default_rng(0))
