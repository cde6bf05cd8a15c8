"""Labels out of votes: equal to crowd-kit, never much worse than the majority, annotators' errors
found."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import labels as benchmark
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from crowdkit.aggregation import GLAD, MACE, DawidSkene, MajorityVote

from accord.errors import DataError
from accord.feedback.confusion_chains import (
    COMPETENCES,
    AnnotatorChain,
    Draws,
    Rising,
    _Evidence,
    populations,
)
from accord.feedback.dawid_skene import dawid_skene
from accord.feedback.formats import read_feedback
from accord.feedback.glad import glad, sample_glad
from accord.feedback.label_table import LabelTable, label_tables, majority
from accord.feedback.labels import Method, aggregate
from accord.feedback.mace import mace, mace_from
from accord.feedback.records import Feedback
from accord.feedback.sampled_confusions import _both, sample
from accord.seeds import generator
from real_data import shared_data


def crowd(
    seed: int,
    confusion_ACC: np.ndarray,
    items: int = 400,
    overlap: int = 3,
    shares: tuple[float, ...] = (0.5, 0.5),
) -> tuple[LabelTable, np.ndarray]:
    """Votes of annotators with known confusion matrices, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(shares), size=items, p=shares)
    item = np.repeat(np.arange(items), overlap)
    who = np.concatenate(
        [rng.choice(len(confusion_ACC), size=overlap, replace=False) for _ in range(items)]
    )
    said = (confusion_ACC[who, truth[item]].cumsum(1) < rng.random(len(item))[:, None]).sum(1)
    names = [f"a{a:02d}" for a in range(len(confusion_ACC))]
    table = LabelTable(
        "x",
        [(f"{i:05d}",) for i in range(items)],
        names,
        list(map(float, range(len(shares)))),
        item,
        who,
        said,
    )
    return table, truth


def frame(table: LabelTable) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": [table.items[i][0] for i in table.item],
            "worker": [table.annotators[a] for a in table.annotator],
            "label": table.label,
        }
    )


def coin(right: float, classes: int = 2) -> list[list[float]]:
    return benchmark.coin(right, classes).tolist()


