"""Labels out of votes: equal to crowd-kit, never much worse than the majority, annotators' errors
found."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from crowdkit.aggregation import DawidSkene, MajorityVote

from accord.errors import DataError
from accord.feedback.formats import read_feedback
from accord.feedback.labels import LabelTable, aggregate, dawid_skene, label_tables, majority
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


def coin(right: float) -> list[list[float]]:
    return [[right, 1 - right], [1 - right, right]]


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
    table, _ = crowd(1, true, 4000, 5)
    found = aggregate(table)
    for a, annotator in enumerate(found.annotators):
        assert np.array(annotator.confusion) == pytest.approx(true[a], abs=0.06)
        assert annotator.accuracy.value == pytest.approx(true[a].diagonal().mean(), abs=0.04)
    assert found.differ == sum(i.majority != i.dawid_skene for i in found.items) > 0
    assert json.loads(json.dumps(asdict(found)))["items"][0]["votes"] == 5


def test_warnings_say_when_the_weighting_rests_on_little() -> None:
    few, _ = crowd(0, np.array(CROWDS["alike"]), 100, 2, (0.97, 0.03))
    assert len(aggregate(few).warnings) == 2
    enough, _ = crowd(0, np.array(CROWDS["alike"]), 100, 4)
    assert aggregate(enough).warnings == []
    with pytest.raises(DataError, match="nothing was judged"):
        label_tables([])
