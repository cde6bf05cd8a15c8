"""Several answers to one prompt: ranked, scored, or the right ones beside the wrong ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import Left, Parsed, RowError, build, content_of, name_in
from accord.feedback.formats.making import answer, ranked, turns, unused, user
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import empty, marked, number, structure
from accord.feedback.records import Feedback


def _dictionaries(value: Any, column: str) -> list[Mapping[str, Any]]:
    entries = structure(value)
    if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
        raise RowError(f"the column {column!r} is not a list of objects")
    return entries


def is_nectar(row: Row) -> bool:
    """Answers with a rank."""
    return "prompt" in row and _holds(row.get("answers"), "answer", "rank")


def is_stack_answers(row: Row) -> bool:
    """Answers with votes."""
    return "question" in row and _holds(row.get("answers"), "text", "pm_score")


def _holds(value: Any, *names: str) -> bool:
    entries = structure(value)
    return (
        isinstance(entries, list)
        and bool(entries)
        and isinstance(entries[0], Mapping)
        and set(names) <= entries[0].keys()
    )


def nectar(row: Row) -> Iterator[Parsed]:
    """Nectar: rank 1 is the best answer; the prompt is a transcript."""
    answers = _dictionaries(row["answers"], "answers")
    prompt = (
        turns(row["prompt"])
        if row["prompt"].startswith("\n\nHuman:")
        else content_of(row["prompt"])
    )
    texts, ranks = (
        [answer(one, "answer") for one in answers],
        [number(one["rank"], "rank") for one in answers],
    )
    yield ranked(
        prompt,
        texts,
        [-rank for rank in ranks],
        row,
        producers=[name_in(one, "model") for one in answers],
    )
    for one in answers:
        yield from unused(one, ("answer", "model", "rank"), "an answer")


def stack_answers(row: Row) -> Iterator[Parsed]:
    """Stack Exchange: answers by pm_score, which is made of their votes; equal ones are tied. The
    accepted answers' places stay in `meta.source`."""
    answers = _dictionaries(row["answers"], "answers")
    texts, scores = (
        [answer(one, "text") for one in answers],
        [number(one["pm_score"], "pm_score") for one in answers],
    )
    accepted = [place for place, one in enumerate(answers) if marked(one, "selected")]
    wrote = [name_in(one, "author_id") for one in answers]
    meta = {"source": {"pm_score": scores, "accepted": accepted}}
    yield ranked(user(row["question"]), texts, scores, row, producers=wrote, meta=meta)
    for one in answers:
        yield from unused(one, ("text", "pm_score", "selected", "author_id"), "an answer")


def is_best_of(row: Row) -> bool:
    """RewardBench 2: lists of texts."""
    sides = (structure(row.get("chosen")), structure(row.get("rejected")))
    return "prompt" in row and all(
        isinstance(s, list) and bool(s) and isinstance(s[0], str) for s in sides
    )


def best_of(row: Row) -> Iterator[Feedback]:
    """Every chosen answer over every rejected one."""
    chosen, rejected = structure(row["chosen"]), structure(row["rejected"])
    if same := set(chosen) & set(rejected):
        raise RowError(f"{len(same)} answers are both chosen and rejected")
    scores = [1.0] * len(chosen) + [0.0] * len(rejected)
    yield ranked(content_of(row["prompt"]), [*chosen, *rejected], scores, row)


# --- UltraFeedback --------------------------------------------------------------------------------
_UNUSED = ("annotations", "model", "response", "critique", "overall_score")


def ultrafeedback(row: Row) -> Iterator[Parsed]:
    """Per completion a rating overall (to 10), one of the aspects (1 to 5) and a critique. The
    system prompt and principle it was written under and the aspects' rationales stay in
    `meta.source`."""
    for completion in _dictionaries(row["completions"], "completions"):
        prompt, texts = user(row["instruction"]), [answer(completion, "response")]
        wrote = [name_in(completion, "model")]
        source = {
            name: value
            for name, value in completion.items()
            if name not in _UNUSED and not empty(value)
        }
        aspects = dict(completion.get("annotations") or {})
        scores = {
            name: float(aspect["Rating"]) for name, aspect in aspects.items() if _is_rating(aspect)
        }
        why = {
            n: _without(aspect, "Rating" if n in scores else None) for n, aspect in aspects.items()
        }
        source |= {"aspects": why} if why and not scores else {}
        meta = {"source": source} if source else {}
        if not empty(score := completion.get("overall_score")):
            choice = {"scores": {"overall": number(score, "overall_score")}, "low": 0, "high": 10}
            yield build("rating", prompt, texts, choice, row, producers=wrote, meta=meta)
        for name in aspects.keys() - scores.keys():
            yield Left(f"UltraFeedback's {name} without a rating from 1 to 5")
        if scores:
            choice = {"scores": scores, "low": 1, "high": 5}
            yield build(
                "rating",
                prompt,
                texts,
                choice,
                row,
                producers=wrote,
                meta={"source": {**source, "aspects": why}},
            )
        if not empty(critique := completion.get("critique")):
            yield build(
                "critique", prompt, texts, {"text": critique}, row, producers=wrote, meta=meta
            )


def _without(aspect: Any, name: str | None) -> Any:
    return {k: v for k, v in aspect.items() if k != name} if isinstance(aspect, Mapping) else aspect


def _is_rating(aspect: Any) -> bool:
    """Whether an aspect has a rating from 1 to 5; "N/A" is none."""
    try:
        return isinstance(aspect, Mapping) and 1 <= number(aspect.get("Rating"), "Rating") <= 5
    except RowError:
        return False
