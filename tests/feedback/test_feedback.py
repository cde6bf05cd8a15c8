"""Records, store, simulated crowds, and what can be known about annotators from records alone."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import ConfigError, DataError
from accord.feedback import agreement
from accord.feedback.annotator_model import estimate
from accord.feedback.choice_model import FIRST, comparison
from accord.feedback.records import Feedback, dump_line, parse_line
from accord.feedback.simulate import (
    Offered,
    SimulatedAnnotator,
    assign,
    judge_best_worst,
    judge_comparison,
    judge_ranking,
    judge_rating,
    judge_thumb,
    simulated_crowd,
)
from accord.feedback.store import FeedbackStore, read_records
from accord.seeds import derive_seed
from accord.statistics.krippendorff import krippendorff_alpha
from real_data import shared_data


def offered(item: int, rewards: list[float]) -> Offered:
    return Offered(
        f"prompt {item}",
        [f"answer {item}.{k}" for k in range(len(rewards))],
        rewards,
        "model",
        [True] * len(rewards),
    )


def judged(
    prompts: int = 240, overlap: int = 3, seed: int = 0
) -> tuple[list[Feedback], list[SimulatedAnnotator]]:
    crowd, rng = simulated_crowd(seed), np.random.default_rng(seed)
    records = []
    for item, who in enumerate(assign(prompts, len(crowd), overlap, seed)):
        options = offered(item, rng.normal(size=4).tolist())
        for a in who:
            if item % 2:
                records.append(judge_ranking(options, crowd[a], derive_seed(seed, item, a), "g1"))
            else:
                pairs = ((0, 1), (2, 3), (1, 2))
                records += [
                    judge_comparison(
                        options, pair, crowd[a], derive_seed(seed, item, a, *pair), "g1"
                    )
                    for pair in pairs
                ]
    return records, crowd


# --- records --------------------------------------------------------------------------------------
@settings(max_examples=40)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.integers(0, 10**6))
def test_records_survive_a_round_trip(rewards: list[float], seed: int) -> None:
    record = judge_ranking(offered(0, rewards), SimulatedAnnotator("a", 1.0), seed, "g1")
    assert parse_line(dump_line(record)) == record
    pair = judge_comparison(offered(0, rewards), (0, 1), SimulatedAnnotator("a", 1.0), seed, "g1")
    assert parse_line(dump_line(pair)) == pair


GOOD = {
    "id": "1", "kind": "comparison", "prompt": "p", "annotator": "a", "choice": {"preferred": "x"},
    "options": [{"id": "x", "content": "one", "shown_at": 1}, {"id": "y", "content": "two", "shown_at": 0}],
}  # fmt: skip

ONE = {"id": "x", "content": "one", "shown_at": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice": {"preferred": "z"}}, "the choice names ['z']"),
        ({"choice": {"preferred": "x", "tie": True}}, "not both"),
        ({"choice": {}}, "name the preferred option"),
        ({"kind": "ranking", "choice": {"order": [["x"]]}}, "names every option exactly once"),
        ({"options": [{"id": "x", "content": "one", "shown_at": 0}]}, "cannot have 1 options"),
        (
            {"options": [GOOD["options"][0], {"id": "y", "content": "two", "shown_at": 1}]},
            "shown_at must number",
        ),
        ({"annotater": "b"}, "annotater"),
        ({"kind": "ratting"}, "kind"),
        ({"active_seconds": -1}, "active_seconds"),
        (
            {
                "kind": "attribute_comparison",
                "choice": {"attributes": {"honest": {"preferred": "z"}}},
            },
            "the choice names ['z']",
        ),
        ({"kind": "attribute_comparison", "choice": {"attributes": {}}}, "attributes"),
        ({"kind": "spans", "choice": {"spans": [{"start": 0, "end": 1}]}}, "cannot have 2 options"),
        ({"kind": "spans", "choice": {"spans": [{"start": 2, "end": 2}]}}, "is empty"),
        (
            {"kind": "spans", "options": [ONE], "choice": {"spans": [{"start": 0, "end": 4}]}},
            "beyond the option's 3 characters",
        ),
        ({"kind": "flags", "choice": {"flags": {}}}, "flags"),
        ({"kind": "skip", "choice": {"reason": ""}}, "reason"),
        ({"kind": "critique", "options": [], "choice": {"text": "bad"}}, "cannot have 0 options"),
    ],
)
def test_impossible_records_are_refused_by_name(change: dict, message: str) -> None:
    import json

    assert parse_line(json.dumps(GOOD)).shown == ["y", "x"]
    with pytest.raises(DataError) as error:
        parse_line(json.dumps(GOOD | change), "file line 3")
    assert "file line 3" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "options", "choice"),
    [
        (
            "attribute_comparison",
            2,
            {"attributes": {"helpful": {"preferred": "y", "strength": 2}, "honest": {"tie": True}}},
        ),
        ("ranking", 2, {"order": [["x"], ["y"]], "all_bad": True}),
        ("flags", 1, {"flags": {"harmful": True, "topic": "food", "tone": ["dry", "short"]}}),
        ("flags", 0, {"flags": {"spam": False}}),
        ("spans", 1, {"spans": [{"start": 0, "end": 3, "label": "wrong", "note": "not one"}]}),
        ("critique", 2, {"text": "The first is shorter."}),
        ("skip", 2, {"reason": "unsure"}),
    ],
)
def test_what_a_studio_asks_for_has_a_kind(
    tmp_path: Path, kind: str, options: int, choice: dict
) -> None:
    import json

    shown = [ONE] if options == 1 else GOOD["options"][:options]
    record = parse_line(json.dumps(GOOD | {"kind": kind, "options": shown, "choice": choice}))
    assert parse_line(dump_line(record)) == record
    assert record.choice.model_dump(exclude_defaults=True) == choice
    with FeedbackStore(tmp_path / "f.sqlite") as store:
        assert store.add([record, record]).repeated == 1
        assert list(store.records(kind)) == [record]


# --- store ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("at_once", [1, 3, 500])
def test_store_takes_records_in_parts(
    tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeats within a part and beyond it are found, and so is other content."""
    monkeypatch.setattr("accord.feedback.store.AT_ONCE", at_once)
    records, _ = judged(4)
    with FeedbackStore(tmp_path / "f.sqlite") as store:
        added = store.add([*records, records[0], *records])
        assert (added.new, added.repeated) == (len(records), len(records) + 1)
        assert list(store.records()) == records
        other = records[1].model_copy(update={"id": "other"})
        changed = other.model_copy(update={"annotator": "somebody else"})
        with pytest.raises(DataError, match="already stored with other content"):
            store.add([other, *records, changed])
        assert len(store) == len(records)


