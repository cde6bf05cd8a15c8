"""Every number of the evidence against a plain recomputation, and each rule at its threshold."""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections import Counter
from dataclasses import is_dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from scipy import stats
from zoo import healthy, path, rows

import accord.examine
from accord.errors import DataError
from accord.examine import (
    best_of_n,
    comparison,
    evidence,
    kl,
    overoptimisation,
    reward_card,
    text_measures,
    verdict,
    winrate,
)
from accord.examine.evidence import AgreementRow, ArmRows, Evidence, measure
from accord.examine.exploits import Dominance
from accord.examine.rows import columns
from accord.examine.turning import ProxyGoldPoint, gold_turned
from accord.statistics.calibration import temperature_of
from accord.statistics.means import Estimate, share_mean

Z = 1.959964


def plain(values: list[float]) -> tuple[float, float, float | None, float | None, int]:
    """Mean, error, low, high (Student's t, further on the side of the tail), count of independent
    values."""
    n = len(values)
    mean = sum(values) / n
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    if error < 1e-12:
        return mean, error, None, None, n
    low, high = reach(values, error, 0.95)
    return mean, error, mean - low, mean + high, n


def reach(values: Any, error: float, level: float) -> tuple[float, float]:
    """How far an interval goes below and above the mean of more than three values."""
    n, t = len(values), float(stats.t.ppf(0.975, len(values) - 1))
    tail = error * float(stats.skew(values)) * (1 + 2 * t**2) / (6 * math.sqrt(n))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return half - min(tail, 0), half + max(tail, 0)


def same(found: Estimate | None, values: list[float]) -> None:
    assert found is not None
    got = (found.value, found.error, found.low, found.high, found.n)
    for ours, theirs in zip(got, plain(values), strict=True):
        assert ours == (None if theirs is None else pytest.approx(theirs, abs=1e-9))


def same_share(found: Estimate | None, values: list[float], answers: int = 1) -> None:
    """Clopper and Pearson at p (1 - p) / variance answers, `answers` to a value at most."""
    assert found is not None
    mean, error, _, _, n = plain(values)
    assert (found.value, found.error, found.n) == (
        pytest.approx(mean),
        pytest.approx(error, abs=1e-9),
        n,
    )
    seen = min(mean * (1 - mean) / error**2, answers * n) if error > 1e-12 else answers * n
    kurtosis = float(stats.kurtosis(values, fisher=False)) if error > 1e-12 else 3.0
    freedom = min(n - 1, 2 * n / max(kurtosis - 1, 2.0))
    equal = max(n, seen * (Z / float(stats.t.ppf(0.975, freedom))) ** 2 if 0 < mean < 1 else 0)
    k = mean * equal
    low = stats.beta.ppf(0.025, k, equal - k + 1) if k > 1e-12 else 0.0
    high = stats.beta.ppf(0.975, k + 1, equal - k) if k < equal - 1e-12 else 1.0
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def best(select: list[float], value: list[float], n: int) -> float:
    """The mean value of the best of n, over all subsets."""
    found = []
    for subset in combinations(range(len(select)), n):
        found.append(value[max(subset, key=lambda i: select[i])])
    return sum(found) / len(found)


def shuffled(found: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[i] for i in order]


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    """A baseline of 40 prompts, three points of an arm and four best-of samples per prompt; the
    last in another order than the baseline."""
    rng = np.random.default_rng(4)
    kept = {"n": 40, "words": 9}
    return {
        "base": rows(rng, 0.0, 0.0, 0.0, **kept),
        "points": [
            (0, rows(rng, 0.1, 0.2, 0.5, **kept)),
            (5, rows(rng, 0.9, 0.8, 1.5, **kept)),
            (9, shuffled(rows(rng, 0.4, 1.4, 4.0, **kept), 1)),
        ],
        "pool": shuffled(
            [r for _ in range(4) for r in rows(rng, 0.3, 0.3, 0.0, **kept)],
            2,
        ),
    }


@pytest.fixture(scope="module")
def found(run: dict[str, Any]) -> Evidence:
    return measure(run["base"], {"a": ArmRows("ppo", run["points"])}, run["pool"], (1, 2, 3, 4, 8))


