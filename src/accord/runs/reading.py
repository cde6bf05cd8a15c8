"""The rows that a stage reads: from an earlier stage, a file, a directory or a Hub id; read the
same way when checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.errors import DataError, by_reason
from accord.feedback.formats import ReadResult, conversations_unpacked, read_feedback
from accord.feedback.formats.columns import PROMPT_COLUMNS, check_understood, prompt_of
from accord.feedback.formats.reading import NumberedRow, read_rows
from accord.feedback.formats.source import AnySpec, DataSource, DataSpec, name_of, sources
from accord.feedback.formats.turns import unread
from accord.feedback.formats.values import empty
from accord.runs.context import NotYet, StageContext
from accord.runs.dropping import allowing, rounded_up
from accord.runs.inputs import REFERENCE, stage_of

if TYPE_CHECKING:
    from accord.text.chats import Prompt

LARGE_BYTES = 16 * 2**20
SAMPLE = 5_000
"""Of files larger than this a plan reads as many rows."""
ANSWERS = ("completion", "response", "messages")
"""Columns of rows that hold an answer beside their prompt, and are demonstrations."""
JUDGED = ("chosen", "rejected", "choice", "options", "winner", "completions", "kto_tag")
"""Columns of rows that say what people thought of answers: those are no prompts."""


def read_records(spec: DataSpec, context: StageContext) -> ReadResult:
    """Feedback records of whatever `spec` names. Raises DataError where more rows than allowed
    cannot be read."""
    source = _open(spec, context)
    result = read_feedback(source.data)
    _note_rows(source, result.rows, result.dropped, result.first_dropped, context)
    context.places.update(result.places)
    for line in result.messages:
        context.say(line)
    return result


@dataclass(frozen=True)
class PromptRow:
    """A prompt, and the other columns of its row that somebody uses."""

    prompt: Prompt
    columns: Mapping[str, Any] = field(default_factory=dict)


def read_prompts(spec: DataSpec, context: StageContext, count: int | None = None) -> list[Prompt]:
    """Prompts (text, messages, or messages with tools), from the top. Raises DataError for rows
    that are something else."""
    return [row.prompt for row in read_prompt_rows(spec, context, count)]


def read_prompt_rows(
    spec: DataSpec,
    context: StageContext,
    count: int | None = None,
    used: Callable[[str], bool] = lambda column: False,
) -> list[PromptRow]:
    """As `read_prompts`, with the columns beside the prompts that are `used`."""
    prompts, unused = [], Counter[str]()
    for where, row in conversations_unpacked(_rows(spec, context)[:count]):
        judged = [name for name in JUDGED if row.get(name) is not None and not used(name)]
        if judged:
            raise DataError(
                f"{where}: {name_of(spec)} holds judgements (it has {', '.join(judged)}), and"
                " prompts are meant",
                "name a file with a prompt per row; judgements go into feedback",
            )
        if "prompt" not in row:
            raise DataError(
                f"{where} has no prompt, it has {', '.join(row) or 'nothing'}",
                "say which column it is: {path: ..., columns: {prompt: NAME}}",
            )
        beside = {name: value for name, value in row.items() if name not in PROMPT_COLUMNS}
        columns = {name: value for name, value in beside.items() if used(name)}
        prompts.append(PromptRow(_prompt(row, where, columns), columns))
        unused.update(
            name for name, value in beside.items() if name not in columns and not empty(value)
        )
        unused.update(unread({name: row.get(name) for name in PROMPT_COLUMNS}))
    if unused:
        context.say(f"{name_of(spec)}: not used beside the prompts: {', '.join(sorted(unused))}")
    return prompts


def plain_prompts(spec: DataSpec, context: StageContext) -> list[PromptRow] | None:
    """As `read_prompt_rows` with all columns, where every row has a prompt and none says what
    people thought of answers, or answers itself; None for other data."""
    source = _open(spec, context)
    rows = [row for _, row in read_rows(source.data).rows]
    answered = (*JUDGED, *ANSWERS)
    if any(not _asks(row) or any(not empty(row.get(a)) for a in answered) for row in rows):
        return None
    return read_prompt_rows(spec, context, used=lambda column: True)


def plain_texts(spec: DataSpec, context: StageContext) -> list[str] | None:
    """As `read_texts`, where rows have a text and say nothing of answers; None for other data."""
    rows = [row for _, row in read_rows(_open(spec, context).data).rows]
    answered = (*JUDGED, *ANSWERS, "prompt")
    texts = any(isinstance(row.get("text"), str) for row in rows)
    if not texts or any(not empty(row.get(a)) for row in rows for a in answered):
        return None
    return read_texts(spec, context)


def _asks(row: Mapping[str, Any]) -> bool:
    """Whether a row has a prompt: a text, or messages. What a format of its own calls so, such as
    the root of a tree, is something else."""
    prompt = row.get("prompt")
    return isinstance(prompt, (str, list)) or (isinstance(prompt, Mapping) and "messages" in prompt)


def _prompt(row: Mapping[str, Any], where: str, used: Mapping[str, Any]) -> Prompt:
    try:
        check_understood(row, {"prompt", *used})
        prompt: Prompt = prompt_of(row)
        return prompt
    except ValueError as error:
        raise DataError(
            f"{where}: {error}", "a prompt is a text, or a list of messages; repair the row"
        ) from None


def read_texts(spec: DataSpec, context: StageContext) -> list[str]:
    """One text per row. Raises DataError naming a row without one."""
    return [text for text, _, _ in read_text_rows(spec, context)]


def read_text_rows(
    spec: DataSpec, context: StageContext
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The text of every row, where the row stands, and the row. Raises DataError naming a row
    without a text."""
    texts: list[tuple[str, str, Mapping[str, Any]]] = []
    for where, row in _rows(spec, context):
        if not isinstance(row.get("text"), str):
            raise DataError(f"{where} has no text", f"it has: {', '.join(row)}")
        texts.append((row["text"], where, row))
    return texts


