"""How often those who judged transcripts of debates and consultancies chose the right answer:
people in a studio, or a model, alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import DataError
from accord.feedback.records import Comparison, Feedback, plain
from accord.statistics.means import Estimate, share_mean

COLUMNS = "columns"
"""Of `meta`: where the studio keeps what came with an item."""


@dataclass(frozen=True)
class ArmVerdicts:
    """verdicts: how many; annotators, transcripts: different ones; right: share of them (a tie: one
    half), with an interval over transcripts."""

    verdicts: int
    annotators: int
    transcripts: int
    right: Estimate


def transcript_verdicts(
    records: Sequence[Feedback],
) -> tuple[dict[str, ArmVerdicts], dict[str, int]]:
    """(by arm; records left out, by reason). Raises DataError where no record is about a
    transcript: `meta.columns` then names its arm and the right answer."""
    by_arm: dict[str, list[tuple[float, str, str]]] = {}
    left_out: Counter[str] = Counter()
    for record in records:
        columns = record.meta.get(COLUMNS)
        columns = columns if isinstance(columns, dict) else {}
        arm, answer = columns.get("arm"), columns.get("right")
        if not isinstance(arm, str) or not isinstance(answer, str):
            left_out["not about a transcript (no meta.columns with arm and right)"] += 1
        elif not isinstance(record.choice, Comparison):
            left_out[f"a {record.kind} chooses no answer"] += 1
        elif record.choice.both_bad:
            left_out["both answers were called bad"] += 1
        else:
            right = _right(record, record.choice, answer)
            row = (right, record.annotator, plain(record.prompt))
            by_arm.setdefault(arm, []).append(row)
    if not by_arm:
        told = ", ".join(left_out) or "there are no records"
        raise DataError(
            f"no judgement is about a transcript: {told}",
            "give the export of a studio project made of a model_debate stage's items.jsonl, or"
            " the stage's feedback.jsonl",
        )
    return {arm: _verdicts(rows) for arm, rows in by_arm.items()}, dict(left_out)


def _right(record: Feedback, choice: Comparison, answer: str) -> float:
    by_id = {option.id: plain(option.content) for option in record.options}
    if answer not in by_id.values():
        raise DataError(
            f"record {record.id}: the right answer {answer[:60]!r} is none of those shown",
            "give the items as the stage wrote them",
        )
    return 0.5 if choice.preferred is None else float(by_id[choice.preferred] == answer)


def _verdicts(rows: Sequence[tuple[float, str, str]]) -> ArmVerdicts:
    places = np.unique([prompt for _, _, prompt in rows], return_inverse=True)[1].tolist()
    return ArmVerdicts(
        len(rows),
        len({annotator for _, annotator, _ in rows}),
        len({*places}),
        share_mean([right for right, _, _ in rows], places),
    )