# crowd-kit calls pandas in ways that pandas warns of
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pandas.errors.Pandas4Warning")
def test_equal_to_crowd_kit_on_random_votes() -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        confusion = rng.dirichlet(np.ones(3), size=(6, 3)) * 0.4 + 0.6 * np.eye(3)
        table, _ = crowd(seed, confusion, 150, 4, (0.5, 0.3, 0.2))
        theirs = DawidSkene(n_iter=25, tol=-np.inf)
        probabilities = theirs.fit_predict_proba(frame(table))[[0, 1, 2]].sort_index().to_numpy()
        ours, matrices, shares, done = dawid_skene(
            table, smoothing=0.0, iterations=25, tolerance=-1.0
        )
        assert done == 25
        assert ours == pytest.approx(probabilities, abs=1e-6)
        assert shares == pytest.approx(theirs.priors_[[0, 1, 2]].to_numpy(), abs=1e-6)
        found = theirs.errors_.loc[("a00", 0)]
        assert matrices[0, :, 0] == pytest.approx(found[[0, 1, 2]].to_numpy(), abs=1e-6)
        votes = MajorityVote().fit_predict_proba(frame(table))[[0, 1, 2]].sort_index().to_numpy()
        assert majority(table) == pytest.approx(votes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pandas.errors.Pandas4Warning")
def test_equal_to_crowd_kit_on_real_votes() -> None:
    (table,) = label_tables(read_feedback(shared_data("llmfao/crowd-comparisons.csv")).records)
    numbered = replace(table, items=[(f"{i:05d}",) for i in range(len(table.items))])
    theirs = (
        DawidSkene(n_iter=15, tol=-np.inf)
        .fit_predict_proba(frame(numbered))[[0, 1, 2]]
        .sort_index()
    )
    ours = dawid_skene(table, smoothing=0.0, iterations=15, tolerance=-1.0)[0]
    assert ours == pytest.approx(theirs.to_numpy(), abs=1e-5)


HONEST, CLICKER, FIRST, CONTRARY = coin(0.8), coin(0.5), [[0.95, 0.05], [0.9, 0.1]], coin(0.2)
LENIENT, STERN = [[0.6, 0.4], [0.02, 0.98]], [[0.98, 0.02], [0.4, 0.6]]
CROWDS = {
    "alike": [HONEST] * 12,
    "a third clicks at random": [HONEST] * 8 + [CLICKER] * 4,
    "some press one side": [HONEST] * 9 + [FIRST] * 3,
    "some are contrary": [HONEST] * 9 + [CONTRARY] * 3,
    "err to both sides": [LENIENT] * 6 + [STERN] * 6,
}


@pytest.mark.parametrize("name", CROWDS)
@pytest.mark.parametrize(
    ("overlap", "shares"), [(2, (0.5, 0.5)), (3, (0.5, 0.5)), (5, (0.7, 0.3)), (3, (0.9, 0.1))]
)
def test_never_more_than_half_a_point_below_the_majority(
    name: str, overlap: int, shares: tuple[float, ...]
) -> None:
    ours, votes = [], []
    for seed in range(8):
        table, truth = crowd(seed, np.array(CROWDS[name]), 500, overlap, shares)
        # A draw of the majority is decided by a coin, not by the order of the classes.
        noise = 1e-6 * np.random.default_rng(seed).random((500, 2))
        votes.append(((majority(table) + noise).argmax(1) == truth).mean())
        ours.append((dawid_skene(table)[0].argmax(1) == truth).mean())
    assert np.mean(ours) >= np.mean(votes) - 0.005
    if name in ("some press one side", "some are contrary") and overlap == 3 and shares[0] == 0.5:
        assert np.mean(ours) > np.mean(votes) + 0.02


def test_held_out_votes_are_predicted_as_well_as_by_the_majority() -> None:
    (table,) = label_tables(read_feedback(shared_data("llmfao/crowd-comparisons.csv")).records)
    hits = np.zeros(2)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(table.item))
        _, first = np.unique(table.item[order], return_index=True)
        out = np.zeros(len(table.item), dtype=bool)
        out[order[first]] = True  # one vote of each item
        number = np.unique(table.item[~out], return_inverse=True)
        place = np.full(len(table.items), -1)
        place[number[0]] = np.arange(len(number[0]))
        kept = replace(
            table,
            items=[table.items[i] for i in number[0]],
            item=number[1],
            annotator=table.annotator[~out],
            label=table.label[~out],
        )
        judged = out & (place[table.item] >= 0)
        noise = 1e-6 * rng.random((len(kept.items), 3))  # a draw is decided by a coin
        for k, p in enumerate((majority(kept), dawid_skene(kept)[0])):
            hits[k] += (
                (p + noise).argmax(1)[place[table.item[judged]]] == table.label[judged]
            ).mean() / 5
    assert hits[1] >= hits[0] - 0.005


def test_confusion_matrices_are_recovered_and_shown() -> None:
    true = np.array([LENIENT, STERN, HONEST, CLICKER, HONEST, LENIENT])
    table, truth = crowd(1, true, 2000, 5)
    found = aggregate(table)
    for a, annotator in enumerate(found.annotators):
        assert np.array(annotator.confusion) == pytest.approx(true[a], abs=0.08)
        assert annotator.quality is not None
        assert annotator.quality.value == pytest.approx(true[a].diagonal().mean(), abs=0.04)
        assert annotator.quality.low < annotator.quality.value < annotator.quality.high
    assert found.differ == sum(i.majority != i.label and not i.draw for i in found.items) > 0
    right = np.mean([i.label == truth[k] for k, i in enumerate(found.items)])
    assert np.mean([i.probability for i in found.items]) == pytest.approx(right, abs=0.02)
    assert json.loads(json.dumps(asdict(found)))["items"][0]["votes"] == 5
    again = aggregate(table)
    assert again == found


def test_the_learned_smoothing_follows_the_crowd() -> None:
    alike, _ = crowd(0, np.array([HONEST] * 12), 400, 5)
    uneven, _ = crowd(0, np.array(CROWDS["err to both sides"]), 400, 5)
    assert sample(alike, chains=1).smoothing > 10 * sample(uneven, chains=1).smoothing


@pytest.mark.parametrize("name", ["alike", "sixty, varied", "err to both sides"])
def test_the_learned_smoothing_is_as_good_as_the_best_fixed_one(name: str) -> None:
    row = benchmark.simulated(name, 3, 2, 300)
    assert row.worse < 0.015
    assert row.learned < max(row.fixed) - 0.005


