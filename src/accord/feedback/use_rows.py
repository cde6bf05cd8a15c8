"""A log of use read whole, the silent rows included; what silent users said when they were asked;
and what another policy gives the same responses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accord.errors import ConfigError, DataError, by_reason
from accord.feedback.formats import PARSING_ERRORS, reason_of
from accord.feedback.formats.columns import RowError, check_understood, content_of
from accord.feedback.formats.label_columns import LabelColumns
from accord.feedback.formats.reading import read_rows
from accord.feedback.formats.shapes import SHAPES
from accord.feedback.formats.source import DataSource
from accord.feedback.formats.use_log import Use
from accord.feedback.formats.values import empty, number
from accord.feedback.messages import Behaviour, Content, plain
from accord.feedback.personal_data import content_texts
from accord.feedback.records import Feedback, Thumb
from accord.feedback.words import counted
from accord.seeds import generator
from accord.statistics.intervals import Array, Index

SHAPE = next(shape for shape in SHAPES if shape.name == "log of use")
Key = tuple[str, str]
"""Prompt and response as text: what a person who was asked has seen."""


@dataclass(frozen=True)
class UseLog:
    """uses: the rows that can be used; columns: all columns of each, by name; rows: with those
    dropped; dropped, first_dropped: as `ReadResult`; messages: lines for people."""

    uses: list[Use]
    columns: list[Mapping[str, Any]]
    rows: int
    dropped: dict[str, int] = field(default_factory=dict)
    first_dropped: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[Key]:
        """Of every row."""
        return [key_of(use.prompt, use.response) for use in self.uses]

    @property
    def users(self) -> list[str | None]:
        """Who used it, None where the log does not say."""
        return [use.user for use in self.uses]

    @property
    def texts(self) -> Iterator[str]:
        """What was asked, answered and edited."""
        for use in self.uses:
            for content in (use.prompt, use.response, use.edit, use.before):
                if content is not None:
                    yield from content_texts(content)

    def values(self, column: str) -> list[Any]:
        """A column's values. Raises ConfigError where no row has it."""
        if not any(column in row for row in self.columns):
            known = sorted({name for row in self.columns for name in row})
            raise ConfigError(
                f"the log has no column {column!r}", f"its columns: {', '.join(known)}"
            )
        return [row.get(column) for row in self.columns]


def key_of(prompt: Content, response: Content | Behaviour) -> Key:
    """The key of a response to a prompt."""
    return plain(prompt), plain(response)


def read_log(source: DataSource) -> UseLog:
    """Read by the rules of every format. Raises DataError where a needed column is missing or no
    row can be used."""
    read = read_rows(source)
    found = {name for _, row in read.rows for name in row}
    if missing := [name for name in SHAPE.fields if name not in found]:
        raise DataError(
            f"{source} has no column {missing[0]!r}: a log of use has {', '.join(SHAPE.fields)}",
            f"say which column it is: --columns {missing[0]}=NAME (thumb: up, down, or empty)",
        )
    labels = LabelColumns.of(SHAPE, [row for _, row in read.rows], source.labels)
    uses, columns = list[Use](), list[Mapping[str, Any]]()
    dropped, first = Counter(read.dropped), dict(read.first_dropped)
    for where, row in read.rows:
        try:
            check_understood(row, {*SHAPE.fields, *SHAPE.optional})
            uses.append(Use.of(labels.read({"thumb": None, **row})))
            columns.append(row)
        except PARSING_ERRORS as error:
            dropped[reason_of(error)] += 1
            first.setdefault(reason_of(error), where)
    if not uses:
        raise DataError(
            f"no row of {source} can be used: {by_reason(dropped)}", "mend them, or name --columns"
        )
    total = len(read.rows) + sum(read.dropped.values())
    return UseLog(uses, columns, total, dict(dropped), first, read.messages)


