"""Votes read by column are those of the records, with the same counts, reasons and places."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from accord.errors import DataError
from accord.feedback import vote_table
from accord.feedback.formats import read_feedback
from accord.feedback.formats.containers.columnar import encoded_columns
from accord.feedback.formats.containers.notes import LOCAL, Notes
from accord.feedback.formats.source import DataSource
from accord.feedback.vote_table import VoteTable, read_vote_table
from accord.feedback.votes import votes_of

MODELS = st.sampled_from(["gpt", "llama", "Llama", "7", 7, 7.0, 7.5, " ", "", None, True, "模型"])
WINNERS = st.sampled_from(
    [
        "model_a",
        "model_b",
        "tie",
        "tie (bothbad)",
        "A",
        "Left",
        1,
        2,
        "2.0",
        "both_bad",
        "?",
        "",
        None,
    ]
)
JUDGES = st.sampled_from(["ann", "bob", 3, 3.0, "3", "", None, False])
OTHERS = st.sampled_from(["x", "", None, 1, 0.5, True])
TIMES = st.sampled_from(["2024-01-05T10:00:00", 1_700_000_000, 1_700_000_000.5, "", None, "now"])
COLUMNS = {
    "judge": JUDGES,
    "question_id": st.sampled_from(["q1", 5, 2.5, "", None]),
    "tstamp": TIMES,
    "language": OTHERS,
    "turn": st.sampled_from([1, 2, "", None]),
    "evaluation_session_id": st.sampled_from(["s", 4, "", None]),
}


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.sampled_from([("model_a", "model_b"), ("left", "right")]))
    more = draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True))
    judge = draw(st.sampled_from(["judge", "annotator", "judge_hash"]))
    outcomes = draw(st.booleans())
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        row: dict[str, Any] = {name: draw(MODELS) for name in names}
        if outcomes:
            won = draw(st.sampled_from(["winner_model_a", "winner_model_b", "winner_tie", "none"]))
            for name in ("winner_model_a", "winner_model_b", "winner_tie"):
                row[name] = draw(st.sampled_from([name == won, int(name == won), str(name == won)]))
        else:
            row["winner"] = draw(WINNERS)
        rows.append(row | {judge if n == "judge" else n: draw(COLUMNS[n]) for n in more})
    return rows


def by_records(path: Path) -> VoteTable:
    read = read_feedback(path)
    votes, left_out = votes_of(read.records)
    assert not left_out
    assert not read.left_out
    return VoteTable(votes, read.rows, read.dropped, read.first_dropped, read.messages)


def same(path: Path, must: bool = False) -> None:
    table = read_vote_table(DataSource(path=str(path)))
    if table is None:
        assert not must
        return
    records = by_records(path)
    assert table.rows == records.rows
    assert table.dropped == records.dropped
    assert table.first_dropped == records.first_dropped
    assert table.messages == records.messages
    assert table.votes.producers == records.votes.producers
    assert table.votes.annotators == records.votes.annotators
    assert table.votes.placed is records.votes.placed is None
    for name in ("first", "second", "annotator", "outcome", "count"):
        np.testing.assert_array_equal(getattr(table.votes, name), getattr(records.votes, name))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Columns of one type each: texts where values differ in theirs."""
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        kinds = {type(value) for value in values if value is not None}
        plain = len(kinds) <= 1 or kinds == {int, float}
        columns[name] = values if plain else [None if v is None else str(v) for v in values]
    parquet.write_table(pa.table(columns), path)
    return path


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


