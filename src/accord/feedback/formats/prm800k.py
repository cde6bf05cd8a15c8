"""PRM800K: solutions labelled step by step (Lightman et al. 2023, "Let's Verify Step by Step"), in
and out.

A row becomes one record of the labelled path: at each step the chosen completion, or the step the
labeler wrote (good by the task's rules), or at the last step, where nothing was chosen, the first
completion. What the record does not say (alternatives, flags, ground truth, generation, ...) stays
in `meta["prm800k"]`, so that the row comes back whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import COMMON, SOURCE, Left, Parsed, RowError, build
from accord.feedback.formats.turns import check_spoken
from accord.feedback.formats.values import label
from accord.feedback.records import Feedback, StepLabels

KEY = "prm800k"
_EMPTY = {
    "generation": None,
    "is_quality_control_question": False,
    "is_initial_screening_question": False,
}


def is_prm800k(row: Mapping[str, Any]) -> bool:
    """A question and a label, both objects."""
    return isinstance(row.get("question"), dict) and isinstance(row.get("label"), dict)


def prm800k(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """The labelled path as step labels; rated alternatives beside it are counted and kept in the
    meta data."""
    given = row["label"]["steps"]
    path: list[tuple[str, int]] = []
    for step in given:
        if (picked := _picked(step)) is None:
            break
        path.append(picked)
    if not path:
        raise RowError("no step has a rating")
    steps, labels = [text for text, _ in path], [label for _, label in path]
    plain = [_plain_step(*picked) for picked in path]
    own_steps = [
        None if i < len(plain) and plain[i] == step else step for i, step in enumerate(given)
    ]
    label = {k: v for k, v in row["label"].items() if k not in ("steps", "total_time")}
    rest = {
        **{k: v for k, v in row.items() if k not in {*COMMON, "question", "label"}},
        "question": {k: v for k, v in row["question"].items() if k != "problem"},
        "label": {
            **label,
            **({"steps": own_steps} if any(step is not None for step in own_steps) else {}),
        },
    }
    spent = row["label"].get("total_time")
    seconds = {"active_seconds": spent / 1000} if spent is not None else {}
    common = {name: row[name] for name in COMMON if row.get(name) is not None}
    yield build(
        "step_labels",
        row["question"]["problem"],
        ["\n".join(steps)],
        {"steps": steps, "labels": labels},
        {**common, **seconds},
        meta={KEY: rest},
    )
    for reason, count in (
        (
            "rated alternative to a step (kept in meta)",
            sum(max(0, len(s.get("completions") or []) - 1) for s in given),
        ),
        ("step after one without a rating (kept in meta)", len(given) - len(path)),
    ):
        yield from [Left(reason)] * count


def _picked(step: Mapping[str, Any]) -> tuple[str, int] | None:
    """Text and label of the step on the path; None when it has no rating."""
    completions, chosen = step.get("completions") or [], step.get("chosen_completion")
    human = step.get("human_completion")
    if chosen is None and human is not None:
        return human["text"], 1
    picked = completions[chosen] if chosen is not None else completions[0] if completions else None
    return (
        None
        if picked is None or picked.get("rating") is None
        else (picked["text"], label(picked["rating"], "rating", "signed"))
    )


def _plain_step(text: str, label: int) -> dict[str, Any]:
    completion = {"text": text, "rating": label, "flagged": None}
    return {"completions": [completion], "human_completion": None, "chosen_completion": 0}


def to_prm800k(record: Feedback) -> dict[str, Any]:
    """One row; raises RowError for what the format cannot hold."""
    if not isinstance(record.choice, StepLabels):
        raise RowError(f"{record.kind}: only step labels are written")
    if not isinstance(record.prompt, str):
        raise RowError("step labels of a conversation: a question is one text")
    check_spoken("PRM800K", *(option.content for option in record.options))
    choice, spent, rest = record.choice, record.active_seconds, record.meta.get(KEY)
    steps: list[Any] = [
        _plain_step(*pair) for pair in zip(choice.steps, choice.labels, strict=True)
    ]
    who = None if rest is not None and record.annotator == SOURCE else record.annotator
    row = {"labeler": who, "timestamp": record.created_at}
    time = {"total_time": None if spent is None else round(spent * 1000)}
    if rest is None:
        reason = "found_error" if choice.labels[-1] == -1 else "solution"
        question = {"problem": record.prompt, "ground_truth_answer": None}
        return {
            **row,
            **_EMPTY,
            "question": question,
            "label": {"steps": steps, **time, "finish_reason": reason},
        }
    label = {k: v for k, v in rest["label"].items() if k != "steps"}
    own_steps = rest["label"].get("steps")
    if own_steps is not None:
        steps = [steps[i] if step is None else step for i, step in enumerate(own_steps)]
    others = {k: v for k, v in rest.items() if k not in ("question", "label")}
    return {
        **row,
        **others,
        "question": {"problem": record.prompt, **rest["question"]},
        "label": {"steps": steps, **time, **label},
    }
