"""Two tastes are two groups, one taste is one, and the minority's view is kept."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from accord.errors import DataError
from accord.feedback.choice_model import FIRST, TIE
from accord.feedback.simulate import simulated_tastes
from accord.feedback.tastes import soft_labels, tastes_of
from accord.feedback.votes import Votes


def test_two_tastes_are_found_at_sixty_votes_each() -> None:
    rates = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        group = (np.arange(40) < 12).astype(np.int64)
        scores = 1.5 * rng.normal(size=(2, 12))
        found = tastes_of(
            simulated_tastes(rng, scores, group, 60, 0.5 * rng.normal(size=40)), seed=seed
        )
        assert len(found.groups) == 2
        rates.append(
            adjusted_rand_score(group, [np.argmax(m.probabilities) for m in found.members])
        )
        minority = found.groups[1].share
        assert minority.low < 0.3 < minority.high
        assert np.corrcoef([s.score.value for s in found.groups[1].scores], scores[1])[0, 1] > 0.9
    assert np.mean(rates) > 0.9


def test_one_taste_is_one_group_however_reliable_its_members() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        reliability = np.where(
            np.arange(40) < 10, -3.0, 0.7 * rng.normal(size=40)
        )  # ten who click at random
        votes = simulated_tastes(
            rng, 1.5 * rng.normal(size=(1, 12)), np.zeros(40, dtype=np.int64), 60, reliability
        )
        found = tastes_of(votes, seed=seed)
        assert len(found.groups) == 1
        assert found.disputed == []


def test_three_groups() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(45) % 3
    found = tastes_of(simulated_tastes(rng, 1.5 * rng.normal(size=(3, 12)), group, 80))
    assert len(found.groups) == 3
    assert adjusted_rand_score(group, [np.argmax(m.probabilities) for m in found.members]) > 0.9


def test_the_minority_is_kept_in_soft_labels() -> None:
    rng = np.random.default_rng(1)
    scores = np.array([[2.0, 0.0, 0.0, -1.0], [-2.0, 0.0, 0.0, 1.0]])
    votes = simulated_tastes(rng, scores, (np.arange(30) < 9).astype(np.int64), 80)
    found = tastes_of(votes)
    widest = found.disputed[0]
    assert {widest.first, widest.second} == {"m0", "m3"}
    assert widest.by_group[0] > 0.9
    assert widest.by_group[1] < 0.1
    assert widest.crowd == pytest.approx(widest.share_first, abs=0.08)
    labels = soft_labels(votes, found)
    assert len(labels) == 6
    assert np.mean([abs(s.crowd - s.share_first) for s in labels]) < 0.06
    assert json.loads(json.dumps(asdict(found)))["votes"] == 2400


def test_only_ties_say_nothing() -> None:
    names = ["m0", "m1"], ["a"]
    one = np.zeros(3, dtype=np.int64)
    with pytest.raises(DataError, match="only ties"):
        tastes_of(Votes(one, one + 1, one, np.full(3, TIE), np.ones(3), *names))
    found = tastes_of(Votes(one, one + 1, one, np.array([FIRST, TIE, FIRST]), np.ones(3), *names))
    assert (len(found.groups), found.votes, found.ties_left_out) == (1, 2, 1)
