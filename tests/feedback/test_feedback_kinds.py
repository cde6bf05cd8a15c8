"""Agreement on every kind of judgement."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from accord.errors import DataError
from accord.feedback import agreement
from accord.feedback.agreement_kinds import measure_all, measure_scale
from accord.feedback.records import BestWorst, Feedback
from accord.statistics.intervals import share
from accord.statistics.significance import discoveries


def record(
    kind: str, item: int, annotator: str, choice: dict[str, Any], options: int = 1, **meta: Any
) -> Feedback:
    shown = [{"id": f"o{k}", "content": f"{item}.{k}", "shown_at": k} for k in range(options)]
    return Feedback.model_validate(
        {
            "id": f"{kind}-{item}-{annotator}",
            "kind": kind,
            "prompt": f"p{item}",
            "options": shown,
            "choice": choice,
            "annotator": annotator,
            "meta": meta,
        }
    )


@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=5), min_size=3, max_size=12))
def test_alpha_from_moments_and_from_coincidences_equals_krippendorff(
    units: list[list[int]],
) -> None:
    if len({v for u in units for v in u}) < 2:
        return
    table = np.full((max(map(len, units)), len(units)), np.nan)
    for column, unit in enumerate(units):
        table[: len(unit), column] = unit
    twice = {(f"p{i}",): [float(v) for v in unit] for i, unit in enumerate(units)}
    for level in ("nominal", "ordinal", "interval"):
        found = measure_scale("x", level, twice)
        theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=level)
        assert found.alpha is not None
        assert found.alpha.value == pytest.approx(theirs, abs=1e-9)


def test_every_kind_is_measured_or_counted() -> None:
    rng, records = np.random.default_rng(0), []
    for item in range(40):
        for who in "abc":
            level = float(np.clip(item % 5 + rng.integers(-1, 2), 0, 4))
            toxic = bool(item % 4 == 0) != bool(rng.random() < 0.1)
            records.append(
                record("rating", item, who, {"scores": {"helpful": level}}, flags={"toxic": toxic})
            )
            records.append(
                record("thumb", item, who, {"up": bool(item % 2) != bool(rng.random() < 0.1)})
            )
            labels = [1, int(rng.integers(-1, 2)), -1]
            records.append(
                record("step_labels", item, who, {"steps": ["s", "t", "u"], "labels": labels})
            )
            best, worst = rng.choice(4, size=2, replace=False, p=[0.7, 0.1, 0.1, 0.1])
            records.append(
                record("best_worst", item, who, {"best": f"o{best}", "worst": f"o{worst}"}, 4)
            )
    records.append(record("critique", 0, "a", {"text": "fine"}))
    records.append(record("comparison", 0, "a", {"preferred": "o0"}, 2))
    found = measure_all(records)
    by_what = {(s.what, s.level): s for s in found.scales}
    assert set(by_what) == {
        ("rating helpful", "ordinal"),
        ("rating helpful", "interval"),
        ("thumb", "nominal"),
        ("step", "ordinal"),
        ("flag toxic", "nominal"),
    }
    assert by_what["step", "ordinal"].units == 120
    assert by_what["thumb", "nominal"].same.value == pytest.approx(0.9**2 + 0.1**2, abs=0.1)
    assert by_what["thumb", "nominal"].ceiling is not None
    for scale in found.scales:
        assert scale.alpha is not None
        assert scale.alpha.low < scale.alpha.value < scale.alpha.high
    assert found.not_measured == {
        "comparison: no pair of options judged by two annotators": 1,
        "critique: free text": 1,
    }
    assert found.by_kind["best_worst"].strict.value > 0.5
    assert asdict(found)["choices"]["units"] == found.choices.units  # type: ignore[union-attr]


def test_choices_of_one_kind_are_all_choices() -> None:
    said = [record("comparison", i, who, {"preferred": f"o{(i + len(who)) % 2}"}, 2)
            for i in range(6) for who in ("a", "bb", "ccc")]  # fmt: skip
    report = measure_all(said)
    assert report.choices == report.by_kind["comparison"] == agreement.measure(said)
    once = [record("best_worst", 9, "a", {"best": "o0", "worst": "o1"}, 3)]
    both = measure_all([*said, *once])
    assert both.choices == agreement.measure([*said, *once])
    assert list(both.by_kind) == ["comparison"]
    assert measure_all(once).choices is None


def test_best_worst_is_taken_apart_into_what_it_decides() -> None:
    one = record("best_worst", 0, "a", {"best": "o2", "worst": "o0"}, 4)
    assert isinstance(one.choice, BestWorst)
    pairs = {key[1:]: votes["a"] for key, votes in agreement.pair_votes([one]).items()}
    assert pairs == {
        ("o0", "o1"): -1.0,
        ("o0", "o2"): -1.0,
        ("o0", "o3"): -1.0,
        ("o1", "o2"): -1.0,
        ("o2", "o3"): 1.0,
    }


def test_one_value_has_no_alpha_and_continuous_scales_are_interval() -> None:
    same = [record("thumb", i, who, {"up": True}) for i in range(5) for who in "ab"]
    (found,) = measure_all(same).scales
    assert found.alpha is None
    assert found.same.value == 1
    rng = np.random.default_rng(1)
    fine = [
        record("rating", i, who, {"scores": {"x": i / 10 + 0.1 * float(rng.random())}})
        for i in range(40)
        for who in "ab"
    ]
    assert {s.level for s in measure_all(fine).scales} == {"interval"}


def test_flags_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(DataError, match=r"meta\.flags"):
        measure_all([record("thumb", 0, "a", {"up": True}, flags=["toxic"])])


def test_intervals_of_shares_cover_and_discoveries_are_few() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.95, size=2000)
    inside = [(i := share(int(rng.binomial(40, p)), 40)).low <= p <= i.high for p in truth]
    assert np.mean(inside) >= 0.95
    assert not any(discoveries(np.linspace(0.1, 1, 50).tolist()))
    assert discoveries([0.0001, 0.9, 0.0002, 0.5]) == [True, False, True, False]
    assert discoveries([]) == []


@pytest.mark.parametrize(("count", "total"), [(0, 3), (3, 3), (1, 8), (45, 60), (997, 1000)])
def test_shares_have_the_intervals_of_scipy(count: int, total: int) -> None:
    found, expected = share(count, total), binomtest(count, total).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