def test_store_adds_once_filters_and_exports(tmp_path: Path) -> None:
    records, _ = judged(12)
    with FeedbackStore(tmp_path / "f.sqlite") as store:
        assert store.add(records[:10]).new == 10
        again = store.add(records)
        assert (again.new, again.repeated) == (len(records) - 10, 10)
        assert list(store.records()) == records
        assert {r.kind for r in store.records(kind="ranking")} == {"ranking"}
        for who in {r.annotator for r in records}:
            mine = [r for r in records if r.annotator == who]
            assert list(store.records(annotator=who)) == mine
            both = [r for r in mine if r.kind == "ranking"]
            assert list(store.records("ranking", who)) == both
        assert (
            sum(n for kinds in store.counts().values() for n in kinds.values())
            == len(store)
            == len(records)
        )
        changed = records[0].model_copy(update={"annotator": "somebody else"})
        with pytest.raises(DataError, match="already stored with other content"):
            store.add([*judged(3, seed=9)[0], changed])
        assert len(store) == len(records)  # the failed call stored nothing
        assert store.export_jsonl(tmp_path / "f.jsonl") == len(records)
    with FeedbackStore(tmp_path / "g.sqlite") as other:
        assert other.add(read_records(tmp_path / "f.jsonl")).new == len(records)
        assert list(other.records()) == records


