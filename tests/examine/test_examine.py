"""Measures against formulas and published numbers; verdicts against a zoo of known runs."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import BROKEN, healthy, rows

from accord.errors import DataError
from accord.examine import (
    best_of_n,
    kl,
    overoptimisation,
    reward_card,
    text_measures,
    winrate,
)
from accord.examine.evidence import ArmRows, Evidence, measure
from accord.examine.rows import columns
from accord.examine.verdict import decide
from accord.statistics import means


# --- statistics -----------------------------------------------------------------------------------
def test_clustered_error_equals_the_plain_one_for_single_samples_and_grows_with_copies() -> None:
    x = np.random.default_rng(0).normal(size=200)
    plain = means.clustered_mean(x)
    assert plain.error == pytest.approx(x.std(ddof=1) / math.sqrt(200))
    copied = means.clustered_mean(np.repeat(x, 5), list(np.repeat(np.arange(200), 5)))
    assert copied.error == pytest.approx(plain.error)
    assert copied.n == 200


def test_intervals_cover_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(1)
    hits = [
        e.low <= 0.3 <= e.high
        for e in (means.clustered_mean(rng.normal(0.3, 1, 50)) for _ in range(400))
    ]
    assert 0.91 < np.mean(hits) < 0.98


def test_minimal_detectable_difference() -> None:
    x = np.random.default_rng(0).normal(size=4000)
    estimate = means.clustered_mean(x)
    assert means.minimal_detectable(estimate) == pytest.approx(2.80 * estimate.error, rel=0.01)
    assert means.minimal_detectable(means.clustered_mean([1.0])) is None


# --- best of n ------------------------------------------------------------------------------------
@settings(max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=3, max_size=6), st.integers(1, 3), st.integers(0, 99))
def test_best_of_n_equals_all_subsets(select: list[int], n: int, seed: int) -> None:
    value = np.random.default_rng(seed).normal(size=len(select))
    expected = []
    for subset in combinations(range(len(select)), n):
        top = max(select[i] for i in subset)
        winners = [i for i in range(len(select)) if select[i] == top]
        expected.append(np.mean([value[i] for i in winners]))
    got = best_of_n.expected_best(np.array([select], dtype=float), value[None], n)[0]
    assert got == pytest.approx(np.mean(expected))


def test_kl_of_best_of_n() -> None:
    assert best_of_n.kl_bound(1) == 0
    assert best_of_n.kl_bound(128) == pytest.approx(3.860, abs=1e-3)
    with pytest.raises(ValueError, match="at least 5 samples"):
        best_of_n.selection_weights(4, 5)


@pytest.mark.parametrize(
    ("outputs", "n", "exact", "bound"), [(16, 128, 2.770, 3.860), (2, 1024, 0.693, 5.932)]
)
def test_distance_of_best_of_n_where_few_texts_are_likely(
    outputs: int, n: int, exact: float, bound: float
) -> None:
    """Beirami et al. 2025: the bound that everybody plots is far off for low entropy."""
    found = best_of_n.kl_estimate(n, np.full(outputs, -np.log(outputs)))
    assert found.mean() == pytest.approx(exact, abs=2e-3)
    assert best_of_n.kl_bound(n) == pytest.approx(bound, abs=1e-3)


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(2, 200), st.floats(0.1, 5), st.integers(0, 10**6))
def test_distance_of_best_of_n_against_enumeration(
    outputs: int, n: int, spread: float, seed: int
) -> None:
    """Outputs in the order of their reward: the best of n is the k-th with F_k^n - F_(k-1)^n."""
    p = np.random.default_rng(seed).dirichlet(np.full(outputs, spread)) + 1e-12
    p /= p.sum()
    below = np.concatenate([[0.0], np.minimum(np.cumsum(p), 1.0)])
    best = np.diff(below**n)
    kept = best > 0
    exact = float((best[kept] * np.log(best[kept] / p[kept])).sum())
    found = float(best @ best_of_n.kl_estimate(n, np.log(p)))
    bound = best_of_n.kl_bound(n)
    assert exact <= bound + 1e-9
    assert found <= bound + 1e-9
    assert abs(found - exact) <= max(0.25, bound - exact)
    unlikely = best_of_n.kl_estimate(n, np.array([-80.0, -700.0, -1e4]))
    assert unlikely == pytest.approx(np.full(3, bound), abs=1e-6)


def test_the_best_of_one_went_nowhere() -> None:
    """By rounding the estimate may lie below 0; what is told does not."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logp = -rng.exponential(20.0, (5, 8))
        (point,) = best_of_n.curve(rng.normal(size=(5, 8)), None, None, logp, (1,))
        assert 0 <= point.kl < 1e-12
        assert point.root_kl < 1e-6


# --- text -----------------------------------------------------------------------------------------
def test_diversity_is_measured_at_equal_length() -> None:
    texts = [text_measures.words("a b c d e f g h"), text_measures.words("a b c d")]
    assert text_measures.distinct(texts, 1, 4) == 0.5
    assert text_measures.distinct(texts, 2, 8) == 1.0
    assert text_measures.repetition(["a", "b", "c", "d", "a", "b", "c", "d"]) == pytest.approx(
        1 / 5
    )
    assert text_measures.repetition(["a"]) == 0