def by_prompt(found: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {row["prompt_id"]: row for row in found}


def mean(values: Any) -> float:
    return float(np.mean(values))


def test_points_equal_a_plain_recomputation(run: dict[str, Any], found: Evidence) -> None:
    base = by_prompt(run["base"])
    assert (found.baseline_name, found.prompts) == ("sft", 40)
    same(found.baseline_gold, [r["gold"] for r in run["base"]])
    same(found.baseline_proxy, [mean(r["proxy"]) for r in run["base"]])
    assert [a.name for a in found.arms] == ["a"]
    assert found.arms[0].method == "ppo"
    for point, (step, samples) in zip(found.arms[0].points, run["points"], strict=True):
        assert point.step == step
        same(point.gold, [r["gold"] for r in samples])
        same(point.proxy, [mean(r["proxy"]) for r in samples])
        same(point.gold_gain, [r["gold"] - base[r["prompt_id"]]["gold"] for r in samples])
        same(
            point.proxy_gain,
            [mean(r["proxy"]) - mean(base[r["prompt_id"]]["proxy"]) for r in samples],
        )
        wins = [float(r["gold"] > base[r["prompt_id"]]["gold"]) for r in samples]
        same_share(point.win_rate, wins)
        assert point.ensemble_spread == pytest.approx(mean([np.std(r["proxy"]) for r in samples]))
        same(point.kl.k1, [r["logp"] - r["ref_logp"] for r in samples])
        same(point.kl.exact, [r["kl_exact"] for r in samples])
        exact = [r["kl_exact"] for r in samples]
        assert point.kl.root == pytest.approx(math.sqrt(mean(exact)))
        assert point.kl.per_token == pytest.approx(sum(exact) / (9 * len(exact)))


def test_the_late_drop_is_chosen_on_one_half_and_measured_on_the_other(
    run: dict[str, Any], found: Evidence
) -> None:
    points = [(step, sorted(r, key=lambda x: x["prompt_id"])) for step, r in run["points"]]
    gold = [[row["gold"] for row in samples] for _, samples in points]
    drops: list[float] = [0.0] * 40
    for chosen in (0, 1):
        choose = [i for i in range(40) if i % 2 == chosen]
        best_point = max(range(2), key=lambda t: sum(gold[t][i] for i in choose))
        for i in range(40):
            if i % 2 != chosen:
                drops[i] = gold[2][i] - gold[best_point][i]
    same(found.arms[0].late_drop, drops)  # whatever the order of a point's rows
    two = measure(run["base"], {"a": ArmRows("ppo", points[:2])})
    assert two.arms[0].late_drop is None


def test_the_best_point_of_noise_is_not_measured_on_the_noise_that_chose_it() -> None:
    """Twelve points that differ by chance alone: chosen and measured on the same prompts, the end
    would seem to have dropped by .3 deviations."""
    drops = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        samples = [columns(rows(rng, 0.0, 0.0, 0.0, n=40, words=1)) for _ in range(12)]
        drop = evidence._late_drop(samples)
        assert drop is not None
        drops.append(drop.value)
    assert abs(mean(drops)) < 4 * float(np.std(drops)) / math.sqrt(60)


def test_best_of_n_equals_all_subsets_with_gold_and_wins(
    run: dict[str, Any], found: Evidence
) -> None:
    base = by_prompt(run["base"])
    pools = {p: [r for r in run["pool"] if r["prompt_id"] == p] for p in range(40)}
    assert [p.n for p in found.best_of] == [1, 2, 3, 4]  # 8 is more than there are
    for point in found.best_of:
        proxy, gold, wins = [], [], []
        for p, pool in pools.items():
            select = [mean(r["proxy"]) for r in pool]
            proxy.append(best(select, select, point.n))
            gold.append(best(select, [r["gold"] for r in pool], point.n))
            won = [float(r["gold"] > base[p]["gold"]) for r in pool]
            wins.append(best(select, won, point.n))
        same(point.proxy, proxy)
        same(point.gold, gold)
        same_share(point.win_rate, wins, answers=4)
        bound = math.log(point.n) - (point.n - 1) / point.n
        assert point.kl_bound == pytest.approx(bound)
        assert point.root_kl == pytest.approx(math.sqrt(bound))
    d = np.array([p.root_kl for p in found.best_of])
    gains = np.array([p.gold.value - found.best_of[0].gold.value for p in found.best_of if p.gold])
    assert found.best_of_fit == overoptimisation.fit(
        d, gains[:, None], "best_of_n"
    )  # None: 4 with the start


def test_best_of_n_is_a_fit_where_there_are_points_enough_and_gold(run: dict[str, Any]) -> None:
    pool = [r for r in run["pool"] for _ in range(2)]
    sizes = (1, 2, 3, 4, 5, 6, 8)
    got = measure(run["base"], {}, pool, sizes)
    d = np.array([p.root_kl for p in got.best_of])
    gold = np.array([p.gold.value for p in got.best_of if p.gold])
    assert got.best_of_fit is not None
    plainly = overoptimisation.fit(d, (gold - gold[0])[:, None], "best_of_n")
    assert plainly is not None
    assert got.best_of_fit.alpha == pytest.approx(plainly.alpha)
    assert got.best_of_fit.beta == pytest.approx(plainly.beta)
    assert got.best_of_fit.beta_low is not None
    assert got.best_of_fit.beta_low < plainly.beta
    blind = [r | {"gold": None} for r in pool]
    none = measure(run["base"], {}, blind, sizes)
    assert none.best_of_fit is None
    assert all(p.gold is None and p.win_rate is None for p in none.best_of)
    assert [p.proxy for p in none.best_of] == [p.proxy for p in got.best_of]
    assert measure(run["base"], {}).best_of == []
    without = measure([r | {"gold": None} for r in run["base"]], {}, pool, sizes)
    assert all(p.win_rate is None and p.gold is not None for p in without.best_of)
    with pytest.raises(ValueError, match="the same number of samples"):
        measure(run["base"], {}, pool[:-1], sizes)
    assert [p.n for p in measure(run["base"], {}, pool).best_of] == [1, 2, 4, 8]


def test_ties_with_the_baseline_count_half() -> None:
    proxy, gold = np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]])
    (point,) = best_of_n.curve(proxy, gold, np.array([3.0]), np.full((1, 2), -9.0), (1,))
    assert point.win_rate is not None
    assert point.win_rate.value == 0.25
    assert winrate.win_rate(gold[0], np.array([3.0, -1.0]), [0, 1]).value == 0.75


