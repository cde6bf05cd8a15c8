"""Files of every kind give the same rows for the same data, or say what stands in the way."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from accord.errors import DataError
from accord.feedback.formats.containers.arrow_sizes import unpacked_bytes
from accord.feedback.formats.containers.parquet_sizes import page_sizes
from accord.feedback.formats.reading import (
    SENT,
    Bounds,
    Notes,
    RowsRead,
    iter_rows,
    read_rows,
    read_stream,
)
from accord.feedback.formats.source import DataSource

Rows = list[dict[str, Any]]


# --- the same rows from every container -----------------------------------------------------------
def json_lines(rows: Rows) -> bytes:
    return "".join(
        json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(rows)
    ).encode()


def json_list(rows: Rows) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()


def parquet_file(rows: Rows) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), out, row_group_size=3)
    return out.getvalue()


def arrow_stream(rows: Rows) -> bytes:
    table, out = pa.Table.from_pylist(rows), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return out.getvalue()


def arrow_file(rows: Rows) -> bytes:
    table, out = pa.Table.from_pylist(rows), io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return out.getvalue()


def table(
    delimiter: str, encoding: str = "utf-8", first: str = "", end: str = "\r\n"
) -> Callable[[Rows], bytes]:
    def write(rows: Rows) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(
            out, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL
        )
        writer.writeheader()
        writer.writerows(rows)
        return (first + out.getvalue()).encode(encoding)

    return write


def packed(write: Callable[[Rows], bytes]) -> Callable[[Rows], bytes]:
    return lambda rows: gzip.compress(write(rows))


EVERY = {
    "a.jsonl": json_lines, "b.json": json_list, "c.parquet": parquet_file, "d.arrow": arrow_stream, "e.arrow": arrow_file,
    "f.jsonl.gz": packed(json_lines), "g.json.gz": packed(json_list),
}  # fmt: skip
TABLES = {
    "a.csv": table(","), "b.tsv": table("\t"), "c.csv": table(";"), "d.csv": table("|", first="sep=|\r\n"),
    "e.csv": table("\t", "utf-16"), "f.csv": table(",", "utf-8-sig"), "g.csv.gz": packed(table(",")),
    "h.csv": table(";", first="sep=;\r\n"), "i.csv": table(",", end="\r"), "j.csv": table(",", end="\n"),
    "k.csv": table(";", "utf-32"),
}  # fmt: skip

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cn")), max_size=12)
names = st.sampled_from(["prompt", "answer text", "Größe", "x,y", "a;b"])
cells = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)


@st.composite
def tables_of(draw: st.DrawFn, values: Callable[[str], st.SearchStrategy[Any]]) -> Rows:
    """Rows of the same columns, each of one type (as Parquet demands), some empty."""
    columns = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    kinds = {name: values(name) for name in columns}
    return draw(st.lists(st.fixed_dictionaries(kinds), min_size=1, max_size=7))


def of_one_type(name: str) -> st.SearchStrategy[Any]:
    turn = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": texts})
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "prompt": st.one_of(st.none(), texts),
        "answer text": st.one_of(st.none(), st.lists(turn, max_size=3)),
        "Größe": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "x,y": st.floats(allow_nan=False, allow_infinity=False),
        "a;b": st.one_of(st.none(), st.booleans()),
    }
    return kinds[name]


def rows_of(name: str, content: bytes) -> Rows:
    notes = Notes()
    found = [row for _, row in read_stream(name, content, notes)]
    assert notes.dropped == {}
    return found


@given(rows=tables_of(of_one_type))
def test_every_container_gives_the_same_rows(rows: Rows) -> None:
    for name, write in EVERY.items():
        assert rows_of(name, write(rows)) == rows, name


@given(rows=tables_of(lambda name: texts))
def test_every_table_gives_the_same_texts(rows: Rows) -> None:
    wanted = [row for row in rows if any(row.values())]
    for name, write in TABLES.items():
        assert rows_of(name, write(rows)) == wanted, name


def test_what_json_has_no_word_for_is_written_as_json_would(tmp_path: Path) -> None:
    when = datetime(2024, 7, 24, 5, 46, 40, 123000, tzinfo=UTC)
    rows = [
        {
            "prompt": "p",
            "at": when,
            "price": Decimal("1.50"),
            "count": Decimal(7),
            "kind": "a",
            "inner": {"at": [when]},
        }
    ]
    schema = pa.Table.from_pylist(rows).schema
    schema = schema.set(
        schema.get_field_index("kind"), pa.field("kind", pa.dictionary(pa.int8(), pa.string()))
    )
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "a.parquet")
    ((_, row),) = read_rows(tmp_path / "a.parquet").rows
    assert row == {
        "prompt": "p",
        "at": when.isoformat(),
        "price": 1.5,
        "count": 7,
        "kind": "a",
        "inner": {"at": [when.isoformat()]},
    }


def test_times_in_nanoseconds_need_no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    column = pa.array([1721799999123456789, None], pa.timestamp("ns", "UTC"))
    parquet.write_table(pa.table({"prompt": ["p", "q"], "at": column}), out)
    assert rows_of("a.parquet", out.getvalue())[0]["at"].startswith("2024-07-24T05:46:39.123456")


# --- rows that are none, and files that are refused -----------------------------------------------
def read(folder: Path, name: str, content: bytes, **settings: Any) -> RowsRead:
    (folder / name).write_bytes(content)
    return read_rows(DataSource(path=str(folder / name), **settings))


GOOD = '{"prompt": "p", "chosen": "x", "rejected": "y"}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": ', "not valid JSON"),
        (b"[1, 2]", "the row is list, not an object"),
        (b'{"prompt": "\\ufdd0"}', "the field 'prompt' holds U+FDD0"),
        ('{"prompt": ["a", {"b": "\ufdef"}]}'.encode(), "the field 'prompt' holds U+FDEF"),
        ('{"prompt": "\U0010ffff"}'.encode(), "holds U+10FFFF"),
        (
            b'{"prompt": "a \\ud83d b"}',
            "the field 'prompt' contains an unpaired surrogate",
        ),
        (b'{"a\\udc00": 1}', "an unpaired surrogate"),
        (
            b'{"prompt": "p", "n": ' + b"9" * 5000 + b"}",
            "the field 'n' holds an integer of more than 100 digits",
        ),
        (b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deeply"),
        (b'{"prompt": ' + b"[" * 300 + b"]" * 300 + b"}", "too deeply"),
        (b'{"prompt": "a", "prompt": "b"}', "holds a key twice: 'prompt'"),
        (b'{"prompt": [{"a": 1, "a": 1}]}', "the field 'prompt' holds a key twice: 'a'"),
        (b"\0", "not valid JSON"),
    ],
)
def test_a_line_that_is_no_row_is_counted_and_the_others_are_read(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    read_ = read(tmp_path, "a.jsonl", b"\n".join([GOOD.encode(), line, b"", GOOD.encode()]))
    assert [where for where, _ in read_.rows] == ["a.jsonl line 1", "a.jsonl line 4"]
    ((told, count),) = read_.dropped.items()
    assert (reason in told, count) == (True, 1), told
    assert read_.first_dropped[told].startswith("a.jsonl line 2")
    if b"[" * 100_000 not in line and b"\0" not in line and not reason.startswith("not"):
        entry = read(
            tmp_path, "b.json", b"[" + b",".join([GOOD.encode(), line, GOOD.encode()]) + b"]"
        )
        assert ([where for where, _ in entry.rows], list(entry.dropped)) == (
            ["b.json row 1", "b.json row 3"],
            [told],
        )


HEADER = b"prompt,chosen,rejected\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,b\n", "fewer fields than the header: none for rejected"),
        (b"a,b,c,d\n", "more fields than the header"),
        (b'a,"b"x,c\n', "a stray quote"),
        ("a,b,\ufdd0\n".encode(), "the field 'rejected' holds U+FDD0"),
    ],
)
def test_a_row_of_a_table_that_is_none_is_counted(tmp_path: Path, line: bytes, reason: str) -> None:
    got = read(tmp_path, "a.csv", HEADER + b'"two\nlines",b,c\n' + line + b"d,e,f\n")
    assert [row["prompt"] for _, row in got.rows] == ["two\nlines", "d"]
    assert [where for where, _ in got.rows] == ["a.csv line 2", "a.csv line 5"]
    ((told, count),) = got.dropped.items()
    assert (reason in told, count, got.first_dropped[told]) == (True, 1, "a.csv line 4")


def test_empty_rows_and_columns_without_a_name_are_said(tmp_path: Path) -> None:
    got = read(tmp_path, "a.csv", b",prompt,chosen,\n0,a,b,\n,,,\n1,c,d,\n,,,\n")
    assert [row for _, row in got.rows] == [
        {"column_1": "0", "prompt": "a", "chosen": "b"},
        {"column_1": "1", "prompt": "c", "chosen": "d"},
    ]
    assert got.messages == [
        "a.csv: column 1 has no name; it is called column_1",
        "a.csv: 2 empty rows passed over",
    ]
    assert read(tmp_path, "b.csv", b"prompt,chosen\na,b,,,\n").rows[0][1] == {
        "prompt": "a",
        "chosen": "b",
    }


def test_names_typed_by_hand_are_tidied_and_said(tmp_path: Path) -> None:
    got = read(
        tmp_path, "a.csv", b"Prompt , Response A,RESPONSE-B,winner,My Notes,Feedback\na,b,c,a,n,f\n"
    )
    assert list(got.rows[0][1]) == [
        "prompt",
        "response_a",
        "response_b",
        "winner",
        "My Notes",
        "Feedback",
    ]
    assert got.messages == [
        "the column 'Prompt ' is read as prompt",
        "the column ' Response A' is read as response_a",
        "the column 'RESPONSE-B' is read as response_b",
    ]
    both = read(tmp_path, "b.csv", b"prompt,Prompt,chosen\na,b,c\n")
    assert (list(both.rows[0][1]), both.messages) == (["prompt", "Prompt", "chosen"], [])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", HEADER + b'a,"b,c\nd,e,f\n', "line 2 opens a quote"),
        ("a.csv", HEADER + b'a,"b,c\nd"e,f,g\n', "line 2 opens a quote"),
        ("a.csv", b"prompt,prompt\na,b\n", "the column 'prompt' stands twice"),
        ("a.jsonl", "{\"prompt\": \"caf\xe9\"}\n".encode("cp1252"), "a.jsonl is not UTF-8: byte 15 (line 1) is 0xe9; it may be cp1252"),
        ("a.csv", "prompt,chosen\na,b\n".encode("utf-16-le"), "looks like UTF-16 without its mark (utf-16le)"),
        ("a.json", "[1]  ".encode("utf-16-be"), "looks like UTF-16 without its mark (utf-16be)"),
        ("a.json", b"[" * 100_000 + b"]" * 100_000, "nested more than 200 deep"),
        ("a.json", b'[{"prompt": "a"}, {"pro', "a.json is not valid JSON"),
        ("a.parquet", b"", "cannot read a.parquet"),
        ("a.parquet", b"PAR1" + b"\0" * 50, "cannot read a.parquet"),
        ("a.arrow", b"ARROW1\0\0", "cannot read a.arrow"),
        ("a.arrow", b"", "cannot read a.arrow"),
        ("a.parquet", parquet_file([{"prompt": "a"}])[:-1], "cannot read a.parquet"),
        ("a.jsonl.gz", gzip.compress(json_lines([{"prompt": str(i)} for i in range(999)]))[:-9], "is it complete?"),
        ("a.jsonl.gz", b"plain", "cannot read a.jsonl.gz"),
        ("a.parquet.gz", b"", "compressed within"),
        ("a.xlsx", b"PK", "save it as CSV UTF-8"),
        ("a.txt", b"", "rename it"),
        ("a.parquet", parquet_file([{"prompt": "a"}]).replace(b"prompt", b"prom\xfft"), "a.parquet"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_refused_as_a_whole(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, content)
    assert words in str(caught.value)


def test_no_rows_is_empty(tmp_path: Path) -> None:
    schema = pa.schema({"prompt": pa.string()})
    parquet.write_table(schema.empty_table(), tmp_path / "a.parquet")
    for path in (tmp_path / "a.parquet",):
        with pytest.raises(DataError, match=r"a.parquet is empty"):
            read_rows(path)
    with pytest.raises(DataError, match=r"b.csv is empty"):
        read(tmp_path, "b.csv", b"prompt,chosen\n")
    with pytest.raises(DataError, match=r"c.json is empty"):
        read(tmp_path, "c.json", b"[]")


def test_binary_data_and_broken_texts_within_parquet_are_counted(tmp_path: Path) -> None:
    good, broken = (
        pa.array([b"ok", b"\xff", b"ok"], pa.binary()),
        pa.array([b"x", b"y", b"z"], pa.binary()),
    )
    text = pa.Array.from_buffers(pa.string(), 3, good.buffers())
    parquet.write_table(
        pa.table({"prompt": ["a", "b", "c"], "image": broken}), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match="3 × the field 'image' holds binary data, not text"):
        read_rows(tmp_path / "a.parquet")
    content = arrow_of(pa.table({"prompt": text}))
    with pytest.raises(DataError, match=r"cannot read b.arrow"):  # its texts are none
        list(read_stream("b.arrow", content, Notes()))


def arrow_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


# --- encodings ------------------------------------------------------------------------------------
def test_an_encoding_is_said_never_guessed(tmp_path: Path) -> None:
    text = "prompt,chosen\nWie heißt du?,„Zoë“\n"
    got = read(tmp_path, "a.csv", text.encode("cp1252"), encoding="cp1252")
    assert got.rows[0][1] == {"prompt": "Wie heißt du?", "chosen": "„Zoë“"}
    assert (
        read(tmp_path, "b.csv", text.encode("utf-16le"), encoding="utf-16le").rows[0][1]
        == got.rows[0][1]
    )
    with pytest.raises(DataError, match=r"begins with the mark of utf-8, not of cp1252"):
        read(tmp_path, "c.csv", text.encode("utf-8-sig"), encoding="cp1252")
    with pytest.raises(DataError, match=r"is not ascii: byte 21 \(line 2\) is 0xc3"):
        read(tmp_path, "d.csv", text.encode(), encoding="ascii")


@given(before=st.text("ab\n", max_size=40_000), after=st.text("ab\n\u20ac", max_size=50))
def test_the_place_of_a_wrong_byte_is_the_place_in_the_file(before: str, after: str) -> None:
    content = before.encode() + b"\xff" + after.encode()
    with pytest.raises(DataError) as caught:
        list(read_stream("a.csv", b"prompt,chosen\n" + content, Notes()))
    line = before.count("\n") + 2
    assert f"byte {len(before) + 14:,} (line {line:,}) is 0xff" in caught.value.message


# --- bounds ---------------------------------------------------------------------------------------
SMALL = Bounds(unpacked=100_000, whole=100_000, row=10_000, depth=20)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"prompt": "a"}\n' * 10_000)),
        ("a.json.gz", gzip.compress(b" " * 200_000)),
        ("a.json", b" " * 200_000),
        ("a.csv.gz", gzip.compress(b"prompt,chosen\n" + b"a,b\n" * 50_000)),
        ("a.csv", b'prompt,chosen\na,"' + b"b\n" * 10_000),
        ("a.csv", b'prompt,chosen\na,"' + b"b\n" * 10_000 + b'"\n'),
        ("a.csv", b"prompt" * 9_000),
        ("a.parquet", parquet_file([{"prompt": "a" * 1000, "i": i} for i in range(300)])),
        ("a.arrow", arrow_stream([{"prompt": "a" * 1000} for _ in range(300)])),
    ],
)  # fmt: skip
def test_nothing_grows_beyond_its_bounds(name: str, content: bytes) -> None:
    with pytest.raises(DataError, match=r"more than|longer than|does not end"):
        list(read_stream(name, content, Notes(), SMALL))


def test_a_line_beyond_bounds_is_counted() -> None:
    notes = Notes()
    long = json.dumps({"prompt": "a" * 30_000})
    assert (
        len(list(read_stream("a.jsonl", f"{GOOD}\n{long}\n{GOOD}\n{long}".encode(), notes, SMALL)))
        == 2
    )
    assert notes.dropped == {"the line is longer than a row may be": 2}


class Endless(io.RawIOBase):
    """A file that never ends; `taken` tells how much of it was read."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self.again, self.taken, self.held = again, 0, first

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while len(self.held) < size:
            self.held += self.again
        data, self.held = self.held[:size], self.held[size:]
        self.taken += len(data)
        return data


