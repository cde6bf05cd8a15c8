"""The shapes of rows others use, each turned into feedback records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from accord.errors import DataError
from accord.feedback.formats import (
    arena,
    argilla,
    label_studio,
    many_answers,
    named_pairs,
    nvidia,
    tables,
    use_log,
)
from accord.feedback.formats.columns import (
    COMMON,
    PROMPT_COLUMNS,
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
from accord.feedback.formats.making import (
    PAIR_COLUMNS,
    demonstration,
    preference,
    producers_of,
    transcript,
    user,
)
from accord.feedback.formats.pairs import sides
from accord.feedback.formats.prm800k import is_prm800k, prm800k
from accord.feedback.formats.public import LAST, PUBLIC
from accord.feedback.formats.shape import Parse, Row, Shape, has
from accord.feedback.formats.trees import tree
from accord.feedback.formats.values import empty, structure, unpacked
from accord.feedback.records import Content, Feedback, Message


# --- parsers --------------------------------------------------------------------------------------
def _accord(row: Row) -> Iterator[Feedback]:
    yield Feedback.model_validate(dict(row))


def _hh(row: Row) -> Iterator[Feedback]:
    (prompt, chosen), (other, rejected) = transcript(row["chosen"]), transcript(row["rejected"])
    if prompt == other:
        yield from preference(prompt, chosen, rejected, row)
        return
    whole = (
        [*turns, Message(role="assistant", content=answer)]
        for turns, answer in ((prompt, chosen), (other, rejected))
    )
    yield from preference(*sides(None, *whole), row)  # they differ from an earlier turn on


def _explicit(row: Row) -> Iterator[Feedback]:
    yield from preference(
        *sides(content_of(row["prompt"]), _side(row, "chosen"), _side(row, "rejected")), row
    )


def _side(row: Row, name: str) -> Content:
    try:
        return content_of(row[name])
    except RowError as error:
        raise RowError(f"{name}: {error}") from None


def _implicit(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of pairs without a column for the prompt. In texts it is what both have in common,
    up to a blank: a guess, which is not made while a column that is not understood may hold it."""
    del source
    others = text_columns(rows, {"chosen", "rejected", *PAIR_COLUMNS, *COMMON})

    def parse(row: Row) -> Iterator[Feedback]:
        chosen, rejected = _side(row, "chosen"), _side(row, "rejected")
        if not isinstance(chosen, str) or not isinstance(rejected, str):
            yield from preference(*sides(None, chosen, rejected), row)
            return
        if others:
            named = ", ".join(map(repr, others))
            raise DataError(
                f"the prompt is not to be guessed beside texts that are not understood: {named}",
                way_out(others),
            )
        if any(not empty(row.get(name)) for name in (*SYSTEM_COLUMNS, "history")):
            raise RowError("a system message or a history, but no prompt")
        common = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 (characters are meant)
        cut = max(common.rfind(" "), common.rfind("\n"))
        if cut <= 0:
            raise RowError("chosen and rejected share no prompt")
        yield from preference(chosen[:cut], chosen[cut:], rejected[cut:], row)

    return parse


def _thumb(
    prompt: Content, response: Content, row: Row, column: str = "label"
) -> Iterator[Feedback]:
    if not flat(response).strip():
        raise RowError("the answer is empty")
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
        raise RowError("the column 'completions' is not a list of texts, one for each step")
    yield build(
        "step_labels",
        content_of(row["prompt"]),
        ["\n".join(steps)],
        {"steps": list(steps), "labels": row["labels"]},
        row,
    )


def _conversation(row: Row) -> Iterator[Feedback]:
    turns = messages(
        row["messages"] if not empty(row.get("messages")) else row.get("conversations")
    )
    if not empty(row.get("chosen")) or not empty(row.get("rejected")):  # LLaMA-Factory's DPO rows
        if "label" in row:
            raise RowError("both a label and a pair")
        yield from preference(*sides(turns, _side(row, "chosen"), _side(row, "rejected")), row)
        return
    if turns[-1].role != "assistant" or len(turns) < 2:
        raise RowError("the conversation does not end with an answer")
    yield from (_thumb if "label" in row else demonstration)(turns[:-1], turns[-1:], row)


def _alpaca(rows: Sequence[Row], source: Path) -> Parse:
    """A parser of Alpaca's rows. Raises DataError for pairs that a table holds as JSON: they would
    be trained as texts."""
    if all(
        named_pairs.is_old_comparison({**row, "output": structure(row["output"])}) for row in rows
    ):
        raise DataError(
            f"{source.name}: the column 'output' holds lists in texts",
            "write the file as JSONL, or as two columns, chosen and rejected",
        )
    return _instruction


