"""Debates as exact games: what is picked, and that the arms do what their names say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.oversight.games import (
    NOTHING,
    EvidenceGame,
    accuracies,
    alternating,
    held,
    linear_worth,
    of_all_pieces,
    play,
    shown,
)
from accord.oversight.pixels import SparseJudge, pixel_game


def world(seed: int, items: int = 40, places: int = 9) -> EvidenceGame:
    """The judge sums the values of what it sees; the truth is the sign of all values' sum."""
    rng = np.random.default_rng(seed)
    pieces_NP = rng.random((items, places)) < 0.7
    value_NP = rng.normal(size=(items, places)) * pieces_NP
    true_N = (value_NP.sum(1) > 0).astype(np.int64)

    def verdict(picks_NK: np.ndarray) -> np.ndarray:
        return ((value_NP * shown(picks_NK, places)).sum(1) > 0).astype(np.int64)

    return EvidenceGame(pieces_NP, true_N, true_N, {"it": linear_worth(value_NP)}, verdict)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_picks_are_the_best_of_what_is_left(seed: int, turns: int) -> None:
    rng = np.random.default_rng(seed)
    pieces_NP = rng.random((5, 8)) < 0.6
    value_NP = rng.normal(size=(5, 8))
    first_N = rng.integers(0, 2, 5)
    picks_NK = play(pieces_NP, alternating(first_N, turns), linear_worth(value_NP))
    for row, picks in enumerate(picks_NK.tolist()):
        left = {*np.flatnonzero(pieces_NP[row]).tolist()}
        for turn, pick in enumerate(picks):
            side = (first_N[row] + turn) % 2
            best = max(left, key=lambda p: value_NP[row, p] * (1 if side else -1), default=NOTHING)
            assert pick == best
            left.discard(pick)
    assert np.array_equal(shown(picks_NK, 8) & ~pieces_NP, np.zeros((5, 8), bool))


def test_arms_differ_by_who_speaks() -> None:
    games = [world(seed) for seed in range(20)]
    rows = []
    for game in games:
        arms = held(game, 4, np.random.default_rng(1))
        rows.append(accuracies(game, arms, 4))
        picks = {name: arm.picks_NK for name, arm in arms.items()}
        assert np.array_equal(picks["open.it"], picks["honest.it"])  # it believes the truth
        assert arms["random"].sides_NK is None
        assert arms["lying.it"].sides_NK is not None
        assert np.array_equal(arms["lying.it"].sides_NK[:, 0], 1 - game.true_N)
        assert np.array_equal(arms["swapped.it"].sides_NK, 1 - arms["debate.it"].sides_NK)
        assert of_all_pieces(game) == 1
        first = np.argmax(game.pieces_NP, 1)
        assert np.array_equal(
            picks["direct"][:, 0][game.pieces_NP.any(1)], first[game.pieces_NP.any(1)]
        )
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    assert mean["honest.it"] > mean["debate.it"] > mean["random"] + 0.03
    assert mean["lying.it"] < mean["assigned.it"] < mean["random"]
    assert mean["assigned.it"] == (mean["honest.it"] + mean["lying.it"]) / 2


def test_a_debater_who_looks_ahead_weighs_the_best_reply() -> None:
    """Against every pair of moves tried one by one."""
    rng = np.random.default_rng(3)
    image_NP = rng.random((6, 7)) * (rng.random((6, 7)) < 0.9)
    judge = SparseJudge(
        rng.normal(size=(7, 5)), rng.normal(size=5), rng.normal(size=(5, 4)), rng.normal(size=4)
    )
    claims_N2 = np.array([[0, 1], [1, 2], [3, 0], [2, 3], [0, 2], [1, 3]])
    game = pixel_game(image_NP, claims_N2, np.zeros(6, np.int64), judge)
    for side in (0, 1):
        sides_N = np.full(6, side)
        turns = [sides_N, 1 - sides_N]
        one, both = (play(game.pieces_NP, turns, game.views[view]) for view in ("one", "both"))
        for n in range(6):
            lit = np.flatnonzero(image_NP[n]).tolist()

            def margin(*pixels: int, n: int = n, side: int = side) -> float:
                seen = np.zeros((1, 7))
                seen[0, list(pixels)] = image_NP[n, list(pixels)]
                odds = judge.odds(seen)[0][claims_N2[n]]
                return float(odds[side] - odds[1 - side])

            assert one[n, 0] == max(lit, key=margin)
            after = {p: min(margin(p, q) for q in lit if q != p) for p in lit}
            assert both[n, 0] == max(lit, key=after.__getitem__)
            assert one[n, 1] == min(set(lit) - {one[n, 0]}, key=lambda q: margin(one[n, 0], q))