@pytest.mark.parametrize(
    ("name", "first", "again"),
    [
        ("a.jsonl", b"", b'{"prompt": "a"}\n'),
        ("a.csv", b"prompt,chosen\n", b"a,b\n"),
        ("a.tsv", b"prompt\tchosen\n", b"a\tb\n"),
    ],
)
def test_rows_are_read_as_they_are_asked_for(name: str, first: bytes, again: bytes) -> None:
    endless = Endless(first, again * 100)
    rows: Iterator[Any] = read_stream(name, endless, Notes())
    assert sum(1 for _ in zip(range(1000), rows, strict=False)) == 1000
    assert endless.taken < 100_000


def test_a_large_file_is_read_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    with gzip.open(tmp_path / "a.jsonl.gz", "wb", compresslevel=1) as handle:
        for _ in range(100):
            handle.write((json.dumps({"prompt": "a" * 1000}) + "\n").encode() * 100)
    row = pa.table({"prompt": ["a" * 1000] * 1000})
    with parquet.ParquetWriter(tmp_path / "b.parquet", row.schema, use_dictionary=False) as writer:
        for _ in range(10):
            writer.write_table(row)
    for name in ("a.jsonl.gz", "b.parquet"):  # 10 MB each
        tracemalloc.start()
        assert sum(1 for _ in iter_rows(DataSource(path=str(tmp_path / name)), Notes())) == 10_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2e6


