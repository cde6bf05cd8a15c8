"""Cutting a row of texts: every plan has its parts, probabilities sum to one, outcomes teach."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.oversight.cutting import (
    FEATURES,
    Cutter,
    equal_lengths,
    equal_texts,
    totals,
    train_cutter,
)
from accord.statistics.intervals import Array

WEIGHTS = st.lists(st.floats(-3, 3), min_size=len(FEATURES), max_size=len(FEATURES))


def lengths(rows: int, texts: int, seed: int) -> Array:
    return np.random.default_rng(seed).choice([0.1, 1.0], (rows, texts))


@given(WEIGHTS, st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_every_plan_has_as_many_parts_as_asked(
    weights: list[float], texts: int, parts: int, seed: int
) -> None:
    cutter, rows = Cutter(np.array(weights), parts), lengths(5, texts, seed)
    if parts > texts:
        with pytest.raises(DataError, match=f"{texts} texts cannot be cut into {parts} parts"):
            cutter.plan(rows)
        return
    for plan in (
        cutter.plan(rows),
        cutter.sampled(rows, seed),
        equal_texts(5, texts, parts),
        equal_lengths(rows, parts),
    ):
        assert plan.shape == (5, texts - 1)
        assert (plan.sum(1) == parts - 1).all()


@given(WEIGHTS, st.integers(2, 7), st.integers(1, 7))
def test_the_probabilities_of_all_plans_sum_to_one(
    weights: list[float], texts: int, parts: int
) -> None:
    parts = min(parts, texts)
    plans = np.zeros((0, texts - 1), dtype=bool)
    for places in combinations(range(texts - 1), parts - 1):
        plans = np.append(plans, np.isin(np.arange(texts - 1), places)[None], 0)
    rows = np.repeat(lengths(1, texts, 3), len(plans), 0)
    log_p = Cutter(np.array(weights), parts).log_probability(rows, plans)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-9)
    if parts < texts:
        assert Cutter(np.array(weights), parts + 1).log_probability(rows, plans).max() == -np.inf


def test_what_is_drawn_is_what_is_likely() -> None:
    cutter = Cutter(np.array([-0.5, 1.0, -1.0, 0.3, 0.4, 0.2]), 2)
    rows = np.repeat(lengths(1, 4, 1), 20_000, 0)
    drawn = cutter.sampled(rows, 7)
    plans, counts = np.unique(drawn, axis=0, return_counts=True)
    likely = np.exp(cutter.log_probability(rows[: len(plans)], plans))
    np.testing.assert_allclose(counts / len(rows), likely, atol=0.015)


def answers(length_PN: Array) -> Array:
    """A part is answered as far as one window reaches: so much of it is counted."""
    rows, texts = length_PN.shape
    found = np.zeros((rows, texts, texts + 1))
    for i in range(texts):
        for j in range(i + 1, texts + 1):
            found[:, i, j] = np.minimum(1.0, length_PN[:, i:j].sum(1))
    return found


def test_outcomes_teach_where_to_cut() -> None:
    """Long and short texts in runs; what a part holds beyond one window is lost."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.choice([0.1, 1.0], (80, 4)), 4, 1)
    table, parts = answers(rows), 6
    here = np.arange(len(rows))

    def reward(plans: np.ndarray, row: np.ndarray) -> Array:
        return totals(table, row, plans)

    cutter, told = train_cutter(rows, parts, reward, seed=1, steps=60)
    equal = reward(equal_texts(80, 16, parts), here)
    learned = reward(cutter.plan(rows), here)
    assert np.mean(told[-5:]) > np.mean(told[:5]) + 0.3
    assert learned.mean() > equal.mean() + 0.3
    again, _ = train_cutter(rows, parts, reward, seed=1, steps=60)
    assert np.array_equal(cutter.weights, again.weights)
    with pytest.raises(DataError, match="one finite number per plan"):
        train_cutter(rows, parts, lambda plans, row: np.full(len(row), np.nan), seed=1)


def test_a_plans_answer_is_the_sum_of_its_parts() -> None:
    table = np.arange(2 * 3 * 4, dtype=float).reshape(2, 3, 4)
    plan = np.array([[True, False], [False, True], [False, False], [True, True]])
    row = np.array([0, 1, 1, 0])
    expected = [
        table[0, 0, 1] + table[0, 1, 3],
        table[1, 0, 2] + table[1, 2, 3],
        table[1, 0, 3],
        table[0, 0, 1] + table[0, 1, 2] + table[0, 2, 3],
    ]
    assert totals(table, row, plan).tolist() == expected
