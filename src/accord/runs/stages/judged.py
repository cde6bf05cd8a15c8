"""From feedback records to what the reward and preference loops read."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from accord.errors import DataError
from accord.feedback.formats import read_feedback
from accord.feedback.records import Comparison, Feedback, Ranking
from accord.feedback.store import read_records
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, strict_pairs
from accord.learning.preference import Pair
from accord.models.causal_lm import CausalLM
from accord.runs.recipe import REFERENCE
from accord.runs.stages.lengths import apply_lengths
from accord.text.encoding import Encoder, Example
from accord.text.packing import Group

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.stages.settings import LengthConfig


@dataclass(frozen=True)
class Judged:
    """Judged groups with the names behind the annotator indices; rows names each group's prompt."""

    groups: list[JudgedGroup]
    annotators: list[str]
    left_out: dict[str, int]


def load_records(reference: str, context: StageContext) -> list[Feedback]:
    """Feedback records of an earlier stage, or of a file, directory or Hub id in any known format."""
    if reference.startswith(REFERENCE):
        records = read_records(context.path(reference))
    else:
        read = read_feedback(context.resolve(reference))
        lost = "".join(f", {n:,} dropped: {why}" for why, n in read.dropped.items())
        context.say(f"{reference}: {read.shape}, {read.rows:,} rows{lost}")
        records = read.records
    if not records:
        raise DataError(f"{reference} holds no feedback records", "collect or import feedback first")
    return records


def read_judged(reference: str, model: CausalLM, lengths: LengthConfig, context: StageContext) -> Judged:
    """Tokenise all options and turn comparisons and strict rankings into judgements.

    `reference`: see `load_records`. Records of other kinds, and those with an option beyond the length limits are
    left out, counted by reason. The table of lengths is shown and stored.
    """
    records = load_records(reference, context)
    left_out: Counter[str] = Counter()
    by_prompt: dict[str, list[Feedback]] = {}
    for record in records:
        if not _usable(record):
            left_out[f"{record.kind} not used here"] += 1
        else:
            by_prompt.setdefault(repr(record.prompt), []).append(record)
    tokens = _tokenise(by_prompt, model, lengths, context)
    annotators = sorted({r.annotator for rows in by_prompt.values() for r in rows})
    groups = []
    for rows in by_prompt.values():
        group = _group(rows, tokens, annotators, left_out)
        if group is not None:
            groups.append(group)
    if not groups:
        raise DataError(f"{reference}: no usable judgement is left: {dict(left_out)}", "raise the token limits")
    context.say(
        f"{sum(len(g.judgements) for g in groups):,} judgements on {len(groups):,} prompts; left out: {dict(left_out) or 0}"
    )
    return Judged(groups, annotators, dict(left_out))


def _usable(record: Feedback) -> bool:
    choice = record.choice
    if isinstance(choice, Ranking):
        return all(len(group) == 1 for group in choice.order)
    return isinstance(choice, Comparison)


def _tokenise(
    by_prompt: dict[str, list[Feedback]], model: CausalLM, lengths: LengthConfig, context: StageContext
) -> dict[tuple[str, str], tuple[list[int], list[int]]]:
    """(prompt ids, response ids) per (prompt, option id) within the limits."""
    encoder = Encoder(model.tokenizer)
    keys, examples = [], []
    for key, rows in by_prompt.items():
        seen: set[str] = set()
        for record in rows:
            finished: dict[str, Any] = record.meta.get("finished", {})
            for option in record.options:
                if option.id not in seen:
                    seen.add(option.id)
                    row = f"{record.id}/{option.id}"
                    text = option.content if isinstance(option.content, str) else option.content[-1].content
                    if not text.strip():  # a policy may stop at once; the empty answer is its EOS alone
                        ids = encoder.prompt(_plain(record.prompt), row)
                        examples.append(_empty(ids, encoder, row))
                    else:
                        examples.append(
                            encoder.example(_plain(record.prompt), text, bool(finished.get(option.id, True)), row)
                        )
                    keys.append((key, option.id))
    kept = apply_lengths(examples, model, lengths, context)
    by_row = {example.row: (example.prompt_ids, example.response_ids) for example in kept}
    rows_of = {key: example.row for key, example in zip(keys, examples, strict=True)}
    return {key: by_row[row] for key, row in rows_of.items() if row in by_row}


