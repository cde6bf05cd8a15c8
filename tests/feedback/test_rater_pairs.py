"""Two annotators: Cohen's kappa, McNemar's test, and groups against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from accord.cli.main import main
from accord.feedback.rater_pairs import rater_pairs
from accord.feedback.records import Feedback
from accord.feedback.representation import representation
from accord.feedback.store import FeedbackStore
from accord.statistics.clusters import share_difference
from accord.statistics.cohen import kappa
from accord.statistics.intervals import difference, share


def thumb(prompt: int, who: str, up: bool) -> Feedback:
    return Feedback.model_validate(
        {
            "id": f"t{prompt}-{who}",
            "kind": "thumb",
            "prompt": f"p{prompt}",
            "annotator": who,
            "options": [{"id": "o", "content": "x", "shown_at": 0}],
            "choice": {"up": up},
        }
    )


def compared(prompt: int, who: str, choice: dict[str, Any], pair: int = 0) -> Feedback:
    options = [{"id": f"o{pair}{i}", "content": "x", "shown_at": i} for i in range(2)]
    return Feedback.model_validate(
        {
            "id": f"c{prompt}-{pair}-{who}",
            "kind": "comparison",
            "prompt": f"p{prompt}",
            "annotator": who,
            "options": options,
            "choice": choice,
        }
    )


def tables(a: np.ndarray, b: np.ndarray, categories: int) -> np.ndarray:
    made = np.zeros((len(a), categories, categories))
    made[np.arange(len(a)), a, b] = 1
    return made


@pytest.mark.parametrize("categories", [2, 3])
def test_kappa_is_scikit_learns(categories: int) -> None:
    rng = np.random.default_rng(categories)
    a = rng.integers(categories, size=60)
    b = np.where(rng.random(60) < 0.6, a, rng.integers(categories, size=60))
    found = kappa(tables(a, b, categories))
    assert found.value == pytest.approx(cohen_kappa_score(a, b))
    assert -1 <= found.low < found.value < found.high <= 1
    reversed_ = kappa(tables(a, b, categories)[::-1])
    assert reversed_ == found


def test_kappa_at_its_edges() -> None:
    a = np.array([0, 1] * 6)
    whole = kappa(tables(a, a, 2))
    assert (whole.value, whole.high) == (1, 1)
    assert whole.low == pytest.approx(1 - 2 * share(0, 12).high)  # half is expected by chance
    assert np.isnan(kappa(tables(0 * a, 0 * a, 2)).value)
    together = kappa(tables(a, a, 2).sum(0, keepdims=True))
    assert together.value == 1
    assert np.isnan(together.low)


def test_annotators_are_compared_on_what_both_judged() -> None:
    rng = np.random.default_rng(0)
    records = []
    for p in range(40):
        ups = {"a": rng.random() < 0.5}
        ups["b"] = ups["a"] if rng.random() < 0.9 else not ups["a"]
        ups["c"] = True  # says yes to everything
        records += [thumb(p, who, bool(up)) for who, up in ups.items()]
    records += [thumb(100 + p, who, True) for p in range(3) for who in "ad"]
    found = rater_pairs(records)
    assert found.too_few == 1
    rows = {(row.first, row.second): row for row in found.pairs}
    assert set(rows) == {("a", "b"), ("a", "c"), ("b", "c")}
    kappas = [row.kappa.value for row in found.pairs]
    assert kappas == sorted(kappas)
    ab, ac = rows["a", "b"], rows["a", "c"]
    assert (ab.items, ab.what, ab.marked) == (40, "thumb", "1")
    assert ab.kappa.value == pytest.approx(0.8, abs=0.2)
    assert not ab.differ
    assert ac.differ
    assert ac.first_marked == 0
    assert ac.p_value == pytest.approx(stats.binomtest(0, ac.second_marked).pvalue)
    assert rater_pairs(records[::-1]) == found


def test_ties_are_counted_over_prompts_not_items() -> None:
    """Ten pairs of one prompt are one prompt, however alike."""
    tie, first = {"tie": True}, {"preferred": "o00"}
    one = [
        compared(0, who, tie if who == "a" else {"preferred": f"o{k}0"}, k)
        for k in range(10)
        for who in "ab"
    ]
    (row,) = rater_pairs(one).pairs
    assert (row.marked, row.first_marked, row.second_marked, row.p_value) == ("tie", 1, 0, 1)
    assert np.isnan(row.same.low)
    ten = [compared(p, who, tie if who == "a" else first) for p in range(10) for who in "ab"]
    (row,) = rater_pairs(ten).pairs
    assert (row.first_marked, row.p_value) == (10, pytest.approx(2 / 2**10))
    decided = [compared(p, who, first) for p in range(10) for who in "ab"]
    (row,) = rater_pairs(decided).pairs
    assert (row.marked, row.p_value) == (None, None)
    assert np.isnan(row.kappa.value)


def test_the_command_prints_them(tmp_path: Any) -> None:
    path = tmp_path / "s.sqlite"
    rng = np.random.default_rng(0)
    with FeedbackStore(path) as store:
        store.add([thumb(p, who, bool(rng.random() < 0.6)) for p in range(12) for who in "abc"])
    said = CliRunner().invoke(main, ["feedback", "agreement", str(path), "--pairs"]).output
    assert "Cohen's κ" in said
    assert "a, b" in said
    assert "McNemar" in said
    assert "not compared" not in said
    plain = CliRunner().invoke(main, ["feedback", "agreement", str(path)]).output
    assert "Cohen" not in plain
    with FeedbackStore(tmp_path / "t.sqlite") as store:
        store.add([thumb(p, who, bool(rng.random() < 0.6)) for p in range(5) for who in "ab"])
    few = (
        CliRunner()
        .invoke(main, ["feedback", "agreement", str(tmp_path / "t.sqlite"), "--pairs"])
        .output
    )
    assert "no two annotators share 10 items; 1 pair of annotators share fewer" in few


def test_differences_of_shares_over_the_same_prompts_use_their_correlation() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, 60)
    one, two = rng.binomial(20, p).astype(float), rng.binomial(20, p).astype(float)
    sizes = np.full(60, 20.0)
    paired = share_difference(one, sizes, two, sizes)
    apart = share_difference(one, sizes, rng.permutation(two), sizes)
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)
    plain = difference(share(8, 10), share(2, 10))
    assert plain.low < 0.6 < plain.high


def test_groups_say_how_far_they_are_apart() -> None:
    rng = np.random.default_rng(1)
    people = {f"a{i}": {"region": "north" if i < 5 else "south"} for i in range(10)}
    records = []
    for p in range(60):
        for i, who in enumerate(people):
            likes = "o00" if i < 5 else "o01"
            other = "o01" if i < 5 else "o00"
            chosen = likes if rng.random() < 0.9 else other
            records.append(compared(p, who, {"preferred": chosen}))
    (found,) = representation(records, people)
    north = found.groups[0]
    assert north.within is not None
    assert north.between is not None
    assert north.apart is not None
    assert north.apart.value == pytest.approx(north.within.value - north.between.value)
    assert north.apart.low > 0.4
