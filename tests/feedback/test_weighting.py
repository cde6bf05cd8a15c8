"""Votes weighed by shrunk annotators train no worse than raw maxima, and better where they are
few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import weighting as benchmark

from accord.seeds import generator

ROOT = Path(__file__).resolve().parents[2]


def test_what_was_measured_of_shrinking() -> None:
    """Below the maximum in no crowd by more than its interval, and above where votes are few."""
    kept = json.loads((ROOT / "benchmarks/weighting.json").read_text("utf-8"))
    assert [*kept] == [*benchmark.CROWDS]
    for name, seeds in kept.items():
        assert len(seeds) >= 30
        for what in ("reward", "dpo"):
            mean, low, high = benchmark.difference(seeds, what)
            assert high > 0, (name, what)
            if "15 votes" in name:
                assert mean > 0
                assert what == "dpo" or low > 0
    assert benchmark.page(kept) in (ROOT / "docs/feedback-quality.md").read_text("utf-8")


def one_crowd() -> tuple[benchmark._Votes, np.ndarray]:
    rng, weight_F = np.random.default_rng(0), np.zeros(benchmark.FEATURES)
    weight_F[0] = 1.0
    return benchmark.votes_of(rng, benchmark.Crowd(40), weight_F), weight_F


def test_votes_are_those_of_the_crowd() -> None:
    votes, _ = one_crowd()
    assert len(votes.rows) == 12 * 40
    assert set(np.bincount(votes.prompt)) == {6}
    for m, (row, prompt) in enumerate(zip(votes.rows, votes.prompt, strict=True)):
        better, worse = votes.features_PKF[prompt, list(row.option)]
        np.testing.assert_allclose(votes.apart_MF[m], better - worse)
        assert votes.place_M[m] == 2 * row.place[0]
        assert votes.annotator_M[m] == row.annotator


def test_a_reward_is_learned_and_clickers_are_not_believed() -> None:
    votes, weight_F = one_crowd()
    voters = benchmark.shrunk(votes)
    beta, side = benchmark.maximum(votes)
    assert np.abs(beta).max() <= benchmark.LARGEST * (1 + 1e-9)
    found = benchmark.rewarded(votes, voters.rationality_A, voters.side_bias_A)
    assert found @ weight_F / np.linalg.norm(found) > 0.9
    mute = benchmark.rewarded(votes, np.zeros(12), side)
    np.testing.assert_allclose(mute, 0, atol=1e-6)


def test_labels_are_sums_or_posterior_probabilities() -> None:
    votes, weight_F = one_crowd()
    sums = benchmark.summed(votes, np.ones(12))
    (prompt, i, j), odds = next(iter(sums.items()))
    said = [
        1 if row.option == (i, j) else -1
        for row, p in zip(votes.rows, votes.prompt, strict=True)
        if p == prompt and {*row.option} == {i, j}
    ]
    assert i < j
    assert odds == sum(said)
    shrunk = benchmark.posterior(votes, benchmark.shrunk(votes))
    assert shrunk.keys() == sums.keys()
    for labels in (sums, shrunk):
        found = benchmark.preferred(votes, labels)
        assert found @ weight_F / np.linalg.norm(found) > 0.85
    nothing = benchmark.preferred(votes, dict.fromkeys(sums, 0.1))
    np.testing.assert_array_equal(nothing, 0)


def test_heavy_tails_have_the_variance_of_normal_ones() -> None:
    drawn = benchmark.features(generator(0, "tails"), benchmark.Crowd(1, freedom=9.0), 40_000)
    assert drawn.var() == pytest.approx(1, abs=0.02)


def test_a_difference_is_paired() -> None:
    seeds = [[0.5, 0.6, 0.7, 0.6], [0.7, 0.9, 0.8, 0.8]]
    mean, low, high = benchmark.difference(seeds, "reward")
    assert mean == pytest.approx(0.15)
    assert low < 0 < high
    assert benchmark.difference(seeds, "dpo")[0] == pytest.approx(-0.05)
    assert np.isnan(benchmark.difference(seeds[:1], "dpo")[1])
