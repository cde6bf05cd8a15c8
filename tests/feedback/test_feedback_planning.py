"""Plans reach what they promise when their judgements are simulated; a pilot says what it was drawn
from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from accord.cli.main import main
from accord.errors import ConfigError, DataError
from accord.feedback.label_table import LabelTable
from accord.feedback.planning import (
    Spread,
    agreement_of,
    half_width,
    majority_accuracy,
    pilot_of,
    plan_power,
    plan_width,
    shares_of,
    spread_of,
)
from accord.statistics.clusters import clustered_share


def answers(rng: np.random.Generator, spread: Spread, items: int, per_item: int) -> np.ndarray:
    """Answers of 0 and 1, [items, per_item], of items whose shares are Beta with this spread."""
    whole = spread.share * (1 - spread.share)
    size = whole / spread.between - 1
    chance = rng.beta(spread.share * size, (1 - spread.share) * size, items)
    return (rng.random((items, per_item)) < chance[:, None]).astype(float)


@pytest.mark.parametrize(("share", "agreement"), [(0.5, 0.73), (0.7, 0.8), (0.9, 0.9)])
def test_planned_items_reach_the_half_width(share: float, agreement: float) -> None:
    spread, rng = spread_of(share, agreement), np.random.default_rng(0)
    for plan in plan_width(spread, 0.06, (1, 3)):
        widths = []
        for _ in range(60):
            drawn = answers(rng, spread, plan.items, plan.per_item)
            found = clustered_share(drawn.sum(1), np.full(plan.items, float(plan.per_item)))
            widths.append((found.high - found.low) / 2)
        assert np.mean(widths) == pytest.approx(0.06, rel=0.04)
        assert plan.judgements == plan.items * plan.per_item
        assert half_width(spread, plan.items, plan.per_item) <= 0.06
        assert half_width(spread, plan.items - 1, plan.per_item) > 0.06


@pytest.mark.parametrize("share", [0.6, 0.35])
def test_planned_items_have_the_power(share: float) -> None:
    spread, rng = spread_of(share, 0.73), np.random.default_rng(1)
    for plan in plan_power(spread, 0.8, (1, 3)):
        hits = 0
        for _ in range(500):
            drawn = answers(rng, spread, plan.items, plan.per_item)
            found = clustered_share(drawn.sum(1), np.full(plan.items, float(plan.per_item)))
            hits += not found.low <= 0.5 <= found.high
        assert hits / 500 == pytest.approx(0.8, abs=0.055)  # three standard errors of 500


def test_more_answers_per_item_save_items_and_cost_judgements() -> None:
    plans = plan_width(spread_of(0.5, 0.73), 0.05)
    assert [p.per_item for p in plans] == [1, 2, 3, 5]
    assert sorted(p.items for p in plans) == [p.items for p in reversed(plans)]
    assert sorted(p.judgements for p in plans) == [p.judgements for p in plans]
    assert agreement_of(0.8) == pytest.approx(0.68)
    assert majority_accuracy(0.8, 3) == pytest.approx(0.8**3 + 3 * 0.8**2 * 0.2)
    assert majority_accuracy(0.8, 2) == pytest.approx(0.8)


def test_a_pilot_says_what_it_was_drawn_from() -> None:
    true, rng = spread_of(0.6, 0.75), np.random.default_rng(2)
    drawn = answers(rng, true, 3000, 3)
    found = pilot_of(drawn.ravel(), np.repeat(np.arange(3000), 3))
    assert found.spread.share == pytest.approx(0.6, abs=0.02)
    assert found.spread.between == pytest.approx(true.between, abs=0.01)
    assert found.spread.agreement == pytest.approx(0.75, abs=0.02)
    assert found.agreement.low < 0.75 < found.agreement.high
    assert (found.items, found.twice, found.answers, found.clipped) == (3000, 3000, 9000, False)
    with pytest.raises(DataError, match="judged twice"):
        pilot_of(np.array([0.0, 1.0]), np.array([0, 1]))
    with pytest.raises(DataError, match="are the same"):
        pilot_of(np.ones(4), np.array([0, 0, 1, 1]))


def test_a_win_rate_is_that_of_the_first_of_two_producers() -> None:
    item, label = np.array([0, 0, 1, 2]), np.array([2, 1, 0, 2])
    items = [("p", "a", "b"), ("q", "c", "d"), ("r", "e", "f")]
    table = LabelTable("choice", items, ["x"], [-1.0, 0.0, 1.0], item, np.zeros(4, int), label)
    wrote = [("m1", "m2"), ("m1", "m2"), ("m2", "m1")]
    assert shares_of(table, wrote).tolist() == [1.0, 0.5, 0.0, 0.0]
    with pytest.raises(DataError, match="two producers"):
        shares_of(table, [*wrote[:2], ("m1", "m3")])
    with pytest.raises(DataError, match="3 different answers"):
        shares_of(table, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--half-width 0 --agreement .7", "a half-width of 0"),
        ("--half-width .03 --accuracy 1.5", "an accuracy of 1.5"),
        ("--half-width .03 --agreement 1.5", "an agreement of 1.5"),
        ("--half-width .03 --win-rate 0 --spread 0", "a win rate of 0"),
        ("--power .8 --win-rate 1.5 --spread .3", "a win rate of 1.5"),
        ("--half-width .03 --spread nan", "cannot spread by nan"),
        ("--half-width .03 --spread .6", "give a --spread from 0 to 0.500"),
        ("--agreement .7", "give one of --half-width and --power"),
        ("--half-width .03", "give one of --pilot FILE, --agreement, --accuracy and --spread"),
    ],
)
def test_the_command_says_which_of_its_numbers_cannot_be(options: str, said: str) -> None:
    result = CliRunner().invoke(main, ["feedback", "plan", *options.split()])
    assert result.exit_code == 2
    assert said in result.output


def test_a_pilot_of_one_answer_is_said(tmp_path: Path) -> None:
    pilot = tmp_path / "pilot.csv"
    pilot.write_text("item,annotator,label\n1,a,x\n1,b,x\n2,a,x\n", encoding="utf-8")
    result = CliRunner().invoke(
        main, ["feedback", "plan", "--pilot", str(pilot), "--half-width", ".05"]
    )
    assert "all answers of the pilot are the same" in result.output


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="less than by chance"):
        spread_of(0.5, 0.4)
    with pytest.raises(ConfigError, match=r"half-width of 0\.7"):
        plan_width(spread_of(0.5, 0.7), 0.7)
    with pytest.raises(ConfigError, match=r"win rate of \.5"):
        plan_power(spread_of(0.5, 0.7), 0.8)
    with pytest.raises(ConfigError, match="below a billion"):
        plan_width(spread_of(0.5, 0.7), 1e-6)
    with pytest.raises(ConfigError, match="power of 1"):
        plan_power(spread_of(0.6, 0.7), 1.0)
