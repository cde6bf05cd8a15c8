"""Two answers and a verdict about them: a label, a signed strength, a place, a score of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import Parsed, RowError, build, name_in
from accord.feedback.formats.making import answer, compared, unused, user
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import Side, empty, number, shown, structure, truth, whole
from accord.feedback.records import Feedback


def shp(row: Row) -> Iterator[Feedback]:
    """Stanford's preferences of Reddit: labels 1 says that comment A is preferred to B, 0 that B
    is."""
    names = ("human_ref_A", "human_ref_B")
    outcome = 0 if truth(row["labels"], "labels") else 1
    post = {
        name: value for name, value in row.items() if name != "history"
    }  # a post, no earlier turns
    yield compared(
        user(row["history"]), [answer(row, name) for name in names], outcome, post, names=names
    )


def webgpt(row: Row) -> Iterator[Feedback]:
    """WebGPT's comparisons: a score of each answer, the higher the better, both 0 where they are
    equally good."""
    question, names = structure(row["question"]), ("answer_0", "answer_1")
    text = question["full_text"] if isinstance(question, Mapping) else question
    rest = (
        {name: value for name, value in question.items() if name != "full_text"}
        if text is not question
        else {}
    )
    scores = [number(row[f"score_{side}"], f"score_{side}") for side in (0, 1)]
    outcome: Side = "tie" if scores[0] == scores[1] else 0 if scores[0] > scores[1] else 1
    meta = {"source": {"question": rest}} if rest else {}
    yield compared(
        user(text), [answer(row, name) for name in names], outcome, row, names=names, meta=meta
    )


# --- summaries ------------------------------------------------------------------------------------
_SUMMARY = ("text", "policy", "note")


def is_summaries(row: Row) -> bool:
    """Two summaries and which was chosen."""
    return {"info", "summaries", "choice"} <= row.keys()


def is_summary_axes(row: Row) -> bool:
    """One summary, rated on several axes."""
    return (
        "info" in row
        and isinstance(summary := structure(row.get("summary")), Mapping)
        and "axes" in summary
    )


def _to_summarise(info: Mapping[str, Any]) -> str:
    """The prompt of Stiennon et al. 2020: a post of Reddit with its title, or an article."""
    post = not empty(info.get("post"))
    forms = (
        {"subreddit": "SUBREDDIT: r/{}", "title": "TITLE: {}", "post": "POST: {}"}
        if post
        else {"title": "Article: {}", "article": "{}"}
    )
    texts = {name: info[name] for name in forms if not empty(info.get(name))}
    if not texts.keys() & {"post", "article"} or not all(
        isinstance(text, str) for text in texts.values()
    ):
        raise RowError("the post or article that is summarised is empty, or not text")
    return "\n\n".join([*(forms[name].format(text) for name, text in texts.items()), "TL;DR:"])


def _source_meta(info: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    used = ("post", "article", "title", "subreddit")
    fields = {**{name: value for name, value in info.items() if name not in used}, **more}
    return (
        {"source": source}
        if (source := {name: value for name, value in fields.items() if not empty(value)})
        else {}
    )


def summaries(row: Row) -> Iterator[Parsed]:
    """summarize_from_feedback, comparisons: choice is the place of the preferred summary, policy
    wrote it. The worker's confidence and notes stay in `meta.source`."""
    both, chosen = structure(row["summaries"]), whole(row["choice"], "choice")
    if not isinstance(both, list) or len(both) != 2 or chosen not in (0, 1):
        raise RowError(f"the choice is {chosen}: it is 0 or 1, of two summaries")
    notes = [summary.get("note") for summary in both]
    extra, info = structure(row.get("extra")), structure(row["info"])
    meta = _source_meta(
        info,
        **(dict(extra) if isinstance(extra, Mapping) else {}),
        notes=notes if any(notes) else None,
    )
    texts = [answer(summary, "text") for summary in both]
    yield compared(
        _to_summarise(info),
        texts,
        chosen,
        row,
        names=("summary 0", "summary 1"),
        producers=[name_in(summary, "policy") for summary in both],
        meta=meta,
    )
    for summary in both:
        yield from unused(summary, _SUMMARY, "a summary")