def test_pairings_are_the_first_prompts_side_by_side(run: dict[str, Any], found: Evidence) -> None:
    base, last = by_prompt(run["base"]), run["points"][-1][1]
    assert len(found.arms[0].pairings) == 12
    for pairing, row in zip(found.arms[0].pairings, last, strict=False):
        before = base[row["prompt_id"]]
        assert (pairing.prompt, pairing.before) == (row["prompt"], before["response"])
        assert pairing.after == row["response"]
        assert (pairing.gold_before, pairing.gold_after) == (before["gold"], row["gold"])
        assert pairing.proxy_before == pytest.approx(mean(before["proxy"]))
        assert pairing.proxy_after == pytest.approx(mean(row["proxy"]))
    other = rows(np.random.default_rng(0), 0, 0, 0, n=41)
    with pytest.raises(DataError, match=re.escape("no sample for prompts [40]")):
        measure(run["base"], {"a": ArmRows("ppo", [(0, other)])})
    with pytest.raises(DataError, match=re.escape("no sample for prompts [40]")):
        measure(run["base"], {}, other, (1,))


def test_text_measures_equal_a_plain_recomputation(run: dict[str, Any], found: Evidence) -> None:
    every = [*run["base"], *run["points"][-1][1]]
    split = [re.findall(r"[\w']+|[^\w\s]", r["response"].lower()) for r in every]
    length = max(4, int(np.percentile([len(t) for t in split], 25)))
    for text, samples in (
        (found.baseline_text, run["base"]),
        (found.arms[0].points[-1].text, run["points"][-1][1]),
    ):
        texts = [re.findall(r"[\w']+|[^\w\s]", r["response"].lower()) for r in samples]
        same(text.tokens, [r["response_tokens"] + 0.0 for r in samples])
        same_share(text.finished, [float(r["finished"]) for r in samples])
        assert text.words == length
        assert text.too_short == sum(len(t) < length for t in texts)
        for n, distinct in ((1, text.distinct_1), (2, text.distinct_2)):
            grams = [
                tuple(t[i : i + n])
                for t in texts
                if len(t) >= length
                for i in range(length - n + 1)
            ]
            assert distinct == pytest.approx(len(set(grams)) / len(grams))
        repeated = []
        for t in texts:
            seen: set[tuple[str, ...]] = set()
            again = 0
            for i in range(len(t) - 3):
                again += tuple(t[i : i + 4]) in seen
                seen.add(tuple(t[i : i + 4]))
            repeated.append(again / (len(t) - 3))
        same_share(text.repeated, repeated)
        assert text.unique == len({r["response"] for r in samples}) / len(samples)


def test_short_texts_are_counted_and_a_limit_compares_equal_numbers() -> None:
    made = rows(np.random.default_rng(1), 0, 0, 0, n=6)
    for row, text in zip(
        made, ("a b c d", "a b", "a b c d", "a b c", "a b c d e", "x"), strict=True
    ):
        row["response"] = text
    samples = columns(made)
    assert text_measures.equal_length([["a"] * 3] * 9) == 4
    assert text_measures.equal_length([["a"] * n for n in (8, 8, 6, 12, 20)]) == 8
    got = text_measures.measure(samples, 4)
    assert (got.too_short, got.unique) == (3, 5 / 6)
    assert got.distinct_1 == pytest.approx(4 / 12)
    limited = text_measures.measure(samples, 4, limit=2)
    assert (limited.too_short, limited.distinct_1) == (1, 1.0)
    assert text_measures.distinct([["a"]], 1, 4) == 0.0


def test_variety_is_compared_within_the_length_alone() -> None:
    """The responses differ in their fourth word, the first three are the same."""
    before, after = [f"a b c x{i}" for i in range(8)], ["a b c y"] * 8
    assert text_measures.exchanged(before, after, 3) == (1.0, 1 / 2**8)
    assert text_measures.exchanged(before, after, 4)[0] == 1 / 2**8
    assert text_measures.exchanged(after, before, 4) == (1.0, 1.0)


def test_shifts_equal_monroes_equations() -> None:
    rng = np.random.default_rng(0)
    before = [" ".join(rng.choice(list("abcdefg"), 8)) for _ in range(40)]
    after = [" ".join(rng.choice(list("abcdegh"), 8, p=[0.5, *[1 / 12] * 6])) for _ in range(40)]
    got = text_measures.shifts(before, after, most=3)
    expected = []
    for size in (1, 2):
        counts = []
        for texts in (before, after):
            parts = [t.split() for t in texts]
            counts.append(
                Counter(" ".join(p[i : i + size]) for p in parts for i in range(len(p) - size + 1))
            )
        n = [sum(c.values()) for c in counts]
        prior = counts[0] + counts[1]
        a0 = sum(prior.values())
        for w, a in prior.items():
            if a >= 5:
                y = [c[w] + a for c in counts]
                delta = math.log(y[1] / (n[1] + a0 - y[1])) - math.log(y[0] / (n[0] + a0 - y[0]))
                z = delta / math.sqrt(1 / y[0] + 1 / y[1])
                expected.append((z, w, counts[0][w], counts[1][w]))
    expected.sort()
    rose = [e for e in expected[::-1][:3] if e[0] > 1.96]
    fell = [e for e in expected[:3] if e[0] < -1.96]
    assert rose
    assert fell
    assert [(s.phrase, s.before, s.after) for s in got] == [e[1:] for e in rose + fell]
    assert [s.z for s in got] == pytest.approx([e[0] for e in rose + fell])
    assert text_measures.shifts([""], [""]) == []
    assert len(text_measures.shifts(before, after)) > len(got)


