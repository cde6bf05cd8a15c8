"""Label Studio's JSON export: tasks with annotations of the controls Pairwise, Ranker with List,
Rating, Choices, TextArea and (hyper)text Labels. The template `chatbot-assessment` (InstructGPT's
form) needs no configuration: its `likert_scale` runs from 1 to 7, its yes/no questions become
flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accord.feedback.formats.columns import Left, Parsed, RowError
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.sheets import Answerer, ScaleGuess, Sheet, left_of, settled, sheet_of
from accord.feedback.formats.values import marked
from accord.feedback.records import Content, plain

INSTRUCT_GPT = {"likert_scale": (1.0, 7.0)}
"""Ranges of the ratings of the packaged template `chatbot-assessment`."""
_SPANS = {
    "labels": "labels",
    "hypertextlabels": "hypertextlabels",
    "paragraphlabels": "paragraphlabels",
}
_READ = ("data", "annotations", "completions", "predictions", "drafts", "project", "id", "meta")
"""What is read, or counted by itself, of a task."""
_UNPLACED = "_"
"""The Ranker's bucket of items that nobody moved."""


def is_label_studio(row: Mapping[str, Any]) -> bool:
    """A task: data and annotations (in old exports: completions)."""
    annotations = row.get("annotations", row.get("completions"))
    return isinstance(row.get("data"), dict) and isinstance(annotations, list)


def prepare(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of tasks that knows the range of each rating from all of them."""
    del source
    scales = ScaleGuess(known=dict(INSTRUCT_GPT))
    for row in rows:
        for annotation in _annotations(row):
            for result in annotation.get("result") or []:
                if result.get("type") == "rating":
                    scales.see(result["from_name"], result["value"]["rating"])
    return lambda row: _task(row, scales)


def _annotations(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return row.get("annotations") or row.get("completions") or []


def _task(row: Mapping[str, Any], scales: ScaleGuess) -> Iterator[Parsed]:
    any_record = False
    for annotation in _annotations(row):
        results = annotation.get("result") or []
        sheet = _sheet(row["data"], results)
        source = {"format": "label-studio", "project": row.get("project"), "task": row.get("id")}
        if row.get("meta"):
            source["task_meta"] = row["meta"]
        source["annotation"] = annotation.get("unique_id") or annotation.get("id")
        if marked(annotation, "ground_truth"):
            source["gold"] = True
        if annotation.get("updated_at") not in (None, annotation.get("created_at")):
            source["updated_at"] = annotation["updated_at"]
        answerer = Answerer(sheet, _common_fields(annotation), source)
        if marked(annotation, "was_cancelled"):
            yield answerer.skip("skipped in Label Studio")
            any_record = True
            yield from [Left("answer of a skipped annotation")] * len(results)
            continue
        for answer_record in settled(
            answerer, [part for result in results for part in _result(answerer, result, scales)]
        ):
            any_record = any_record or not isinstance(answer_record, Left)
            yield answer_record
    yield from [Left("prediction (a model's proposal)")] * len(row.get("predictions") or [])
    yield from [Left("unfinished draft")] * len(row.get("drafts") or [])
    yield from left_of(row, _READ, "data")
    if not any_record:
        yield Left("task without an answer")


def _common_fields(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Who, when, how long. Of an annotator only the id is kept, not name and address."""
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("id", who.get("email"))
    return {
        "annotator": None if who is None else str(who),
        "created_at": annotation.get("created_at"),
        "lead_time": annotation.get("lead_time"),
    }


def _sheet(data: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Sheet:
    """The task's fields; the items of a List are its responses."""
    lists = {name: value for name, value in data.items() if _is_items(value)}
    named = [n for r in results if r["type"] == "pairwise" for n in _targets(r) if n in data]
    sheet = sheet_of({name: value for name, value in data.items() if name not in lists}, named)
    if len(lists) > 1:
        raise RowError(f"the task holds several lists of items: {', '.join(lists)}")
    for items in lists.values():
        responses: dict[str, Content] = {str(item["id"]): _body(item) for item in items}
        titles = {str(item["id"]): str(item["title"]) for item in items if item.get("title")}
        return Sheet(sheet.prompt, responses, titles, sheet.other)
    return sheet


def _body(item: Mapping[str, Any]) -> str:
    if not isinstance(body := item.get("body", item.get("html", "")), str):
        raise RowError(f"the body of the item {item['id']!r} is {type(body).__name__}, not a text")
    return body


def _is_items(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, dict) and "id" in v for v in value)
    )