def summary_axes(row: Row) -> Iterator[Parsed]:
    """summarize_from_feedback, axes: overall, accuracy, coverage and coherence from 1 to 7, where
    the worker rated them."""
    summary, info = structure(row["summary"]), structure(row["info"])
    scores = {
        axis: number(score, axis) for axis, score in summary["axes"].items() if not empty(score)
    }
    if not scores:
        raise RowError("no axis has a score")
    yield build(
        "rating",
        _to_summarise(info),
        [answer(summary, "text")],
        {"scores": scores, "low": 1, "high": 7},
        row,
        producers=[name_in(summary, "policy")],
        meta=_source_meta(info, note=summary.get("note")),
    )
    yield from unused(summary, (*_SUMMARY, "axes"), "a summary")


# --- annotators of two outputs --------------------------------------------------------------------
def alpaca_eval(row: Row) -> Iterator[Feedback]:
    """AlpacaEval's and AlpacaFarm's annotations: preference 1 is for output_1, 2 for output_2, 1.5
    (of old 0) a tie; between them it is 1 plus the probability that output_2 is better."""
    preference_value, names = number(row["preference"], "preference"), ("output_1", "output_2")
    if preference_value and not 1 <= preference_value <= 2:
        raise RowError(
            f"the column 'preference' is {shown(row['preference'])}, not 1 to 2 (or 0 for a tie)"
        )
    outcome: Side = "tie" if preference_value in (0, 1.5) else 0 if preference_value < 1.5 else 1
    probability = (
        max(preference_value - 1, 2 - preference_value)
        if preference_value not in (0, 1, 1.5, 2)
        else None
    )
    yield compared(
        user(row["instruction"], row.get("input")),
        [answer(row, name) for name in names],
        outcome,
        row,
        names=names,
        producers=[name_in(row, f"generator_{side}") for side in (1, 2)],
        probability=probability,
        annotator=name_in(row, "annotator_index"),
    )


def llmbar(row: Row) -> Iterator[Feedback]:
    """LLMBar: label 1 or 2 is the output that follows the instruction."""
    names = ("output_1", "output_2")
    if (label := whole(row["label"], "label")) not in (1, 2):
        raise RowError(f"the column 'label' is {label}, not 1 or 2")
    yield compared(
        user(row["input"]), [answer(row, name) for name in names], label - 1, row, names=names
    )


_PANDA: dict[str, Side] = {"1": 0, "2": 1, "0": "tie", "tie": "tie"}
PANDA_LABELS = ("label_0", "label_1", "label_2")


def is_panda(row: Row) -> bool:
    """PandaLM's test set (three annotators' labels), or its training set (inputs and outputs)."""
    if {"response1", "response2", PANDA_LABELS[0]} <= row.keys():
        return True
    inputs, outputs = structure(row.get("inputs")), structure(row.get("outputs"))
    return (
        isinstance(inputs, Mapping)
        and isinstance(outputs, Mapping)
        and "evaluation_result" in outputs
    )


def panda(row: Row) -> Iterator[Parsed]:
    """A comparison per annotator, 1 or 2 for the better response, 0 or Tie; of the training set
    also the judge's reason."""
    inputs, outputs = structure(row.get("inputs", row)), structure(row.get("outputs"))
    names = ("response1", "response2")
    prompt, answers = (
        user(inputs["instruction"], inputs.get("input")),
        [answer(inputs, name) for name in names],
    )
    if outputs is not None:
        source = (
            {"reference_response": outputs["reference_response"]}
            if outputs.get("reference_response")
            else {}
        )
        meta = {"source": source} if source else {}
        outcome = _panda(outputs["evaluation_result"], "evaluation_result")
        yield compared(prompt, answers, outcome, row, names=names, meta=meta)
        if reason := outputs.get("evaluation_reason"):
            yield build("critique", prompt, answers, {"text": reason}, row)
        yield from unused(inputs, ("instruction", "input", *names), "the inputs")
        yield from unused(
            outputs, ("evaluation_result", "evaluation_reason", "reference_response"), "the outputs"
        )
        return
    wrote = str(row.get("cmp_key") or "").split("_")
    producers = wrote if len(wrote) == 2 and all(wrote) else None
    for name in PANDA_LABELS:
        if not empty(row.get(name)):
            who = f"annotator {PANDA_LABELS.index(name) + 1}"
            yield compared(
                prompt,
                answers,
                _panda(row[name], name),
                row,
                names=names,
                producers=producers,
                annotator=who,
            )
    if all(empty(row.get(name)) for name in PANDA_LABELS):
        raise RowError("no annotator's label is given")


def _panda(value: Any, column: str) -> Side:
    if (side := _PANDA.get(str(value).strip().lower())) is None:
        raise RowError(f"the column {column!r} is {shown(value)}, not one of 1, 2, 0, Tie")
    return side
