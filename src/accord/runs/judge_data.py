"""What is put before a judge: judgements in any known format, or prompts with responses that nobody
judged yet, such as samples of a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from accord.errors import DataError
from accord.feedback.formats import ReadResult, conversations_unpacked, read_as
from accord.feedback.formats.columns import (
    COMMON,
    PROMPT_COLUMNS,
    check_consent,
    content_of,
    option_ids,
    prompt_of,
)
from accord.feedback.formats.reading import NumberedRow, RowsRead, read_sources
from accord.feedback.formats.source import AnySpec
from accord.feedback.formats.values import RowError, empty
from accord.feedback.messages import Content, to_json
from accord.feedback.records import Feedback, asked_fields, problem

NOBODY = "nobody"
"""The annotator of responses that are still to be judged."""
_LETTERED = re.compile(r"(response|answer|completion|output)_?([ab12])", re.IGNORECASE)
_SINGLE = ("response", "completion", "output", "answer")
_VERDICTS = (
    "choice", "chosen", "rejected", "winner", "preferred", "preference", "label", "labels",
    "rating", "ratings", "rank", "ranking", "kind", "thumb", "better", "vote", "votes",
)  # fmt: skip


def read_to_judge(spec: AnySpec) -> tuple[list[Feedback], list[str]]:
    """(records whose options are to be judged; what was left out, in lines). Rows with responses
    and no word of which is better become skips of nobody. Raises DataError as `read_feedback`."""
    records: list[Feedback] = []
    lines: list[str] = []
    for source, read in read_sources(spec):
        rows = conversations_unpacked(read.rows)
        if rows and all(_unjudged(row) for _, row in rows):
            found, told = _items(rows)
            lines += [*read.messages, *_counted(read.dropped, "rows dropped")]
        else:
            result = read_as(source, RowsRead(**vars(read)))
            found, told = result.records, _lost(result)
        records += found
        lines += told
    return records, lines


def _lost(result: ReadResult) -> list[str]:
    dropped = [
        f"{count:,} of {result.rows:,} rows dropped: {why} (first at {result.first_dropped[why]})"
        for why, count in result.dropped.items()
    ]
    return [*result.messages, *dropped, *_counted(result.left_out, "left out")]


def _counted(reasons: Mapping[str, int], what: str) -> list[str]:
    return [f"{count:,} {what}: {why}" for why, count in reasons.items()]


def _unjudged(row: Mapping[str, Any]) -> bool:
    """A prompt and responses, and nothing that says which is better."""
    if empty(row.get("prompt")) or any(not empty(row.get(name)) for name in _VERDICTS):
        return False
    return bool(_responses(row))


def _responses(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(column, response) of each response."""
    for name in ("responses", "options"):
        if isinstance(row.get(name), list):
            return [(name, one) for one in row[name]]
    lettered = [(name, row[name]) for name in row if _LETTERED.fullmatch(name)]
    found = lettered or [(name, row[name]) for name in _SINGLE if name in row]
    return [(name, one) for name, one in found if not empty(one)]


def _items(rows: Sequence[NumberedRow]) -> tuple[list[Feedback], list[str]]:
    records, dropped, first, unused = [], Counter[str](), dict[str, str](), Counter[str]()
    for number, (where, row) in enumerate(rows):
        try:
            check_consent(row)
            records.append(_item(row, number))
        except (RowError, ValueError) as error:
            why = problem(error) if isinstance(error, ValidationError) else str(error)
            dropped[why] += 1
            first.setdefault(why, where)
            continue
        used = {*PROMPT_COLUMNS, *COMMON, *(name for name, _ in _responses(row))}
        unused.update(name for name in row if name not in used and not empty(row[name]))
    if not records:
        why = next(iter(dropped))
        raise DataError(f"no row can be judged: {why} (first at {first[why]})", "mend the rows")
    lines = [f"{n:,} rows dropped: {why} (first at {first[why]})" for why, n in dropped.items()]
    if unused:
        lines.append(f"not used beside prompts and responses: {', '.join(sorted(unused))}")
    return records, lines


def _item(row: Mapping[str, Any], number: int) -> Feedback:
    found = [_option(one) for _, one in _responses(row)]
    contents = [content for content, _ in found]
    ids = option_ids(contents)
    ended = row.get("finished")
    ended = [ended] if isinstance(ended, bool) else ended
    known = isinstance(ended, list) and len(ended) == len(ids)
    return Feedback.model_validate(
        {
            "id": f"to-judge-{number}",
            "kind": "skip",
            **asked_fields(_asked(row)),
            "options": [
                {"id": name, "content": to_json(content), "producer": producer, "shown_at": place}
                for place, (name, (content, producer)) in enumerate(zip(ids, found, strict=True))
            ],
            "choice": {"reason": "to be judged"},
            "annotator": NOBODY,
            "meta": {"finished": dict(zip(ids, ended or [], strict=True))} if known else {},
        }
    )


def _asked(row: Mapping[str, Any]) -> Any:
    """Rows that accord sampled hold the prompt as it was asked, with tools beside the messages."""
    prompt = row["prompt"]
    return prompt if isinstance(prompt, Mapping) and "messages" in prompt else prompt_of(row)


def _option(value: Any) -> tuple[Content, str | None]:
    """(content, producer) of a response: text, messages, or {content, producer}."""
    if isinstance(value, Mapping) and "content" in value and "role" not in value:
        return content_of(value["content"]), value.get("producer")
    return content_of(value), None
