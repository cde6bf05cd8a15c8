"""Intervals that hold at few units and at the edge, whatever the order of the file."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from zoo import healthy, rows

from accord.examine import kl, turning, verdict, winrate
from accord.examine.evidence import ArmRows, measure
from accord.examine.rows import columns
from accord.feedback.agreement import measure as measure_agreement
from accord.feedback.agreement_kinds import measure_all
from accord.feedback.records import Feedback
from accord.statistics.clusters import clustered, clustered_share, jackknife
from accord.statistics.intervals import Interval, difference, share
from accord.statistics.means import (
    Estimate,
    clustered_mean,
    paired_difference,
    positive_mean,
    share_mean,
    student_mean,
)
from accord.statistics.significance import exchange_p, mcnemar
from accord.statistics.softmax import log_total, softmax


# --- agreement whatever the order -----------------------------------------------------------------
def judged(seed: int, prompts: int = 30, raters: int = 5, pairs: int = 1) -> list[Feedback]:
    """Comparisons, thumbs and ratings; some annotators answer twice."""
    rng = np.random.default_rng(seed)
    records: list[dict[str, Any]] = []
    for p, k, a in product(range(prompts), range(pairs), range(raters)):
        options = [{"id": f"o{2 * k + i}", "content": "x", "shown_at": i} for i in range(2)]
        common = {"prompt": f"p{p}", "annotator": f"a{a}"}
        for again in range(2 if rng.random() < 0.2 else 1):
            name = f"{p}-{k}-{a}-{again}"
            drawn = rng.random()
            choice = {"tie": True} if drawn < 0.2 else {"preferred": f"o{2 * k + (drawn < 0.5)}"}
            records += [
                {"id": f"c{name}", "kind": "comparison", "choice": choice, "options": options},
                {
                    "id": f"t{name}", "kind": "thumb", "options": options[:1],
                    "choice": {"up": bool(rng.random() < 0.8)},
                },
                {
                    "id": f"r{name}", "kind": "rating", "options": options[:1],
                    "choice": {"scores": {"good": float(rng.integers(1, 6))}, "low": 1, "high": 5},
                },
            ]  # fmt: skip
            for record in records[-3:]:
                record |= common
    return [Feedback.model_validate(record) for record in records]


def test_agreement_is_the_same_number_whatever_the_order_of_the_file() -> None:
    records = judged(0)
    first = asdict(measure_all(records))
    for seed in range(4):
        random.Random(seed).shuffle(records)
        assert asdict(measure_all(records)) == first
    assert asdict(measure_all(records[::-1])) == first


def test_all_rater_pairs_of_an_item_count_and_every_item_alike() -> None:
    records = [r for r in judged(1, prompts=12, raters=4) if r.kind == "comparison"]
    votes: dict[str, dict[str, str | None]] = {}
    for record in sorted(records, key=lambda r: r.id):
        votes.setdefault(repr(record.prompt), {})[record.annotator] = getattr(
            record.choice, "preferred", None
        )
    with_ties, strict = [], []
    for given in votes.values():
        pairs = list(combinations(given.values(), 2))
        with_ties.append(np.mean([a == b for a, b in pairs]))
        decided = [a == b for a, b in pairs if a is not None and b is not None]
        strict += [np.mean(decided)] if decided else []
    found = measure_agreement(records)
    assert found.with_ties.value == pytest.approx(np.mean(with_ties))
    assert found.strict.value == pytest.approx(np.mean(strict))


def test_agreement_by_all_pairs_spreads_no_more_than_it_must() -> None:
    """100 prompts by five: one random pair of raters per prompt would spread by .048."""
    values = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = rng.beta(1, 1, 100)
        first = rng.binomial(5, p)
        equal = (first * (first - 1) + (5 - first) * (4 - first)) / 20
        values.append(clustered_share(equal, np.ones(100), 1000).value)
    assert np.std(values) < 0.033


# --- at the edge ----------------------------------------------------------------------------------
def test_three_wins_of_three_are_no_certainty() -> None:
    won = share_mean([1, 1, 1])
    assert (won.value, won.high) == (1, 1)
    assert won.low == pytest.approx(0.025 ** (1 / 3))
    assert not won.above(0.5)
    assert str(won) == "1 [0.292, 1]"
    assert share_mean([1] * 6).above(0.5)  # p = .03
    assert not share_mean([1] * 5).above(0.5)


def test_independent_answers_get_the_exact_interval() -> None:
    for k, n in ((0, 4), (3, 20), (19, 20), (50, 100)):
        found = share_mean([1.0] * k + [0.0] * (n - k))
        exact = stats.binomtest(k, n).proportion_ci(method="exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_one_prompt_has_no_interval_and_says_so() -> None:
    one = share_mean([1, 1, 1, 0, 1, 1, 1, 0], [7] * 8)
    assert (one.value, one.error, one.low, one.high, one.n) == (0.75, None, None, None, 1)
    assert str(one) == "0.75 (one prompt: no interval)"
    assert one.percent == "75% (one prompt: no interval)"
    assert not one.above(0.5)
    assert not one.below(0.9)
    assert clustered_mean([2.0, 3.0], [1, 1]).low is None
    alike = clustered_mean([2.0, 2.0, 2.0])
    assert str(alike) == "2 (all equal: no interval)"
    assert alike.error == 0
    seeds = student_mean([0.5, 0.5])
    assert seeds is not None
    assert seeds.low is None
    assert Estimate.model_validate_json(one.model_dump_json()) == one


def test_uneven_clusters_have_fewer_degrees_of_freedom() -> None:
    even = clustered(np.arange(8.0), np.ones(8))
    assert even.freedom == pytest.approx(7)
    assert even.effective == pytest.approx(8)
    sizes = np.array([20.0, 1, 1, 1, 1, 1, 1, 1])
    uneven = clustered(np.arange(8.0), sizes)
    assert uneven.freedom < 2
    assert uneven.effective == pytest.approx(27**2 / 407)
    # The quadratic form written out: B = W (I - p 1') D (I - 1 p') W.
    p, d = sizes / 27, sizes**2
    m = np.eye(8) - np.outer(p, np.ones(8))
    w = np.diag(1 / np.sqrt(1 - p))
    b = w @ m @ np.diag(d) @ m.T @ w
    assert uneven.freedom == pytest.approx(np.trace(b) ** 2 / np.trace(b @ b))


def test_the_clustered_variance_is_unbiased_for_uneven_clusters() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([1, 2, 3, 4, 10, 12])
    place = np.repeat(np.arange(6), sizes)
    made = [
        clustered(np.bincount(place, x), sizes.astype(float))
        for x in rng.normal(size=(3000, len(place)))
    ]
    assert np.mean([m.variance for m in made]) == pytest.approx(1 / 32, rel=0.05)


def test_a_fall_at_every_prompt_counts_from_six_on() -> None:
    for n, sure in ((3, False), (5, False), (12, True)):
        fell = paired_difference(np.zeros(n), np.ones(n))
        assert fell.value == -1
        assert fell.below(0) == sure
    still = paired_difference(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert still.value == 0
    assert still.low is not None
    assert still.low < 0
    assert paired_difference(np.ones(4), np.ones(4)).low is None


def test_differences_of_independent_shares_are_newcombes() -> None:
    # Newcombe (1998), table II, with Wilson's intervals: 56/70 - 48/80.
    first, second = Interval(0.8, 0.6918, 0.8769), Interval(0.6, 0.4904, 0.7004)
    found = difference(first, second)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=2e-4)
    assert np.isnan(difference(first, Interval(0.5, np.nan, np.nan)).low)
    zero = difference(share(0, 10), share(0, 20))
    assert zero.low == pytest.approx(-share(0, 20).high)


# --- tests ----------------------------------------------------------------------------------------
def test_mcnemar_is_the_exact_one() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(3, 0) == pytest.approx(0.25)
    assert mcnemar(1, 9) == pytest.approx(stats.binomtest(1, 10).pvalue)


def _total(values: Sequence[float]) -> Callable[[Any], float]:
    x = np.array(values)
    return lambda exchanged: float(np.where(exchanged, -x, x).sum())


def test_exchanging_sides_is_exact_at_few_units_and_keeps_its_level() -> None:
    rng = np.random.default_rng(0)
    assert exchange_p(_total([-1, -2, -3]), 3, rng) == 1 / 8
    assert exchange_p(_total([1, 2, 3]), 3, rng) == 1
    p = [exchange_p(_total(rng.normal(size=12)), 12, rng, draws=199) for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) < 0.08


# --- rules of the verdict -------------------------------------------------------------------------
def few(prompts: int, gold: float, proxy: float, text: str | None = None) -> list[dict[str, Any]]:
    made = rows(np.random.default_rng(0), 0.0, 0.0, 1.0, n=prompts, finished=1.0, response=text)
    for row in made:
        row |= {"gold": gold, "proxy": [proxy] * 3}
    return made


@pytest.mark.parametrize(("prompts", "sure"), [(1, False), (3, False), (12, True)])
@pytest.mark.parametrize("gold", [0.0, 1.0])
def test_no_rule_fires_on_what_chance_does_to_three_prompts(
    prompts: int, sure: bool, gold: float
) -> None:
    """All prompts the same way: of three, chance does so once in four."""
    before = few(prompts, 0.5, 0.0)
    after = few(prompts, gold, 1.0, text="the same answer to every prompt that there is at all .")
    for row in after:
        row["finished"] = False
    made = measure(before, {"a": ArmRows("ppo", [(1, after)])})
    fired = {rule.name for rule in verdict.decide(made).arms[0].rules if rule.fired}
    expected = {"responses stopped finishing"} | (
        {"gold below the start"} if gold < 0.5 else {"wins by gold", "gold rose"}
    )
    assert fired >= expected if sure else not fired
    if prompts > 2:
        assert ("answers are the same" in fired) == sure


def test_a_healthy_run_of_a_few_prompts_is_inconclusive() -> None:
    points = [(step, samples[:3]) for step, samples in healthy(0)]
    base = rows(np.random.default_rng(99), 0.0, 0.0, 0.0)[:3]
    found = verdict.decide(measure(base, {"a": ArmRows("ppo", points)}))
    assert found.outcome == "inconclusive"
    assert "with 3 prompts" in found.reason
    one = verdict.decide(measure(base[:1], {"a": ArmRows("ppo", [(1, points[0][1][:1])])}))
    assert one.outcome == "inconclusive"
    assert "one prompt: no interval" in one.reason


def test_gold_has_not_turned_on_three_prompts() -> None:
    for prompts, turned in ((3, False), (30, True)):
        low, high = np.zeros(prompts), np.ones(prompts)
        points = [
            turning.ProxyGoldPoint(0, low, high),
            turning.ProxyGoldPoint(9, high, low),
        ]
        assert (turning.gold_turned(points, 4) is not None) == turned


def test_kl_estimators_of_three_sequences_raise_no_alarm_by_chance() -> None:
    alarms = sum(
        kl.measure(columns(rows(np.random.default_rng(seed), 0, 0, 5.0, n=3))).alarm is not None
        for seed in range(300)
    )
    assert alarms <= 1


def test_ties_say_more_than_wins_and_losses() -> None:
    mixed = winrate.win_rate(np.array([1.0] * 4 + [0.0] * 12), np.zeros(16), list(range(16)))
    decided = share(10, 16)
    assert mixed.value == decided.value
    assert mixed.low is not None
    assert mixed.low > decided.low


def test_arms_are_compared_on_the_prompts_they_share() -> None:
    rng = np.random.default_rng(4)
    base, one, two = (rows(rng, gold, 0.0, 1.0, n=30) for gold in (0.0, 0.5, 0.0))
    for made in (one, two):
        for row in made:
            row["gold"] = float(row["gold"] > 0.2)  # right or wrong
    made = measure(base, {"a": ArmRows("ppo", [(1, one)]), "b": ArmRows("dpo", [(1, two[5:])])})
    (pair,) = made.arm_pairs
    assert (pair.first, pair.second, pair.gold.n) == ("a", "b", 25)
    mine, theirs = (np.array([row["gold"] for row in x[5:]]) for x in (one, two))
    assert pair.gold == paired_difference(mine, theirs, list(range(5, 30)))
    only = int((mine > theirs).sum()), int((mine < theirs).sum())
    assert pair.p_value == mcnemar(*only)
    assert pair.win_rate.value == pytest.approx(np.mean((mine > theirs) + 0.5 * (mine == theirs)))
    blind = [row | {"gold": None} for row in two]
    arms = {"a": ArmRows("ppo", [(1, one)]), "b": ArmRows("dpo", [(1, blind)])}
    assert measure(base, arms).arm_pairs == []


def test_the_mean_of_losses_has_ends_above_0() -> None:
    """As far from the mean, on the logarithm's scale, as those of a mean that may be negative."""
    losses, prompts = [0.1, 0.2, 0.15, 2.5], [0, 1, 2, 2]
    plain, found = clustered_mean(losses, prompts), positive_mean(losses, prompts)
    assert plain.low is not None
    assert plain.high is not None
    assert found.low is not None
    assert found.high is not None
    assert (found.value, found.error, found.n) == (plain.value, plain.error, 3)
    assert plain.low < 0 < found.low < found.value < plain.high < found.high
    for end, told in ((plain.low, found.low), (plain.high, found.high)):
        assert np.log(told / found.value) == pytest.approx((end - plain.value) / plain.value)
    assert positive_mean([0.3, 0.3], None).low is None
    with pytest.raises(ValueError, match="-1 is below 0"):
        positive_mean([2.0, -1.0], None)


