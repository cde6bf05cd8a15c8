"""Planted judges: what decides their verdicts is what the card says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accord.feedback.judge_card import JudgedPairs, judge_card


def planted(
    seed: int = 0,
    pairs: int = 400,
    first: float = 0.0,
    longer: float = 0.0,
    own: float = 0.0,
    honest: float = 2.0,
    sure: float = 1.0,
) -> JudgedPairs:
    """A judge whose log-odds are `honest` times a true gap, and pulls in logits; people decide by
    the gap alone."""
    rng = np.random.default_rng(seed)
    gap, length = rng.normal(size=pairs), np.sign(rng.normal(size=pairs))
    mine = np.where(rng.random(pairs) < 0.4, np.sign(rng.normal(size=pairs)), 0.0)
    noise = 0.3 * rng.normal(size=(2, pairs))
    odds = honest * gap + longer * length + own * mine
    said = [
        1 / (1 + np.exp(-sure * (odds + sign * first + n)))
        for sign, n in zip((1, -1), noise, strict=True)
    ]
    people = (rng.random(pairs) < 1 / (1 + np.exp(-2 * gap))).astype(float)
    return JudgedPairs(
        np.arange(pairs), said[0], said[1], people, length, mine, *np.full((2, pairs), np.nan)
    )


def test_an_honest_judge_has_no_pulls() -> None:
    card = judge_card(planted())
    assert card.first_place is not None
    assert card.first_place.low < 0.5 < card.first_place.high
    for pull in (card.longer, card.own):
        assert pull is not None
        assert pull.excess is not None
        assert pull.excess.low < 0 < pull.excess.high
    assert card.agreement is not None
    assert card.agreement.above(0.7)
    assert card.kappa is not None
    assert card.kappa[1] > 0.4


@pytest.mark.parametrize("bias", ["first", "longer", "own"])
def test_a_planted_pull_is_found_and_no_other(bias: str) -> None:
    card = judge_card(planted(seed=1, **{bias: 2.0}))
    pulls = {
        "first": card.first_place,
        "longer": card.longer and card.longer.excess,
        "own": card.own and card.own.excess,
    }
    for name, pull in pulls.items():
        assert pull is not None
        centre = 0.5 if name == "first" else 0.0
        assert pull.above(centre) == (name == bias), (name, pull)
    assert card.flipped is not None
    assert card.flipped.above(0.3) == (bias == "first")


def test_a_judge_too_sure_has_a_temperature_above_one() -> None:
    calm, sure = (judge_card(planted(seed=2, pairs=3000, sure=s)).temperature for s in (1.0, 3.0))
    assert calm is not None
    assert sure is not None
    assert calm.value < 1.2
    assert sure.above(2.0)


def test_what_people_did_not_say_is_not_measured() -> None:
    blind = replace(planted(pairs=40), people_P=np.full(40, np.nan), own_P=np.zeros(40))
    card = judge_card(blind)
    assert (card.labelled, card.agreement, card.kappa, card.temperature, card.own) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert card.longer is not None
    assert card.longer.people is None


def test_contradictions_are_ties() -> None:
    judged = JudgedPairs(
        np.arange(4), np.array([0.9, 0.9, 0.5, 0.2]), np.array([0.8, 0.1, 0.5, 0.5]),
        np.array([1.0, 1.0, 0.5, 0.0]), np.zeros(4), np.zeros(4), *np.full((2, 4), np.nan),
    )  # fmt: skip
    assert judged.decided_P.tolist() == [1.0, 0.5, 0.5, 0.5]
    card = judge_card(judged)
    assert (card.flipped and card.flipped.value, card.undecided.value) == (0.5, 0.25)
    assert card.longer is None
