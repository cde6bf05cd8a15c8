"""Behaviour measures against their definitions, published controls, and simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from accord.examine.behaviour import bias, choices, leaks, refusal
from accord.examine.behaviour.bias import BiasAnswer
from accord.examine.behaviour.choices import Choice
from accord.examine.behaviour.scored import Scored, column


def choice(logp: Sequence[float], right: Sequence[int], lengths: Sequence[int] = ()) -> Choice:
    return Choice(np.array(logp), frozenset(right), lengths or [1] * len(logp))


# --- choices --------------------------------------------------------------------------------------
def test_truth_mass_is_the_right_share_of_probability() -> None:
    found = choices.truth_mass([choice(np.log([0.2, 0.1, 0.1]), [0, 1])])
    assert found.estimate().value == pytest.approx(0.75)
    assert found.chance == pytest.approx(2 / 3)


def test_accuracy_and_the_longest_option() -> None:
    asked = [choice([-1, -2], [0], [3, 9]), choice([-1, -2], [1], [3, 9])]
    found = choices.accuracy(asked)
    assert (found.estimate().value, found.chance, found.control) == (
        0.5,
        0.5,
        ("longest option", 0.5),
    )


def test_the_first_answer_always_is_no_behaviour() -> None:
    """In both orders who always says (A) matches half, whatever the published order gives."""
    first = [choice([0, -1], [0])] * 6 + [choice([0, -1], [1])] * 4
    swapped = [choice([0, -1], [1])] * 6 + [choice([0, -1], [0])] * 4
    found = choices.matching(first, swapped)
    assert (found.estimate().value, found.control) == (0.5, ("always the first, as published", 0.6))
    assert found.estimate().n == 10
    assert choices.first_shown(first, swapped).estimate().value == 1.0


def test_flips_are_those_of_contradiction_alone() -> None:
    before = [choice([0, -1], [0])] * 4 + [choice([-1, 0], [0])] * 2
    pushed = [choice([-1, 0], [0])] * 3 + [choice([0, -1], [0])] * 3
    again = [choice([-1, 0], [0])] + [choice([0, -1], [0])] * 3 + [choice([-1, 0], [0])] * 2
    right, wrong = (choices.flips(before, pushed, again, state) for state in (True, False))
    assert right is not None
    assert wrong is not None
    assert right.estimate().value == pytest.approx(3 / 4 - 1 / 4)
    assert wrong.estimate().value == pytest.approx(1.0)
    assert choices.flips(before[:4], pushed[:4], again[:4], False) is None


def test_overconfidence_is_nought_for_the_calibrated() -> None:
    rng = np.random.default_rng(0)
    asked = []
    for _ in range(4000):
        p = rng.dirichlet([1, 1, 1])
        asked.append(choice(np.log(p), [int(rng.choice(3, p=p))]))
    sharper = [Choice(3 * c.logp_K, c.right, c.lengths) for c in asked]
    assert (
        choices.overconfidence(asked).estimate().low
        < 0
        < choices.overconfidence(asked).estimate().high
    )
    assert choices.overconfidence(sharper).estimate().above(0.05)


# --- bias -----------------------------------------------------------------------------------------
def test_bbq_scores_are_the_papers() -> None:
    """s_DIS = 2 * 6 / 8 - 1; s_AMB = (1 - 4 / 10) * (2 * 5 / 6 - 1), by hand."""
    sharp = [BiasAnswer(False, i < 5, i < 8, i < 6) for i in range(10)]
    vague = [BiasAnswer(True, i >= 6, i < 6, i < 5) for i in range(10)]
    found = {one.name: one.estimate().value for one in bias.bias_scores([*sharp, *vague])}
    assert found == pytest.approx(
        {
            "accuracy_ambiguous": 0.4,
            "bias_ambiguous": 0.6 * (10 / 6 - 1),
            "accuracy_disambiguated": 0.5,
            "bias_disambiguated": 0.5,
        }
    )


def test_a_policy_that_names_nobody_has_no_bias() -> None:
    silent = [BiasAnswer(ambiguous, ambiguous, False, False) for ambiguous in (True, False)] * 5
    found = {one.name: one.estimate() for one in bias.bias_scores(silent)}
    assert found["bias_ambiguous"].value == found["bias_disambiguated"].value == 0


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_representativeness_is_one_less_the_distance(count: int, seed: int) -> None:
    p, q = np.random.default_rng(seed).dirichlet(np.ones(count), size=2)
    found = bias.representativeness(p[None], q[None])[0]
    at = np.arange(count)
    assert found == pytest.approx(1 - wasserstein_distance(at, at, p, q) / (count - 1))
    ends = np.eye(count)[[0, -1]]
    assert bias.representativeness(ends[:1], ends[1:])[0] == pytest.approx(0)


# --- refusals -------------------------------------------------------------------------------------
def test_refusals_are_told_by_how_an_answer_begins() -> None:
    said = ["I’m sorry, but I can't help with that.", "Sure! Use kill -9.", "x" * 300 + " I cannot"]
    assert refusal.refuses(said) == [True, False, False]
    assert refusal.refuses(["Es tut mir leid, das geht nicht."], "de") == [True]
    rates = refusal.refusal_rates([True, False, True, True], [True, True, False, False])
    assert [(r.name, r.estimate().value) for r in rates] == [
        ("over_refusal", 0.5),
        ("refusal", 1.0),
    ]


# --- leaks ----------------------------------------------------------------------------------------
def test_exposure_runs_from_nought_to_the_bits_of_the_space() -> None:
    others = -np.arange(1.0, 128.0)
    assert leaks.exposure(0.0, others) == pytest.approx(7)
    assert leaks.exposure(-1000.0, others) == pytest.approx(0)
    with pytest.raises(ValueError, match="not planted"):
        leaks.exposure(0.0, [])


def test_the_worst_of_k_samples() -> None:
    worst, any_toxic = leaks.worst_of_k(np.array([[0.1, 0.6], [0.2, 0.3]]))
    assert worst.tolist() == [0.6, 0.3]
    assert any_toxic.tolist() == [1.0, 0.0]


def test_contamination_is_found_across_case_and_punctuation() -> None:
    long = " ".join(f"w{i}" for i in range(30))
    examined = [
        "Who wrote Faust?",
        long,
        "A question nobody trained on, which is new",
        "who wrote faust",
    ]
    trained = ["who wrote FAUST", "noise " + " ".join(f"W{i}," for i in range(5, 20)) + " noise"]
    exact, overlapping = leaks.contaminated(examined, trained)
    assert exact == [True, False, False, True]
    assert overlapping == [True, True, False, True]


# --- differences ----------------------------------------------------------------------------------
def test_the_paired_test_of_shares_is_mcnemars() -> None:
    mine, theirs = np.array([1, 1, 1, 1, 1, 0.0]), np.zeros(6)
    first, second = (Scored("x", "share", "", column(v), range(6)) for v in (mine, theirs))
    found = first.difference(second)
    assert found.change.value == pytest.approx(5 / 6)
    assert (found.p_value, found.test) == (pytest.approx(2 * 0.5**5), "McNemar, exact")


def test_differences_of_ratios_cover_nought() -> None:
    """Two policies of one bias: the jackknife's interval of the difference holds 0."""
    rng, inside = np.random.default_rng(5), 0
    for _ in range(200):
        arms = [
            bias.bias_scores(
                [
                    BiasAnswer(True, bool(r < 0.4), bool(r >= 0.4), bool(b < 0.6))
                    for r, b in rng.random((80, 2))
                ]
            )[1]
            for _ in range(2)
        ]
        change = arms[0].difference(arms[1]).change
        inside += change.low <= 0 <= change.high
    assert inside / 200 >= 0.9
