"""Votes straight from the columns of a table, without a record for each row.

A million bare votes (two models, who won, who judged) are a million records of a kilobyte before
anything is counted. Here each *different* value of a column is read once, by the parser of records
itself, and rows are counted as numbers. What comes out equals `votes_of` of the records that
`read_feedback` makes, with the same reasons, counts and places. Where a row says more than that
(texts, weights, two annotators) there is no such short way, and records have to be read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from accord.feedback.choice_model import FIRST, SECOND, TIE
from accord.feedback.formats import PARSING_ERRORS, reason_of
from accord.feedback.formats.arena import MODELS, OUTCOMES, votes
from accord.feedback.formats.columns import (
    ANNOTATOR_COLUMNS,
    CONSENT,
    MEANT,
    TIME_COLUMNS,
    RowError,
    time_of,
)
from accord.feedback.formats.containers.columnar import Column, encoded_columns
from accord.feedback.formats.containers.notes import LOCAL, Notes
from accord.feedback.formats.names import is_known, tidied
from accord.feedback.formats.reading import iter_rows
from accord.feedback.formats.shapes import detect
from accord.feedback.formats.source import DataSource
from accord.feedback.formats.values import check_counted_from_one, empty
from accord.feedback.records import Comparison, Feedback
from accord.feedback.votes import Votes
from accord.statistics.intervals import Index

CHUNK = 16_384
"""Rows that are counted at a time."""
_BAD = -1
"""The number of a value that cannot be part of a vote by itself: its rows are parsed whole."""
_NAMES = ("question_id", "id", "evaluation_session_id", "session", "guideline", "record_id")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class VoteTable:
    """votes: equal ones counted once; rows: of the table, with those dropped; dropped: rows that
    cannot be used, by reason, and the first place of each; messages: lines for people."""

    votes: Votes
    rows: int
    dropped: dict[str, int]
    first_dropped: dict[str, str]
    messages: list[str]


class _NotBare(Exception):
    """The table says more than bare votes."""


def read_vote_table(source: DataSource) -> VoteTable | None:
    """The votes of a file of bare votes between models; None for anything else, and where no row
    can be used: read records then. Raises DataError as `read_feedback`."""
    if not Path(source.path).is_file():  # a Hub data set would come twice
        return None
    notes = Notes()
    counting: _Counting | None = None
    rows = 0
    try:
        for columns, where in _chunks(source, notes):
            if counting is None or list(columns) != counting.columns:
                if counting is not None or source.labels is not None:
                    return None
                counting = _Counting(columns)
            rows += counting.add(columns, where)
    except _NotBare:
        return None
    if counting is None or not counting.any:
        return None
    check_counted_from_one(counting.winners(), "winner")
    return VoteTable(
        counting.counted(),
        rows + notes.dropped.total(),
        dict(notes.dropped + counting.dropped),
        {**counting.first_dropped, **notes.first},
        notes.messages,
    )


def _chunks(
    source: DataSource, notes: Notes
) -> Iterator[tuple[dict[str, Column], Callable[[int], str]]]:
    """Some rows at a time, by column, and where each of them stands."""
    path = Path(source.path)
    whole = source.model_dump(exclude_defaults=True).keys() == {"path"}
    if path.suffix == ".parquet" and path.is_file() and whole:
        start = 0
        for encoded in encoded_columns(path, CHUNK, LOCAL):
            if encoded is None:
                raise _NotBare
            named = next(tidied(iter([("", dict(encoded))]), notes))[1]
            yield named, partial(_numbered, path.name, start + 1)
            start += len(next(iter(encoded.values())))
        return
    rows = iter_rows(source, notes, LOCAL)
    size = 1  # of most files the first row says that they hold more
    while chunk := list(islice(rows, size)):
        size = CHUNK
        names = list(chunk[0][1])
        if any(list(row) != names for _, row in chunk):
            raise _NotBare
        by_column = {name: Column([row[name] for _, row in chunk]) for name in names}
        yield by_column, [place for place, _ in chunk].__getitem__


def _numbered(name: str, start: int, row: int) -> str:
    return f"{name} row {start + row}"


class _Counting:
    """Counts the rows of tables with the same columns."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        """Raises _NotBare for columns that say more than who won and who judged."""
        self.columns = list(columns)
        first = {name: column[0] for name, column in columns.items()}
        shape = detect(first)
        models = next((pair for pair in MODELS if {*pair} <= columns.keys()), None)
        if shape is None or shape.parse is not votes or models is None:
            raise _NotBare
        self.models = models
        self.outcome = [n for n in columns if n == "winner" or n in OUTCOMES]
        self.annotator = [n for n in columns if n == "judge_hash" or n in ANNOTATOR_COLUMNS]
        times = [n for n in columns if n in TIME_COLUMNS]
        if ("winner" in columns and len(self.outcome) > 1) or max(
            len(self.annotator), len(times)
        ) > 1:
            raise _NotBare
        judged = {*models, *self.outcome, *self.annotator}
        self.others = {name: _check_of(name) for name in columns if name not in judged}
        self.producers, self.annotators = _Names(), _Names()
        self.first = _Numbers(partial(self._model, 0))
        self.second = _Numbers(partial(self._model, 1))
        self.decided, self.judge = _Numbers(self._outcome), _Numbers(self._annotator)
        self.votes: list[Index] = []
        self.dropped: Counter[str] = Counter()
        self.first_dropped: dict[str, str] = {}
        self._whole: dict[Any, tuple[int, ...] | str] = {}

    def add(self, columns: Mapping[str, Column], where: Callable[[int], str]) -> int:
        """How many rows there were. Raises _NotBare for a value that says more."""
        for name, check in self.others.items():
            if not all(map(check, columns[name].values)):
                raise _NotBare
        parts = [
            self.first.of(columns[self.models[0]]),
            self.second.of(columns[self.models[1]]),
            self.judge.of(_together(columns, self.annotator)),
            self.decided.of(_together(columns, self.outcome)),
        ]
        table = np.stack(parts, axis=1)
        parsed_whole = (table == _BAD).any(axis=1) | (table[:, 0] == table[:, 1])
        for row in np.nonzero(parsed_whole)[0].tolist():
            self._parse(columns, row, where, table)
        self.votes.append(table[(table != _BAD).all(axis=1)])
        return len(table)

    def _parse(
        self,
        columns: Mapping[str, Column],
        row: int,
        where: Callable[[int], str],
        table: Index,
    ) -> None:
        """One row as the record that it is, or dropped with its reason."""
        names = (*self.models, *self.outcome, *self.annotator)
        fields = {name: columns[name][row] for name in names}
        key = tuple(map(_key, fields.values()))
        if key not in self._whole:
            found = _record(fields)
            self._whole[key] = found if isinstance(found, str) else self._numbered(found)
        known = self._whole[key]
        if isinstance(known, str):
            self.dropped[known] += 1
            self.first_dropped.setdefault(known, where(row))
            known = (_BAD,) * 4
        table[row] = known

    def _numbered(self, record: Feedback) -> tuple[int, ...]:
        producers = (self.producers.number(str(option.producer)) for option in record.options)
        return *producers, self.annotators.number(record.annotator), _outcome_of(record)

    def _benign(self, **fields: Any) -> dict[str, Any]:
        """A row in which only `fields` can be wrong."""
        won = {name: name == "winner_model_a" for name in self.outcome}
        names = dict(zip(self.models, ("one model", "another model"), strict=True))
        return {**names, **(won if "winner" not in won else {"winner": "a"}), **fields}

    def _model(self, side: int, value: Any) -> int:
        found = _record(self._benign(**{self.models[side]: value}))
        if isinstance(found, str):
            return _BAD
        return self.producers.number(str(found.options[side].producer))

    def _outcome(self, value: Any) -> int:
        values = value if len(self.outcome) > 1 else (value,)
        found = _record(self._benign(**dict(zip(self.outcome, values, strict=True))))
        return _BAD if isinstance(found, str) else _outcome_of(found)

    def _annotator(self, value: Any) -> int:
        found = _record(self._benign(**dict.fromkeys(self.annotator, value)))
        return _BAD if isinstance(found, str) else self.annotators.number(found.annotator)

    @property
    def any(self) -> bool:
        """Whether there is a vote."""
        return any(map(len, self.votes))

    def winners(self) -> list[Any]:
        """The different values of the column `winner`."""
        return self.decided.seen if self.outcome == ["winner"] else []

    def counted(self) -> Votes:
        """All votes, equal ones once, sorted by the names."""
        first, second, annotator, outcome = np.concatenate(self.votes).T
        producers, place = self.producers.sorted(first, second)
        annotators, who = self.annotators.sorted(annotator)
        shape = (len(producers), len(producers), len(annotators), 3)
        codes = np.ravel_multi_index((place[first], place[second], who[annotator], outcome), shape)
        cells, counts = np.unique(codes, return_counts=True)
        a, b, who_judged, won = np.unravel_index(cells, shape)
        weight = counts.astype(np.float64)
        return Votes(a, b, who_judged, won, weight, producers, annotators)


def _together(columns: Mapping[str, Column], names: Sequence[str]) -> Column:
    """The values of some columns as one: a single one as it is."""
    if len(names) == 1:
        return columns[names[0]]
    size = len(next(iter(columns.values())))
    return Column([tuple(columns[name][row] for name in names) for row in range(size)])


def _record(fields: Row) -> Feedback | str:
    """The record of a vote, or why there is none."""
    try:
        (record,) = votes(fields)
    except PARSING_ERRORS as error:
        return reason_of(error)
    assert isinstance(record, Feedback)
    return record


def _outcome_of(record: Feedback) -> int:
    assert isinstance(record.choice, Comparison)
    if record.choice.preferred is None:
        return TIE
    return FIRST if record.choice.preferred == record.options[0].id else SECOND


# --- values and numbers ---------------------------------------------------------------------------
class _Names:
    """Names in the order in which they were met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def sorted(self, *used: Index) -> tuple[list[str], Index]:
        """The names that votes use, in order, and the place of each number in it."""
        all_names = list(self._numbers)
        seen = np.unique(np.concatenate(used)).tolist()
        in_order = sorted(seen, key=all_names.__getitem__)
        place = np.zeros(len(all_names), dtype=np.int64)
        place[in_order] = np.arange(len(in_order))
        return [all_names[number] for number in in_order], place


