"""CSV for people: no cell of a text is a formula, numbers stay numbers, and everything is read back
to the letter."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accord.errors import ConfigError
from accord.feedback.formats.containers.delimited import table_rows
from accord.feedback.formats.containers.notes import LOCAL, Notes
from accord.feedback.formats.containers.texts import Decoded
from accord.spreadsheets import FORMULA, GUARDED, csv_text

nasty = st.builds(
    "".join,
    st.lists(
        st.sampled_from([*FORMULA, "'", '"', ",", ";", "\r\n", " ", "ü", "1", "cmd|' /C calc'!A0"])
        | st.characters(codec="utf-8"),
        max_size=6,
    ),
)
values = nasty | st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
rows = st.lists(
    st.fixed_dictionaries({"prompt": nasty.map("p".__add__), "a,;\n'b": values, "'=c": values}),
    min_size=1,
    max_size=5,
)


def read(text: str) -> tuple[list[dict[str, str]], Notes]:
    notes = Notes()
    decoded = Decoded(io.BytesIO(text.encode()), "t.csv", LOCAL)
    return [row for _, row in table_rows("t.csv", decoded, notes, LOCAL)], notes


def as_texts(row: dict[str, Any], columns: set[str]) -> dict[str, str]:
    return {k: "" if v is None else str(v) for k, v in row.items() if k in columns}


@given(rows)
@example([{"prompt": "p", "a,;\n'b": "'=1+1", "'=c": "=1+1"}])
@example([{"prompt": "p\r", "a,;\n'b": "''-", "'=c": "\r"}])
def test_what_is_written_is_read_back_to_the_letter(written: list[dict[str, Any]]) -> None:
    got, notes = read(csv_text(written))
    columns = {name for row in written for name in row if row[name] is not None}
    assert got == [as_texts(row, columns) for row in written]
    assert not notes.dropped


@given(rows)
def test_no_text_is_a_formula_and_numbers_stay_numbers(written: list[dict[str, Any]]) -> None:
    text = csv_text(written)
    assert text.startswith("\ufeff")
    cells = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    for row, cell in zip(written, cells, strict=True):
        for name, value in row.items():
            if isinstance(value, str):
                assert not cell[name].startswith(FORMULA)
            elif value is not None:
                assert type(value)(cell[name]) == value
        risky = [n for n, v in row.items() if isinstance(v, str) and v.startswith(FORMULA)]
        assert json.loads(cell.get(GUARDED) or "[]") == risky


def test_only_cells_that_need_it_are_touched() -> None:
    plain = [{"prompt": "Name one", "score": -1.5, "note": "'quoted' = fine"}]
    assert csv_text(plain) == "\ufeffprompt,score,note\r\nName one,-1.5,'quoted' = fine\r\n"
    risky = csv_text([{"prompt": "=1+1", "score": -1.5}])
    assert risky == '\ufeffprompt,score,apostrophe_added\r\n\'=1+1,-1.5,"[""prompt""]"\r\n'


def test_tables_of_others_keep_their_apostrophes() -> None:
    got, _ = read("prompt,response\n'=x,'-y\n")
    assert got == [{"prompt": "'=x", "response": "'-y"}]
    got, _ = read(f'prompt,{GUARDED}\n=x,"[""prompt""]"\n\'y,\n')  # taken away by hand
    assert got == [{"prompt": "=x"}, {"prompt": "'y"}]


@pytest.mark.parametrize("said", ["x", '["other"]', '"prompt"', "[1]", "{}", "[" * 9999])
def test_a_list_that_is_none_drops_its_row_by_name(said: str) -> None:
    quoted = said.replace('"', '""')
    got, notes = read(f'prompt,{GUARDED}\n\'=x,"{quoted}"\nz,\n')
    assert got == [{"prompt": "z"}]
    assert list(notes.first.values()) == ["t.csv line 2"]
    assert GUARDED in next(iter(notes.dropped))


@pytest.mark.parametrize("name", ["=x", "@y", "\tz", GUARDED])
def test_columns_that_cannot_be(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot have a column"):
        csv_text([{name: 1}])