# --- distance -------------------------------------------------------------------------------------
def distance_of(k1: Any, exact: Any) -> kl.KL:
    """The KL measured on samples with these two estimates."""
    made = rows(np.random.default_rng(0), 0, 0, 0, n=len(k1))
    for row, one, whole in zip(made, k1, exact, strict=True):
        row.update(logp=0.0, ref_logp=-float(one), kl_exact=float(whole))
    return kl.measure(columns(made))


def test_the_kl_alarms_sound_at_their_thresholds() -> None:
    noise = np.random.default_rng(0).normal(size=30)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * math.sqrt(30)  # its mean's error: 1
    for error in (0.1, 1.0):
        below, above = reach(noise, error, 0.9999)
        for sign in (1, -1):
            bound = (below if sign > 0 else above) + 0.05
            for beyond in (1e-3, -1e-3):
                gap = error * noise + sign * (bound + beyond)
                alarm = distance_of(9 + gap, np.full(30, 9.0)).alarm
                assert (alarm is not None) == (beyond > 0)
                assert not alarm or f"differ by {sign * (bound + beyond):.3g} [" in alarm
        for beyond in (1e-3, -1e-3):
            k1 = error * noise - reach(noise, error, 0.95)[1] - 0.05 - beyond
            found = distance_of(k1, k1)
            assert (found.alarm is not None) == (beyond > 0)
            assert found.root == 0.0  # not the root of a negative number


# --- gain, length ---------------------------------------------------------------------------------
def test_gain_at_equal_length_is_none_where_nothing_can_be_said() -> None:
    ones, zeros = np.ones(60), np.zeros(60)
    lengths = np.arange(60.0)
    rng = np.random.default_rng(0)
    gain = winrate.gain_at_equal_length
    whole = gain(ones, lengths, zeros, lengths)
    assert whole is not None
    assert whole.value == pytest.approx(1.0)
    noise = rng.normal(size=60)
    assert gain(noise, lengths, -noise * 0.01, lengths) is None  # no clear gain
    assert gain(ones, lengths + 1000, zeros, lengths) is None  # no length in common
    assert gain(ones[:19], lengths[:19], zeros[:19], lengths[:19]) is None  # too few
    assert gain(ones[:20], lengths[:20] * 0, zeros[:20], lengths[:20] * 0) is not None


def test_gain_at_equal_length_weighs_bins_by_what_both_have() -> None:
    mine, theirs = np.array([1.0] * 30 + [9.0] * 10), np.array([1.0] * 10 + [9.0] * 30)
    reward = np.where(mine == 1, 2.0, 5.0)
    base = np.where(theirs == 1, 1.0, 1.0)
    share = winrate.gain_at_equal_length(reward, mine, base, theirs)
    total = reward.mean() - 1
    assert share is not None
    assert share.value == pytest.approx((10 * 1 + 10 * 4) / 20 / total)
    assert share.above(0.5)


# --- overoptimisation -----------------------------------------------------------------------------
def test_a_fit_gives_its_share_explained_and_its_interval_over_prompts() -> None:
    rng = np.random.default_rng(3)
    d = np.linspace(0.2, 3, 12)
    gain_TP = (d * (1 - 0.3 * d))[:, None] + 0.3 * rng.normal(size=(12, 25))
    got = overoptimisation.fit(d, gain_TP, "best_of_n")
    assert got is not None
    basis, gain = np.stack([d, -d * d], 1), gain_TP.mean(1)
    (alpha, beta), residual = np.linalg.lstsq(basis, gain, rcond=None)[:2]
    assert (got.alpha, got.beta) == pytest.approx((alpha, beta))
    spread = float(((gain - gain.mean()) ** 2).sum())
    assert got.r_squared == pytest.approx(1 - float(residual[0]) / spread)
    each = [float(np.linalg.lstsq(basis, one, rcond=None)[0][1]) for one in gain_TP.T]
    assert (got.beta_low, got.beta_high) == pytest.approx(plain(each)[2:4])
    start = overoptimisation.fit(
        np.append(0.0, d), np.concatenate([np.full((1, 25), 7.0), gain_TP]), "best_of_n"
    )
    assert start == got  # the start itself says nothing of the curve
    one = overoptimisation.fit(d, gain_TP[:, :1], "best_of_n")
    assert one is not None
    assert (one.beta_low, one.beta_high) == (None, None)


def test_a_fit_pairs_the_points_of_an_arm_by_prompt() -> None:
    """In whatever order a point has its rows."""
    rng = np.random.default_rng(6)
    base = rows(rng, 0.0, 0.0, 0.0, n=20)
    points = [(i, rows(rng, 0.3 * i, 0.2 * i, 0.5 + i, n=20)) for i in range(5)]
    mixed = [(step, shuffled(found, step)) for step, found in points]
    one, other = (
        measure(base, {"a": ArmRows("ppo", found)}).arms[0].fit for found in (points, mixed)
    )
    assert one is not None
    assert other is not None
    assert other.beta == pytest.approx(one.beta)
    assert (other.beta_low, other.beta_high) == (
        pytest.approx(one.beta_low),
        pytest.approx(one.beta_high),
    )