def _empty(prompt_ids: list[int], encoder: Encoder, row: str) -> Example:
    assert encoder.tokenizer.eos_token_id is not None
    return Example(prompt_ids, [encoder.tokenizer.eos_token_id], True, row)


def _plain(prompt: Any) -> Any:
    return prompt if isinstance(prompt, str) else [m.model_dump() for m in prompt]


def _group(
    rows: Sequence[Feedback], tokens: dict[tuple[str, str], tuple[list[int], list[int]]], annotators: list[str],
    left_out: Counter[str],
) -> JudgedGroup | None:  # fmt: skip
    key = repr(rows[0].prompt)
    numbers: dict[str, int] = {}
    responses, prompt, judgements = [], None, []
    for record in rows:
        if any((key, o.id) not in tokens for o in record.options):
            left_out["option too long"] += 1
            continue
        for option in record.options:
            if option.id not in numbers:
                numbers[option.id] = len(numbers)
                prompt, response = tokens[key, option.id]
                responses.append(response)
        judgements.append(_judgement(record, numbers, annotators.index(record.annotator)))
    if prompt is None:
        return None
    return JudgedGroup(Group(prompt, responses), tuple(judgements), row=rows[0].id)


def _judgement(record: Feedback, numbers: dict[str, int], annotator: int) -> Judgement:
    shown = {o.id: o.shown_at for o in record.options}
    choice = record.choice
    if isinstance(choice, Ranking):
        order, tie = [group[0] for group in choice.order], False
    elif choice.preferred is None:
        order, tie = record.shown, True
    else:
        order, tie = sorted(record.shown, key=lambda i: i != choice.preferred), False
    return Judgement(tuple(numbers[i] for i in order), tuple(shown[i] for i in order), annotator, tie)


def annotator_effects(path: Path | None, annotators: Sequence[str]) -> AnnotatorEffects:
    """The estimated rationality and side bias of each annotator; everybody equal without estimates."""
    if path is None:
        return AnnotatorEffects.none(max(1, len(annotators)))
    estimates = json.loads(path.read_text())
    known = {row["annotator"]: row for row in estimates["annotators"]}
    missing = [name for name in annotators if name not in known]
    if missing:
        raise DataError(
            f"{path} has no estimate for annotators {missing[:3]}", "use the estimates of the same feedback"
        )
    return AnnotatorEffects(
        torch.tensor([known[name]["rationality"] for name in annotators]),
        torch.tensor([known[name]["side_bias"] for name in annotators]),
        float(torch.log(torch.tensor(max(estimates["tie"], 1e-4)))),
    )


def preference_pairs(groups: Sequence[JudgedGroup]) -> list[Pair]:
    """Every strict pair said by the judgements, as DPO pairs (chosen first); disagreement stays in the data."""
    return [_pair(groups[g], b, w) for g, b, w in strict_pairs(groups)]


def decided_pairs(groups: Sequence[JudgedGroup], effects: AnnotatorEffects, least: float = 0.5) -> list[Pair]:
    """One DPO pair per two responses, decided by the votes of all annotators together.

    Log-odds of "i over j" are the sum of the voters' rationalities, so reliable annotators count more, a
    contrarian's vote counts the other way and a side-picker's hardly at all. The doubt that remains becomes a
    soft label; pairs with log-odds below `least` are undecided and left out.
    """
    rationality = effects.rationality_A.tolist()
    pairs = []
    for group in groups:
        odds: dict[tuple[int, int], float] = {}
        for judgement in (j for j in group.judgements if not j.tie):
            for better, worse in combinations(judgement.options, 2):
                key, sign = ((better, worse), 1) if better < worse else ((worse, better), -1)
                odds[key] = odds.get(key, 0.0) + sign * rationality[judgement.annotator]
        for (i, j), value in odds.items():
            if abs(value) >= least:
                better, worse = (i, j) if value > 0 else (j, i)
                pairs.append(_pair(group, better, worse, doubt=1 / (1 + math.exp(abs(value)))))
    return pairs


def _pair(group: JudgedGroup, better: int, worse: int, doubt: float = 0.0) -> Pair:
    responses = group.group.responses
    return Pair(group.group.prompt, responses[better], responses[worse], group.row, doubt)