@pytest.mark.parametrize(
    ("name", "weight", "gain"),
    [("four classes, near ones confused", 1.0, 0.01), ("sixty, varied", 0.0, -0.01)],
)
def test_annotators_who_share_matrices_are_told_from_who_do_not(
    name: str, weight: float, gain: float
) -> None:
    """Where all confuse the same classes, their votes are read together; where everybody differs,
    nobody is lumped with others."""
    matrices = benchmark.kinds()[name]
    share = benchmark.shares(matrices.shape[1], 3)
    table, truth = benchmark.crowd(generator(0, "crowd", name, 3), matrices, 400, 3, share)
    found = sample(table, chains=1)
    alone = AnnotatorChain(table, generator(0, "dawid-skene", 0)).run()
    both, apart = (benchmark.loss(p, truth) for p in (found.truth_IC, alone.truth_IC))
    assert found.communities == pytest.approx(weight, abs=0.2)
    assert both < apart - gain


def test_evidence_is_waic() -> None:
    """Watanabe (2010), equation of the log pointwise predictive density less the variance."""
    log_DI = np.random.default_rng(0).normal(-2, 0.5, (40, 7))
    evidence = _Evidence(7)
    for log_I in log_DI:
        evidence.add(log_I)
    by_hand = np.log(np.exp(log_DI).mean(0)) - log_DI.var(0, ddof=1)
    assert evidence.expected() == pytest.approx(by_hand.sum())


@given(st.floats(0, 1), st.integers(1, 3))
def test_accuracies_are_drawn_from_both_by_weight(weight: float, chains: int) -> None:
    runs = [
        [
            Draws(np.zeros(0), np.zeros(0), np.zeros(0), np.full((20, 2), value), 0.0, 0.0)
            for _ in range(chains)
        ]
        for value in (0.0, 1.0)
    ]
    drawn = _both(*runs, weight)
    assert drawn.shape == (20 * chains, 2)
    assert drawn.mean() == pytest.approx(weight, abs=0.5 / (20 * chains) + 1e-9)


def test_who_always_says_the_same_does_not_take_the_crowd_along() -> None:
    """Nine are right four times in five, three press one side: were all annotators' rows as alike,
    the three would be the experts of a world in which nearly everything is of that class."""
    matrices, share = benchmark.kinds()["some press one side"], benchmark.shares(2, 3)
    rng = generator(5, "crowd", "some press one side", 3)
    table, truth = benchmark.crowd(rng, matrices, 400, 3, share)
    found = sample(table, 5, chains=1)
    assert found.shares_C[0] < 0.87  # 0.75 is true, 0.94 is theirs
    assert benchmark.loss(found.truth_IC, truth) < 0.45


def test_crowds_are_better_than_chance_on_average() -> None:
    for classes in (2, 4):
        _, prior = populations(classes)
        possible = np.isfinite(prior).reshape(len(COMPETENCES), -1)
        better = np.greater(COMPETENCES, 1 / classes)
        np.testing.assert_array_equal(possible, np.broadcast_to(better[:, None], possible.shape))


def test_rising_factorials_of_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accord.feedback.confusion_chains.MOST_ROWS", 5)
    base, rng = np.array([0.1, 2.0, 300.0]), np.random.default_rng(0)
    rising = Rising(base)
    for _ in range(6):
        counts = rng.poisson(4, (7, 3))
        by_hand = (gammaln(base + counts[:, :, None]) - gammaln(base)).sum(1)
        np.testing.assert_allclose(rising.summed(counts), by_hand, atol=1e-9)


def measured_rows() -> list[benchmark.Row]:
    path = Path(__file__).resolve().parents[2] / "benchmarks/labels.json"
    return [benchmark.Row(name, losses) for name, losses in json.loads(path.read_text()).items()]