def test_acknowledged_records_survive_kill_9(tmp_path: Path) -> None:
    script = """
import os, sys, signal
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_feedback import judged
from accord.feedback.store import FeedbackStore, read_records
store = FeedbackStore(Path(sys.argv[1]))
records, _ = judged(8)
for i, record in enumerate(records):
    store.add([record])
    print(i, flush=True)
    if i == 10:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    paths = [str(tmp_path / "f.sqlite"), str(Path(__file__).parent)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, env=env, check=False
    )
    acknowledged = len(done.stdout.split())
    assert acknowledged == 11, done.stderr
    with FeedbackStore(tmp_path / "f.sqlite") as store:
        assert len(store) == 11


# --- simulation -----------------------------------------------------------------------------------
def test_simulated_choices_have_the_stated_probabilities() -> None:
    annotator, rng = SimulatedAnnotator("a", 1.5, side_bias=0.4, tie=0.5), np.random.default_rng(0)
    draws = [annotator.compare([0.6, 0.0], [1, 0], rng) for _ in range(6000)]
    share = [draws.count(0) / 6000, draws.count(1) / 6000, draws.count(None) / 6000]
    expected = comparison(np.array(1.5 * 0.6 - 0.2 - 0.2), FIRST, np.log(0.5)).p
    np.testing.assert_allclose(share, expected, atol=0.02)


def test_simulated_ratings_and_thumbs_have_the_stated_probabilities() -> None:
    annotator, rng = (
        SimulatedAnnotator("a", 1.5, sharpness=0.8, offset=-0.3),
        np.random.default_rng(0),
    )
    tau = np.array([-1.0, 0.2, 1.4])
    draws = [annotator.rate(0.9, tau.tolist(), rng) for _ in range(6000)]
    below = 1 / (1 + np.exp(-(tau - (0.8 * 0.9 - 0.3))))
    expected = np.diff(np.concatenate([[0.0], below, [1.0]]))
    np.testing.assert_allclose(np.bincount(draws, minlength=4) / 6000, expected, atol=0.02)
    up = np.mean([annotator.thumb(0.9, 0.2, rng) for _ in range(6000)])
    assert up == pytest.approx(1 - below[1], abs=0.02)
    options = offered(0, [0.5, -0.5])
    rating = judge_rating(options, 1, annotator, 1, "g1", (-1.0, 1.0), "overall")
    assert (rating.choice.low, rating.choice.high) == (0, 2)
    assert rating.choice.scores["overall"] in (0, 1, 2)
    thumb = judge_thumb(options, 0, annotator, 1, "g1")
    assert [r.options[0].content for r in (rating, thumb)] == ["answer 0.1", "answer 0.0"]
    assert all(parse_line(dump_line(r)) == r for r in (rating, thumb))


def test_assignment_is_balanced() -> None:
    chosen = assign(100, 8, 3, seed=1)
    load = np.bincount([a for who in chosen for a in who], minlength=8)
    assert all(len(set(who)) == 3 for who in chosen)
    assert load.max() - load.min() <= 1
    with pytest.raises(ConfigError, match="overlap is 9"):
        assign(3, 8, 9, 0)


# --- annotators -----------------------------------------------------------------------------------
def test_annotators_are_recovered_and_the_bad_ones_found() -> None:
    records, crowd = judged(500)
    truth = {a.id: a for a in crowd}
    found = estimate(records)
    flags = {a.annotator: a.flag for a in found.annotators}
    expected = {
        a.id: "contrary" if a.rationality < 0 else "side" if a.rationality == 0 else "ok"
        for a in crowd
    }
    assert flags == expected
    z_values = []
    for a in found.annotators:
        error = np.arcsinh([a.rationality_high, a.rationality_low]) @ [1, -1] / (2 * 1.96)
        apart = np.arcsinh([a.rationality, truth[a.annotator].rationality]) @ [1, -1]
        z_values.append(apart / error)
        z_values.append((a.side_bias - truth[a.annotator].side_bias) / a.side_bias_error)
    assert np.abs(z_values).max() < 4
    assert np.mean(np.abs(z_values) < 1.96) >= 0.75
    assert found.tie == pytest.approx(0.3, abs=0.1)


@pytest.mark.slow
def test_annotators_lie_in_their_intervals_at_the_nominal_rate() -> None:
    crowd = [
        SimulatedAnnotator(f"a{k}", beta, gamma, tie=0.3)
        for k, (beta, gamma) in enumerate([(0.7, 0.0), (1.0, 0.3), (1.5, -0.2), (2.0, 0.0)])
    ]
    inside = []
    for seed in range(12):
        rng, records = np.random.default_rng(seed), []
        for item in range(60):
            options = offered(item, rng.normal(size=4).tolist())
            for k, annotator in enumerate(crowd):
                if (item + k) % 3 == 0:
                    records.append(
                        judge_best_worst(options, annotator, derive_seed(seed, item, k), "g1")
                    )
                elif (item + k) % 3 == 1:
                    records.append(
                        judge_ranking(options, annotator, derive_seed(seed, item, k), "g1")
                    )
                else:
                    pairs = ((0, 1), (2, 3), (1, 2))
                    records += [
                        judge_comparison(
                            options, p, annotator, derive_seed(seed, item, k, *p), "g1"
                        )
                        for p in pairs
                    ]
        for found, truth in zip(estimate(records).annotators, crowd, strict=True):
            inside.append(found.rationality_low < truth.rationality < found.rationality_high)
            inside.append(abs(found.side_bias - truth.side_bias) < 1.96 * found.side_bias_error)
    assert 0.90 <= np.mean(inside) <= 0.99


def test_what_the_model_cannot_use_is_counted() -> None:
    records, crowd = judged(40)
    strong = records[0].model_copy(
        update={"choice": records[0].choice.model_copy(update={"strength": 2})}
    )
    tied = next(r for r in records if r.kind == "ranking")
    order = tied.choice.order
    tied = tied.model_copy(
        update={"choice": type(tied.choice)(order=[order[0] + order[1], *order[2:]])}
    )
    thumb = judge_thumb(offered(0, [0.0, 1.0]), 0, crowd[0], 0, "g1")
    found = estimate([*records[1:], strong, tied, thumb])
    assert found.left_out == {
        "ranking with ties": 1,
        "thumb is not a choice between options": 1,
        "strength of a preference (the preference counts)": 1,
    }
    assert found.records == len(records)


def test_estimates_do_not_depend_on_the_order_of_records() -> None:
    records, _ = judged(80)
    forward, backward = estimate(records), estimate(records[::-1])
    assert forward.log_likelihood == pytest.approx(backward.log_likelihood, abs=1e-3)


def test_nothing_to_estimate_from() -> None:
    with pytest.raises(DataError, match="no comparison"):
        estimate([])


# --- agreement ------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_measured_says_why() -> None:
    def judged_twice(prompts: int, *choices: dict[str, object]) -> agreement.Agreement:
        return agreement.measure(
            [
                Feedback.model_validate(
                    {
                        "id": f"{prompt}-{a}",
                        "kind": "comparison",
                        "prompt": f"p{prompt}",
                        "annotator": f"a{a}",
                        "choice": choice,
                        "options": [
                            {"id": f"o{k}", "content": "x", "shown_at": k} for k in range(2)
                        ],
                    }
                )
                for prompt in range(prompts)
                for a, choice in enumerate(choices)
            ]
        )

    ties = judged_twice(3, {"tie": True}, {"tie": True})
    assert set(ties.not_measurable) == {"alpha", "strict", "ceiling"}
    assert np.isnan([ties.strict.value, ties.ceiling.value, ties.ceiling.low]).all()
    assert ties.with_ties.value == 1
    assert set(judged_twice(3, {"tie": True}, {"preferred": "o0"}).not_measurable) == {
        "strict",
        "ceiling",
    }
    assert set(judged_twice(3, {"preferred": "o0"}, {"preferred": "o0"}).not_measurable) == {
        "alpha"
    }
    one = judged_twice(1, {"preferred": "o0"}, {"preferred": "o1"})
    assert not one.not_measurable
    assert (one.strict.value, np.isnan(one.strict.low)) == (
        0,
        True,
    )  # one prompt does not say how prompts differ


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=5), min_size=3, max_size=12))
def test_alpha_equals_the_krippendorff_package(units: list[list[int]]) -> None:
    if len({v for u in units for v in u}) < 2:
        with pytest.raises(DataError, match="undefined"):
            krippendorff_alpha(units)
        return
    width = max(map(len, units))
    table = np.full((width, len(units)), np.nan)
    for column, unit in enumerate(units):
        table[: len(unit), column] = unit
    for level in ("nominal", "ordinal", "interval"):
        theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=level)
        assert krippendorff_alpha(units, level) == pytest.approx(theirs, abs=1e-9)


def test_ceiling_of_published_agreements() -> None:
    for share, expected in ((0.63, 0.755), (0.701, 0.817), (0.726, 0.836), (0.773, 0.869)):
        assert agreement.ceiling(share) == pytest.approx(expected, abs=1e-3)
    assert agreement.ceiling(0.4) == 0.5


def test_measured_agreement_of_a_crowd() -> None:
    records, _ = judged(150)
    measured = agreement.measure(records)
    assert measured.alpha.low < measured.alpha.value < measured.alpha.high
    assert 0.5 < measured.strict.value < 0.75
    assert measured.ceiling.value > measured.strict.value
    votes = agreement.pair_votes(records)
    units = [list(v.values()) for v in votes.values() if len(v) > 1]
    assert measured.alpha.value == pytest.approx(krippendorff_alpha(units), abs=1e-9)
    with pytest.raises(DataError, match="judged by two"):
        agreement.measure(records[:1])


def test_alpha_of_the_llmfao_votes() -> None:
    path = shared_data("llmfao/crowd-comparisons.csv")
    units: dict[tuple[str, ...], list[float]] = {}
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        a, b = row["left"], row["right"]
        value = {"left": 1.0, "right": -1.0, "tie": 0.0}[row["winner"]]
        key, sign = ((row["prompt"], a, b), 1.0) if a < b else ((row["prompt"], b, a), -1.0)
        units.setdefault(key, []).append(sign * value)
    assert krippendorff_alpha(list(units.values())) == pytest.approx(0.291, abs=0.002)