def clusters_of(log: UseLog, called_N: Any) -> Index:
    """Whose responses go together: one user's, and those that one answer of a called user is about.
    A row without a user stands alone."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names: dict[Any, int] = {}
    ends: list[tuple[int, int]] = []
    for n, (user, key) in enumerate(zip(log.users, log.keys, strict=True)):
        at = names.setdefault(("row", n) if user is None else ("user", user), len(names))
        text = names.setdefault(("text", key), len(names)) if called_N[n] else at
        ends.append((at, text))
    first, second = np.array(ends).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(names), len(names)))
    groups: Index = connected_components(graph, directed=False)[1]
    at_N: Index = groups[first]
    return at_N


# --- called-back users ----------------------------------------------------------------------------
@dataclass(frozen=True)
class CalledBack:
    """share: of yes among the answers about a response, by its key; left_out: records that say
    nothing about one, by reason."""

    share: dict[Key, float]
    left_out: dict[str, int]


def called_back(records: Sequence[Feedback]) -> CalledBack:
    """Thumbs by response; several about one are averaged. Raises DataError where there is none."""
    said, left_out = defaultdict[Key, list[bool]](list), Counter[str]()
    for record in records:
        if isinstance(record.choice, Thumb):
            said[key_of(record.prompt, record.options[0].content)].append(record.choice.up)
        else:
            left_out["asked, and no answer" if record.kind == "skip" else f"a {record.kind}"] += 1
    if not said:
        raise DataError(
            f"the answers of called-back users hold no thumb: {by_reason(left_out)}",
            "ask for a thumb: a studio project with that task",
        )
    return CalledBack({key: float(np.mean(ups)) for key, ups in said.items()}, dict(left_out))


def silent_items(
    log: UseLog, count: int, seed: int, answered: Mapping[Key, float]
) -> list[dict[str, Any]]:
    """`count` responses that nobody rated, drawn uniformly among the different ones, as rows that a
    studio takes as items; those `answered` are left out, so that a second call goes on. Raises
    DataError where fewer are left."""
    first: dict[Key, Use] = {}
    for use, key in zip(log.uses, log.keys, strict=True):
        if use.thumb is None:
            first.setdefault(key, use)
    order = generator(seed, "silent responses").permutation(len(first))
    keys = list(first)
    left = [keys[n] for n in order if keys[n] not in answered]
    if len(left) < count:
        raise DataError(
            f"{counted(len(left), 'different response')} that nobody rated or was asked about,"
            f" {count:,} asked for",
            f"--call {len(left)}" if left else "nobody is silent: the raw rate is the rate",
        )
    return [_item(first[key]) for key in left[:count]]


def _item(use: Use) -> dict[str, Any]:
    prompt, response = (
        text if isinstance(text, str) else [m.model_dump(exclude_none=True) for m in text]
        for text in (use.prompt, use.response)
    )
    producer = {} if use.policy is None else {"producer": use.policy}
    return {"prompt": prompt, "options": [{"content": response, **producer}]}


# --- another policy -------------------------------------------------------------------------------
@dataclass(frozen=True)
class NewPolicy:
    """log_weight_N: log of its probability of each response over the log's; features: of the
    responses shown and, on average, of its own to the same prompts, [N, X] each."""

    log_weight_N: Array
    features: tuple[Array, Array] | None


def lacks_propensities(log: UseLog) -> str:
    """Why no other policy can be valued by this log; "" where one can."""
    lacking = sum(use.log_propensity is None for use in log.uses)
    return (
        f"{lacking:,} of {len(log.uses):,} rows of the log do not say with what probability the"
        " response was shown (propensity) or sampled (logprob)"
        if lacking
        else ""
    )


def new_policy(log: UseLog, source: DataSource, features: Sequence[str]) -> NewPolicy:
    """Join a file of rows with `logprob` or `propensity` under the new policy, by `id` or else by
    prompt and response. Raises DataError for a log without propensities, for responses that the
    file does not have or has twice with different numbers, and for features that are no numbers."""
    if lacking := lacks_propensities(log):
        raise DataError(lacking, "log them")
    read = read_rows(source)
    by_id, by_key = dict[str, dict[str, Any]](), dict[Key, dict[str, Any]]()
    for where, row in read.rows:
        try:
            told = _scored_row(row, features)
        except PARSING_ERRORS as error:
            raise DataError(f"{where}: {reason_of(error)}", "mend the row") from None
        for known, name in ((by_id, told["id"]), (by_key, told["key"])):
            if name is not None and known.setdefault(name, told)["numbers"] != told["numbers"]:
                raise DataError(f"{where}: told twice, and differently", "keep one row")
    rows = [
        by_id.get(use.id or "") or by_key.get(key)
        for use, key in zip(log.uses, log.keys, strict=True)
    ]
    if missing := [n for n, row in enumerate(rows) if row is None]:
        raise DataError(
            f"{source} has {len(missing):,} of {len(rows):,} logged responses not (the first:"
            f" {log.keys[missing[0]][1][:60]!r})",
            "score every logged response under the new policy: rows with id, or prompt and"
            " response, and logprob",
        )
    numbers_NX = np.array([row["numbers"] for row in rows if row is not None])
    logged_N = np.array([use.log_propensity for use in log.uses])
    shown_NX = _feature_columns(log, features)
    both = (shown_NX, numbers_NX[:, 1:]) if features else None
    return NewPolicy(numbers_NX[:, 0] - logged_N, both)


def _scored_row(row: Mapping[str, Any], features: Sequence[str]) -> dict[str, Any]:
    """id, key, and numbers: log-probability, then features. Raises RowError for a row that names no
    response or no probability."""
    whole = "prompt" in row and "response" in row
    if empty(row.get("id")) and not whole:
        raise RowError("neither an id nor a prompt with its response")
    key = key_of(content_of(row["prompt"]), content_of(row["response"])) if whole else None
    use = Use.of({"prompt": "", "response": "-", "thumb": None, **_scored(row)})
    if use.log_propensity is None:
        raise RowError("no logprob (or propensity) under the new policy")
    numbers = (use.log_propensity, *(number(row[name], name) for name in features))
    return {"id": use.id, "key": key, "numbers": numbers}


def _scored(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "logprob", "propensity") if name in row}


def _feature_columns(log: UseLog, features: Sequence[str]) -> Array:
    try:
        columns = [[number(value, name) for value in log.values(name)] for name in features]
    except RowError as error:
        raise DataError(str(error), "a feature is a number in every row of the log") from None
    return np.array(columns).T if columns else np.zeros((len(log.uses), 0))