def test_what_was_measured_of_the_learned_smoothing() -> None:
    """On thirty crowds and real votes. The best of five noisy means, chosen on the same draws, is
    better than any number can be by chance alone: two standard errors are allowed."""
    rows = measured_rows()
    crowds = [row for row in rows if not row.name.endswith(benchmark.HELD_OUT)]
    assert len(crowds) == 30
    assert all(len(row.losses) >= 8 for row in crowds)
    beyond = [row.name for row in rows if row.worse - 2 * row.error > benchmark.TOLERATED]
    assert not beyond
    assert np.mean([row.worse for row in crowds]) < -0.005
    assert max(row.worse for row in crowds) < 0.015
    assert max(row.worse_than_chosen for row in crowds) < benchmark.TOLERATED
    page = Path(__file__).resolve().parents[2] / "docs/feedback-quality.md"
    assert benchmark.page({row.name: row.losses for row in rows}) in page.read_text("utf-8")


@pytest.mark.slow
def test_votes_held_out_of_real_ones_are_predicted_as_well_as_by_the_best_smoothing() -> None:
    (table,) = label_tables(read_feedback(shared_data("llmfao/crowd-comparisons.csv")).records)
    assert benchmark.held_out(table, "llmfao", 1).worse < 0.01


def brute_force_mace(table: LabelTable, knows_A: np.ndarray, taste_AC: np.ndarray) -> float:
    total, classes = 0.0, len(table.classes)
    for i in range(len(table.items)):
        votes = [
            (a, k)
            for a, k in zip(
                table.annotator[table.item == i], table.label[table.item == i], strict=True
            )
        ]
        total += np.log(
            sum(
                np.prod(
                    [
                        knows_A[a] * (k == truth) + (1 - knows_A[a]) * taste_AC[a, k]
                        for a, k in votes
                    ]
                )
                for truth in range(classes)
            )
            / classes
        )
    return total


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pandas.errors.Pandas4Warning")
def test_mace_is_its_published_em() -> None:
    confusion = np.random.default_rng(2).dirichlet(np.ones(3), size=(5, 3)) * 0.5 + 0.5 * np.eye(3)
    table, _ = crowd(2, confusion, 60, 4, (0.4, 0.3, 0.3))
    knows_A, taste_AC = np.full(5, 0.5), np.full((5, 3), 1 / 3)
    steps = [mace_from(table, knows_A, taste_AC, n) for n in range(4)]
    for fit in steps:
        whole = brute_force_mace(table, fit.competence_A, fit.taste_AC)
        assert fit.log_likelihood == pytest.approx(whole, abs=1e-8)
    assert all(b.log_likelihood > a.log_likelihood for a, b in pairwise(steps))
    rows = frame(table).sort_values(["worker", "label"], ignore_index=True)
    theirs = MACE(method="em", n_restarts=1, n_iter=20)
    probabilities = theirs.fit_predict_proba(rows)[[0, 1, 2]].sort_index().to_numpy()
    start = MACE(method="em")
    start._initialize(5, 3)
    ours = mace_from(table, start.spamming_[:, 1], start.thetas_, 20)
    assert ours.truth_IC == pytest.approx(probabilities, abs=1e-6)
    assert ours.competence_A == pytest.approx(theirs.spamming_[:, 1], abs=1e-6)
    best = mace(table, restarts=3)
    assert best.log_likelihood >= ours.log_likelihood - 1e-3


def brute_force_glad(table: LabelTable, point: np.ndarray) -> float:
    ability, ease = np.split(point, [len(table.annotators)])
    total = -0.5 * float(((point - 1) ** 2).sum())
    for i in range(len(table.items)):
        mine = table.item == i
        right = 1 / (1 + np.exp(-ability[table.annotator[mine]] * np.exp(ease[i])))
        wrong = (1 - right) / (len(table.classes) - 1)
        given = [
            np.where(table.label[mine] == k, right, wrong).prod() for k in range(len(table.classes))
        ]
        total += np.log(np.mean(given))
    return total