def _targets(result: Mapping[str, Any]) -> list[str]:
    return [name.strip() for name in str(result.get("to_name", "")).split(",")]


def _result(answerer: Answerer, result: Mapping[str, Any], scales: ScaleGuess) -> Iterator[Parsed]:
    kind, question, value = result["type"], result["from_name"], result["value"]
    if result.get("id"):  # a control may be answered more than once
        answerer = replace(answerer, source={**answerer.source, "result": result["id"]})
    targets = [name for name in _targets(result) if name in answerer.sheet.responses]
    about = targets[0] if len(targets) == 1 else None
    if kind == "pairwise":
        sides: dict[str, int | str] = {"left": 0, "right": 1}
        if value["selected"] not in sides:
            raise RowError(f"{question}: selected is {value['selected']!r}, not left or right")
        yield answerer.side(question, sides[value["selected"]])
    elif kind == "ranker":
        yield from _ranker(answerer, question, value["ranker"])
    elif kind == "rating":
        yield answerer.rating(question, value["rating"], scales, about)
    elif kind == "choices":
        yield answerer.label(
            question, [str(c) for c in value["choices"]], about, several=len(value["choices"]) > 1
        )
    elif kind == "textarea":
        texts = value["text"] if isinstance(value["text"], list) else [value["text"]]
        yield answerer.text(question, "\n".join(texts), about)
    elif kind in _SPANS:
        yield _span(answerer, question, value, value.get(_SPANS[kind]) or [None], about)
    else:
        yield Left(f"Label Studio's control {kind!r}")


def _ranker(answerer: Answerer, question: str, value: Any) -> Iterator[Parsed]:
    """One list is a ranking; items in buckets get the bucket as a label and are ranked within
    it."""
    buckets = {_UNPLACED: value} if isinstance(value, list) else dict(value)
    filled = {name: [str(i) for i in items] for name, items in buckets.items() if items}
    for name, items in filled.items():
        if name != _UNPLACED:
            for item in items:
                yield answerer.record("flags", [item], {"flags": {question: name}}, question)
        elif len(buckets) > 1:
            yield from [Left("item that was not put into a bucket")] * len(items)
            continue
        if len(items) >= 2:
            yield answerer.record(
                "ranking", items, lambda ids: {"order": [[i] for i in ids]}, f"{question}:{name}"
            )


def _span(
    answerer: Answerer,
    question: str,
    value: Mapping[str, Any],
    labels: Sequence[str | None],
    about: str | None,
) -> Parsed:
    """A marked part; `end` is exclusive in newer and inclusive in older versions: the marked text
    tells."""
    names = list(answerer.sheet.responses)
    name = about or (names[0] if len(names) == 1 else None)
    if name is None:
        return Left(f"spans {question!r}: not in a response")
    try:
        start, end = int(value["start"]), int(value["end"])
    except (KeyError, ValueError):
        return Left(f"spans {question!r}: the place is not a number of characters")
    text = plain(answerer.sheet.responses[name])
    marked = value.get("text", text[start:end])
    if text[start:end] != marked:
        end += 1
    if text[start:end] != marked:
        return Left(f"spans {question!r}: the marked text is not there")
    return answerer.spans(
        question, [{"start": start, "end": end, "label": label} for label in labels], name
    )
