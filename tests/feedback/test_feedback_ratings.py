"""Scores of producers from votes: equal to choix, parameters recovered, and what real votes say."""

from __future__ import annotations

import json
from pathlib import Path

import choix
import numpy as np
import pytest
from click.testing import CliRunner

from accord.cli.main import main
from accord.errors import DataError
from accord.feedback import ratings
from accord.feedback.formats import read_feedback
from accord.feedback.ratings import FIRST, SECOND, TIE, RatingSettings, Votes, fit, votes_of
from real_data import shared_data

PLAIN = RatingSettings(reliability=False, side=False, ties=False)


def simulate(
    rng: np.random.Generator, count: int, scores: np.ndarray, log_reliability: np.ndarray, side: float
) -> Votes:
    first = rng.integers(len(scores), size=count)
    second = (first + rng.integers(1, len(scores), size=count)) % len(scores)
    annotator = rng.integers(len(log_reliability), size=count)
    gap = np.exp(log_reliability[annotator]) * (scores[first] - scores[second]) + side
    logits = np.stack([gap / 2, -gap / 2, np.full(count, -0.7)])
    outcome = (logits + rng.gumbel(size=logits.shape)).argmax(0)
    names = [f"m{i}" for i in range(len(scores))], [f"a{k}" for k in range(len(log_reliability))]
    return Votes(first, second, annotator, outcome, np.ones(count), *names)


def test_plain_scores_equal_choix() -> None:
    rng = np.random.default_rng(0)
    votes = simulate(rng, 600, rng.normal(size=6), np.zeros(3), 0.0)
    decided = votes.where(votes.outcome != TIE)
    ours = fit(votes, RatingSettings(False, False, False, score_sd=10.0)).score_P
    won = [
        (f, s) if o == FIRST else (s, f) for f, s, o in zip(decided.first, decided.second, decided.outcome, strict=True)
    ]
    theirs = choix.opt_pairwise(6, won, alpha=0.01)  # its prior: alpha = 1 / score_sd^2
    assert ours == pytest.approx(theirs - theirs.mean(), abs=1e-3)


def test_known_parameters_lie_in_their_intervals() -> None:
    covered = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores, reliability = rng.normal(size=8), 0.5 * rng.normal(size=10)
        votes = simulate(rng, 3000, scores - scores.mean(), reliability, 0.25)
        found = fit(votes)
        covered.append(np.abs(found.side - 0.25) < 1.96 * found.side_error)
        scale = np.exp(np.mean(reliability))  # scores and reliabilities share a scale
        error = np.hypot(found.score_error_P, 0.1 * np.abs(scores))
        assert np.corrcoef(found.score_P, scores)[0, 1] > 0.97
        assert np.mean(np.abs(found.score_P - scale * (scores - scores.mean())) < 1.96 * error) >= 0.7
        assert np.corrcoef(found.log_reliability_A, reliability)[0, 1] > 0.6
    assert np.mean(covered) >= 0.85


def test_the_curvature_is_the_derivative_of_the_gradient() -> None:
    rng = np.random.default_rng(3)
    votes = simulate(rng, 200, rng.normal(size=4), 0.3 * rng.normal(size=3), 0.2)
    x = 0.3 * rng.normal(size=9)
    for settings in (RatingSettings(), RatingSettings(ties=False)):
        used = votes if settings.ties else votes.where(votes.outcome != TIE)
        exact = ratings._curvature(x, used, 4, 3, settings)
        for i in range(9):
            step = 1e-6 * np.eye(9)[i]
            up, down = (ratings._posterior(x + s, used, 4, 3, settings)[1] for s in (step, -step))
            assert (down - up) / 2e-6 == pytest.approx(exact[i], abs=1e-4)


def test_probabilities_of_the_outcomes_sum_to_one() -> None:
    rng = np.random.default_rng(1)
    votes = simulate(rng, 300, rng.normal(size=5), np.zeros(2), 0.1)
    found = fit(votes)
    total = 0.0
    for outcome in (FIRST, SECOND, TIE):
        total = total + np.exp(found.log_probability(ratings.replace(votes, outcome=np.full(300, outcome))))
    assert total == pytest.approx(np.ones(300))


def heldout(votes: Votes, folds: np.ndarray, settings: RatingSettings) -> tuple[float, float]:
    """(negative log-likelihood, accuracy) of decided votes on pairs that the fit never saw."""
    decided, found = votes.outcome != TIE, []
    for fold in range(5):
        test = votes.where(decided & (folds == fold))
        found.append(fit(votes.where(decided & (folds != fold)), settings).log_probability(test))
    logp = np.concatenate(found)
    return float(-logp.mean()), float((logp > np.log(0.5)).mean())