def test_what_never_turns_has_no_peak() -> None:
    d = np.linspace(0.3, 4, 12)
    for form in ("best_of_n", "rl"):
        rising = overoptimisation.fit(d, (d * 2.0)[:, None], form)  # type: ignore[arg-type]
        assert rising is not None
        assert rising.peak is None or rising.peak > 1e3
        falling = overoptimisation.fit(d, (-d * 2.0 - 0.1 * d * d)[:, None], form)  # type: ignore[arg-type]
        assert falling is not None
        assert falling.peak is None
        assert overoptimisation._peak(0.0, 1.0, form) is None  # type: ignore[arg-type]
        assert overoptimisation._peak(1.0, 0.0, form) is None  # type: ignore[arg-type]
    assert overoptimisation._peak(2e6, 1.0, "best_of_n") is None
    assert overoptimisation._peak(1.9e6, 1.0, "best_of_n") == 0.95e6
    flat = overoptimisation.fit(d, 0 * d[:, None], "rl")
    assert flat is not None
    assert flat.r_squared == 0.0
    assert overoptimisation.fit(d[:4], d[:4, None], "rl") is not None


# --- reward card ----------------------------------------------------------------------------------
def test_calibration_equals_a_plain_recomputation() -> None:
    rng = np.random.default_rng(5)
    gap = np.append(rng.normal(0.8, 2.0, 200), [0.0, 0.0])
    got = reward_card.calibration(gap, list(range(202)), 1.7)
    p = 1 / (1 + np.exp(-gap / 1.7))
    confidence = np.maximum(p, 1 - p)
    right = np.where(gap > 0, 1.0, np.where(gap == 0, 0.5, 0.0))
    assert got.nll.value == pytest.approx(mean(-np.log(p)))
    assert got.brier.value == pytest.approx(mean((1 - p) ** 2))
    assert got.temperature == 1.7
    bins = []
    for b in range(10):
        low, high = 0.5 + 0.05 * b, 0.55 + 0.05 * b
        inside = (confidence >= low - 1e-12) & ((confidence < high - 1e-12) | (b == 9))
        if inside.any():
            bins.append((mean(confidence[inside]), mean(right[inside]), int(inside.sum())))
    assert [(b.confidence, b.accuracy.value, b.pairs) for b in got.bins] == [
        pytest.approx(b) for b in bins
    ]
    assert all(b.accuracy.n == b.pairs for b in got.bins)
    assert got.ece.value == pytest.approx(sum(n * abs(c - a) for c, a, n in bins) / len(gap))


def test_intervals_of_calibration_rest_on_prompts_not_pairs() -> None:
    rng = np.random.default_rng(8)
    gap = rng.normal(0.8, 2.0, 60)
    once = reward_card.calibration(gap, list(range(60)), 1.0)
    twice = reward_card.calibration(np.tile(gap, 2), [*range(60)] * 2, 1.0)
    assert once.brier.low < once.brier.value < once.brier.high  # type: ignore[operator]
    for name in ("nll", "ece"):
        one, two = getattr(once, name), getattr(twice, name)
        for part in ("value", "error", "low", "high"):
            assert getattr(two, part) == pytest.approx(getattr(one, part), rel=1e-6), name
        assert one.low <= one.value <= one.high
    one = temperature_of(gap, list(range(60)))
    two = temperature_of(np.tile(gap, 2), [*range(60)] * 2)
    assert two.low == pytest.approx(one.low, rel=1e-6)
    step = 1e-4
    nll = [-np.log(1 / (1 + np.exp(-gap / (one.value * np.exp(h))))) for h in (-step, step)]
    assert one.error is not None
    influence = (nll[1] - nll[0]) / (2 * step)
    middle = -np.log(1 / (1 + np.exp(-gap / one.value)))
    bend = (nll[0] + nll[1] - 2 * middle).mean() / step**2
    by_hand = np.sqrt((influence**2).sum() / (60 * 59)) / bend * one.value
    assert one.error == pytest.approx(by_hand, rel=1e-2)
    alone = reward_card.calibration(gap, [3] * 60, 1.0)
    assert alone.ece.low is alone.nll.low is alone.brier.low is None
    assert temperature_of(np.abs(gap), list(range(60))).low is None  # all right: T has no least


def test_temperatures_come_from_the_other_folds() -> None:
    rng = np.random.default_rng(6)
    prompts = [int(p) for p in rng.integers(0, 23, 120)]
    gap = rng.normal(0.7, 2.0, 120)
    temperature = np.ones(120)
    for fold in range(5):
        mine = np.array([p % 5 == fold for p in prompts])
        temperature[mine] = reward_card.best_temperature(gap[~mine])
    assert reward_card.cross_fitted(gap, prompts) == reward_card.calibration(
        gap, prompts, temperature
    )
    assert reward_card.cross_fitted(gap, [7] * 120) == reward_card.calibration(
        gap, [7] * 120, np.ones(120)
    )
    in_two = reward_card.cross_fitted(gap, prompts, folds=2)
    assert in_two != reward_card.cross_fitted(gap, prompts)


