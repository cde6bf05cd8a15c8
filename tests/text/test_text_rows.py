"""Files and names to rows; errors that name file, line and fix; splits by content."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.text.datasets import content_hash, deduplicate, load_rows, split_by_hash
from accord.text.rows import read_rows

ROWS = [{"prompt": "Say \u2028 hé", "n": "1"}, {"prompt": 'a, "b"\nc', "n": "2"}]
CSV = 'prompt,n\n"Say \u2028 hé",1\n"a, ""b""\nc",2\n'


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


CONTENT = {
    ".jsonl": "\ufeff" + "\r\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS) + "\n\n",
    ".json": json.dumps(ROWS),
    ".csv": CSV,
}


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".jsonl.gz", ".json.gz", ".csv.gz"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    assert read_rows(write(tmp_path / f"data{suffix}", CONTENT[suffix.removesuffix(".gz")])) == ROWS


def test_json_with_a_wrapper_tsv_text_and_parquet(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path / "w.json", json.dumps({"version": 1, "data": ROWS}))) == ROWS
    assert read_rows(write(tmp_path / "one.json", json.dumps(ROWS[0]))) == ROWS[:1]
    assert read_rows(write(tmp_path / "t.tsv", "a\tb\n1,5\t2\n")) == [{"a": "1,5", "b": "2"}]
    assert read_rows(write(tmp_path / "t.txt", "one\u2028line\r\n\n two\n")) == [
        {"text": "one\u2028line"},
        {"text": " two"},
    ]
    pyarrow = pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "p.parquet")
    assert read_rows(tmp_path / "p.parquet") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message", "fix"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": }\n', "a.jsonl line 2 is not JSON: Expecting value at column 7", "every line"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl line 2 is a list, not an object", "column"),
        ("a.jsonl", '[\n{"a": 1}\n]\n', "a.jsonl line 1 is not JSON", "name the file .json"),
        ("a.json", '{"a": 1}\n{"a": 2}\n', "a.json line 2 is not JSON: Extra data", "name the file .jsonl"),
        ("a.json", '[\n{"a": 1},\n{"a" 2}]', "a.json line 3 is not JSON", "repair"),
        ("a.json", "[1, 2]", "a.json row 1 is a int, not an object", "column"),
        ("a.json", '"text"', "holds a str, not a list", "write"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv line 3 has another number of fields than the header, 2", "quote"),
        ("a.csv", "a,b\n1\n", "a.csv line 2 has another number of fields", "quote"),
        ("a.csv", 'a,b\n1,"2\n', "is not valid CSV", "quotes"),
        ("a.csv", "a,a\n1,2\n", "names a column twice", "own name"),
        ("a.csv", "a,b\n", "is empty", "right file"),
        ("a.jsonl", "", "is empty: it holds no rows", "right file"),
        ("a.json", " ", "is empty", "right file"),
        ("a.jsonl", '{"a": "ok"}\n{"a": "é"}\n'.encode("latin1"), "line 2 is not UTF-8 (byte 8", "iconv"),
        ("a.txt", "hello".encode("utf-16"), "line 1 is not UTF-8", "iconv -f UTF-16"),
        ("a.txt", b"a\nb\0", "line 2 holds a NUL", "check"),
        ("a.parquet", b"PAR1 no", "is not a whole Parquet file", "download"),
        ("a.xyz", "a", "unknown format '.xyz'", ".jsonl"),
        ("README", "a", "unknown format '(no suffix)'", ".jsonl"),
    ],
)  # fmt: skip
def test_bad_files_are_named_with_line_and_fix(
    tmp_path: Path, name: str, content: str | bytes, message: str, fix: str
) -> None:
    with pytest.raises(DataError) as error:
        read_rows(write(tmp_path / name, content))
    assert message in error.value.message
    assert str(tmp_path) in error.value.message
    assert error.value.fix is not None
    assert fix in error.value.fix


def test_a_torn_gzip_file_and_a_missing_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", '{"a": 1}\n' * 100)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_rows(path)
    with pytest.raises(DataError, match="does not exist"):
        read_rows(tmp_path / "absent.jsonl")


def test_a_directory_gives_the_files_of_the_split(tmp_path: Path) -> None:
    write(tmp_path / "train-0.jsonl", '{"a": 1}\n')
    write(tmp_path / "train-1.jsonl.gz", '{"a": 2}\n')
    write(tmp_path / "test-0.jsonl", '{"a": 3}\n')
    write(tmp_path / "README.md", "no data")
    assert load_rows(tmp_path) == [{"a": 1}, {"a": 2}]
    assert load_rows(tmp_path, split="test") == [{"a": 3}]
    assert [row["a"] for row in load_rows(tmp_path, split="other")] == [3, 1, 2]
    write(tmp_path / "train-2.csv", "a\n4\n")
    with pytest.raises(DataError, match=r"mixes formats: \.csv, \.jsonl"):
        load_rows(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no data files"):
        load_rows(tmp_path / "empty")


def test_names_that_mean_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no file or directory nowhere"):
        load_rows("nowhere")
    with pytest.raises(DataError, match=r"no file or directory data/pairs\.jsonl"):
        load_rows("data/pairs.jsonl")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="needs the package datasets") as error:
        load_rows("some/dataset")
    assert error.value.fix is not None
    assert "accord[hub]" in error.value.fix


def test_a_hub_id_without_a_network_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    def load_dataset(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'some/dataset' on the Hub (offline)\ndetails")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError) as error:
        load_rows("some/dataset", split="test", subset="small")
    assert error.value.message.startswith("cannot load 'some/dataset' (subset small, split test) from the Hub")
    assert "details" not in error.value.message


def test_a_row_keeps_its_part_whatever_else_is_there() -> None:
    rows = [{"prompt": f"p{i % 500}", "i": i} for i in range(1000)]
    shares = {"train": 0.8, "test": 0.2}
    parts = split_by_hash(rows, shares, "s", key=lambda r: r["prompt"])
    assert sum(map(len, parts.values())) == 1000
    assert 0.75 < len(parts["train"]) / 1000 < 0.85
    fewer = split_by_hash(rows[300:400], shares, "s", key=lambda r: r["prompt"])
    assert all(row in parts[name] for name in fewer for row in fewer[name])
    assert not {r["prompt"] for r in parts["train"]} & {r["prompt"] for r in parts["test"]}
    assert split_by_hash(rows, shares, "other")["test"] != parts["test"]


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.2, "b": -0.2}, {"a": 1.0, "b": 0.0}])
def test_shares_that_do_not_add_up(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match="do not split anything"):
        split_by_hash([1], shares)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), st.text()))
def test_equal_rows_have_equal_hashes_whatever_their_key_order(row: dict[str, str]) -> None:
    assert content_hash(row) == content_hash(dict(reversed(row.items())))
    assert content_hash(row) != content_hash(row, "salt")


def test_deduplication_keeps_the_first_and_counts() -> None:
    assert deduplicate([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}]) == ([{"a": 1, "b": 2}, {"a": 2}], 1)
    assert deduplicate(["x", "y", "x"], key=str.upper) == (["x", "y"], 1)
