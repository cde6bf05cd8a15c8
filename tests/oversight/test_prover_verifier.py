"""The prover–verifier game: solutions are what they claim to be, and the verifier learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.oversight.prover_verifier import (
    FEATURES,
    JUMPS,
    GameRules,
    Prover,
    begun,
    features,
    glanced,
    played,
    problems,
    solve,
)

EQUAL = np.full(len(JUMPS), 1 / len(JUMPS))


@given(st.integers(0, 10_000), st.integers(3, 12), st.booleans())
def test_a_wrong_solution_makes_one_wrong_claim_and_goes_on_from_it(seed: int, places: int, wrong: bool) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    digits_BD = rng.integers(0, 10, (7, places))
    made = solve(digits_BD, EQUAL, wrong, rng)
    row, size, _, right = made.jumps()
    assert (np.bincount(row[~right], minlength=7) == int(wrong)).all()
    assert (np.bincount(row, size, minlength=7) == places).all()
    assert ((made.totals_BD[:, -1] == digits_BD.sum(1) % 10) == (not wrong)).all()
    assert (made.right_B == (not wrong)).all()
    assert features(made).shape == (7, FEATURES)
    assert (features(made).sum(1) == 2 * np.bincount(row)[:, None]).all()  # a claim and its size


def test_claims_are_told_apart_by_total_digits_and_total() -> None:
    rng = np.random.default_rng(0)
    made = solve(rng.integers(0, 10, (500, 6)), EQUAL, False, rng)
    row, size, claim, right = made.jumps()
    assert right.all()
    for n in range(200):
        told = f"{claim[n]:0{size[n] + 2}d}"
        assert len(told) == size[n] + 2
        assert sum(map(int, told[:-1])) % 10 == int(told[-1])
        assert told[1:-1] in "".join(map(str, made.digits_BD[row[n]]))


def test_a_prover_shows_what_the_verifier_believes_most() -> None:
    rules = GameRules(problems=150, tries=8)
    state = begun(rules, np.random.default_rng(1))
    digits_BD = problems(rules, np.random.default_rng(2))
    best = Prover(EQUAL, 8, True).shown(digits_BD, state.verifier, np.random.default_rng(3))
    any_one = Prover(EQUAL, 1, True).shown(digits_BD, state.verifier, np.random.default_rng(3))
    assert (best.digits_BD == digits_BD).all()
    assert not best.right_B.any()
    odds = [state.verifier.odds(one) for one in (best, any_one)]
    assert odds[0].mean() > odds[1].mean() + 0.3


def test_the_verifier_learns_to_catch_and_solutions_take_smaller_steps() -> None:
    rules, rng = GameRules(digits=5, problems=600, tries=6), np.random.default_rng(1)
    state = fixed = begun(rules, rng)
    first = state
    for _ in range(6):
        state = played(state, rules, rng)
        fixed = played(fixed, rules, rng, verifier_learns=False)
    digits_BD = problems(rules, np.random.default_rng(9))

    def caught(of: object) -> float:
        shown = of.sneaky.shown(digits_BD, of.verifier, np.random.default_rng(5))  # type: ignore[attr-defined]
        return float((of.verifier.odds(shown) <= 0).mean())  # type: ignore[attr-defined]

    assert caught(first) < 0.2
    assert caught(fixed) < 0.2
    assert caught(state) > 0.5
    helpful = state.helpful.shown(digits_BD, state.verifier, np.random.default_rng(6))
    assert (state.verifier.odds(helpful) > 0).mean() > 0.95
    assert state.helpful.share_J[0] > 0.7 > first.helpful.share_J[0]


def test_a_judge_finds_what_it_looks_at_and_sees() -> None:
    rng = np.random.default_rng(4)
    digits_BD = rng.integers(0, 10, (4000, 6))
    ones = np.array([1.0, 0.0, 0.0])
    wrong, right = (solve(digits_BD, ones, w, rng) for w in (True, False))
    assert glanced(right, 6, (1, 1, 1), rng).all()
    assert not glanced(wrong, 6, (1, 1, 1), rng).any()
    assert 1 - glanced(wrong, 2, (1, 1, 1), rng).mean() == pytest.approx(2 / 6, abs=0.03)
    assert 1 - glanced(wrong, 6, (0.7, 1, 1), rng).mean() == pytest.approx(0.7, abs=0.03)
