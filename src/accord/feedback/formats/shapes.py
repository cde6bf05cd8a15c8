"""The shapes of rows others use, each turned into feedback records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accord.errors import DataError
from accord.feedback.formats import argilla, label_studio, tables
from accord.feedback.formats.columns import (
    COMMON,
    SYSTEM_COLUMNS,
    Left,
    Parsed,
    RowError,
    build,
    content_of,
    flat,
    messages,
)
from accord.feedback.formats.hints import hints_an_answer, text_columns, way_out
from accord.feedback.formats.making import PRODUCER_COLUMNS, demonstration, preference, producers_of, transcript
from accord.feedback.formats.pairs import sides
from accord.feedback.formats.prm800k import is_prm800k, prm800k
from accord.feedback.formats.trees import tree
from accord.feedback.formats.values import Scheme, empty, unpacked
from accord.feedback.formats.votes import is_votes, votes
from accord.feedback.records import Content, Feedback, Message

Row = Mapping[str, Any]
Parse = Callable[[Row], Iterator[Parsed]]


@dataclass(frozen=True)
class Shape:
    """One known shape. `matches` looks at field names and types only; `parse` yields records or raises RowError.

    optional: further columns that `parse` reads; the others are kept in the record's meta. keeps: `parse` itself
    keeps whatever a row holds. prepare: makes the parser from all rows and their source, where one row is not enough
    (`parse` is None then). labels: columns of labels, which `parse` gets as 1, 0 or -1 (lists of them where the column holds
    lists), each with what the format says of 0 and 1 (None: nothing, the user is asked). winners: columns that name one of two
    responses, first or second, 1 or 2.
    """

    name: str
    fields: tuple[str, ...]
    matches: Callable[[Row], bool]
    parse: Parse | None
    optional: tuple[str, ...] = ()
    keeps: bool = False
    prepare: Callable[[Sequence[Row], Path], Parse] | None = None
    labels: Mapping[str, Scheme | None] = field(default_factory=dict)
    winners: tuple[str, ...] = ()

    def parser(self, rows: Sequence[Row], source: Path) -> Parse:
        """What turns one of the rows of `source` into records."""
        made = self.parse if self.prepare is None else self.prepare(rows, source)
        assert made is not None
        return made


# --- parsers -------------------------------------------------------------------------------------------------------
def _accord(row: Row) -> Iterator[Feedback]:
    yield Feedback.model_validate(dict(row))


def _hh(row: Row) -> Iterator[Feedback]:
    (prompt, chosen), (other, rejected) = transcript(row["chosen"]), transcript(row["rejected"])
    if prompt != other:
        raise RowError("chosen and rejected answer different conversations")
    yield from preference(prompt, chosen, rejected, row)


def _explicit(row: Row) -> Iterator[Feedback]:
    yield from preference(*sides(content_of(row["prompt"]), _side(row, "chosen"), _side(row, "rejected")), row)


def _side(row: Row, name: str) -> Content:
    try:
        return content_of(row[name])
    except RowError as error:
        raise RowError(f"{name}: {error}") from None


def _implicit(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of pairs without a column for the prompt. In texts it is what both have in common, up to a blank: a guess,
    which is not made while a column that is not understood may hold it."""
    del source
    others = text_columns(rows, {"chosen", "rejected", *_SIDES, *COMMON})

    def parse(row: Row) -> Iterator[Feedback]:
        chosen, rejected = _side(row, "chosen"), _side(row, "rejected")
        if not isinstance(chosen, str) or not isinstance(rejected, str):
            yield from preference(*sides(None, chosen, rejected), row)
            return
        if others:
            named = ", ".join(map(repr, others))
            raise DataError(
                f"the prompt is not to be guessed beside texts that are not understood: {named}", way_out(others)
            )
        if any(not empty(row.get(name)) for name in (*SYSTEM_COLUMNS, "history")):
            raise RowError("a system message or a history, but no prompt")
        common = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 (characters are meant)
        cut = max(common.rfind(" "), common.rfind("\n"))
        if cut <= 0:
            raise RowError("chosen and rejected share no prompt")
        yield from preference(chosen[:cut], chosen[cut:], rejected[cut:], row)

    return parse


