"""Prodigy's annotations: a text and options of which some were accepted, or a text with one label
that was accepted or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.feedback.formats.columns import Parsed, RowError, build, name_in
from accord.feedback.formats.making import ranked, unused
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.values import empty, shown

OWN = ("text", "options", "accept", "answer", "label", "_annotator_id", "_session_id", "_timestamp")


def is_prodigy(row: Row) -> bool:
    """A text and an answer about its options or its label."""
    return "text" in row and "answer" in row and ("accept" in row or "label" in row)


def prepare(rows: Sequence[Row], source: Path) -> Parse:
    """Options that stay the same while the texts change are labels of the text; others are
    responses to it."""
    del source
    options = {json.dumps(row.get("options"), sort_keys=True, default=str) for row in rows}
    labels = len(options) == 1 and len({str(row.get("text")) for row in rows}) > 1
    return lambda row: _task(row, labels)


def _task(row: Row, labels: bool) -> Iterator[Parsed]:
    who, session = name_in(row, "_annotator_id"), name_in(row, "_session_id")
    common = {
        "annotator": who or session,
        "created_at": row.get("_timestamp"),
        "session": session if who else None,
    }
    options, answer, text = row.get("options") or [], row["answer"], row["text"]
    responses = [] if labels else options
    if answer == "ignore" or (answer == "reject" and options):
        contents = [_text(option) for option in responses]
        yield build(
            "skip",
            text,
            contents,
            {"reason": f"{answer} in Prodigy"},
            common,
            places=range(len(contents)),
        )
        return
    if answer not in ("accept", "reject"):
        raise RowError(f"the answer is {shown(answer)}, not accept, reject or ignore")
    if not options:
        if empty(row.get("label")):
            raise RowError("neither options nor a label")
        yield build("flags", text, [], {"flags": {str(row["label"]): answer == "accept"}}, common)
        return
    accepted = [str(one) for one in row.get("accept") or []]
    names = [str(option["id"]) for option in options]
    if not accepted or (unknown := set(accepted) - set(names)):
        raise RowError(
            "no option was accepted"
            if not accepted
            else f"an option {sorted(unknown)[0]!r} is not there"
        )
    if labels:
        yield build(
            "flags",
            text,
            [],
            {"flags": {"label": accepted[0] if len(accepted) == 1 else accepted}},
            common,
        )
        return
    scores = [float(name in accepted) for name in names]
    wrote = [
        name_in(option, "model") or name_in(option.get("meta") or {}, "model") for option in options
    ]
    yield ranked(
        text,
        [_text(option) for option in options],
        scores,
        common,
        producers=wrote,
        places=range(len(options)),
    )
    for option in options:
        yield from unused(option, ("id", "text", "html", "model"), "an option")


def _text(option: Mapping[str, Any]) -> str:
    if not isinstance(text := option.get("text", option.get("html")), str):
        raise RowError("an option has no text")
    return text