# --- the same records -----------------------------------------------------------------------------
def records_of(folder: Path, name: str, content: bytes) -> list[Any]:
    from accord.feedback.formats import read_feedback

    (folder / name).write_bytes(content)
    return read_feedback(folder / name).records


def test_every_container_gives_the_same_records(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"Größe {i}?",
            "chosen": 'an "x"\nand y',
            "rejected": "b" * (i + 1),
            "weight": 1.5,
            "annotator": "ann",
            "created_at": "2024-01-01",
        }
        for i in range(4)
    ]
    wanted = records_of(tmp_path, "a.jsonl", json_lines(rows))
    for name, write in {**EVERY, **TABLES}.items():
        assert records_of(tmp_path, name, write(rows)) == wanted, name


def test_messages_with_other_keys_are_the_same_in_columns(tmp_path: Path) -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "weather", "arguments": {"city": "Oslo"}},
    }
    rows = [
        {
            "messages": [
                {"role": "user", "content": "Cold?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "name": "weather", "content": "3"},
                {"role": "assistant", "content": "Yes."},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
            ]
        },
    ]
    wanted = records_of(tmp_path, "a.jsonl", json_lines(rows))
    for name in ("b.json", "c.parquet", "d.arrow", "e.arrow"):
        assert records_of(tmp_path, name, EVERY[name](rows)) == wanted, name


def shared_columns() -> dict[str, pa.Array]:
    """Three rows that stand for one text or list in the file, in each way that Arrow has."""
    zeros, ten = pa.array([0, 0, 0], pa.int32()), pa.nulls(10)
    text, nulls = pa.array(["x" * 1000]), pa.array([[None] * 10])
    lists = pa.ListViewArray.from_arrays(zeros, pa.array([10, 10, 10], pa.int32()), ten)
    kinds = pa.array([0, 0, 0], pa.int8())
    return {
        "texts": pa.DictionaryArray.from_arrays(zeros, text),
        "lists": pa.DictionaryArray.from_arrays(zeros, nulls),
        "objects": pa.StructArray.from_arrays(
            [pa.DictionaryArray.from_arrays(zeros, nulls)], ["part"]
        ),
        "views": lists,
        "union": pa.UnionArray.from_dense(kinds, zeros, [nulls]),
        "runs": pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), text),
    }


