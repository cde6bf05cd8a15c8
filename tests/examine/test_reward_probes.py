"""Planted reward models: what moves their scores is what the probes say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.examine import reward_probes as probes
from accord.examine.rewriting import BROKEN, SAME, STYLES, marked_form, plain_form, typos

RNG = np.random.default_rng(0)
PLACE = np.arange(200)


def pair_scores(seed: int, pairs: int = 200, gap: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, pairs)) + np.array([[gap], [0.0]])


def test_a_rewrite_that_pays() -> None:
    before = pair_scores(0)
    none = probes.probe("same", False, before, before, PLACE)
    assert none is not None
    assert (none.moved.value, none.preferred.value) == (0.0, 0.5)
    assert none.turned is not None
    assert none.turned.value == 0.0
    scale = before.std()
    paid = probes.probe("paid", False, before, before + 5 * scale, PLACE)
    assert paid is not None
    assert paid.moved.value == pytest.approx(5.0)
    assert paid.preferred.value == 1.0
    assert paid.turned is not None
    assert paid.turned.value > 0.95
    broken = probes.probe("broken", True, before, before - 5 * scale, PLACE)
    assert broken is not None
    assert broken.turned is not None
    assert broken.turned.value < 0.05, "no response wins that says nothing any more"
    after = before.copy()
    after[:, :50] = np.nan
    some = probes.probe("too long", False, before, after, PLACE)
    assert some is not None
    assert some.pairs == 150
    assert probes.probe("all too long", False, before, before * np.nan, PLACE) is None


def test_scores_that_depend_on_the_batch() -> None:
    before = pair_scores(1)
    assert probes.invariance("same", before, before).largest == 0.0
    after = before.copy()
    won = int(np.argmax(before[0] - before[1]))
    after[1, won] = before[0].max() + before.std()
    found = probes.invariance("batch", before, after)
    assert found.flipped == 1 / 200
    assert found.largest == pytest.approx((after[1, won] - before[1, won]) / before.std())


def test_the_style_matrix_tells_a_reward_for_style() -> None:
    worth = pair_scores(2, gap=1.5)
    fair = probes.style_matrix(dict.fromkeys(STYLES, worth), PLACE)
    assert fair is not None
    assert fair.easy.value == fair.hard.value == fair.normal.value
    paid = {"short plain": 0.0, "short markdown": 2.0, "long plain": 2.0, "long markdown": 4.0}
    biased = probes.style_matrix({name: worth + extra for name, extra in paid.items()}, PLACE)
    assert biased is not None
    assert biased.normal.value == fair.normal.value
    assert biased.easy.value > 0.95
    assert biased.hard.value < 0.5
    assert biased.gap.above(0.4)
    assert biased.gap.value == pytest.approx(biased.easy.value - biased.hard.value)
    assert (
        biased.cells["short plain"]["long markdown"] < biased.cells["long markdown"]["short plain"]
    )
    assert probes.style_matrix(dict.fromkeys(STYLES, worth * np.nan), PLACE) is None


def test_members_that_disagree_are_less_often_right() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(1.0, 1.0, 400)
    gap = truth + rng.normal(0, 1.5, (4, 400))
    found = probes.members(gap, 0.7, np.arange(400))
    assert found is not None
    assert found.when_unanimous is not None
    assert found.when_split is not None
    assert found.when_unanimous.value > found.when_split.value + 0.1
    assert probes.members(gap[:1], 0.0, np.arange(400)) is None
    same = probes.members(np.stack([truth, truth]), 0.0, np.arange(400))
    assert same is not None
    assert (same.unanimous.value, same.when_split) == (1.0, None)


def test_accuracy_where_length_or_topic_is_other() -> None:
    better, worse = RNG.integers(1, 90, 200).astype(float), RNG.integers(1, 90, 200).astype(float)
    lengths = {g.name: g for g in probes.by_length(better - worse, better, worse, PLACE)}
    assert lengths["better is longer"].accuracy.value == 1.0
    assert lengths["better is shorter"].accuracy.value == 0.0
    assert sum(g.pairs for name, g in lengths.items() if name.endswith("pairs")) == 200
    texts = [("cats and dogs purr" if n % 2 else "taxes on income rise") for n in range(200)]
    gap = np.where(PLACE % 2 == 1, 1.0, -1.0)
    topics = probes.by_topic(gap, texts, PLACE)
    assert sorted(group.accuracy.value for group in topics) == [0.0, 1.0]
    assert any("cats" in group.name for group in topics)
    assert probes.by_topic(gap[:30], texts[:30], PLACE[:30]) == []
    assert probes.by_topic(gap, ["?!"] * 200, PLACE) == []


def test_outliers_are_what_the_reference_is_not() -> None:
    rng = np.random.default_rng(4)
    mix = rng.normal(size=(8, 8))
    reference, alike = rng.normal(size=(3000, 8)) @ mix, rng.normal(size=(2000, 8)) @ mix
    usual = probes.outliers(reference, alike, range(2000))
    assert usual is not None
    assert usual.share.value == pytest.approx(0.01, abs=0.008)
    far = probes.outliers(reference, alike + 5 * mix[0], range(2000))
    assert far is not None
    assert far.share.above(0.5)
    assert probes.outliers(reference[:150], alike, range(2000)) is None


def test_best_of_n_gains_in_gold() -> None:
    gold = np.random.default_rng(5).normal(size=(300, 8))
    found = probes.best_of_gains(gold, gold)
    assert [one.n for one in found] == [2, 4, 8]
    assert found[0].gain.value == pytest.approx(np.pi**-0.5, abs=0.06)  # of the larger of two
    assert found[0].gain.value < found[1].gain.value < found[2].gain.value
    noise = probes.best_of_gains(np.random.default_rng(6).normal(size=(300, 8)), gold)
    assert all(one.gain.low is not None and one.gain.low < 0.1 for one in noise)


# --- the rules ------------------------------------------------------------------------------------
TEXT = "# Title\n\nIt is **bold**. It has `code`!\n- one\n- two\n1. three\n> said"


def test_marks_are_taken_off_and_put_on() -> None:
    assert plain_form(TEXT) == "Title\n\nIt is bold. It has code!\none\ntwo\nthree\nsaid"
    assert marked_form("A first. A second! A third?") == "**A first.**\n\n- A second!\n- A third?"
    assert marked_form("") == "****"


@settings(max_examples=25)
@given(st.text(max_size=80), st.integers(0, 9))
def test_any_text_can_be_rewritten(text: str, seed: int) -> None:
    for rewrite in (*SAME.values(), *BROKEN.values()):
        first = rewrite(text, np.random.default_rng(seed))
        assert first == rewrite(text, np.random.default_rng(seed))
    for style in STYLES.values():
        assert isinstance(style(text), str)
    wrong = typos(text, np.random.default_rng(seed))
    assert sorted(wrong) == sorted(text)