def _thumb(prompt: Content, response: Content, row: Row, column: str = "label") -> Iterator[Feedback]:
    if not flat(response).strip():
        raise RowError("the completion is empty")
    if row[column] == 0:
        raise RowError(f"the column {column!r} is 0, neither good nor bad")
    wrote = producers_of(row, ("completion",))
    yield build("thumb", prompt, [response], {"up": row[column] == 1}, row, producers=wrote)


def _completion(row: Row) -> Iterator[Feedback]:
    prompt, completion = content_of(row["prompt"]), _side(row, "completion")
    if isinstance(prompt, str) and not isinstance(completion, str):
        prompt = [Message(role="user", content=prompt)]
    yield from (_thumb if "label" in row else demonstration)(prompt, completion, row)


def _stepwise(row: Row) -> Iterator[Feedback]:
    steps = unpacked(row["completions"], "completions")
    if not isinstance(steps, (list, tuple)) or not all(isinstance(step, str) for step in steps):
        raise RowError("the column 'completions' is no list of texts, one for each step")
    yield build(
        "step_labels",
        content_of(row["prompt"]),
        ["\n".join(steps)],
        {"steps": list(steps), "labels": row["labels"]},
        row,
    )


def _conversation(row: Row) -> Iterator[Feedback]:
    turns = messages(row["messages"] if not empty(row.get("messages")) else row.get("conversations"))
    if not empty(row.get("chosen")) or not empty(row.get("rejected")):  # LLaMA-Factory's DPO rows
        if "label" in row:
            raise RowError("both a label and a pair")
        yield from preference(*sides(turns, _side(row, "chosen"), _side(row, "rejected")), row)
        return
    if turns[-1].role != "assistant" or len(turns) < 2:
        raise RowError("the conversation does not end with an answer")
    yield from (_thumb if "label" in row else demonstration)(turns[:-1], turns[-1:], row)


def _alpaca(row: Row) -> Iterator[Feedback]:
    """LLaMA-Factory's `kto_tag` makes thumbs of the rows."""
    for name in ("instruction", "output"):
        if not isinstance(row[name], str):
            raise RowError(f"the column {name!r} is {type(row[name]).__name__}, not a text")
    asked = [Message(role="user", content=row["instruction"] + (f"\n\n{row['input']}" if row.get("input") else ""))]
    if "kto_tag" in row:
        yield from _thumb(asked, row["output"], row, "kto_tag")
    else:
        yield from demonstration(asked, row["output"], row)


def _ultrafeedback(row: Row) -> Iterator[Parsed]:
    for completion in row["completions"]:
        score, wrote = completion.get("overall_score"), [completion.get("model")]
        if score is not None:
            choice = {"scores": {"overall": float(score)}, "low": 0, "high": 10}
            yield build("rating", row["instruction"], [completion["response"]], choice, row, producers=wrote)
        if critique := completion.get("critique"):
            yield build(
                "critique", row["instruction"], [completion["response"]], {"text": critique}, row, producers=wrote
            )
        yield from [Left("rating of one aspect of UltraFeedback")] * len(completion.get("annotations") or ())


_ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def _helpsteer(row: Row) -> Iterator[Feedback]:
    choice = {"scores": {name: float(row[name]) for name in _ATTRIBUTES}, "low": 0, "high": 4}
    yield build("rating", row["prompt"], [row["response"]], choice, row)


def _response(row: Row) -> Iterator[Feedback]:
    yield from demonstration(content_of(row["prompt"]), _side(row, "response"), row)


def _refined(row: Row) -> Iterator[Feedback]:
    """Feedback in words on a completion and, where there is one, the completion refined with it."""
    prompt, original, refined = row["prompt"], row["original_model_completion"], row.get("completion")
    answer = original.removeprefix(prompt)  # what the model wrote is stored with the prompt in front of it
    if row["Feedback"]:
        yield build("critique", prompt, [answer], {"text": row["Feedback"]}, row)
    if isinstance(refined, str) and refined.strip() and refined.removeprefix(prompt) != answer:
        yield build("correction", prompt, [answer], {"content": refined.removeprefix(prompt)}, row)
    elif not row["Feedback"]:
        raise RowError("neither feedback nor a refinement")


