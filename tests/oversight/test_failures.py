"""What is mined from a deployed policy's samples: the random arm, the pairs, the reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import ConfigError, DataError
from accord.oversight.failures import SIGNALS, DeployedCase, mine


def cases(count: int, k: int = 6, members: int = 3, seed: int = 0) -> list[DeployedCase]:
    rng = np.random.default_rng(seed)
    return [
        DeployedCase(
            f"prompt {i}",
            k,
            rng.normal(size=(members, k)),
            {name: float(rng.random()) for name in SIGNALS[2:] if rng.random() < 0.5},
        )
        for i in range(count)
    ]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 12), spare=st.integers(0, 8), asked=st.integers(0, 5),
    share=st.floats(0.2, 1), members=st.integers(1, 3), top=st.integers(2, 6), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_item_is_new_once_and_a_fifth_is_random(
    count: int, spare: int, asked: int, share: float, members: int, top: int, seed: int
) -> None:
    given_cases = cases(count + spare + asked, members=members, seed=seed)
    known = {case.prompt for case in given_cases[::2][:asked]}
    items = mine(given_cases, count, known, share, top=top, seed=seed)
    prompts = [given_cases[item.case].prompt for item in items]
    assert len(set(prompts)) == len(items) == count
    assert not known & set(prompts)
    assert sum(item.signal == "random" for item in items) >= share * count - 1e-9
    for item in items:
        a, b = item.pair
        assert a != b
        assert 0 <= min(a, b) <= max(a, b) < 6
        assert item.reason
        if item.signal != "random":
            best = np.argsort(-given_cases[item.case].scores_EK.mean(0))[:top]
            assert {a, b} <= set(best.tolist())
    assert items == mine(given_cases, count, known, share, top=top, seed=seed)


@given(seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_the_random_arm_does_not_look_at_scores(seed: int) -> None:
    first, other = cases(20, seed=seed), cases(20, seed=seed + 1)

    def drawn(of: list[DeployedCase]) -> set[tuple[int, tuple[int, int]]]:
        return {(i.case, i.pair) for i in mine(of, 10, seed=3) if i.signal == "random"}

    assert drawn(first) == drawn(other)


def test_each_signal_names_its_worst_prompt() -> None:
    flat = [DeployedCase(f"p{i}", 3, np.zeros((2, 3))) for i in range(40)]
    scores = np.array([[0.0, 0.1, -9], [0.0, 2.0, -9]])
    flat[5] = replace(flat[5], scores_EK=scores)  # members disagree on its best two
    flat[6] = replace(flat[6], scores_EK=np.full((2, 3), -50.0))
    flat[7] = replace(flat[7], said={"thumbs_down": 0.9})
    flat[8] = replace(flat[8], said={"thumbs_down": 0.4, "judges_disagree": 0.7})
    flat[9] = replace(flat[9], said={"lost": 1.5})
    asked = {case.prompt for i, case in enumerate(flat) if i not in (5, 6, 7, 8, 9, 20, 21)}
    for seed in range(6):
        found = {i.case: i for i in mine(flat, 6, asked, 0.2, seed=seed) if i.signal != "random"}
        wanted = {
            5: "uncertain",
            6: "low_reward",
            7: "thumbs_down",
            8: "judges_disagree",
            9: "lost",
        }
        for case in set(found) & {5, 7, 9}:
            assert found[case].signal == wanted[case]
        if 5 in found:
            assert set(found[5].pair) == {0, 1}
        if 7 in found:
            assert "0.90" in found[7].reason
    assert len(mine(flat, 3, asked, 0.2, signals=["lost"], seed=0)) == 3  # topped up at random


def test_without_scores_all_is_random() -> None:
    items = mine([DeployedCase(f"p{i}", 4) for i in range(9)], 9, seed=1)
    assert {item.signal for item in items} == {"random"}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"random_share": 0.19}, ConfigError, "19%"),
        ({"count": 9}, DataError, "9 items wanted, 8 of 8 prompts"),
        ({"asked": ["prompt 0"], "count": 8}, DataError, "7 of 8"),
        ({"top": 1}, DataError, "top is 1"),
        ({"cases": [*cases(2), cases(1)[0]]}, DataError, "stands twice"),
        ({"cases": [DeployedCase("p", 1)]}, DataError, "1 responses"),
        ({"cases": [DeployedCase("p", 2, np.zeros((1, 3)))]}, DataError, "(1, 3)"),
        ({"cases": [DeployedCase("p", 2, np.full((1, 2), np.nan))]}, DataError, "not finite"),
    ],
)
def test_refusals(change: dict, error: type[Exception], said: str) -> None:
    wanted = {"cases": cases(8), "count": 4} | change
    with pytest.raises(error) as caught:
        mine(**wanted)
    assert said in str(caught.value)
