"""Bought votes are found with a trusted reference; what is not found is stated by a test as
well."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from accord.errors import DataError
from accord.feedback import poisoning
from accord.feedback.formats import read_feedback
from accord.feedback.leaving_out import FitsToOthers, Scores
from accord.feedback.poisoning import (
    PLAIN,
    TargetScore,
    check_poisoning,
    check_votes,
    martingale,
    target_scores,
    votes_alike,
)
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.simulate import simulated_votes, with_sybils
from accord.feedback.votes import Votes, votes_of
from real_data import shared_data


def real() -> tuple[Votes, int]:
    """LLMFAO's votes, and the model ranked 41st."""
    votes = votes_of(read_feedback(shared_data("llmfao/crowd-comparisons.csv")).records)[0]
    return votes, int(np.argsort(-fit(votes, PLAIN).score_P)[40])


def rank(votes: Votes, target: int) -> int:
    return int((-fit(votes, PLAIN).score_P).argsort().argsort()[target]) + 1


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02, 0.05])
def test_sybils_are_caught_with_a_trusted_half(share: float) -> None:
    votes, target = real()
    flagged, honest = 0, 0
    for seed in range(2):
        rng = np.random.default_rng(seed)
        poisoned = with_sybils(votes, target, share, rng)
        sybils = {name for name in poisoned.annotators if name.startswith("sybil")}
        trusted = set(rng.choice(votes.annotators, 62, replace=False))
        found = check_votes(poisoned, trusted)
        suspects = {s.annotator for s in found.quarantine}
        assert sybils <= suspects
        assert all(
            s.target == votes.producers[target] for s in found.quarantine if s.annotator in sybils
        )
        flagged, honest = flagged + len(suspects - sybils), honest + 62
    assert flagged / honest <= 0.05


def test_few_sybils_move_the_ranking_and_taking_them_out_moves_it_back() -> None:
    votes, target = real()
    poisoned = with_sybils(votes, target, 0.02, np.random.default_rng(0))
    assert rank(votes, target) == 41
    assert rank(poisoned, target) <= 3
    trusted = set(np.random.default_rng(0).choice(votes.annotators, 62, replace=False))
    found = check_votes(poisoned, trusted)
    with_them, without = found.moved[votes.producers[target]]
    assert with_them <= 3
    assert without >= 38
    assert json.loads(json.dumps(asdict(found)))["tested"] == len(poisoned.annotators) - 62


def test_without_a_reference_poison_masks_itself() -> None:
    votes, target = real()
    poisoned = with_sybils(votes, target, 0.08, np.random.default_rng(0), each=20)
    found = check_votes(poisoned)
    masked = sum(s.annotator.startswith("sybil") for s in found.quarantine)
    trusted = set(np.random.default_rng(1).choice(votes.annotators, 62, replace=False))
    fitted = check_votes(poisoned, trusted)
    assert sum(s.annotator.startswith("sybil") for s in fitted.quarantine) > masked
    assert found.warning is not None
    assert fitted.warning is None


def test_camouflaged_omnipresent_rigging_is_not_caught() -> None:
    """A stated blind spot: it needs account-level controls (qualification, caps, invitations,
    gold)."""
    votes, target = real()
    scores = fit(votes, PLAIN).score_P
    poisoned = with_sybils(votes, target, 0.05, np.random.default_rng(0), score_P=scores)
    assert rank(poisoned, target) < 41
    trusted = set(np.random.default_rng(0).choice(votes.annotators, 62, replace=False))
    sybils = [name for name in poisoned.annotators if name.startswith("sybil")]
    caught = {s.annotator for s in check_votes(poisoned, trusted).quarantine} & set(sybils)
    assert len(caught) <= 0.1 * len(sybils)


def test_the_score_is_standard_normal_for_honest_votes() -> None:
    rng, z = np.random.default_rng(0), []
    scores = rng.normal(size=10)
    reference = Scores.of(fit(simulated_votes(rng, 4000, scores, np.zeros(5)), PLAIN))
    for _ in range(60):
        z += [t.z for t in target_scores(reference, simulated_votes(rng, 100, scores, np.zeros(1)))]
    assert np.mean(z) == pytest.approx(0, abs=0.15)
    assert np.std(z) == pytest.approx(1, abs=0.1)


def test_the_martingale_bounds_honest_votes_and_grows_on_contrary_ones() -> None:
    rng = np.random.default_rng(0)
    scores = 1.5 * rng.normal(size=10)
    reference = Scores.of(fit(simulated_votes(rng, 20_000, scores, np.zeros(5), log_nu=-9), PLAIN))
    honest = [
        martingale(reference, simulated_votes(rng, 60, scores, np.zeros(1), log_nu=-9))
        for _ in range(300)
    ]
    assert np.mean(np.array(honest) > 20) <= 0.06
    assert martingale(reference, simulated_votes(rng, 60, -scores, np.zeros(1), log_nu=-9)) > 20


def vote(item: int, who: str, first: bool) -> Feedback:
    options = [
        {"id": f"o{k}", "content": "x", "producer": f"m{k}", "shown_at": k} for k in range(2)
    ]
    return Feedback.model_validate(
        {
            "id": f"{item}{who}",
            "kind": "comparison",
            "prompt": f"p{item}",
            "options": options,
            "annotator": who,
            "choice": {"preferred": "o0" if first else "o1"},
        }
    )