def _instruction(row: Row) -> Iterator[Feedback]:
    """LLaMA-Factory's `kto_tag` makes thumbs of the rows."""
    if not isinstance(row["output"], str):
        raise RowError(f"the column 'output' is {type(row['output']).__name__}, not a text")
    prompt = user(row["instruction"], row.get("input"))
    if "kto_tag" in row:
        yield from _thumb(prompt, row["output"], row, "kto_tag")
    else:
        yield from demonstration(prompt, row["output"], row)


def _response(row: Row) -> Iterator[Feedback]:
    make = _thumb if "label" in row else demonstration
    yield from make(content_of(row["prompt"]), _side(row, "response"), row)


def _refined(row: Row) -> Iterator[Feedback]:
    """Feedback in words on a completion and, where there is one, the completion refined with it."""
    prompt, original, refined = (
        row["prompt"],
        row["original_model_completion"],
        row.get("completion"),
    )
    answer = original.removeprefix(
        prompt
    )  # what the model wrote is stored with the prompt in front of it
    if row["Feedback"]:
        yield build("critique", prompt, [answer], {"text": row["Feedback"]}, row)
    if isinstance(refined, str) and refined.strip() and refined.removeprefix(prompt) != answer:
        yield build("correction", prompt, [answer], {"content": refined.removeprefix(prompt)}, row)
    elif not row["Feedback"]:
        raise RowError("neither feedback nor a refinement")


def _prompt_only(row: Row) -> Iterator[Parsed]:
    """No record; the prompt itself is read by `read_feedback`."""
    for name, value in row.items():
        if name not in PROMPT_COLUMNS and not empty(value):
            yield Left(f"column {name!r} (of prompts nothing else is kept)")


def _is_hh(row: Row) -> bool:
    sides = (row.get("chosen"), row.get("rejected"))
    return "prompt" not in row and all(isinstance(s, str) and "\n\nAssistant:" in s for s in sides)


def _is_prompt_only(row: Row) -> bool:
    """No column is called, or misspelt, like one that holds an answer."""
    return "prompt" in row and not any(hints_an_answer(name) for name in row)