def _prompt_only(row: Row) -> Iterator[Parsed]:
    """No record; the prompt itself is read by `read_feedback`."""
    for name, value in row.items():
        if name not in {"prompt", *SYSTEM_COLUMNS, "history"} and not empty(value):
            yield Left(f"column {name!r} (of prompts nothing else is kept)")


def _has(*names: str) -> Callable[[Row], bool]:
    return lambda row: all(name in row for name in names)


def _is_hh(row: Row) -> bool:
    sides = (row.get("chosen"), row.get("rejected"))
    return "prompt" not in row and all(isinstance(s, str) and "\n\nAssistant:" in s for s in sides)


def _is_prompt_only(row: Row) -> bool:
    """No column is called, or misspelt, like one that holds an answer."""
    return "prompt" in row and not any(hints_an_answer(name) for name in row)


_SIDES = ("margin", "strength", "probability", *PRODUCER_COLUMNS)
SHAPES = (
    Shape("accord records", ("kind", "prompt", "options", "choice", "annotator"), _has("kind", "options", "choice"), _accord, keeps=True),
    Shape("Open-Assistant trees", ("message_tree_id", "prompt"), _has("message_tree_id", "prompt"), tree, keeps=True),
    Shape("Label Studio", ("data", "annotations"), label_studio.is_label_studio, None, keeps=True, prepare=label_studio.prepare),
    Shape("Argilla", ("fields", "responses"), argilla.is_argilla, None, keeps=True, prepare=argilla.prepare),
    Shape("votes between models", ("model_a", "model_b", "winner"), is_votes, votes, ("left", "right", "prompt", "question_id", "id", "answer_a", "answer_b", "conversation_a", "conversation_b"), winners=("winner",)),
    Shape("table of comparisons", ("prompt", "response_a", "response_b", "winner"), tables.is_pairwise, tables.pairwise, tables.PAIRWISE_COLUMNS, winners=("winner",)),
    Shape("table of ratings", ("prompt", "response", "rating_overall"), tables.is_ratings, None, keeps=True, prepare=tables.prepare_ratings),
    Shape("PRM800K", ("question", "label"), is_prm800k, prm800k, keeps=True),
    Shape("UltraFeedback", ("instruction", "completions"), _has("instruction", "completions"), _ultrafeedback),
    Shape("HelpSteer", ("prompt", "response", *_ATTRIBUTES), _has("prompt", "response", *_ATTRIBUTES), _helpsteer),
    Shape("critique and refinement", ("prompt", "original_model_completion", "Feedback"), _has("prompt", "original_model_completion", "Feedback"), _refined, ("completion",)),
    Shape("LLaMA-Factory / ShareGPT", ("conversations",), _has("conversations"), _conversation, ("chosen", "rejected", "label", *_SIDES), labels={"label": "binary"}),
    Shape("Anthropic HH", ("chosen", "rejected"), _is_hh, _hh, _SIDES),
    Shape("TRL preference", ("prompt", "chosen", "rejected"), _has("prompt", "chosen", "rejected"), _explicit, _SIDES),
    Shape("TRL preference, implicit prompt", ("chosen", "rejected"), _has("chosen", "rejected"), None, _SIDES, prepare=_implicit),
    Shape("TRL stepwise", ("prompt", "completions", "labels"), _has("prompt", "completions", "labels"), _stepwise, labels={"labels": None}),
    Shape("TRL prompt-completion", ("prompt", "completion"), _has("prompt", "completion"), _completion, ("label", "completion_model"), labels={"label": "binary"}),
    Shape("TRL conversational", ("messages",), _has("messages"), _conversation, ("label", "chosen", "rejected", *_SIDES), labels={"label": "binary"}),
    Shape("Alpaca", ("instruction", "output"), _has("instruction", "output"), _alpaca, ("input", "kto_tag"), labels={"kto_tag": "binary"}),
    Shape("prompt-response", ("prompt", "response"), _has("prompt", "response"), _response),
    Shape("TRL prompt-only", ("prompt",), _is_prompt_only, _prompt_only),
)  # fmt: skip


def detect(row: Row) -> Shape | None:
    """The first shape that matches."""
    return next((shape for shape in SHAPES if shape.matches(row)), None)
