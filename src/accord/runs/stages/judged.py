"""From feedback records to what the reward and preference loops read."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from accord.errors import DataError
from accord.feedback.formats import read_feedback
from accord.feedback.records import (
    AttributeComparison,
    BestWorst,
    Comparison,
    Correction,
    Demonstration,
    Feedback,
    Ranking,
    to_json,
)  # fmt: skip
from accord.feedback.store import read_records
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, Scale, contradictions, strict_pairs
from accord.learning.preference import Pair
from accord.models.scalar import decoder
from accord.runs.recipe import REFERENCE
from accord.runs.stages.answers import THUMB, answers, bad, find_scales
from accord.runs.stages.grouping import GroupReader, Response, Tokens, responses, unordered
from accord.runs.stages.lengths import apply_lengths
from accord.text.encoding import Encoder, Example
from accord.text.packing import Group

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.stages.settings import LengthConfig
    from accord.text.language import Language


@dataclass(frozen=True)
class Judged:
    """Judged groups with the names behind the annotator indices, and the scales their ratings refer to."""

    groups: list[JudgedGroup]
    annotators: list[str]
    left_out: dict[str, int]
    scales: tuple[Scale, ...] = ()

    @property
    def comparing(self) -> set[str]:
        """The annotators who compared responses (the others only rated)."""
        said = (j for g in self.groups for j in g.judgements)
        return {self.annotators[j.annotator] for j in said if j.kind not in ("rating", "steps")}


def load_records(reference: str, context: StageContext) -> list[Feedback]:
    """Feedback records of an earlier stage, or of a file, directory or Hub id in any known format."""
    if reference.startswith(REFERENCE):
        records = read_records(context.path(reference))
    else:
        read = read_feedback(context.resolve(reference))
        lost = "".join(f", {n:,} dropped: {why}" for why, n in read.dropped.items())
        lost += "".join(f", {n:,} left out: {why}" for why, n in read.left_out.items())
        context.say(f"{reference}: {read.shape}, {read.rows:,} rows{lost}")
        records = read.records
    if not records:
        raise DataError(f"{reference} holds no feedback records", "collect or import feedback first")
    return records


def read_judged(
    reference: str, model: Language, lengths: LengthConfig, context: StageContext, margin: float = 0.0,
    ratings: bool = False, objectives: Sequence[str] = (),
) -> Judged:  # fmt: skip
    """Tokenise all responses and turn records into judgements.

    Used are comparisons, rankings, best/worst, corrections (the edit over the original) and demonstrations (chosen over
    the other responses to their prompt); with `ratings` also ratings (of the `objectives`), thumbs and step labels, which
    compare nothing. `reference`: see `load_records`; `margin`: utility asked for per step of a comparison's strength above
    1. What cannot be used is left out, counted by reason; the table of lengths is shown and stored.
    """
    records = load_records(reference, context)
    scales = find_scales(records, objectives) if ratings else find_scales(())
    left_out = Counter(scales.left_out)
    by_prompt: dict[str, list[Feedback]] = {}
    for record in records:
        if scales.levels(record):
            by_prompt.setdefault(repr(record.prompt), []).append(record)
        elif ratings and answers(record):
            continue  # counted with its scale
        elif bad(record) and THUMB in scales.keys:
            by_prompt.setdefault(repr(record.prompt), []).append(record)
        elif reason := _unusable(record):
            left_out[reason] += 1
        else:
            by_prompt.setdefault(repr(record.prompt), []).append(record)
    if not by_prompt:
        raise DataError(
            f"{reference}: nothing here {'judges' if ratings else 'compares'} responses: {dict(left_out)}",
            "give comparisons or rankings; thumbs alone train kto",
        )
    tokens = _tokenise(by_prompt, model, lengths, context)
    annotators = sorted({r.annotator for rows in by_prompt.values() for r in rows})
    limit = lengths.max_response_tokens if lengths.too_long == "cut" else None
    reader = GroupReader(tokens, annotators, scales, left_out, margin, decoder(model.tokenizer), limit)
    groups = []
    for rows in by_prompt.values():
        if (group := reader.group(rows)) is not None:
            groups.append(group)
    if not groups:
        raise DataError(f"{reference}: no usable judgement is left: {dict(left_out)}", "raise the token limits")
    context.say(
        f"{sum(len(g.judgements) for g in groups):,} judgements on {len(groups):,} prompts; left out: {dict(left_out) or 0}"
    )
    _say_half_used(records, margin, THUMB in scales.keys, context)
    if any(both := contradictions(groups)):
        context.say(
            f"{both[0]:,} pairs of responses are judged both ways, {both[1]:,} of them by one annotator; all count"
        )
    return Judged(groups, annotators, dict(left_out), scales.scales)


def _say_half_used(records: Sequence[Feedback], margin: float, thumbs: bool, context: StageContext) -> None:
    """What records say beyond what is learned from them."""
    strong = sum(isinstance(r.choice, Comparison) and r.choice.strength is not None for r in records)
    if strong and not margin:
        context.say(f"{strong:,} comparisons say how much better one is; only that it is better is learned (no margin)")
    if (none := Counter(r.kind for r in records if bad(r))) and not thumbs:
        context.say(
            f"{none.total():,} judgements call all options bad: {none['comparison']:,} comparisons count as ties, "
            f"{none['ranking']:,} rankings as their order; without thumbs nothing says what bad means"
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
    by_prompt: dict[str, list[Feedback]], model: Language, lengths: LengthConfig, context: StageContext
) -> Tokens:
    """(prompt ids, response ids) per prompt and response within the limits."""
    encoder = context.encoder(model)
    examples: dict[tuple[str, Response], Example] = {}
    for key, rows in by_prompt.items():
        for record in rows:
            for name, response in responses(record).items():
                if (key, response) not in examples:
                    examples[key, response] = _example(record.prompt, response, f"{record.id}/{name}", encoder)
    if blank := sum(not text.strip() for _, (_, text, _) in examples):
        context.say(f"{blank:,} blank responses are judged as their EOS alone")
    kept = apply_lengths(list(examples.values()), model, lengths, context)
    by_row = {example.row: (example.prompt_ids, example.response_ids) for example in kept}
    return {key: by_row[example.row] for key, example in examples.items() if example.row in by_row}


def _example(prompt: Any, response: Response, row: str, encoder: Encoder) -> Example:
    _, text, finished = response
    messages = to_json(prompt)
    if text.strip():
        return encoder.example(messages, text, finished, row)
    # A policy may stop at once; the empty answer is its stop token alone.
    stop = encoder.stop_id(messages)
    return Example(
        encoder.prompt(messages, row), [stop], True, row, asked=messages, text=encoder.tokenizer.decode([stop])
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
    missing = [name for name in annotators if name not in known and (needed is None or name in needed)]
    if missing:
        raise DataError(
            f"{path} has no estimate for annotators {missing[:3]}", "use the estimates of the same feedback"
        )
    return AnnotatorEffects(
        torch.tensor([float(known[name]["rationality"]) if name in known else 1.0 for name in annotators]),
        torch.tensor([float(known[name]["side_bias"]) if name in known else 0.0 for name in annotators]),
        float(torch.log(torch.tensor(max(estimates["tie"], 1e-4)))),
    )


def preference_pairs(groups: Sequence[JudgedGroup]) -> list[Pair]:
    """Every strict pair said by the judgements, as DPO pairs (chosen first); disagreement stays in the data."""
    return [_pair(groups[g], b, w) for g, b, w in strict_pairs(groups)]


def one_pair_per_row(groups: Sequence[JudgedGroup]) -> list[JudgedGroup]:
    """Every strict pair as a group of its own, judged by the same annotator: how pairwise reward models are trained."""
    return [
        JudgedGroup(
            Group(g.group.prompt, [g.group.responses[better], g.group.responses[worse]]),
            (Judgement((0, 1), None, judgement.annotator),), g.row,
        )
        for g in groups for judgement in g.judgements for better, worse in judgement.pairs
    ]  # fmt: skip


def without_pair(groups: Sequence[JudgedGroup]) -> int:
    """Judgements that say of no two responses which is better."""
    return sum(not judgement.pairs for group in groups for judgement in group.judgements)


def decided_pairs(
    groups: Sequence[JudgedGroup], effects: AnnotatorEffects, least: float = 0.5
) -> tuple[list[Pair], int]:  # fmt: skip
    """(one DPO pair per two responses, decided by the votes of all annotators together; how many stay undecided).

    Log-odds of "i over j" are the sum of the voters' rationalities, so reliable annotators count more, a
    contrarian's vote counts the other way and a side-picker's hardly at all. The doubt that remains becomes a
    soft label; pairs with log-odds below `least` are undecided and left out.
    """
    rationality = effects.rationality_A.tolist()
    pairs, undecided = [], 0
    for group in groups:
        odds: dict[tuple[int, int], float] = {}
        for judgement in group.judgements:
            for better, worse in judgement.pairs:
                key, sign = ((better, worse), 1) if better < worse else ((worse, better), -1)
                odds[key] = odds.get(key, 0.0) + sign * rationality[judgement.annotator]
        for (i, j), value in odds.items():
            undecided += abs(value) < least
            if abs(value) >= least:
                better, worse = (i, j) if value > 0 else (j, i)
                pairs.append(_pair(group, better, worse, doubt=1 / (1 + math.exp(abs(value)))))
    return pairs, undecided


def _pair(group: JudgedGroup, better: int, worse: int, doubt: float = 0.0) -> Pair:
    responses = group.group.responses
    return Pair(group.group.prompt, responses[better], responses[worse], group.row, doubt)