def _rows(spec: DataSpec, context: StageContext) -> list[NumberedRow]:
    source = _open(spec, context)
    read = read_rows(source.data)
    rows = len(read.rows) + read.dropped.total()
    _note_rows(source, rows, read.dropped, read.first_dropped, context)
    for line in read.messages:
        context.say(line)
    if read.dropped:
        context.say(
            f"{source.name}: {read.dropped.total():,} of {rows:,} rows cannot be read: "
            f"{by_reason(read.dropped)}"
        )
    return read.rows


@dataclass(frozen=True)
class Source:
    """What a setting names, as it is read.

    name: what messages call it; data: with the files of earlier stages; planned: rows that an
    earlier stage is to leave; large: files of which a plan reads the first rows.
    """

    name: str
    data: AnySpec
    planned: int = 0
    large: Sequence[DataSource] = ()


def _open(spec: DataSpec, context: StageContext) -> Source:
    """What `spec` names. A plan reads nothing from the Hub, and of large files the first rows."""
    name, data = name_of(spec), context.data(spec)
    planned = planned_rows(spec, context) or 0
    if not context.planning:
        return Source(name, data, planned)
    named = sources(data)
    if remote := [str(s) for s in named if not _is_local(s.path)]:
        raise NotYet(f"{', '.join(remote)} is not on this disk", "it is read when the run starts")
    large = [s for s in named if _is_large(s)]
    first = [s.model_copy(update={"limit": SAMPLE}) if s in large else s for s in named]
    return Source(name, first, planned, large)


def _note_rows(
    source: Source,
    rows: int,
    dropped: Mapping[str, int],
    first: Mapping[str, str],
    context: StageContext,
) -> None:
    """Note that `rows` were looked at, and how many there are in all. Raises DataError where more
    than allowed of them were `dropped`, the `first` of each reason at a place."""
    unreadable = sum(dropped.values())
    if unreadable > context.allow_dropped * rows:
        reasons = "; ".join(
            f"{count:,}: {why} (first at {first[why]})" for why, count in dropped.items()
        )
        raise DataError(
            f"{unreadable:,} of {rows:,} rows of {source.name} cannot be read: {reasons}",
            f"repair them; {allowing(rounded_up(unreadable, rows), context)} goes on without them",
        )
    total = max(rows, source.planned)
    if source.large:
        total = sum(map(_guessed_rows, source.large)) + rows - SAMPLE * len(source.large)
    context.looked_at[source.name] = (rows, max(rows, total), bool(source.large))


def planned_rows(spec: DataSpec, context: StageContext) -> int | None:
    """Rows that an earlier stage is to leave; None where it is done, or it cannot be told."""
    if not isinstance(spec, str) or not spec.startswith(REFERENCE):
        return None
    name, artefact = stage_of(spec)
    plan = context.planned.get(name)
    return plan.sizes.get(artefact or next(iter(plan.sizes), "")) if plan else None


def _is_local(path: str) -> bool:
    from accord.runs.known import HUB_ID

    return Path(path).exists() or not HUB_ID.match(path)


def _is_large(source: DataSource) -> bool:
    path = Path(source.path)
    limited = source.limit is not None and source.limit <= SAMPLE
    return path.is_file() and not limited and path.stat().st_size > LARGE_BYTES


def _guessed_rows(source: DataSource) -> int:
    """Rows of a large file, from the bytes of its first lines."""
    path = Path(source.path)
    with open(path, "rb") as handle:
        start = handle.read(LARGE_BYTES // 8)
    whole = start[: start.rfind(b"\n") + 1] or start
    rows = round(path.stat().st_size * max(1, whole.count(b"\n")) / len(whole))
    known = path.suffix in (".jsonl", ".csv", ".tsv")
    return min(max(SAMPLE, rows) if known else SAMPLE, source.limit or rows)