def test_what_changed_most_finds_the_planted_words() -> None:
    rng = np.random.default_rng(0)
    common = ["the", "film", "was", "about", "a", "man", "and", "his", "dog", "in", "town"]
    before = [" ".join(rng.choice(common, 12)) for _ in range(200)]
    after = [
        " ".join(rng.choice([*common, "excellent", "excellent"], 12)).replace("dog", "cat")
        for _ in range(200)
    ]
    found = {s.phrase: s.z for s in text_measures.shifts(before, after)}
    assert found["excellent"] > 4
    assert found["dog"] < -4


def test_gain_at_equal_length_separates_length_from_quality() -> None:
    rng = np.random.default_rng(0)
    short, long = rng.integers(10, 40, 500).astype(float), rng.integers(20, 50, 500).astype(float)
    length_only = winrate.gain_at_equal_length(0.1 * long, long, 0.1 * short, short)
    quality = winrate.gain_at_equal_length(1 + 0 * long, long, 0 * short, short)
    assert abs(length_only.value) < 0.25
    assert length_only.high < 0.5
    assert quality.value == pytest.approx(1)


# --- reward card ----------------------------------------------------------------------------------
def test_reward_card_recovers_temperature_and_calibration() -> None:
    rng = np.random.default_rng(0)
    strength = rng.normal(size=6000)
    right = rng.random(6000) < 1 / (1 + np.exp(-strength))
    gap = np.where(right, strength, -strength)
    prompts = list(range(6000))
    card = reward_card.card(
        np.stack([3 * gap, 3 * gap]), prompts, np.sign(rng.normal(size=6000)), gap
    )
    assert card.after.temperature == pytest.approx(3, rel=0.15)
    assert card.after.ece.value < 0.03 < card.before.ece.low  # type: ignore[operator]
    assert card.after.nll.value < card.before.nll.value
    assert card.temperature.low < 3 < card.temperature.high  # type: ignore[operator]
    assert card.after.ece.low < 0.01  # type: ignore[operator]
    assert card.gold_accuracy.value == 1
    assert 0.47 < card.longer_wins.value < 0.53


def test_gao_fits() -> None:
    d = np.linspace(0.3, 4, 12)
    fit = overoptimisation.fit(d, (d * (1.0 - 0.2 * d))[:, None], "best_of_n")
    assert (fit.alpha, fit.beta) == (pytest.approx(1.0), pytest.approx(0.2))
    assert fit.peak == pytest.approx(2.5)
    rl = overoptimisation.fit(d, (d * (1.0 - 0.5 * np.log(d)))[:, None], "rl")
    assert (rl.alpha, rl.beta, rl.peak) == (
        pytest.approx(1.0),
        pytest.approx(0.5),
        pytest.approx(math.e),
    )
    assert overoptimisation.fit(d[:3], d[:3, None], "rl") is None


# --- KL and rows ----------------------------------------------------------------------------------
def test_kl_alarms() -> None:
    rng = np.random.default_rng(0)
    assert kl.measure(columns(rows(rng, 0, 0, 5.0))).alarm is None
    assert "differ" in kl.measure(columns(rows(rng, 0, 0, 5.0, k1_shift=2.0))).alarm


def test_rows_with_missing_fields_are_named() -> None:
    good = rows(np.random.default_rng(0), 0, 0, 1.0, n=3)
    with pytest.raises(DataError, match="sample row 1 has no gold, proxy"):
        columns([good[0], {k: v for k, v in good[1].items() if k not in ("gold", "proxy")}])
    with pytest.raises(DataError, match="some sample rows have a gold"):
        columns([good[0], good[1] | {"gold": None}])
    with pytest.raises(DataError, match="no sample rows"):
        columns([])


# --- verdicts -------------------------------------------------------------------------------------
def evidence_of(points: list, seed: int = 99) -> Evidence:
    baseline = rows(np.random.default_rng(seed), 0.0, 0.0, 0.0)
    return measure(baseline, {"ppo": ArmRows("ppo", points)})


@pytest.mark.parametrize("seed", range(10))
def test_healthy_runs_worked(seed: int) -> None:
    verdict = decide(evidence_of(healthy(seed)))
    assert verdict.outcome == "worked", verdict.reason


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("seed", range(3))
def test_broken_runs_are_found(name: str, seed: int) -> None:
    expected, build = BROKEN[name]
    verdict = decide(evidence_of(build(np.random.default_rng(seed))))
    assert verdict.outcome == expected, (name, verdict.reason)
    assert verdict.arms[0].rules


def test_without_gold_the_verdict_says_what_cannot_be_known() -> None:
    def strip(found: list) -> list:
        return [row | {"gold": None} for row in found]

    baseline = strip(rows(np.random.default_rng(9), 0.0, 0.0, 0.0))
    points = [(step, strip(found)) for step, found in healthy(0)]
    verdict = decide(measure(baseline, {"ppo": ArmRows("ppo", points)}))
    assert verdict.outcome == "inconclusive"
    assert "without a gold reward" in verdict.reason


def test_evidence_survives_json() -> None:
    pool = [
        r | {"prompt_id": i // 4}
        for i, r in enumerate(rows(np.random.default_rng(3), 0, 0, 0, n=480))
    ]
    baseline = rows(np.random.default_rng(9), 0.0, 0.0, 0.0)
    evidence = measure(baseline, {"ppo": ArmRows("ppo", healthy(1))}, pool)
    assert [p.n for p in evidence.best_of] == [1, 2, 4]
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert decide(again) == decide(evidence)