@pytest.mark.parametrize("kind", WRITERS)
@given(rows=tables())
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_tables_of_all_kinds(tmp_path: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    try:
        same(WRITERS[kind](tmp_path / f"votes.{kind}", rows))
    except DataError:  # the records say the same
        with pytest.raises(DataError):
            by_records(tmp_path / f"votes.{kind}")


def many(count: int = 400) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        a, b = rng.integers(8, size=2)
        winner = rng.choice(["model_a", "model_b", "tie", "tie (bothbad)"])
        judge = f"j{rng.integers(5)}"
        rows.append(
            {
                "model_a": f"m{a}",
                "model_b": f"m{b}" if number % 50 else "",
                "winner": str(winner) if number % 70 else "neither of them",
                "judge": judge,
                "question_id": f"q{number}",
                "language": "English",
            }
        )
    return rows


@pytest.mark.parametrize("kind", WRITERS)
def test_bare_votes_are_read_by_column(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many parts, with rows that are dropped in each of them."""
    monkeypatch.setattr(vote_table, "CHUNK", 64)
    rows = many()
    rows[311] |= {"model_a": "m1", "model_b": "m2", "winner": "nobody"}  # first in a later part
    same(WRITERS[kind](tmp_path / f"votes.{kind}", rows), must=True)


def test_rows_that_the_reader_itself_drops(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "votes.csv", many(60))
    path.write_text(path.read_text().replace(",English", "", 2) + "a,b,tie,j1,q1,English,more\n")
    same(path, must=True)
    assert sum(by_records(path).dropped.values()) > 3


@pytest.mark.parametrize(
    ("when", "bare"),
    [(1_700_000_000, True), ("1700000000.5", True), ("2024-01-05", True), ("soon", True), (None, True),
     (1e30, False), (-9e10, False), ("9" * 40, False), (True, False)],
)  # fmt: skip
def test_times_that_are_none_leave_it_to_the_records(tmp_path: Path, when: Any, bare: bool) -> None:
    rows = [{**row, "tstamp": when} for row in many(20)]
    path = write_jsonl(tmp_path / "votes.jsonl", rows)
    assert (read_vote_table(DataSource(path=str(path))) is not None) == bare
    if bare:
        same(path)


def test_names_of_columns_are_tidied(tmp_path: Path) -> None:
    rows = [{" Judge": row.pop("judge"), **row} for row in many(40)]
    for kind, write in WRITERS.items():
        path = write(tmp_path / f"votes.{kind}", rows)
        same(path, must=True)
        assert "' Judge' is read as judge" in by_records(path).messages[0]


def test_a_part_of_a_table(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "votes.parquet", many())
    table = read_vote_table(DataSource(path=str(path), limit=30))
    records = read_feedback(DataSource(path=str(path), limit=30))
    assert table is not None
    assert (table.rows, table.votes.total) == (records.rows, len(records.records))


UNSET = {
    name: field.get_default()
    for name, field in DataSource.model_fields.items()
    if not field.is_required()
}
"""What commands give for options that nobody wrote."""


@pytest.mark.parametrize(
    ("given", "by_column"), [({}, True), (UNSET, True), ({**UNSET, "limit": 30}, False)]
)
def test_a_whole_file_is_read_by_column(
    tmp_path: Path, given: dict[str, Any], by_column: bool
) -> None:
    """Values of a column stand once; rows are made only where a part is wanted."""
    path = write_parquet(tmp_path / "votes.parquet", many())
    columns, _ = next(vote_table._chunks(DataSource(path=str(path), **given), Notes()))
    assert all((column.index is not None) == by_column for column in columns.values())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_values_that_a_file_holds_for_no_row_say_nothing(tmp_path: Path, kind: pa.DataType) -> None:
    """A winner of 0 would be refused."""
    winners = pa.DictionaryArray.from_arrays([0, 1, None, 0], pa.array(["1", "2", "0"], kind))
    names = {"model_a": pa.array(["a", "b", "a", None], kind), "model_b": ["b", "a", "c", "a"]}
    path = tmp_path / "votes.parquet"
    parquet.write_table(pa.table({**names, "winner": winners}), path, store_schema=False)
    same(path, must=True)


def test_a_long_text_for_many_rows_is_not_unpacked(tmp_path: Path) -> None:
    """16,384 rows of 4 MiB would be 64 GiB."""
    path, many_rows = tmp_path / "votes.parquet", 16_384
    judges = pa.DictionaryArray.from_arrays(pa.array([0] * many_rows), ["j" * (4 << 20)])
    columns = {"model_a": ["a"] * many_rows, "model_b": ["b"] * many_rows, "question_id": judges}
    table = pa.table({**columns, "winner": ["tie"] * many_rows})
    parquet.write_table(table, path, store_schema=False)
    (read,) = encoded_columns(path, many_rows, LOCAL)
    assert read is not None
    assert [len(column.values) for column in read.values()] == [1, 1, 1, 1]
    assert list(encoded_columns(path, many_rows, replace(LOCAL, unpacked=1 << 20))) == [None]


@pytest.mark.parametrize(
    "more",
    [
        {"weight": 2},
        {"response_a": "yes", "response_b": "no"},
        {"label": 1},
        {"annotator": "ann", "judge": "bob"},
        {"prompt": "p"},
        {"tags": ["a"]},
        {"score": math.inf},
        {"deleted": False},
        {"images": None},
    ],
)
def test_what_says_more_is_read_as_records(tmp_path: Path, more: dict[str, Any]) -> None:
    rows = [{"model_a": "a", "model_b": "b", "winner": "tie", **more}]
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read_vote_table(DataSource(path=str(path))) is None


def test_a_column_of_zeros_does_not_say_who_won(tmp_path: Path) -> None:
    rows = [{"model_a": "a", "model_b": "b", "winner": n % 2} for n in range(4)]
    path = write_jsonl(tmp_path / "votes.jsonl", rows)
    for read in (read_feedback, lambda p: read_vote_table(DataSource(path=str(p)))):
        with pytest.raises(DataError, match="holds 0"):
            read(path)


def test_columns_that_a_vote_does_not_use_are_counted(tmp_path: Path) -> None:
    rows = [
        {"model_a": "a", "model_b": "b", "winner": "tie", "annotator": "ann", "worker": worker}
        for worker in ("bob", "", "cid")
    ]
    path = write_jsonl(tmp_path / "votes.jsonl", rows)
    assert read_feedback(path).left_out == {"column 'worker'": 2}


def test_other_data_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that holds more the first row is enough; of a Hub id nothing is read."""
    path = write_jsonl(tmp_path / "pairs.jsonl", [{"chosen": "a b", "rejected": "a c"}] * 9)
    asked = []
    real = vote_table.iter_rows
    monkeypatch.setattr(
        vote_table,
        "iter_rows",
        lambda *given: (row for row in real(*given) if asked.append(row) is None),
    )
    assert read_vote_table(DataSource(path=str(path))) is None
    assert len(asked) == 1
    assert read_vote_table(DataSource(path="owner/name")) is None
    assert len(asked) == 1
