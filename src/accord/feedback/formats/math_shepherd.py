"""Math-Shepherd (Wang et al. 2024): a solution whose steps end with the tag ки, and the same text
with + or - in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import RowError, build
from accord.feedback.records import Feedback

TAG = "ки"
_SIGNS = {"+": 1, "-": -1}


def is_math_shepherd(row: Mapping[str, Any]) -> bool:
    """Input with tags, and a label of the same steps."""
    return (
        isinstance(row.get("input"), str)
        and isinstance(row.get("label"), str)
        and TAG in row["input"]
    )


def math_shepherd(row: Mapping[str, Any]) -> Iterator[Feedback]:
    """Step labels: + is a step from which the right answer can be reached, - one from which it
    cannot."""
    *parts, rest = row["input"].split(TAG)
    if rest.strip():
        raise RowError(f"the last step does not end with {TAG}")
    start = parts[0].rfind("Step 1:")
    if start <= 0 or not parts[0][:start].strip():
        raise RowError("there is no question before Step 1:")
    prompt, steps = (
        parts[0][:start].strip(),
        [parts[0][start:].strip(), *(part.strip() for part in parts[1:])],
    )
    labels = _labels(parts, row["label"])
    yield build("step_labels", prompt, ["\n".join(steps)], {"steps": steps, "labels": labels}, row)


def _labels(parts: list[str], labelled: str) -> list[int]:
    """The sign after each part of the input in the labelled text."""
    labels, place = [], 0
    for part in parts:
        place += len(part)
        sign = _SIGNS.get(labelled[place : place + 1])
        if not labelled.startswith(part, place - len(part)) or sign is None:
            raise RowError("input and label differ in more than the tags")
        labels.append(sign)
        place += 1
    return labels
