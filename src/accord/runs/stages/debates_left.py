"""What a study of debates between models leaves: transcripts, the judge's verdicts as comparisons,
items for people, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accord.feedback.records import Comparison, Feedback, Option, Skip, content_id
from accord.feedback.store import write_records
from accord.files import write_json, write_jsonl
from accord.oversight.arguing import HeldDebate
from accord.oversight.debate import to_records
from accord.oversight.debate_arms import for_people
from accord.oversight.debate_study import DebateStudy
from accord.oversight.hidden_texts import HiddenQuestion
from accord.runs.context import StageContext
from accord.runs.stage import StageResult, Value
from accord.seeds import generator

NAMES = {
    "direct": "all options, without the text",
    "two": "two answers, without the text",
    "debate": "a debate",
    "swapped": "a debate, the other side begins",
    "assigned": "a consultant for either answer",
    "honest": "(of these) for the right one",
    "lying": "(of these) for the wrong one",
    "open": "a consultant who chose",
    "full": "the text itself",
}


def leave(
    study: DebateStudy,
    questions: Sequence[HiddenQuestion],
    held: Sequence[HeldDebate],
    judge: str,
    context: StageContext,
) -> StageResult:
    """Write it all into the stage's folder, and say the table."""
    whole = [one for one in held if one.failed is None]
    records = [
        record.model_copy(update={"meta": record.meta | _meta(one, questions[one.question])})
        for one in held
        for record in to_records(one.transcript)
    ]
    paths = {
        name: context.folder / f"{name}.jsonl" for name in ("transcripts", "feedback", "items")
    }
    write_records(paths["transcripts"], records)
    verdicts = [
        _verdict(one, p, questions[one.question], judge)
        for one, p in zip(held, study.probabilities, strict=True)
        if one.failed is None
    ]
    write_records(paths["feedback"], verdicts)
    write_jsonl(paths["items"], _items(whole, questions, context.seed))
    quotes = sum(len(turn.quotes) for one in held for turn in one.transcript.turns)
    refused = sum(len(turn.refused) for one in held for turn in one.transcript.turns)
    values: dict[str, Value] = {
        "questions": len(questions),
        "transcripts": len(whole),
        "failed_transcripts": len(held) - len(whole),
        "quotes": quotes,
        "quotes_refused": refused,
        "missing_verdicts": study.failed[0],
    }
    context.say(f"{quotes:,} quotes stand in their texts; {refused:,} do not and were taken out")
    if len(held) > len(whole):
        context.say(f"{len(held) - len(whole):,} of {len(held):,} transcripts have no end")
    told: dict[str, Any] = {}
    for name, arm in study.accuracies.items():
        told[name] = {
            key: None if one is None else one.model_dump(mode="json")
            for key, one in (
                ("accuracy", arm.accuracy),
                ("gain", arm.gain),
                ("brier", arm.brier),
                ("calibration", arm.calibration),
            )
        } | {"judged": arm.judged, "missing": arm.reasons}
        if arm.accuracy is None:
            context.say(f"{NAMES[name]}: nothing was judged: {arm.reasons}")
            continue
        values[name] = arm.accuracy.value
        line = f"{NAMES[name]}: {arm.accuracy.percent} right of {arm.judged:,}"
        if arm.gain is not None:
            values[f"gain.{name}"] = arm.gain.value
            line += f", {arm.gain} above the baseline"
        if arm.brier is not None and arm.calibration is not None:
            values[f"brier.{name}"] = arm.brier.value
            values[f"calibration.{name}"] = arm.calibration.value
            line += f"; Brier {arm.brier.value:.3f}, calibration error {arm.calibration}"
        context.say(line + (f"; missing: {arm.reasons}" if arm.reasons else ""))
    apart = study.consultancy_less
    if apart is not None:
        values["debate_less_consultancy"] = apart.value
        told["debate_less_consultancy"] = apart.model_dump(mode="json")
        context.say(f"a debate less a consultant for either answer: {apart}")
    write_json(context.folder / "accuracies.json", told)
    parts = [
        f"{name} {study.accuracies[name].accuracy}"
        for name in ("two", "debate", "assigned", "full")
        if study.accuracies[name].accuracy is not None
    ]
    summary = f"{len(questions):,} questions, judge right: {', '.join(parts)}"
    return StageResult(summary, values, paths)


def arm_of(one: HeldDebate, question: HiddenQuestion) -> str:
    """Which arm a transcript is of."""
    if one.protocol == "debate":
        return "debate" if one.order[0] == 0 else "swapped"
    return "honest" if one.order[0] == question.right else "lying"


def _meta(one: HeldDebate, question: HiddenQuestion) -> dict[str, Any]:
    columns = {"arm": arm_of(one, question), "right": question.answer}
    return columns | ({} if one.failed is None else {"failed": one.failed})


def _options(question: HiddenQuestion) -> list[Option]:
    return [
        Option(id=str(place), content=answer, shown_at=place)
        for place, answer in enumerate(question.claims.answers)
    ]


def _verdict(
    one: HeldDebate, p: Sequence[float] | None, question: HiddenQuestion, judge: str
) -> Feedback:
    """What the judge says of a transcript, as anybody's judgement of it would be written."""
    text = for_people(one.transcript)
    choice: Comparison | Skip = Skip(reason="the judge gave no verdict")
    if p is not None:
        tie = p[0] == p[1]
        choice = Comparison(
            preferred=None if tie else str(int(p[1] > p[0])),
            tie=tie,
            probability=None if tie else max(p) / sum(p),
        )
    return Feedback(
        id=content_id(text, judge),
        kind=choice.kind,
        prompt=text,
        options=_options(question),
        choice=choice,
        annotator=judge,
        meta={"columns": _meta(one, question)},
    )


def _items(
    held: Sequence[HeldDebate], questions: Sequence[HiddenQuestion], seed: int
) -> list[dict[str, Any]]:
    """A transcript of each question, of an arm by chance: nobody should judge a question twice."""
    of_question: dict[int, list[HeldDebate]] = {}
    for one in held:
        of_question.setdefault(one.question, []).append(one)
    rows = []
    for number, ones in of_question.items():
        drawn = ones[int(generator(seed, "debate item", number).integers(len(ones)))]
        rows.append(
            {
                "prompt": for_people(drawn.transcript),
                "options": list(questions[number].claims.answers),
                "meta": _meta(drawn, questions[number]),
            }
        )
    return rows