def test_real_votes_between_models() -> None:
    path = shared_data("llmfao/crowd-comparisons.csv")
    read = read_feedback(path)
    assert (read.shape, len(read.records), sum(read.dropped.values())) == ("votes between models", 8931, 0)
    votes, left_out = votes_of(read.records)
    assert (votes.total, left_out, len(votes.producers), len(votes.annotators)) == (8931, {}, 59, 124)
    plain = fit(votes, RatingSettings(reliability=False, ties=False))
    assert plain.side_z > 4.5  # 53.3 % of the decided votes go to the left
    pair = {(min(a, b), max(a, b)) for a, b in zip(votes.first.tolist(), votes.second.tolist(), strict=True)}
    fold_of = dict(zip(sorted(pair), np.random.default_rng(0).permutation(len(pair)) % 5, strict=True))
    folds = np.array([fold_of[min(a, b), max(a, b)] for a, b in zip(votes.first, votes.second, strict=True)])
    simple, accuracy = heldout(votes, folds, PLAIN)
    both, better = heldout(votes, folds, RatingSettings(ties=False))
    assert both < simple - 0.02
    assert both < 0.6377
    assert better > max(accuracy, 0.705)


def test_side_bias_is_silent_on_shuffled_sides() -> None:
    votes, _ = votes_of(read_feedback(shared_data("llmfao/crowd-comparisons.csv")).records)
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(20):
        swap = rng.random(len(votes.first)) < 0.5
        turned = np.where(votes.outcome == TIE, TIE, 1 - votes.outcome)
        shuffled = ratings.replace(
            votes, first=np.where(swap, votes.second, votes.first), second=np.where(swap, votes.first, votes.second),
            outcome=np.where(swap, turned, votes.outcome),
        )  # fmt: skip
        alarms += abs(fit(shuffled, RatingSettings(reliability=False, ties=False)).side_z) > 1.96
    assert alarms <= 3


def test_arena_rows_with_conversations(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    row = {"question_id": "q", "model_a": "x", "model_b": "y", "winner": "tie (bothbad)", "judge": "j1"}
    row |= {f"conversation_{side}": [*turns, {"role": "assistant", "content": side}] for side in "ab"}
    (tmp_path / "v.jsonl").write_text(
        "\n".join(json.dumps(row | {"winner": w}) for w in ("model_b", "tie (bothbad)", "who?"))
    )
    read = read_feedback(tmp_path / "v.jsonl")
    assert [o.producer for o in read.records[0].options] == ["x", "y"]
    assert read.records[0].choice.preferred == read.records[0].options[1].id
    assert read.records[1].choice.both_bad
    assert sum(read.dropped.values()) == 1
    assert read.left_out == {}
    longer = row | {"tstamp": 1.5e9, "judge": 7}
    longer |= {f"conversation_{side}": [*turns, {"role": "assistant", "content": side}] * 2 for side in "ab"}
    (tmp_path / "w.jsonl").write_text(json.dumps(longer))
    read = read_feedback(tmp_path / "w.jsonl")
    assert [o.content for o in read.records[0].options] == ["a\n\na", "b\n\nb"]
    assert (read.records[0].created_at, read.records[0].annotator) == ("2017-07-14T02:40:00+00:00", "7")
    assert list(read.left_out.values()) == [1]
    assert "turns after the first" in next(iter(read.left_out))


def test_the_same_pair_is_the_same_pair_on_either_side(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("prompt,left,right,winner,worker\np,x,y,left,1\np,y,x,right,2\n")
    first, second = read_feedback(tmp_path / "v.csv").records
    assert first.choice.preferred == second.choice.preferred
    assert first.shown == second.shown[::-1]


def test_nothing_to_rate_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    with pytest.raises(DataError, match="no comparison of two named producers"):
        votes_of(read_feedback(tmp_path / "p.jsonl").records)


def test_the_commands(tmp_path: Path) -> None:
    lines = ["prompt,left,right,winner,worker"]
    rng = np.random.default_rng(0)
    for i in range(60):
        a, b = rng.permutation(3)[:2]
        lines.append(f"p{i % 6},m{a},m{b},{'left' if a > b else 'right'},w{i % 4}")
    (tmp_path / "v.csv").write_text("\n".join(lines) + "\n")
    run = CliRunner().invoke
    done = run(main, ["feedback", "import", str(tmp_path / "v.csv"), str(tmp_path / "v.sqlite")])
    assert done.exit_code == 0, done.output
    again = run(main, ["feedback", "import", str(tmp_path / "v.csv"), str(tmp_path / "v.sqlite")])
    assert "0 new" in again.output
    shown = run(main, ["feedback", "ratings", str(tmp_path / "v.sqlite")])
    assert shown.output.index("m2") < shown.output.index("m1") < shown.output.index("m0")
    assert run(main, ["feedback", "export", str(tmp_path / "v.sqlite"), str(tmp_path / "out.jsonl")]).exit_code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(read_feedback(tmp_path / "out.jsonl").records)
    missing = run(main, ["feedback", "ratings", str(tmp_path / "no.sqlite")])
    assert missing.exit_code == 2
    assert "accord feedback import" in missing.output + (missing.stderr or "")
