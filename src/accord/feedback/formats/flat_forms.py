"""Forms that were filled in, one flat row per answer sheet: Label Studio's JSON_MIN and CSV,
Argilla's data sets on the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from accord.feedback.formats import argilla
from accord.feedback.formats.columns import Left, Parsed, RowError
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.sheets import Answerer, ScaleGuess, settled, sheet_of
from accord.feedback.formats.values import empty, structure, unpacked

# --- Label Studio ---------------------------------------------------------------------------------
_SAID = ("annotator", "created_at", "lead_time")
_ABOUT = ("id", "annotation_id", "updated_at", "agreement", *_SAID)


def is_json_min(row: Row) -> bool:
    """A task with its answers, who gave them and in which annotation."""
    return {"annotation_id", "annotator"} <= row.keys() and "annotations" not in row


def _questions(row: Row) -> list[str]:
    """The columns of answers: Label Studio writes the task's data, its id, the answers, and then
    who gave them."""
    names = list(row)
    if "id" in row and names.index("id") < names.index("annotator"):
        return [
            name
            for name in names[names.index("id") + 1 : names.index("annotator")]
            if name not in _ABOUT
        ]
    questions = [name for name in names if name not in _ABOUT and row[name] in ("left", "right")]
    if not questions:
        raise RowError(
            "the columns between id and annotator are the answers, and their order was changed"
        )
    return questions


def prepare_json_min(rows: Sequence[Row], source: Path) -> Parse:
    """A parser that knows the range of each rating from all rows."""
    del source
    scales = ScaleGuess()
    for row in rows:
        for question in _questions(row) if not _moved(row) else ():
            if _is_score(row[question]):
                scales.see(question, row[question])
    return lambda row: _json_min(row, scales)


def _moved(row: Row) -> bool:
    try:
        return not _questions(row)
    except RowError:
        return True


def _is_score(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not empty(value)


def _json_min(row: Row, scales: ScaleGuess) -> Iterator[Parsed]:
    questions = _questions(row)
    fields = {name: value for name, value in row.items() if name not in (*questions, *_ABOUT)}
    source = {"format": "label-studio", "task": row.get("id"), "annotation": row["annotation_id"]}
    if row.get("updated_at") not in (None, row.get("created_at")):
        source["updated_at"] = row["updated_at"]
    answerer = Answerer(sheet_of(fields), {name: row.get(name) for name in _SAID}, source)
    parts = [
        part
        for q in questions
        if not empty(row[q])
        for part in _min_answer(answerer, q, row[q], scales)
    ]
    if not parts:
        raise RowError("the task has no answer")
    yield from settled(answerer, parts)


def _min_answer(
    answerer: Answerer, question: str, value: Any, scales: ScaleGuess
) -> Iterator[Parsed]:
    if isinstance(value, str) and value.lstrip().startswith(
        ("{", "[")
    ):  # the CSV export writes JSON into its cells
        value = unpacked(value, question)
    if isinstance(value, Mapping) and "choices" in value:
        yield answerer.label(question, [str(one) for one in value["choices"]], None, several=True)
    elif _is_score(value):
        yield answerer.rating(question, value, scales, None)
    elif isinstance(value, str):
        short = len(value.split()) <= argilla.LONGEST_LABEL
        yield (
            answerer.label(question, [value], None, several=False)
            if short
            else answerer.text(question, value, None)
        )
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        yield answerer.text(question, "\n".join(value), None)
    else:
        yield Left(
            f"Label Studio's answer to {question!r}: the short export does not say what it is about"
            " (export JSON)"
        )


# --- Argilla --------------------------------------------------------------------------------------
_ANSWERS = ".responses"
_PARTS = re.compile(r"(\.responses(\.users|\.status)?|[.-]suggestion([.-].*)?)$")
_RECORD = ("id", "status", "_server_id", "external_id", "metadata", "vectors")


def is_argilla_flat(row: Row) -> bool:
    """Columns of answers to a question, by user; or (Argilla 1) a list of answers in the question's
    own column."""
    return any(name.endswith(_ANSWERS) for name in row) or any(
        _is_answers(value) for value in row.values()
    )


def _is_answers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(one, Mapping) and {"user_id", "value", "status"} <= one.keys()
            for one in value
        )
    )


def prepare_argilla(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of the same records as in Argilla's JSON."""
    nested = []
    for row in rows:
        with suppress(RowError):  # the row is dropped when it is parsed
            nested.append(_nested(row))
    parse = argilla.prepare(nested, source)
    return lambda row: parse(_nested(row))


def _nested(row: Row) -> dict[str, Any]:
    """The record as Argilla's JSON has it: fields, responses by question, suggestions."""
    questions = [name.removesuffix(_ANSWERS) for name in row if name.endswith(_ANSWERS)]
    old = [name for name, value in row.items() if _is_answers(value)]
    responses: dict[str, Any] = {name: structure(row[name]) for name in old}
    for name in questions:
        values = structure(row[f"{name}{_ANSWERS}"]) or []
        if not isinstance(values, list):
            raise RowError(f"the column {name + _ANSWERS!r} is not a list of answers")
        users, status = (
            structure(row.get(f"{name}{_ANSWERS}.{part}")) or [None] * len(values)
            for part in ("users", "status")
        )
        lists = (values, users, status)
        if not all(isinstance(one, list) and len(one) == len(values) for one in lists):
            raise RowError(
                f"answers to {name!r}, their users and their states are not lists of the same"
                " length"
            )
        responses[name] = [
            {"value": value, "user_id": user, "status": state}
            for value, user, state in zip(values, users, status, strict=True)
        ]
    fields = {
        name: value
        for name, value in row.items()
        if name not in (*_RECORD, *old) and not _PARTS.search(name) and not empty(value)
    }
    proposed = {
        name
        for name, value in row.items()
        if re.search(r"[.-]suggestion$", name) and not empty(value)
    }
    about = {name: row[name] for name in _RECORD if not empty(row.get(name))}
    return {
        **about,
        "fields": fields,
        "responses": responses,
        "suggestions": [{"question": name} for name in sorted(proposed)],
    }
