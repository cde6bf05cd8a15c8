"""`accord feedback export` and `accord data convert`: files written, what is said, what is
refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_feedback import judged

from accord.cli.main import main
from accord.feedback.formats import read_feedback
from accord.feedback.store import write_records


def accord(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_records(tmp_path / "said.jsonl", judged(20)[0])
    return tmp_path / "said.jsonl"


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_export_brings_columns_and_a_card(tmp_path: Path, source: Path) -> None:
    done = accord("feedback", "export", source, tmp_path / "pairs.jsonl", "--to", "trl-preference")
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "pairs.jsonl")
    assert {
        "prompt",
        "chosen",
        "rejected",
        "annotator",
        "shown_at",
        "weight",
        "soft_label",
        "votes",
    } <= rows[0].keys()
    ties = sum(r.kind == "comparison" and r.choice.tie for r in read_feedback(source).records)
    assert ties > 0
    assert f"left out {ties}: comparison: nothing is preferred (tie or both bad)" in done.output
    card = json.loads((tmp_path / "pairs.card.json").read_text())
    assert card["rows"] == len(rows)
    assert card["left_out"]["records this shape cannot hold"] == {
        "comparison: nothing is preferred (tie or both bad)": ties
    }
    assert "| two annotators agree, ties count |" in (tmp_path / "pairs.card.md").read_text()
    again = accord("feedback", "export", source, tmp_path / "pairs.jsonl", "--to", "trl-preference")
    assert (again.exit_code, "pairs.jsonl exists" in again.output) == (2, True)


def test_accord_records_get_the_shares_in_a_second_file(tmp_path: Path, source: Path) -> None:
    done = accord("feedback", "export", source, tmp_path / "own.jsonl", "--no-card")
    assert "beside it: own.about.jsonl" in done.output
    assert not (tmp_path / "own.card.md").exists()
    assert read_feedback(tmp_path / "own.jsonl").records == read_feedback(source).records
    about = rows_of(tmp_path / "own.about.jsonl")
    assert {line["record_id"] for line in about} == {r.id for r in read_feedback(source).records}
    assert all(0 <= line["soft_label"] <= 1 and line["votes"] == 3 for line in about)


def test_a_table_for_spreadsheets(tmp_path: Path, source: Path) -> None:
    refused = accord("feedback", "export", source, tmp_path / "t.jsonl", "--to", "csv-pairwise")
    assert (refused.exit_code, "end the name in .csv" in refused.output) == (2, True)
    assert (
        accord("feedback", "export", source, tmp_path / "t.csv", "--to", "csv-pairwise").exit_code
        == 0
    )
    wanted = [r for r in read_feedback(source).records if r.kind == "comparison"]
    got = read_feedback(tmp_path / "t.csv").records
    assert [(r.id, r.choice, r.shown, r.annotator, r.meta) for r in got] == [
        (r.id, r.choice, r.shown, r.annotator, r.meta) for r in wanted
    ]


def test_names_are_hashed_with_a_salt_that_is_shown_once(tmp_path: Path, source: Path) -> None:
    names = {r.annotator for r in read_feedback(source).records}
    first = accord("feedback", "export", source, tmp_path / "a.jsonl", "--hash-annotators")
    salt = re.search(r"salt: ([0-9a-f]{32})", first.output)
    assert salt is not None
    written = [p.read_text() for p in sorted(tmp_path.glob("a.*"))]
    assert len(written) == 4
    assert not any(name in text for name in names for text in written)
    assert not any(salt[1] in text for text in written)
    again = accord(
        "feedback", "export", source, tmp_path / "b.jsonl", "--hash-annotators", "--salt", salt[1]
    )
    assert "salt:" not in again.output
    assert (tmp_path / "b.jsonl").read_text() == (tmp_path / "a.jsonl").read_text()
    other = accord("feedback", "export", source, tmp_path / "c.jsonl", "--hash-annotators")
    assert other.exit_code == 0
    assert (tmp_path / "c.jsonl").read_text() != (tmp_path / "a.jsonl").read_text()
    got = read_feedback(tmp_path / "a.jsonl").records
    assert len({r.annotator for r in got}) == len(names)
    assert [r.choice for r in got] == [r.choice for r in read_feedback(source).records]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "excel"], "use one of: accord, trl-prompt"),
        (["--to", "trl-stepwise"], "comparison: only step labels are written"),
        (["--salt", "long enough"], "add --hash-annotators"),
        (["--hash-annotators", "--salt", "short"], "leave --salt out"),
    ],
)
def test_refusals_say_what_to_do_and_write_nothing(
    tmp_path: Path, source: Path, options: list[str], message: str
) -> None:
    done = accord("feedback", "export", source, tmp_path / "x.jsonl", *options)
    assert done.exit_code == 2
    assert message in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["said.jsonl"]


def test_convert_writes_bare_rows(tmp_path: Path, source: Path) -> None:
    done = accord("data", "convert", source, tmp_path / "rows.jsonl", "--to", "trl-preference")
    assert done.exit_code == 0, done.output
    assert all(
        row.keys() == {"prompt", "chosen", "rejected"} for row in rows_of(tmp_path / "rows.jsonl")
    )
    assert not list(tmp_path.glob("*.card.*"))