def test_two_accounts_of_one_person_are_hinted_at() -> None:
    rng, records = np.random.default_rng(0), []
    for item in range(60):
        shared = bool(rng.random() < 0.5)
        for who in "abcdef":
            records.append(vote(item, who, shared if who in "ef" else bool(rng.random() < 0.5)))
    (found,) = votes_alike(records)
    assert found.annotators == ("e", "f")
    assert found.same == found.common == 60
    assert votes_alike(records[:3]) == []


def test_trusted_annotators_must_have_voted() -> None:
    with pytest.raises(DataError, match="none of the trusted"):
        check_poisoning([vote(i, "a", True) for i in range(9)], {"nobody"})


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("side", [True, False])
@pytest.mark.parametrize("ties", [True, False])
def test_fits_to_the_others_are_those_of_their_votes(known: bool, side: bool, ties: bool) -> None:
    """From counts of pairs, as from the votes themselves."""
    rng = np.random.default_rng(4)
    votes = simulated_votes(rng, 600, rng.normal(size=6), np.zeros(4), side=0.3)
    if not known:
        votes = replace(votes, placed=rng.random(len(votes.first)) < 0.5)
    start = fit(votes, RatingSettings(reliability=False, side=side, ties=ties))
    others = FitsToOthers(votes, start)
    for k in range(4):
        ours = others.than(k)
        theirs = fit(votes.where(votes.annotator != k), start.held())
        np.testing.assert_allclose(ours.score_P, theirs.score_P, atol=1e-5)
        np.testing.assert_allclose(ours.score_covariance_PP, theirs.score_covariance_PP, rtol=1e-3)
        assert ours.log_nu == pytest.approx(theirs.log_nu, abs=1e-5)
        assert ours.side == pytest.approx(theirs.side, abs=1e-5)


def test_where_nobody_else_voted_everybody_counts() -> None:
    votes = simulated_votes(np.random.default_rng(4), 50, np.zeros(3), np.zeros(1))
    start = fit(votes, PLAIN)
    assert FitsToOthers(votes, start).than(0) is start


@pytest.mark.parametrize(
    ("people", "rate", "limit"),
    [
        (9, 0.1, 9.0),
        (9, 0.2, 8.0),
        (9, 0.29, 8.0),
        (9, 0.5, 5.0),
        (9, 0.09, 0.0),
        (1, 0.5, 0.0),
        (2, 0.5, 2.0),
        (2, 0.3, 0.0),
    ],
)
def test_the_usual_limit_is_what_a_share_of_the_trusted_exceed(
    people: int, rate: float, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their largest |Z| are 1, 2, 3, ...; half of them negative; by influence a tenth less."""

    def tested(k: int, factor: float) -> poisoning._Tested:
        z = factor * (k + 1) * (-1) ** k
        return poisoning._Tested([TargetScore("a", "b", 9, v) for v in (0.5, z)], 0.0)

    tests = SimpleNamespace(of=lambda k: tested(k, 0.9), exactly=lambda k: tested(k, 1.0))
    monkeypatch.setattr(poisoning, "_Tests", lambda *_, **__: tests)
    nothing: Any = None
    assert poisoning._usual(nothing, nothing, np.arange(people), rate) == limit


def test_votes_alike_counts_every_two_on_every_pair() -> None:
    """As counted one by one."""
    rng, records = np.random.default_rng(1), []
    for item in range(40):
        for who in rng.permutation([*"abcdefg"])[: rng.integers(1, 7)]:
            choice = "o0" if rng.random() < 0.6 else "o1" if rng.random() < 0.7 else None
            said = vote(item, str(who), True).model_dump()
            said["choice"] = {"preferred": choice} if choice else {"tie": True}
            records.append(Feedback.model_validate(said))
    found = {row.annotators: row for row in votes_alike(records, 5, 1.0)}
    answer = {(r.prompt, r.annotator): r.choice.model_dump() for r in records}
    counted = {
        (a, b): [answer[f"p{i}", a] == answer[f"p{i}", b] for i in range(40)
                 if {(f"p{i}", a), (f"p{i}", b)} <= answer.keys()]
        for a, b in combinations("abcdefg", 2)
    }  # fmt: skip
    own = {
        k: [same for pair, every in counted.items() if k in pair for same in every]
        for k in "abcdefg"
    }

    def logit(same: int, common: int) -> float:
        return float(np.log((same + 1) / (common - same + 1)))

    crowd = logit(sum(map(sum, own.values())), sum(map(len, own.values())))
    assert set(found) == {pair for pair, every in counted.items() if len(every) >= 5}
    for (a, b), row in found.items():
        every = counted[a, b]
        assert (row.common, row.same) == (len(every), sum(every))
        alone = [logit(sum(own[k]) - row.same, len(own[k]) - row.common) for k in (a, b)]
        assert row.expected == pytest.approx(1 / (1 + np.exp(crowd - sum(alone))))
        assert row.p_value == pytest.approx(binom.sf(row.same - 1, row.common, row.expected))