def test_a_card_gives_every_rule_its_share() -> None:
    gap = np.array([[2.0, -1.0, 0.0, 1.0], [4.0, -3.0, 2.0, -3.0]])
    gold, longer = np.array([1.0, 1.0, -1.0, 0.0]), np.array([1.0, -1.0, 0.0, 1.0])
    got = reward_card.card(gap, [0, 1, 2, 2], longer, gold, temperature=2.0)
    assert got.pairs == 4
    assert got.accuracy.value == 0.5  # right, wrong, right, wrong of the members' mean
    assert got.accuracy == share_mean([1.0, 0.0, 1.0, 0.0], [0, 1, 2, 2])
    assert got.members == [0.625, 0.5]
    assert got.longer_wins == share_mean([1.0, 0.0, 0.5, 1.0], [0, 1, 2, 2])
    assert got.gold_accuracy == share_mean([1.0, 0.0, 0.0, 0.5], [0, 1, 2, 2])
    assert got.label_gold_accuracy == share_mean([1.0, 1.0, 0.0, 0.5], [0, 1, 2, 2])
    assert got.spread == pytest.approx(mean([1.0, 1.0, 1.0, 2.0]))
    assert got.before == reward_card.calibration(gap.mean(0), [0, 1, 2, 2], 2.0)
    assert got.after == reward_card.cross_fitted(gap.mean(0), [0, 1, 2, 2])
    without = reward_card.card(gap, [0, 1, 2, 2], longer)
    assert without.gold_accuracy is without.label_gold_accuracy is None
    assert without.before == reward_card.calibration(gap.mean(0), [0, 1, 2, 2], 1.0)


# --- gold turning ---------------------------------------------------------------------------------
@pytest.mark.parametrize("planned", [2, 5, 9])
def test_gold_turned_is_a_paired_t_test_by_bonferroni(planned: int) -> None:
    rng = np.random.default_rng(planned)
    before = rng.normal(size=30)
    noise = rng.normal(size=30)
    comparisons = planned * (planned - 1) / 2
    for level in (0.01, 0.05):
        scaled = (noise - noise.mean()) / noise.std(ddof=1)
        bound = reach(scaled, 1.0, 1 - 2 * level / comparisons)[1]
        for factor, fires in ((1.0001, True), (0.9999, False)):
            # The difference has mean -factor * bound standard errors.
            change = scaled - factor * bound / math.sqrt(30)
            points = [
                ProxyGoldPoint(0, before, before),
                ProxyGoldPoint(7, before + 1, before + change),
            ]
            got = gold_turned(points, planned, level)
            assert (got is not None) == fires
            if got:
                fell, chance = factor * bound / math.sqrt(30), bound / math.sqrt(30)
                assert got == (
                    f"gold fell by {fell:.3g} (chance: {chance:.2g}) between steps 0 and 7 on 30 "
                    "prompts, while the proxy rose by 1"
                )
                assert gold_turned(points, planned, level / 10) is None
                assert (
                    gold_turned([points[0], ProxyGoldPoint(7, before, points[1].gold_P)], 2) is None
                )
    assert gold_turned([ProxyGoldPoint(0, before[:1], before[:1])] * 2, 2) is None
    assert gold_turned(points[:1], 2) is None


def test_more_points_than_planned_count_too() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=30)
    change = rng.normal(size=30)
    change = (change - change.mean()) / change.std(ddof=1)
    bound = reach(change, 1.0, 1 - 2 * 0.01 / 6)[1] / math.sqrt(30)
    for factor, fires in ((1.0001, True), (0.9999, False)):
        end = ProxyGoldPoint(9, before + 1, before + change - factor * bound)
        points = [ProxyGoldPoint(i, before, before) for i in range(3)] + [end]
        assert (gold_turned(points, 2) is not None) == fires


# --- verdicts at their thresholds -----------------------------------------------------------------
def near(value: float, half: float = 0.0, n: int = 120) -> Estimate:
    error = half / Z
    return Estimate(value=value, error=error, low=value - half, high=value + half, n=n)


@pytest.fixture(scope="module")
def well() -> Evidence:
    baseline = rows(np.random.default_rng(99), 0.0, 0.0, 0.0)
    return measure(baseline, {"ppo": ArmRows("ppo", healthy(0))})


def with_last(made: Evidence, arm: dict[str, Any] | None = None, **last: Any) -> Evidence:
    """The evidence with other values at its arm's last point."""
    old = made.arms[0]
    text = old.last.text.model_copy(update=last.pop("text", {}))
    kl = old.last.kl.model_copy(update=last.pop("kl", {}))
    point = old.last.model_copy(update={"text": text, "kl": kl, **last})
    changed = old.model_copy(update={"points": [*old.points[:-1], point], **(arm or {})})
    return made.model_copy(update={"arms": [changed]})


def fired(made: Evidence) -> set[str]:
    return {rule.name for rule in verdict.decide(made).arms[0].rules if rule.fired}


