"""Which shape a row has, and which of its columns a parser looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from public_rows import PAIRS

from accord.feedback.formats.columns import Watched, check_used
from accord.feedback.formats.names import KNOWN
from accord.feedback.formats.shapes import SHAPES, detect
from accord.feedback.records import _sorted_json, content_id

VALUES = st.sampled_from(
    [
        None,
        "",
        "x",
        "\n\nHuman: a\n\nAssistant: b",
        1,
        0.5,
        True,
        [],
        ["a"],
        {},
        {"a": 1},
        [{"role": "user", "content": "x"}],
    ]
)
ROWS = st.dictionaries(st.sampled_from(sorted(KNOWN)), VALUES, min_size=1, max_size=8)


def first_shape(row: dict[str, Any]) -> str | None:
    return next((shape.name for shape in SHAPES if shape.matches(row)), None)


def name_of(row: dict[str, Any]) -> str | None:
    shape = detect(row)
    return shape.name if shape else None


@settings(max_examples=400, deadline=None)
@given(ROWS)
def test_names_alone_rule_out_no_shape_that_values_allow(row: dict[str, Any]) -> None:
    """Told once for all rows of the same columns, as told for each."""
    assert name_of(row) == first_shape(row)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SHAPES), ROWS, VALUES)
def test_columns_of_each_shape_are_told_the_same(shape: Any, more: dict[str, Any], v: Any) -> None:
    row = {**dict.fromkeys(shape.fields, v), **more}
    assert name_of(row) == first_shape(row)


@pytest.mark.parametrize("name", PAIRS)
def test_public_rows_are_told_the_same(name: str) -> None:
    for row in PAIRS[name]:
        assert name_of(row) == first_shape(row)


LOOKS: list[Callable[[Watched], object]] = [
    lambda row: row["a"],
    lambda row: row.get("a"),
    lambda row: {**row},
    lambda row: dict(row),
    lambda row: list(row.items()),
    lambda row: list(row.values()),
    lambda row: json.dumps(row),
]


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_looked_at_is_noted_however(look: Callable[[Watched], object]) -> None:
    row = Watched({"a": 1})
    assert row.unseen() == ["a"]
    look(row)
    assert row.unseen() == []


def test_names_are_no_look_at_values() -> None:
    row = Watched({"a": 1, "b": "", "c": 2})
    assert "a" in row
    assert [*row] == [*row.keys()] == ["a", "b", "c"]
    assert {"a"} <= row.keys()
    assert row.get("d") is None
    assert row.unseen() == ["a", "c"]
    assert check_used(row, {"a"}) == ["a"]


@given(st.lists(st.one_of(st.text(), st.integers(), st.lists(st.text(), max_size=2)), max_size=4))
def test_ids_of_texts_are_those_of_any_content(parts: list[Any]) -> None:
    whole = hashlib.sha256(_sorted_json(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    assert content_id(*parts) == whole
