"""Argilla's JSON: records with fields and the responses of several users to ranking, rating, label,
multi-label, text and span questions. Both layouts are read: by question (`to_json`, `to_disk` of
Argilla 2) and by user (Argilla 1 and the server's own). `settings.json`, where it lies beside the
records or in `.argilla/`, tells the kind of each question; without it the answers tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.feedback.formats.columns import Left, Parsed, named
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.sheets import Answerer, ScaleGuess, left_of, settled, sheet_of

LONGEST_LABEL = 3
"""Words of a label; a longer text was written."""
_READ = ("fields", "responses", "id", "external_id", "metadata", "suggestions", "vectors")
"""What is read, or counted by itself, of a record."""
Answer = tuple[str, Any]
"""Question and value."""


def is_argilla(row: Mapping[str, Any]) -> bool:
    """Fields, and responses by question or by user."""
    return isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), (dict, list))


def prepare(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of records that knows the kind of each question, and the range of each rating, from
    all of them."""
    kinds, known = _settings(source)
    scales, known_kinds = ScaleGuess(known=known), set(kinds)
    for row in rows:
        for _, answers in _by_user(row):
            for question, value in answers:
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    scales.see(question, value)
                if question not in known_kinds and _is_long(value):
                    kinds[question] = "text"
    return lambda row: _record(row, kinds, scales)


def _is_long(value: Any) -> bool:
    """More words than a label has."""
    return isinstance(value, str) and len(value.split()) > LONGEST_LABEL


def _settings(source: Path) -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    """(kind, range of ratings) by question, where the settings lie beside the records."""
    folder = source if source.is_dir() else source.parent
    path = next(
        (
            p
            for p in (folder / ".argilla" / "settings.json", folder / "settings.json")
            if p.is_file()
        ),
        None,
    )
    if path is None:
        return {}, {}
    kinds, known = {}, {}
    for question in json.loads(path.read_text(encoding="utf-8")).get("questions") or []:
        settings = question["settings"]
        kinds[question["name"]] = settings["type"]
        if settings["type"] == "rating":
            values = [float(option["value"]) for option in settings["options"]]
            known[question["name"]] = (min(values), max(values))
    return kinds, known


def _by_user(row: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[Answer]]]:
    """(who, status and times; their answers) of each user who responded."""
    responses = row["responses"]
    if isinstance(responses, list):
        return [
            (
                dict(r),
                [
                    (question, answer["value"])
                    for question, answer in (r.get("values") or {}).items()
                ],
            )
            for r in responses
        ]
    users: dict[str, tuple[dict[str, Any], list[Answer]]] = {}
    for question, given in responses.items():
        for answer in given:
            who = str(answer.get("user_id"))
            users.setdefault(who, ({k: v for k, v in answer.items() if k != "value"}, []))[
                1
            ].append((question, answer["value"]))
    return list(users.values())


def _record(
    row: Mapping[str, Any], kinds: Mapping[str, str], scales: ScaleGuess
) -> Iterator[Parsed]:
    sheet = sheet_of(row["fields"])
    any_record = False
    for response, answers in _by_user(row):
        status = str(response.get("status") or "submitted")
        source = {"format": "argilla", "record": row.get("id") or row.get("external_id")}
        if row.get("metadata"):
            source["metadata"] = row["metadata"]
        common = {"annotator": response.get("user_id"), "created_at": response.get("inserted_at")}
        answerer = Answerer(sheet, common, source)
        if status == "discarded":
            yield answerer.skip("discarded in Argilla")
            any_record = True
        elif status != "submitted":
            yield Left(f"response that is a {status}")
        else:
            parts = [
                part
                for q, value in answers
                for part in _answer(answerer, q, value, kinds.get(q), scales)
            ]
            for result in settled(answerer, parts):
                any_record = any_record or not isinstance(result, Left)
                yield result
    yield from [Left("suggestion (a model's proposal)")] * len(row.get("suggestions") or [])
    yield from [Left("vector")] * len(row.get("vectors") or [])
    yield from left_of(row, _READ, "fields")
    if not any_record:
        yield Left("record without an answer")


def _answer(
    answerer: Answerer, question: str, value: Any, kind: str | None, scales: ScaleGuess
) -> Iterator[Parsed]:
    kind = kind or _kind(value, list(answerer.sheet.responses))
    if kind == "rating":
        yield answerer.rating(question, value, scales, None)
    elif kind == "ranking":
        yield from answerer.ranking(question, _groups(value))
    elif kind == "span":
        spans = [{k: span[k] for k in ("start", "end", "label") if k in span} for span in value]
        if spans:
            yield answerer.spans(question, spans, None)
        else:
            yield Left(f"no span marked for {question!r}")
    elif kind in ("multi_label_selection", "dynamic_multi_label_selection"):
        yield answerer.label(question, [named(v, question) for v in value], None, several=True)
    elif kind == "text":
        yield answerer.text(question, named(value, question), None)
    elif kind in ("label_selection", "dynamic_label_selection"):
        yield answerer.label(question, [named(value, question)], None, several=False)
    else:
        yield Left(f"Argilla's question of type {kind!r}")


def _kind(value: Any, responses: Sequence[str]) -> str:
    """The kind of question that a value answers."""
    if isinstance(value, (int, float)):
        return "rating"
    if isinstance(value, str):
        return "label_selection"
    if isinstance(value, list) and value and isinstance(value[0], dict) and "start" in value[0]:
        return "span"
    names = (
        [v["value"] if isinstance(v, dict) else v for v in value] if isinstance(value, list) else []
    )
    if len(names) >= 2 and set(names) <= set(responses):
        return "ranking"
    return "multi_label_selection" if isinstance(value, list) else type(value).__name__


def _groups(value: Sequence[Any]) -> list[list[str]]:
    """Best first; values of equal rank are tied."""
    if not all(isinstance(v, dict) and v.get("rank") is not None for v in value):
        return [[v["value"] if isinstance(v, dict) else str(v)] for v in value]
    by_rank: dict[int, list[str]] = {}
    for v in value:
        by_rank.setdefault(int(v["rank"]), []).append(v["value"])
    return [by_rank[rank] for rank in sorted(by_rank)]
