"""Every shared file meets its row of the expected table, and every file has one."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from accord.errors import AccordError
from accord.feedback.formats import plain, read_feedback
from accord.feedback.records import Feedback
from feedback.expected_formats import EXPECTED, FORMATS, Expected, Refused, Said
from real_data import shared_data


@pytest.mark.parametrize("folder", ["formats", "hostile"])
def test_every_file_is_in_the_table(folder: str) -> None:
    found = {f"{folder}/{path.name}" for path in shared_data(folder).iterdir()}
    assert found == {name for name in EXPECTED if name.startswith(folder)}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_says_what_the_table_says(name: str) -> None:
    source, expected = shared_data(name), EXPECTED[name]
    if isinstance(expected, Refused):
        with pytest.raises(AccordError) as caught:
            read_feedback(source)
        said = f"{caught.value.message} {caught.value.fix}"
        assert [word for word in expected.words if word not in said] == [], said
        return
    got = read_feedback(source)
    assert got.rows == expected.rows
    assert Counter(record.kind for record in got.records) == expected.kinds
    check_dropped(expected, got.dropped)
    for record, said in zip(got.records, expected.first, strict=False):
        check(record, said)


IN_TEXTS = {"lf_old_comparison.jsonl": "holds lists in texts"}
"""Of CSV: layouts that cannot be told from others there, and are refused."""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_table_says_the_same(tmp_path: Path, name: str, ending: str) -> None:
    rows = [
        json.loads(line)
        for line in shared_data(f"formats/{name}").read_text(encoding="utf-8").splitlines()
    ]
    path, expected = tmp_path / f"rows.{ending}", FORMATS[name]
    (write_csv if ending == "csv" else write_parquet)(path, rows)
    if ending == "csv" and name in IN_TEXTS:
        with pytest.raises(AccordError, match=IN_TEXTS[name]):
            read_feedback(path)
        return
    assert isinstance(expected, Expected)
    got = read_feedback(path)
    assert Counter(record.kind for record in got.records) == expected.kinds
    assert got.dropped == {}
    for record, said in zip(got.records, expected.first, strict=False):
        check(record, said)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """As other tools write tables: lists and objects as JSON, nothing where there is none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(names)
        for row in rows:
            values = [row.get(name) for name in names]
            table.writerow(
                [
                    json.dumps(v) if isinstance(v, (list, dict)) else "" if v is None else v
                    for v in values
                ]
            )


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Parquet holds no empty object: there is none."""
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(arrow.Table.from_pylist([without_empty(row) for row in rows]), path)


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_empty(inner) for key, inner in value.items()} or None
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


def check_dropped(expected: Expected, dropped: dict[str, int]) -> None:
    assert len(dropped) == len(expected.dropped), dropped
    for words, count in expected.dropped.items():
        assert [n for reason, n in dropped.items() if words in reason] == [count], dropped


def check(record: Feedback, said: Said) -> None:
    prompt = (
        record.prompt
        if isinstance(record.prompt, str)
        else [(m.role, m.said) for m in record.prompt]
    )
    assert prompt == said.prompt
    assert tuple(plain(option.content) for option in record.options) == said.options
    assert texts(record) == said.choice
    assert record.annotator == said.annotator
    wrote = tuple(option.producer for option in record.options)
    assert wrote == (said.producers or (None,) * len(wrote))
    assert (record.weight, len(record.tools)) == (said.weight, said.tools)
    assert (record.created_at, record.active_seconds) == (said.created_at, said.active_seconds)


def texts(record: Feedback) -> Any:
    """The choice without defaults, what the options say in the place of their ids."""
    names = {option.id: plain(option.content) for option in record.options}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return names.get(value, value) if isinstance(value, str) else value

    found = walk(record.choice.model_dump(exclude_defaults=True))
    content = getattr(record.choice, "content", None)
    return {**found, "content": plain(content)} if content is not None else found