def test_glad_is_at_the_top_and_its_samples_spread_around_it() -> None:
    confusion = np.array([coin(q, 3) for q in (0.9, 0.8, 0.7, 0.6)])
    table, _ = crowd(3, confusion, 12, 3, (0.4, 0.3, 0.3))
    fit = glad(table, tolerance=1e-12)
    point, step = np.concatenate([fit.ability_A, fit.log_ease_I]), 1e-4
    assert fit.objective == pytest.approx(brute_force_glad(table, point))
    for place in range(len(point)):
        moved = step * (np.arange(len(point)) == place)
        slope = brute_force_glad(table, point + moved) - brute_force_glad(table, point - moved)
        assert slope / (2 * step) == pytest.approx(0, abs=1e-3)
    _, abilities = sample_glad(table)
    assert [a.low < v < a.high for a, v in zip(abilities, fit.ability_A, strict=True)] == [True] * 4
    few = replace(table, item=table.item[:3], annotator=table.annotator[:3], label=table.label[:3])
    _, prior = sample_glad(few)  # annotators without votes have the prior's abilities
    unseen = prior[sorted({0, 1, 2, 3} - set(few.annotator.tolist()))[0]]
    assert [unseen.value, unseen.low, unseen.high] == pytest.approx([1, -0.96, 2.96], abs=0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pandas.errors.Pandas4Warning")
def test_glad_is_equal_to_crowd_kit() -> None:
    table, _ = crowd(3, np.array([coin(q) for q in (0.9, 0.8, 0.7, 0.6)]), 6, 3)
    theirs = GLAD(n_iter=15, tol=-1, m_step_max_iter=100, m_step_tol=1e-6)
    probabilities = theirs.fit_predict_proba(frame(table))[[0, 1]].sort_index().to_numpy()
    ours = glad(table, tolerance=1e-12)
    assert ours.truth_IC == pytest.approx(probabilities, abs=2e-3)
    assert ours.ability_A == pytest.approx(theirs.alphas_[table.annotators].to_numpy(), abs=2e-3)


@pytest.mark.parametrize("method", ["majority", "dawid-skene", "mace", "glad"])
def test_every_method_finds_the_clicker_and_says_draws_and_single_votes(method: Method) -> None:
    table, truth = crowd(4, np.array([coin(0.9)] * 5 + [CLICKER]), 300, 3)
    kept = np.ones(len(table.item), dtype=bool)
    kept[1:3] = kept[5] = False  # one vote of the first item, two of the second
    table = replace(
        table, item=table.item[kept], annotator=table.annotator[kept], label=table.label[kept]
    )
    found = aggregate(table, method)
    quality = [a.quality.value for a in found.annotators if a.quality]
    assert int(np.argmin(quality)) == 5
    assert (found.single, len(found.items)) == (1, 300)
    assert found.draws == int(table.label[1] != table.label[2]) == sum(i.draw for i in found.items)
    assert np.mean([i.label == truth[k] for k, i in enumerate(found.items)]) > 0.85
    assert sum(found.items[0].soft) == pytest.approx(1)


def test_one_class_is_said() -> None:
    table, _ = crowd(0, np.array([coin(1.0)] * 3), 10, 2, (1.0, 0.0))
    found = aggregate(replace(table, classes=[0.0]), "glad")
    assert "only one label" in found.warnings[0]
    assert {i.label for i in found.items} == {0}
    assert (found.method, found.quality) == ("majority", "agrees with the others' majority")


def flagged(who: str, prompt: str, **flags: object) -> Feedback:
    return Feedback.model_validate(
        {
            "id": f"{who}{prompt}",
            "kind": "flags",
            "prompt": prompt,
            "options": [],
            "choice": {"flags": flags},
            "annotator": who,
        }
    )


def test_labels_from_lists_are_tables_of_words() -> None:
    records = [
        flagged("a", "p", tone="calm", harms=["hate", "lies"], toxic=True),
        flagged("b", "p", tone="rude", harms=["lies"], toxic=False),
        flagged("b", "q", tone="calm", harms=[]),
    ]
    tables = {t.what: t for t in label_tables(records)}
    assert list(tables) == ["answer tone", "flag harms: hate", "flag harms: lies", "flag toxic"]
    tone, hate = tables["answer tone"], tables["flag harms: hate"]
    assert [tone.name(k, ()) for k in tone.label] == ["calm", "rude", "calm"]
    assert [hate.name(k, ()) for k in hate.label] == [True, False, False]


def test_warnings_say_when_the_weighting_rests_on_little() -> None:
    few, _ = crowd(0, np.array(CROWDS["alike"]), 100, 2, (0.97, 0.03))
    assert len(aggregate(few).warnings) == 2
    enough, _ = crowd(0, np.array(CROWDS["alike"]), 100, 4)
    assert aggregate(enough).warnings == []
    with pytest.raises(DataError, match="nothing was judged"):
        label_tables([])