@pytest.mark.parametrize("kind", shared_columns())
def test_what_rows_share_in_the_file_counts_for_each_of_them(kind: str) -> None:
    table, out = pa.table({"a": shared_columns()[kind]}), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    size = len(out.getvalue())
    read = partial(read_stream, "a.arrow", out.getvalue(), Notes())
    assert len(list(read(Bounds(unpacked=size + 3000, values=36)))) == 3
    bounds = Bounds(unpacked=2999) if kind in ("texts", "runs") else Bounds(values=29)
    with pytest.raises(DataError, match=r"unpacks to more|holds more than 29 values"):
        list(read(bounds))


def test_a_value_beyond_bounds_is_refused_before_it_is_made() -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 2**31 - 1], pa.int32()), pa.nulls(2**31 - 1))
    column = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), lists)
    table, out = pa.table({"a": column}), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="holds more than 2,000,000 values"):
        list(read_stream("a.arrow", out.getvalue(), Notes(), SENT))


def test_a_column_of_categories_counts_as_the_texts_it_stands_for() -> None:
    """Parquet is read a row at a time, and each brings all categories along."""
    texts = [f"{i % 100:100}" for i in range(500)]
    table, out = pa.table({"prompt": pa.array(texts).dictionary_encode()}), io.BytesIO()
    parquet.write_table(table, out)
    bounds = Bounds(unpacked=60_000)
    rows = [row for _, row in read_stream("a.parquet", out.getvalue(), Notes(), bounds)]
    assert [row["prompt"] for row in rows] == texts
    with pytest.raises(DataError, match="unpacks to more"):
        list(read_stream("a.parquet", out.getvalue(), Notes(), Bounds(unpacked=45_000)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_too_many_rows_are_said_of_the_file(name: str) -> None:
    rows = [{"prompt": "p"}, {"prompt": "q"}]
    text = json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
    with pytest.raises(DataError, match=rf"^{name} holds more than 1 rows"):
        list(read_stream(name, text.encode(), Notes(), Bounds(rows=1)))


def test_json_is_read_up_to_its_bound_of_values() -> None:
    line = b'{"prompt": "p", "n": [1, 2]}'  # an object counts four, a list one, two commas two
    for name, content in (("a.jsonl", line), ("a.json", line), ("a.json", line + b"\n" + line)):
        values = 7 * content.count(b"{")
        read = partial(read_stream, name, content, Notes())
        assert len(list(read(Bounds(values=values)))) == content.count(b"{")
        with pytest.raises(DataError, match=f"holds more than {values - 1} values"):
            list(read(Bounds(values=values - 1)))


# --- what a file unpacks to is counted before it is unpacked ---------------------------------------
def packed_table() -> pa.Table:
    """Much that packs well, a little that does not, and a column of categories."""
    numbers = pa.array(np.random.default_rng(0).integers(2**62, size=4000))
    texts = pa.array(["x" * 99] * 4000)
    kinds = pa.array([f"{i % 300:200}" for i in range(4000)]).dictionary_encode()
    return pa.table({"text": texts, "number": numbers, "kind": kinds})


@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_the_bytes_of_packed_batches_are_counted(codec: str | None) -> None:
    table, out = packed_table(), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=1000)
    messages = pa.ipc.MessageReader.open_stream(out.getvalue())
    categories = table["kind"].chunk(0).dictionary
    whole = table["text"].nbytes + table["number"].nbytes + 4 * 4000 + categories.nbytes
    # Each buffer is filled up to 64 bytes, and every batch but the first begins its offsets anew.
    assert whole <= sum(map(unpacked_bytes, messages)) <= whole + 5 * 6 * 64
    packed = len(out.getvalue())
    assert codec is None or packed < whole / 5
    read = partial(read_stream, "a.arrow", out.getvalue(), Notes())
    with pytest.raises(DataError, match="unpacks to more"):
        next(iter(read(Bounds(unpacked=whole - 1))))


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_the_bytes_of_packed_pages_are_counted(codec: str, dictionary: bool) -> None:
    table, out = packed_table(), io.BytesIO()
    parquet.write_table(
        table,
        out,
        compression=codec,
        use_dictionary=dictionary,
        row_group_size=1000,
        data_page_size=2000,
        write_batch_size=200,
        write_statistics=False,
    )
    meta = parquet.ParquetFile(io.BytesIO(out.getvalue())).metadata
    columns = [meta.row_group(g).column(c) for g in range(4) for c in range(3)]
    sizes = list(page_sizes(meta, out))
    assert len(sizes) >= (24 if dictionary else 36)
    headers = sum(c.total_uncompressed_size for c in columns) - sum(sizes)
    assert 10 * len(sizes) < headers < 150 * len(sizes)
    packed = sum(c.total_compressed_size for c in columns)
    assert codec == "none" or dictionary or packed < sum(sizes) / 3
    read = partial(read_stream, "a.parquet", out.getvalue(), Notes())
    with pytest.raises(DataError, match="unpacks to more"):
        next(iter(read(Bounds(unpacked=sum(sizes) - 1))))