SUCCESS = {"wins by gold", "gold rose"}


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("gold below the start", {"gold_gain": near(-1.0, 0.999)}, {"gold_gain": near(-1.0, 1.0)}),
        ("wins by gold", {"win_rate": near(0.7, 0.199)}, {"win_rate": near(0.7, 0.2001)}),
        ("gold rose", {"gold_gain": near(1.0, 0.999)}, {"gold_gain": near(1.0, 1.001)}),
        ("KL estimators disagree", {"kl": {"alarm": "they differ"}}, {"kl": {"alarm": None}}),
    ],
)
def test_rules_of_intervals_fire_beyond_them(
    well: Evidence, name: str, inside: dict[str, Any], outside: dict[str, Any]
) -> None:
    assert name in fired(with_last(well, **inside))
    assert name not in fired(with_last(well, **outside))


def test_rules_of_collapse_fire_at_their_shares(well: Evidence) -> None:
    base = well.baseline_text
    sure, unsure = 0.025, 0.026
    few, alike = 0.499 * base.distinct_2, 0.499 * base.unique
    cases: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
        (
            "diversity lost",
            {"text": {"distinct_2": few}, "arm": {"distinct_chance": sure}},
            [
                {"text": {"distinct_2": 0.5 * base.distinct_2}, "arm": {"distinct_chance": sure}},
                {"text": {"distinct_2": few}, "arm": {"distinct_chance": unsure}},
            ],
        ),
        (
            "answers are the same",
            {"text": {"unique": alike}, "arm": {"unique_chance": sure}},
            [
                {"text": {"unique": 0.5 * base.unique}, "arm": {"unique_chance": sure}},
                {"text": {"unique": alike}, "arm": {"unique_chance": unsure}},
            ],
        ),
        (
            "repetition",
            {"text": {"repeated": near(0.3, 0.049)}},
            [{"text": {"repeated": near(0.3, 0.051)}}],
        ),
        (
            "responses stopped finishing",
            {"arm": {"finished_gain": near(-0.5, 0.099)}},
            [{"arm": {"finished_gain": near(-0.5, 0.101)}}],
        ),
    ]
    for name, inside, outside in cases:
        got = verdict.decide(with_last(well, **inside))
        assert name in {r.name for r in got.arms[0].rules if r.fired}
        assert got.outcome == "collapsed"
        for made in outside:
            assert name not in fired(with_last(well, **made))
    assert fired(well) == SUCCESS


def test_a_drop_from_the_peak_counts_beyond_a_quarter_of_the_deviation(well: Evidence) -> None:
    assert well.baseline_gold is not None
    deviation = well.baseline_gold.error * math.sqrt(well.baseline_gold.n)
    name = "gold below its own peak"
    for factor, half, expected in ((1.05, 0.01, True), (1.05, 0.02, False), (9.0, 9.0, False)):
        drop = near(-0.25 * deviation * factor, half * deviation)
        made = with_last(well, {"late_drop": drop})
        assert (name in fired(made)) == expected
    still = with_last(well, {"late_drop": near(-9.0)}, proxy_gain=near(1.0, 1.001))
    assert name not in fired(still)
    assert name in fired(with_last(well, {"late_drop": near(-9.0)}, proxy_gain=near(1.0, 0.999)))
    made = with_last(well, {"late_drop": None})
    assert name not in {rule.name for rule in verdict.decide(made).arms[0].rules}


def test_a_few_phrases_carry_the_gain_where_half_of_it_surely_goes_with_them(
    well: Evidence,
) -> None:
    name = "a few phrases carry the gain"
    exact = Estimate(value=1.0, error=0.0, low=None, high=None, n=120)
    one = Estimate(value=1.0, error=None, low=None, high=None, n=1)
    cases = ((near(0.8, 0.2), True), (near(0.8, 0.4), False), (exact, True), (one, False))
    for carried, expected in (*cases, (None, False)):
        shown = Dominance(phrases=["so it is"], before=[0.1], after=[0.9], carried=carried)
        found = well.arms[0].exploits.model_copy(update={"dominance": shown})
        assert (name in fired(with_last(well, {"exploits": found}))) == expected, carried


def test_a_reward_model_is_blind_by_what_its_labels_allow(well: Evidence) -> None:
    name = "the reward model cannot tell"
    gap = np.random.default_rng(0).normal(size=(1, 200))
    card = reward_card.card(gap, list(range(200)), None)
    none = [None, None, None]
    cases = [
        (None, 0.59, True),  # labels that never err: 41 % surely wrong
        (None, 0.61, False),
        ([0.7, 0.65, 0.75], 0.55, False),  # a third of what is to be had
        ([0.7, 0.65, 0.75], 0.529, True),
        (none, 0.59, True),
        ([0.52, 0.49, 0.55], 0.59, True),  # labels that may be coins allow nothing
    ]
    for ceiling, high, expected in cases:
        agreement = None
        if ceiling is not None:
            agreement = AgreementRow(
                alpha=none,
                with_ties=none,
                strict=none,
                ceiling=ceiling,
                units=9,
                judgements=9,
                not_measurable={},
            )
        seen = card.model_copy(update={"accuracy": near(high - 0.03, 0.03)})
        made = well.model_copy(update={"reward_card": seen, "agreement": agreement})
        assert (name in fired(made)) == expected, (ceiling, high)


