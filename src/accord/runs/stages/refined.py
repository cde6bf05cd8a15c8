"""What came of refining: records to learn from, and what they amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accord.errors import RunError, by_reason
from accord.feedback.records import WRITTEN, Feedback, asked_fields
from accord.feedback.store import write_records
from accord.oversight.refining import WordedFeedback
from accord.runs.context import StageContext
from accord.runs.stage import StageResult, Value


def leave_refined(
    asked: Sequence[WordedFeedback],
    rows: Sequence[Mapping[str, Any]],
    select: str,
    context: StageContext,
) -> StageResult:
    """Files and numbers. Raises RunError where no refinement was chosen."""
    pairs = list(zip(asked, rows, strict=True))
    chosen = [(one, row) for one, row in pairs if row["text"] is not None]
    reasons = Counter(row["reason"] for _, row in pairs if row["text"] is None)
    if not chosen:
        raise RunError(
            f"none of {len(pairs):,} responses has a refinement to learn from:"
            f" {by_reason(dict(reasons.most_common(5)))}",
            "look at what the refiner writes, or let it write more: refinements",
        )
    files = {
        "feedback": [_record(one, row, select) for one, row in pairs],
        "demonstrations": [_demonstration(one, row) for one, row in chosen],
        "unrefined": [_demonstration(one, None) for one, _ in chosen],
    }
    artefacts = {}
    for name, records in files.items():
        artefacts[name] = context.folder / f"{name}.jsonl"
        write_records(artefacts[name], records)
    values = _amounts(pairs, len(chosen))
    for line in _lines(values, reasons, pairs):
        context.say(line)
    summary = f"{len(chosen):,} of {len(pairs):,} responses refined, chosen by {select}"
    return StageResult(summary, values, artefacts)


def _record(one: WordedFeedback, row: Mapping[str, Any], select: str) -> Feedback:
    """The chosen refinement as a correction of the response, or a skip with the reason."""
    source, text = one.record, row["text"]
    meta: dict[str, Any] = {"critique": source.id, "select": select, "of": row["written"]}
    if "parent" in source.meta:
        meta["parent"] = source.meta["parent"]
    option = source.options[0].model_copy(update={"shown_at": 0})
    if text is not None:
        meta |= row["meta"]
        meta["finished"] = {option.id: one.draft.response.finished, WRITTEN: row["finished"]}
    return Feedback.model_validate(
        {
            "id": f"refinement-{source.id}",
            "kind": "skip" if text is None else "correction",
            **asked_fields(source.asked),
            "options": [option.model_dump()],
            "choice": {"reason": row["reason"]} if text is None else {"content": text},
            "annotator": row["refiner"],
            "guideline": source.guideline,
            "meta": meta,
        }
    )


def _demonstration(one: WordedFeedback, row: Mapping[str, Any] | None) -> Feedback:
    """The refinement; without its row the response itself, the control at equal rows."""
    source = one.record
    meta: dict[str, Any] = {"finished": one.draft.response.finished}
    if row is not None:
        meta = {"finished": row["finished"], "parent": f"refinement-{source.id}"}
    return Feedback.model_validate(
        {
            "id": f"{'refined' if row else 'unrefined'}-{source.id}",
            "kind": "demonstration",
            **asked_fields(source.asked),
            "options": [],
            "choice": {"content": row["text"] if row else one.draft.text},
            "annotator": row["refiner"] if row else one.draft.producer,
            "guideline": source.guideline if row else None,
            "meta": meta,
        }
    )


def _amounts(
    pairs: Sequence[tuple[WordedFeedback, Mapping[str, Any]]], chosen: int
) -> dict[str, Value]:
    from accord.statistics.means import share_mean

    values: dict[str, Value] = {
        "responses": len(pairs),
        "chosen": chosen,
        "chosen_share": share_mean([float(row["text"] is not None) for _, row in pairs]).value,
        "written": sum(row["written"] for _, row in pairs),
        "copies": sum(row["copies"] for _, row in pairs),
        "unusable": sum(len(row["unusable"]) for _, row in pairs),
    }
    if hidden := [float(row["hidden"]) for _, row in pairs if row["hidden"] is not None]:
        values["hidden_tests_passed"] = share_mean(hidden).value
    return values


def _lines(
    values: Mapping[str, Any],
    reasons: Mapping[str, int],
    pairs: Sequence[tuple[WordedFeedback, Mapping[str, Any]]],
) -> Iterator[str]:
    """In words."""
    from accord.statistics.means import share_mean

    told = f"{values['written']:,} refinements; {values['copies']:,} are the response itself"
    unusable = Counter(reason for _, row in pairs for reason in row["unusable"])
    if unusable:
        told += f"; {unusable.total():,} unusable: {by_reason(dict(unusable.most_common(3)))}"
    yield told
    if reasons:
        yield f"without a refinement: {by_reason(dict(reasons))}"
    hidden = [float(row["hidden"]) for _, row in pairs if row["hidden"] is not None]
    if hidden:
        share = share_mean(hidden).percent
        yield f"of {len(hidden):,} chosen by tests, {share} pass the assertion that was kept back"