SHAPES = (
    Shape("accord records", ("kind", "prompt", "options", "choice", "annotator"), has("kind", "options", "choice"), _accord, keeps=True, means="every kind; comes back whole"),
    Shape("Open-Assistant trees", ("message_tree_id", "prompt"), has("message_tree_id", "prompt"), tree, keeps=True, means="rankings (one per user, or the consensus), labels as ratings of 0 to 1, replies by people that nobody ranked as demonstrations"),
    Shape("Label Studio", ("data", "annotations"), label_studio.is_label_studio, None, keeps=True, prepare=label_studio.prepare, means="see below"),
    Shape("Argilla", ("fields", "responses"), argilla.is_argilla, None, keeps=True, prepare=argilla.prepare, means="see below"),
    *PUBLIC,
    Shape("votes between models", ("model_a", "model_b", "winner"), arena.is_votes, arena.votes, arena.ARENA_COLUMNS, winners=("winner",), means="comparison of what the two models said, from where they differ up to the turn voted on; tie, both bad; models are producers; without texts for ratings of models only"),
    Shape("table of comparisons", ("prompt", "response_a", "response_b", "winner"), tables.is_pairwise, tables.pairwise, tables.PAIRWISE_COLUMNS, winners=("winner",), counts=("prompt", "response_a", "response_b"), means="comparison: winner is a, b, tie or both_bad; a was shown first"),
    Shape("table of ratings", ("prompt", "response", "rating_overall"), tables.is_ratings, None, keeps=True, prepare=tables.prepare_ratings, means="rating with an attribute per column rating_NAME; without low and high the range is guessed, and said so"),
    Shape("table of labels", ("item", "annotator", "label"), tables.is_labels, tables.labels, ("item", "task"), means="flags: what the annotator said of the item, a word (numbers as words), true or false in JSON, or a list of words; crowd-kit's `task`, `worker`, `label` are the same; other columns are kept in meta"),
    Shape("PRM800K", ("question", "label"), is_prm800k, prm800k, keeps=True, means="step labels of the labelled path"),
    Shape("UltraFeedback", ("instruction", "completions"), has("instruction", "completions"), many_answers.ultrafeedback, ("models",), means="per completion a rating overall (to 10), a rating of the aspects (1 to 5; N/A is counted) and a critique"),
    Shape("HelpSteer", ("prompt", "response", *nvidia.ATTRIBUTES), has("prompt", "response", *nvidia.ATTRIBUTES), nvidia.helpsteer, means="rating of five attributes, 0 to 4"),
    Shape("critique and refinement", ("prompt", "original_model_completion", "Feedback"), has("prompt", "original_model_completion", "Feedback"), _refined, ("completion",), means="critique, and correction where there is a refinement"),
    Shape("LLaMA-Factory / ShareGPT", ("conversations",), has("conversations"), _conversation, ("chosen", "rejected", "label", *PAIR_COLUMNS), labels={"label": "binary"}, means="demonstration; comparison with chosen and rejected; thumb with a label"),
    Shape("Anthropic HH", ("chosen", "rejected"), _is_hh, _hh, PAIR_COLUMNS, means="comparison of the last answers"),
    Shape("TRL preference", ("prompt", "chosen", "rejected"), has("prompt", "chosen", "rejected"), _explicit, PAIR_COLUMNS, means="comparison"),
    Shape("TRL preference, implicit prompt", ("chosen", "rejected"), has("chosen", "rejected"), None, PAIR_COLUMNS, prepare=_implicit, means="comparison; what both begin with is the prompt (of texts a guess, not made beside another text)"),
    Shape("TRL stepwise", ("prompt", "completions", "labels"), has("prompt", "completions", "labels"), _stepwise, labels={"labels": None}, means="step labels"),
    Shape("TRL prompt-completion", ("prompt", "completion"), has("prompt", "completion"), _completion, ("label", "completion_model"), labels={"label": "binary"}, means="demonstration; thumb with a label"),
    Shape("TRL conversational", ("messages",), has("messages"), _conversation, ("label", "chosen", "rejected", *PAIR_COLUMNS), labels={"label": "binary"}, means="demonstration of the last answer; comparison with chosen and rejected; thumb with a label"),
    Shape("Alpaca", ("instruction", "output"), has("instruction", "output"), None, ("input", "kto_tag"), labels={"kto_tag": "binary"}, prepare=_alpaca, means="demonstration; thumb with kto_tag"),
    Shape("log of use", ("prompt", "response", "thumb"), has("prompt", "response", "thumb"), use_log.records, use_log.OPTIONAL, labels={"thumb": None}, silent=("thumb",), means="one row per response in use: thumb; correction by the column edit; comparison where regenerated_is says better, worse or same than regenerated_from; a row without any of these is counted, no record; `accord feedback deployment` reads them all"),
    Shape("prompt-response", ("prompt", "response"), has("prompt", "response"), _response, ("label",), labels={"label": "binary"}, means="demonstration; thumb with a label"),
    Shape("TRL prompt-only", ("prompt",), _is_prompt_only, _prompt_only, means="prompts, no records"),
    *LAST,
)  # fmt: skip


_OWN_NAMES = (
    "PRM800K",
    "UltraFeedback",
    "HelpSteer",
    "critique and refinement",
    *(shape.name for shape in (*PUBLIC, *LAST)),
)
GENERAL = tuple(shape for shape in SHAPES if shape.name not in _OWN_NAMES)
"""Formats whose columns a file of one's own may take; those of public sets are told by their own
names only."""


def detect(row: Row) -> Shape | None:
    """The first shape that matches."""
    return next((shape for shape in _candidates(tuple(row)) if shape.matches(row)), None)


@lru_cache(maxsize=1024)
def _candidates(names: tuple[str, ...]) -> tuple[Shape, ...]:
    """The shapes that a row of these columns may have: those that ask for a value to tell, up to
    the first that the names alone are enough for."""
    found = []
    for shape in SHAPES:
        asked = _NamesAlone(names)
        try:
            matches = shape.matches(asked)
        except Exception:  # of a value that is not there: only a row can tell
            matches = False
            if not asked.looked:
                raise
        if matches or asked.looked:
            found.append(shape)
        if matches and not asked.looked:
            break
    return tuple(found)


class _NamesAlone(Mapping[str, Any]):
    """The columns of a row without their values, which knows whether it was asked for one."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self.looked = dict.fromkeys(names), False

    def __getitem__(self, name: str) -> Any:
        self.looked |= name in self._names
        return self._names[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