class _Numbers(dict[Any, int]):
    """The number of each different value of a column, read when it is first met."""

    def __init__(self, read: Callable[[Any], int]) -> None:
        super().__init__()
        self.read, self.seen = read, list[Any]()

    def of(self, column: Column) -> Index:
        """The numbers of all rows."""
        numbers = np.fromiter(
            (self[v] if type(v) is str else self[_key(v)] for v in column.values),
            dtype=np.int64,
            count=len(column.values),
        )
        return numbers if column.index is None else numbers[column.index]

    def __missing__(self, key: Any) -> int:
        value = key if isinstance(key, str) else _value(key)
        self.seen.append(value)
        number = self[key] = self.read(value)
        return number


def _key(value: Any) -> Any:
    """What tells values apart: 1, 1.0 and True are equal, NaN is not even equal to itself. Raises
    _NotBare for lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    if value is not None and not isinstance(value, (bool, int, float)):
        raise _NotBare
    return (type(value), "nan" if value != value else value)


def _value(key: Any) -> Any:
    if not isinstance(key, tuple):
        return key
    if len(key) == 2 and isinstance(key[0], type):
        return math.nan if key[1] == "nan" else key[1]
    return tuple(map(_value, key))


# --- columns that do not change what a vote says --------------------------------------------------
def _check_of(name: str) -> Callable[[Any], bool]:
    """Whether a value of this column leaves the vote as it is. Raises _NotBare for a column whose
    values may change it."""
    if name in _NAMES:
        return _names_something
    if name in TIME_COLUMNS:
        return _is_time
    if name == "turn":
        return _is_kept
    if is_known(name) or name in MEANT or name == CONSENT:
        raise _NotBare
    return _is_kept


def _names_something(value: Any) -> bool:
    return value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))


def _is_kept(value: Any) -> bool:
    """A value that a record's `meta` holds, or nothing."""
    return value is None or (
        isinstance(value, (str, int)) or (isinstance(value, float) and not math.isinf(value))
    )


def _is_time(value: Any) -> bool:
    """A time that a record can hold, or nothing."""
    try:
        return empty(value) or bool(time_of(value))
    except RowError:
        return False
