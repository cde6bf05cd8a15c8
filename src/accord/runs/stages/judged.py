"""From feedback records to what the reward and preference loops read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from accord.errors import DataError, by_reason
from accord.feedback.formats import ReadResult
from accord.feedback.formats.source import DataSpec, name_of
from accord.feedback.records import (
    AttributeComparison,
    BestWorst,
    Comparison,
    Correction,
    Demonstration,
    Feedback,
    Ranking,
)  # fmt: skip
from accord.learning.answers import THUMB, RatingScales, answers, bad, find_scales
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    RatingScale,
    contradictions,
)
from accord.learning.said import unordered
from accord.runs.reading import read_records
from accord.runs.stages.grouping import GroupReader, Tokens
from accord.runs.stages.lengths import apply_lengths
from accord.runs.stages.rules_said import RuleConfig, RuleScales, find_rules
from accord.runs.stages.usable import Response, prompt_key, responses, row_name, usable
from accord.statistics.intervals import Z95
from accord.text.encoding import Encoder, Example, Prompt
from accord.text.steps import decoder

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.stages.settings import LengthConfig
    from accord.text.language import Language


@dataclass(frozen=True)
class JudgedData:
    """Judged groups with the names behind the annotator indices, and the scales their ratings refer
    to."""

    groups: list[JudgedGroup]
    annotators: list[str]
    left_out: dict[str, int]
    scales: tuple[RatingScale, ...] = ()
    rules: RuleScales = field(default_factory=RuleScales)

    @property
    def comparing(self) -> set[str]:
        """The annotators who compared responses (the others only rated)."""
        judgements = (j for g in self.groups for j in g.judgements)
        return {
            self.annotators[j.annotator] for j in judgements if j.kind not in ("rating", "steps")
        }


def load_records(reference: DataSpec, context: StageContext) -> ReadResult:
    """Feedback records of an earlier stage, or of a file, directory or Hub id in any known
    format."""
    read = read_records(reference, context)
    lost = "".join(f", {n:,} dropped: {why}" for why, n in read.dropped.items())
    lost += "".join(f", {n:,} left out: {why}" for why, n in read.left_out.items())
    context.say(f"{name_of(reference)}: {read.shape}, {read.rows:,} rows{lost}")
    if not read.records:
        raise DataError(
            f"{name_of(reference)} holds no feedback records", "collect or import feedback first"
        )
    return read


def read_judged(
    reference: DataSpec,
    model: Language,
    lengths: LengthConfig,
    context: StageContext,
    margin: float = 0.0,
    ratings: bool = False,
    objectives: Sequence[str] = (),
    rules: Mapping[str, RuleConfig] | None = None,
) -> JudgedData:
    """Tokenise all responses and turn records into judgements.

    Used are comparisons, rankings, best/worst, corrections (the edit over the original) and
    demonstrations (chosen over the other responses to their prompt); with `ratings` also ratings
    (of the `objectives`), thumbs and step labels, which compare nothing; with `rules` flags, spans,
    critiques and comparisons by attribute as these state. `reference`: see `load_records`;
    `margin`: utility asked for per step of a comparison's strength above 1. What cannot be used is
    left out, counted by reason; the table of lengths is shown and stored.
    """
    read = load_records(reference, context)
    said = _said_by_prompt(read.records, ratings, objectives, rules or {})
    if not said.by_prompt:
        raise DataError(
            f"{name_of(reference)}: nothing here {'judges' if ratings else 'compares'} responses: "
            f"{by_reason(said.left_out)}",
            "give comparisons or rankings; thumbs alone train kto",
        )
    tokens = _tokenise(said.by_prompt, model, lengths, context, sum(read.dropped.values()))
    cut_at = lengths.max_response_tokens if lengths.too_long == "cut" else None
    limit = cut_at if isinstance(cut_at, int) else None
    annotators, decode = said.annotators, decoder(model.tokenizer)
    who = {name: number for number, name in enumerate(annotators)}
    reader = GroupReader(tokens, who, said.scales, said.left_out, margin, decode, limit, said.rules)
    read_groups = (reader.group(rows) for rows in said.by_prompt.values())
    groups = [group for group in read_groups if group is not None]
    if not groups:
        raise DataError(
            f"{name_of(reference)}: no usable judgement is left: {by_reason(said.left_out)}",
            "give prompts two different responses that somebody compared; if they are too long, "
            "raise the token limits",
        )
    _say_judged(groups, said, margin, context)
    scales = (*said.scales.scales, *said.rules.scales)
    return JudgedData(groups, annotators, dict(said.left_out), scales, said.rules)


@dataclass(frozen=True)
class SaidByPrompt:
    """Records that say something about responses, by prompt, and the scales of their ratings.

    records: all that are about texts, used or not; left_out: how many say nothing that is used, by
    reason, to which reading them adds.
    """

    records: list[Feedback]
    by_prompt: dict[str, list[Feedback]]
    scales: RatingScales
    rules: RuleScales
    left_out: Counter[str]

    @property
    def annotators(self) -> list[str]:
        """Everybody who says something, by name."""
        return sorted({r.annotator for rows in self.by_prompt.values() for r in rows})

    @property
    def thumbs(self) -> bool:
        """Whether it is known what "bad" means."""
        return THUMB in self.scales.keys


def _said_by_prompt(
    everything: Sequence[Feedback],
    ratings: bool,
    objectives: Sequence[str],
    rules: Mapping[str, RuleConfig],
) -> SaidByPrompt:
    records, silent = usable(everything)
    scales = find_scales(records, objectives) if ratings else find_scales(())
    left_out = Counter(scales.left_out) + silent
    first = max(1, len(objectives))  # outputs of the head before those of rules
    found = find_rules(records, rules, len(scales.scales), first, left_out, objectives)
    said = SaidByPrompt(records, {}, scales, found, left_out)
    for record in records:
        if found.book.about(record):
            if found.learned_from(record):
                said.by_prompt.setdefault(prompt_key(record), []).append(record)
            continue  # what else it says is counted with the rules
        levels = scales.levels(record)
        if not levels and ratings and answers(record):
            continue  # counted with its scale
        reason = None if levels or (bad(record) and said.thumbs) else _unusable(record)
        if reason:
            said.left_out[reason] += 1
        else:
            said.by_prompt.setdefault(prompt_key(record), []).append(record)
    return said


def _say_judged(
    groups: Sequence[JudgedGroup], said: SaidByPrompt, margin: float, context: StageContext
) -> None:
    """What was read, what was left out, and what is learned from only in part."""
    context.say(
        f"{sum(len(g.judgements) for g in groups):,} judgements on {len(groups):,} prompts; "
        f"left out: {by_reason(said.left_out) or 0}"
    )
    for name, count in zip(said.rules.book.rules, said.rules.counts, strict=True):
        known = "" if count.settled else "; which side is kept is not known, so it has no P(kept)"
        context.say(f"rule {name}: {count}{known}")
    _say_half_used(said.records, margin, said.thumbs, context)
    if any(both := contradictions(groups)):
        context.say(
            f"{both[0]:,} pairs of responses are judged both ways, {both[1]:,} of them by one "
            "annotator; all count"
        )


def _say_half_used(
    records: Sequence[Feedback], margin: float, thumbs: bool, context: StageContext
) -> None:
    """What records say beyond what is learned from them."""
    strong = sum(
        isinstance(r.choice, Comparison) and r.choice.strength is not None for r in records
    )
    if strong and not margin:
        context.say(
            f"{strong:,} comparisons say how much better one is; "
            "only that it is better is learned (no margin)"
        )
    if (none := Counter(r.kind for r in records if bad(r))) and not thumbs:
        context.say(
            f"{none.total():,} judgements call all options bad: {none['comparison']:,} comparisons "
            f"count as ties, {none['ranking']:,} rankings as their order; without thumbs nothing "
            "says what bad means"
        )


def _unusable(record: Feedback) -> str | None:
    """Why a record says nothing about which response is better; None when it does."""
    if isinstance(record.choice, Ranking):
        return unordered(record)
    if isinstance(record.choice, Comparison | BestWorst | Correction | Demonstration):
        return None
    if isinstance(record.choice, AttributeComparison):
        return "attribute_comparison compares by attribute, not as a whole"
    return f"{record.kind} compares nothing"


def _tokenise(
    by_prompt: dict[str, list[Feedback]],
    model: Language,
    lengths: LengthConfig,
    context: StageContext,
    unreadable: int,
) -> Tokens:
    """The tokens of each prompt and response, within the limits."""
    encoder = context.encoder(model)
    examples: dict[tuple[str, Response], Example] = {}
    taken: set[str] = set()
    for key, rows in by_prompt.items():
        for record in rows:
            for name, response in responses(record).items():
                if (key, response) not in examples:
                    row = row_name(record, name, taken)
                    examples[key, response] = response_example(record.asked, response, row, encoder)
                    taken.add(row)
    if blank := sum(response.blank for _, response in examples):
        context.say(f"{blank:,} blank responses are judged as their EOS alone")
    together = [
        [examples[key, response].row for response in responses(record).values()]
        for key, rows in by_prompt.items()
        for record in rows
    ]
    fitting = apply_lengths(
        list(examples.values()), model, lengths, context, rows=together, unreadable=unreadable
    )
    by_row = {example.row: example.group for example in fitting}
    return {key: by_row[example.row] for key, example in examples.items() if example.row in by_row}


def response_example(prompt: Prompt, response: Response, row: str, encoder: Encoder) -> Example:
    """A response after its prompt, tokenised."""
    if not response.blank:
        return encoder.example(prompt, response.content, response.finished, row)
    # A policy may stop at once; the empty answer is its stop token alone.
    stop = encoder.stop_id(prompt)
    return Example(
        encoder.prompt(prompt, row),
        [stop],
        True,
        row,
        asked=prompt,
        text=encoder.tokenizer.decode([stop]),
    )


def annotator_effects(
    path: Path | None, annotators: Sequence[str], needed: Collection[str] | None = None
) -> AnnotatorEffects:
    """The estimated rationality and side bias of each annotator; everybody equal without estimates.

    Raises DataError when an estimate of one of the `needed` (all, unless given) is missing.
    """
    if path is None:
        return AnnotatorEffects.none(max(1, len(annotators)))
    estimates = json.loads(path.read_text())
    known = {row["annotator"]: row for row in estimates["annotators"]}
    unknown = {"rationality": 1.0, "side_bias": 0.0}
    missing = [
        name for name in annotators if name not in known and (needed is None or name in needed)
    ]
    if missing:
        raise DataError(
            f"{path} has no estimate for annotators {missing[:3]}",
            "use the estimates of the same feedback",
        )
    rows = [known.get(name, unknown) for name in annotators]
    ends = torch.tensor(
        [
            [float(row.get(end, row["rationality"])) for row in rows]
            for end in ("rationality_low", "rationality_high")
        ]
    ).reshape(2, -1)
    return AnnotatorEffects(
        torch.tensor([float(row["rationality"]) for row in rows]),
        torch.tensor([float(row["side_bias"]) for row in rows]),
        float(torch.log(torch.tensor(max(estimates["tie"], 1e-4)))),
        doubt_A=(ends[1].asinh() - ends[0].asinh()) / (2 * Z95),
        tail=float(estimates.get("tail", 0.0)),
    )