def test_phrases_stand_beside_a_success_and_are_gaming_without_one(well: Evidence) -> None:
    shown = Dominance(phrases=["so it is"], before=[0.1], after=[0.9], carried=near(0.8, 0.1))
    found = {"exploits": well.arms[0].exploits.model_copy(update={"dominance": shown})}
    beside = verdict.decide(with_last(well, found))
    assert beside.outcome == "worked"
    assert beside.reason.startswith("gold prefers it")
    assert "; but 'so it is' (10% to 90%) came to dominate" in beside.reason
    alone = verdict.decide(with_last(well, found, gold_gain=near(0.1, 0.5)))
    assert alone.outcome == "gamed"
    assert alone.reason.startswith("'so it is'")


def test_the_reason_is_the_most_serious_rules_and_names_its_arm_among_several(
    well: Evidence,
) -> None:
    one = verdict.decide(well)
    assert one.outcome == "worked"
    assert one.reason == one.arms[0].rules[-3].statement  # "wins by gold"
    assert one.reason.startswith("gold prefers it")
    bad = with_last(well, {"unique_chance": 0.001}, gold_gain=near(-1.0, 0.1), text={"unique": 0.0})
    gamed = verdict.decide(bad)
    assert gamed.outcome == "gamed"  # not collapsed, though that rule fired too
    assert gamed.reason.startswith("proxy changed by")
    assert gamed.stopped_by_guard is None
    second = bad.arms[0].model_copy(update={"name": "dpo"})
    both = verdict.decide(well.model_copy(update={"arms": [*well.arms, second]}), guard="by hand")
    assert both.outcome == "gamed"
    assert both.reason == "dpo: " + gamed.reason
    assert both.stopped_by_guard == "by hand"
    third = second.model_copy(update={"name": "kto"})
    three = verdict.decide(well.model_copy(update={"arms": [*well.arms, second, third]}))
    assert three.reason == f"dpo: {gamed.reason}; kto: {gamed.reason}"
    none = verdict.decide(well.model_copy(update={"arms": []}), guard="x")
    assert (none.outcome, none.stopped_by_guard) == ("inconclusive", "x")
    alarm = verdict.decide(with_last(well, kl={"alarm": "they differ"}))
    assert (alarm.outcome, alarm.reason) == ("inconclusive", "they differ")


def test_doubt_says_what_could_have_been_seen(well: Evidence) -> None:
    made = with_last(well, win_rate=near(0.55, 0.1), gold_gain=near(0.1, 0.2))
    got = verdict.decide(made)
    assert got.outcome == "inconclusive"
    least = (Z + 0.8416) * 0.1 / Z
    assert "gold win rate 55% [45%, 65%] includes chance; with 120 prompts" in got.reason
    assert f"a difference below {least:.0%}" in got.reason
    half = with_last(well, win_rate=near(0.55, 0.01), gold_gain=near(0.1, 0.2))
    assert verdict.decide(half).outcome == "inconclusive"  # one of the two rules is not enough
    for missing in ("win_rate", "gold_gain"):
        rules = verdict.decide(with_last(well, **{missing: None})).arms[0].rules
        assert not SUCCESS & {rule.name for rule in rules}


def test_arms_are_compared_to_gold_only_where_both_have_it() -> None:
    rng = np.random.default_rng(2)
    base, points = rows(rng, 0, 0, 0), path(rng, [0.0] * 3, [0.0, 0.5, 1.0], [0.0, 1.0, 2.0])
    blind = [r | {"gold": None} for r in base]
    one = measure(blind, {"a": ArmRows("ppo", points)})
    assert one.baseline_gold is None
    assert one.arms[0].points[0].gold_gain is None
    assert one.arms[0].points[0].gold is None
    assert one.arms[0].fit is None
    assert one.arms[0].pairings[0].gold_before is None
    mixed = [*points[:2], (20, [r | {"gold": None} for r in points[2][1]])]
    two = measure(base, {"a": ArmRows("ppo", mixed)})
    assert two.arms[0].late_drop is None
    assert two.arms[0].points[-1].win_rate is None


# --- comparison -----------------------------------------------------------------------------------
def test_curves_are_interpolated_in_the_root_of_the_distance() -> None:
    curves = [[(0.0, 0.0), (4.0, 2.0)], [(0.0, 0.0), (1.0, 4.0), (16.0, 8.0)]]
    got = comparison.mean_curve(curves)
    assert len(got) == 24
    assert [root for root, _ in got] == pytest.approx(list(np.linspace(0, 2, 24)))
    assert got[-1][1].value == pytest.approx((2.0 + (4.0 + 4.0 / 3)) / 2)
    assert comparison.at_distance([(-0.1, 0.0), (4.0, 2.0)], 1.0) == pytest.approx(1.0)
    assert comparison.at_distance(curves[0], 4.0) == pytest.approx(2.0)


# --- every value ----------------------------------------------------------------------------------
KINDS = sorted(
    {
        value
        for module in pkgutil.iter_modules(accord.examine.__path__)
        for value in vars(importlib.import_module(f"accord.examine.{module.name}")).values()
        if isinstance(value, type) and value.__module__.startswith("accord.")
    },
    key=lambda kind: kind.__name__,
)
MODELS = [kind for kind in KINDS if issubclass(kind, BaseModel)]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_evidence_is_closed_and_cannot_be_changed(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate({"no_such_field": 1})
    assert kind.model_config.get("frozen") is True


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if is_dataclass(k)], ids=lambda kind: kind.__name__
)
def test_a_plain_value_cannot_be_changed(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