def test_the_jackknife_of_a_mean_is_its_variance() -> None:
    x = np.random.default_rng(0).normal(size=40)
    found = jackknife(
        np.stack([x, np.ones(40)], 1), lambda rows: rows[..., 0] / rows[..., 1], chunk=7
    )
    assert found == pytest.approx(x.var(ddof=1) / 40, rel=1e-3)


def test_where_all_prompts_agree_the_prompts_count_and_not_their_samples() -> None:
    found = share_mean([1.0] * 40, np.repeat(np.arange(5), 8).tolist())
    assert (found.low, found.high) == pytest.approx((share(5, 5).low, 1.0))


def test_an_interval_reaches_further_to_the_side_of_a_long_tail() -> None:
    x = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 6.0])
    found, turned = clustered_mean(x), clustered_mean(-x)
    half = stats.t.ppf(0.975, 5) * found.error
    assert found.low == pytest.approx(found.value - half)
    assert found.high is not None
    assert found.high > found.value + 1.2 * half
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    seeds = student_mean(list(x))
    assert seeds is not None
    assert seeds.high == pytest.approx(found.value + half)


def test_right_and_wrong_differ_by_shares_of_rises_and_falls() -> None:
    after, before = np.array([1.0] * 9 + [0.0]), np.array([0.0] * 9 + [1.0])
    rare = paired_difference(after, before)
    assert rare.value == pytest.approx(0.8)
    assert rare.high is not None
    assert rare.high <= 1
    assert paired_difference(5 * after, 5 * before).high == pytest.approx(5 * rare.high)
    sure = paired_difference(after, before, level=0.9999)
    assert sure.low is not None
    assert rare.low is not None
    assert sure.low < rare.low


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_and_its_total_are_those_of_scipy(axis: int) -> None:
    logits = np.random.default_rng(1).normal(size=(3, 4, 5)) * 2000
    logits[0, 0, 0] = -np.inf
    p, total = softmax(logits, axis)
    np.testing.assert_allclose(p, special.softmax(logits, axis), atol=1e-12)
    np.testing.assert_allclose(total, special.logsumexp(logits, axis), rtol=1e-12)
    np.testing.assert_allclose(log_total(logits, axis), total, rtol=1e-12)
