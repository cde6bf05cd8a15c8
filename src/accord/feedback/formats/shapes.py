"""The shapes of rows others use, each turned into feedback records."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accord.feedback.formats import argilla, label_studio, tables
from accord.feedback.formats.columns import Left, Parsed, RowError, build, content_of, flat, messages
from accord.feedback.formats.making import PRODUCER_COLUMNS, demonstration, preference, transcript
from accord.feedback.formats.prm800k import is_prm800k, prm800k
from accord.feedback.formats.trees import tree
from accord.feedback.formats.votes import is_votes, votes
from accord.feedback.records import Content, Feedback, Message

Row = Mapping[str, Any]
Parse = Callable[[Row], Iterator[Parsed]]


@dataclass(frozen=True)
class Shape:
    """One known shape. `matches` looks at field names and types only; `parse` yields records or raises RowError.

    optional: further columns that `parse` reads; the others are kept in the record's meta. keeps: `parse` itself
    keeps whatever a row holds. prepare: makes the parser from all rows and their source, where one row is not enough
    (`parse` is None then).
    """

    name: str
    fields: tuple[str, ...]
    matches: Callable[[Row], bool]
    parse: Parse | None
    optional: tuple[str, ...] = ()
    keeps: bool = False
    prepare: Callable[[Sequence[Row], Path], Parse] | None = None

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
    prompt = content_of(row["prompt"])
    sides: list[tuple[Content, Content]] = []
    for name in ("chosen", "rejected"):
        value = row[name]
        if isinstance(value, dict):
            value = [value]
        if isinstance(value, str):
            sides.append((prompt, value))
            continue
        turns = messages(value)
        if len(turns) > 1 and isinstance(prompt, list) and turns[: len(prompt)] != prompt:
            sides.append((prompt, list(turns)))  # an answer of several messages
        elif len(turns) > 1:  # the lists include the prompt (UltraFeedback binarized)
            sides.append((turns[:-1], turns[-1:]))
        else:
            asked = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
            sides.append((asked, turns))
    if sides[0][0] != sides[1][0]:
        raise RowError("chosen and rejected answer different prompts")
    yield from preference(sides[0][0], sides[0][1], sides[1][1], row)


def _implicit(row: Row) -> Iterator[Feedback]:
    if isinstance(row["chosen"], str):
        common = os.path.commonprefix([row["chosen"], row["rejected"]])  # noqa: RUF071 (characters are meant)
        cut = max(common.rfind(" "), common.rfind("\n"))
        if cut <= 0:
            raise RowError("chosen and rejected share no prompt")
        yield from preference(row["chosen"][:cut], row["chosen"][cut:], row["rejected"][cut:], row)
        return
    chosen, rejected = messages(row["chosen"]), messages(row["rejected"])
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise RowError("chosen and rejected must share all messages but the last")
    yield from preference(chosen[:-1], chosen[-1:], rejected[-1:], row)


def _completion(row: Row) -> Iterator[Feedback]:
    conversational = not isinstance(row["prompt"], str)
    prompt: Content = messages(row["prompt"]) if conversational else row["prompt"]
    completion: Content = messages(row["completion"]) if conversational else row["completion"]
    if not isinstance(row.get("label"), bool):
        yield from demonstration(prompt, completion, row)
        return
    if not flat(completion).strip():
        raise RowError("the completion is empty")
    yield build("thumb", prompt, [completion], {"up": row["label"]}, row)


def _stepwise(row: Row) -> Iterator[Feedback]:
    steps, labels = list(row["completions"]), [1 if label else -1 for label in row["labels"]]
    yield build("step_labels", row["prompt"], ["\n".join(steps)], {"steps": steps, "labels": labels}, row)


def _conversation(row: Row) -> Iterator[Feedback]:
    turns = messages(row.get("messages") or row.get("conversations"))
    if isinstance(row.get("chosen"), dict):  # LLaMA-Factory's DPO rows
        yield from preference(turns, messages([row["chosen"]]), messages([row["rejected"]]), row)
        return
    if turns[-1].role != "assistant" or len(turns) < 2:
        raise RowError("the conversation does not end with an answer")
    if isinstance(row.get("label"), bool):
        yield build("thumb", turns[:-1], [turns[-1:]], {"up": row["label"]}, row)
    else:
        yield from demonstration(turns[:-1], turns[-1:], row)


def _alpaca(row: Row) -> Iterator[Feedback]:
    asked = row["instruction"] + (f"\n\n{row['input']}" if row.get("input") else "")
    yield from demonstration([Message(role="user", content=asked)], row["output"], row)


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
    yield from demonstration(content_of(row["prompt"]), row["response"], row)


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


def _prompt_only(row: Row) -> Iterator[Feedback]:
    del row
    return iter(())


def _has(*names: str) -> Callable[[Row], bool]:
    return lambda row: all(name in row for name in names)


def _is_hh(row: Row) -> bool:
    sides = (row.get("chosen"), row.get("rejected"))
    return "prompt" not in row and all(isinstance(s, str) and "\n\nAssistant:" in s for s in sides)


_ANSWERS = ("chosen", "rejected", "completion", "completions", "response", "messages", "conversations", "output")


def _is_prompt_only(row: Row) -> bool:
    """No column is called, or misspelt, like one that holds an answer."""
    return "prompt" in row and not any(difflib.get_close_matches(name, _ANSWERS, n=1, cutoff=0.75) for name in row)


_SIDES = ("margin", "strength", *PRODUCER_COLUMNS)
SHAPES = (
    Shape("accord records", ("kind", "prompt", "options", "choice", "annotator"), _has("kind", "options", "choice"), _accord, keeps=True),
    Shape("Open-Assistant trees", ("message_tree_id", "prompt"), _has("message_tree_id", "prompt"), tree, keeps=True),
    Shape("Label Studio", ("data", "annotations"), label_studio.is_label_studio, None, keeps=True, prepare=label_studio.prepare),
    Shape("Argilla", ("fields", "responses"), argilla.is_argilla, None, keeps=True, prepare=argilla.prepare),
    Shape("votes between models", ("model_a", "model_b", "winner"), is_votes, votes, ("left", "right", "prompt", "question_id", "id", "answer_a", "answer_b", "conversation_a", "conversation_b")),
    Shape("table of comparisons", ("prompt", "response_a", "response_b", "winner"), tables.is_pairwise, tables.pairwise, tables.PAIRWISE_COLUMNS),
    Shape("table of ratings", ("prompt", "response", "rating_overall"), tables.is_ratings, None, keeps=True, prepare=tables.prepare_ratings),
    Shape("PRM800K", ("question", "label"), is_prm800k, prm800k, keeps=True),
    Shape("UltraFeedback", ("instruction", "completions"), _has("instruction", "completions"), _ultrafeedback),
    Shape("HelpSteer", ("prompt", "response", *_ATTRIBUTES), _has("prompt", "response", *_ATTRIBUTES), _helpsteer),
    Shape("critique and refinement", ("prompt", "original_model_completion", "Feedback"), _has("prompt", "original_model_completion", "Feedback"), _refined, ("completion",)),
    Shape("LLaMA-Factory / ShareGPT", ("conversations",), _has("conversations"), _conversation, ("chosen", "rejected", "label", *_SIDES)),
    Shape("Anthropic HH", ("chosen", "rejected"), _is_hh, _hh, _SIDES),
    Shape("TRL preference", ("prompt", "chosen", "rejected"), _has("prompt", "chosen", "rejected"), _explicit, _SIDES),
    Shape("TRL preference, implicit prompt", ("chosen", "rejected"), _has("chosen", "rejected"), _implicit, _SIDES),
    Shape("TRL stepwise", ("prompt", "completions", "labels"), _has("prompt", "completions", "labels"), _stepwise),
    Shape("TRL prompt-completion", ("prompt", "completion"), _has("prompt", "completion"), _completion, ("label",)),
    Shape("TRL conversational", ("messages",), _has("messages"), _conversation, ("label", "chosen", "rejected", *_SIDES)),
    Shape("Alpaca", ("instruction", "output"), _has("instruction", "output"), _alpaca, ("input",)),
    Shape("prompt-response", ("prompt", "response"), _has("prompt", "response"), _response),
    Shape("TRL prompt-only", ("prompt",), _is_prompt_only, _prompt_only),
)  # fmt: skip


def detect(row: Row) -> Shape | None:
    """The first shape that matches."""
    return next((shape for shape in SHAPES if shape.matches(row)), None)
