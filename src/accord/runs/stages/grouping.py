"""Records about one prompt as a judged group: responses numbered, choices as judgements about the
numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from accord.feedback.records import (
    BestWorst,
    Comparison,
    Correction,
    Demonstration,
    Feedback,
    Ranking,
    StepLabels,
)
from accord.learning.judgements import JudgedGroup, Judgement
from accord.learning.likelihoods import MOST_TIED
from accord.runs.stages.answers import THUMB, RatingScales, bad
from accord.runs.stages.usable import WRITTEN, Response, prompt_key, responses
from accord.text.packing import PromptGroup, join
from accord.text.steps import Decode, step_ends

Tokens = Mapping[tuple[str, Response], PromptGroup]
"""The tokens of a prompt with a response, by both."""


@dataclass(frozen=True)
class GroupReader:
    """Turns records into groups; `left_out` counts what cannot be used, by reason.

    "Both bad" is a tie, a ranking called all bad its order; where there are thumbs, so that it is
    known what "bad" means, each is also a thumb down for all its options.

    margin: utility asked for per step of a comparison's strength above 1; limit: response tokens at
    which longer responses were cut (None: none was).
    """

    tokens: Tokens
    annotators: Sequence[str]
    scales: RatingScales
    left_out: Counter[str]
    margin: float
    decode: Decode
    limit: int | None

    def group(self, rows: Sequence[Feedback]) -> JudgedGroup | None:
        """All that was said about one prompt; None when nothing of it can be used."""
        key = prompt_key(rows[0])
        numbers: dict[Response, int] = {}
        parts: list[PromptGroup] = []
        judgements: list[Judgement] = []
        for record in sorted(
            rows, key=lambda r: r.kind == "demonstration"
        ):  # they are compared with all the others
            named = responses(record)
            if any((key, response) not in self.tokens for response in named.values()):
                self.left_out["response too long"] += 1
                continue
            if record.kind == "demonstration" and all(
                equal(self.tokens[key, named[WRITTEN]], other) for other in parts
            ):
                self.left_out["demonstration without another response to its prompt"] += 1
                continue
            for response in named.values():
                if response not in numbers:
                    numbers[response] = len(numbers)
                    parts.append(self.tokens[key, response])
            judged = self._judgements(
                record, {name: numbers[r] for name, r in named.items()}, parts
            )
            judgements += (
                judged if record.weight == 1 else [replace(j, weight=record.weight) for j in judged]
            )
        if not judgements:
            return None
        group = join(parts)
        moved = [
            len(whole) - len(part.responses[0])
            for whole, part in zip(group.responses, parts, strict=True)
        ]
        return JudgedGroup(group, tuple(_moved(j, moved) for j in judgements), row=rows[0].id)

    def _judgements(
        self, record: Feedback, numbers: Mapping[str, int], parts: Sequence[PromptGroup]
    ) -> list[Judgement]:
        """`numbers`: place of each response in the group, whose responses so far are `parts`."""
        annotator = self.annotators.index(record.annotator)
        levels = self.scales.levels(record)
        if isinstance(record.choice, StepLabels):
            (place,) = numbers.values()
            return self._steps(record.choice, levels, place, annotator, parts[place].responses[0])
        if levels:
            (place,) = numbers.values()
            facets = self.scales.facets
            return [
                Judgement((place,), None, annotator, "rating", level=k, scale=s, facet=facets[s])
                for s, k in levels
            ]
        judgements = [] if unordered(record) else self._choice(record, numbers, annotator, parts)
        if bad(record) and THUMB in self.scales.keys:
            down = self.scales.keys.index(THUMB)
            judgements += [
                Judgement((place,), None, annotator, "rating", scale=down)
                for place in numbers.values()
            ]
        return judgements

    def _choice(
        self,
        record: Feedback,
        numbers: Mapping[str, int],
        annotator: int,
        parts: Sequence[PromptGroup],
    ) -> list[Judgement]:
        """The choice among responses, where there is one: of two that are equal, cut as they are,
        none is better."""
        if isinstance(record.choice, Demonstration):
            mine = numbers[WRITTEN]
            others = [place for place, other in enumerate(parts) if not equal(other, parts[mine])]
            return [Judgement((mine, *others), None, annotator, "choice")]
        if len(numbers) == 2 and equal(*(parts[place] for place in numbers.values())):
            self.left_out[f"{record.kind} of equal responses"] += 1
            return []
        return [_choice(record, numbers, annotator, self.margin)]

    def _steps(
        self,
        choice: StepLabels,
        levels: Sequence[tuple[int, int]],
        place: int,
        annotator: int,
        ids: Sequence[int],
    ) -> list[Judgement]:
        if not all(step.strip() for step in choice.steps):
            self.left_out["step labels with a blank step"] += 1
            return []
        ends = step_ends(self.decode, ids, choice.steps)
        if missing := len(choice.steps) - len(ends):
            if self.limit is None or len(ids) < self.limit:
                self.left_out["step labels whose steps are not in the response"] += 1
                return []
            self.left_out["step beyond the cut"] += missing
        if not ends:
            return []
        kept = tuple(level for _, level in levels[: len(ends)])
        return [
            Judgement(
                (place,),
                None,
                annotator,
                "steps",
                scale=levels[0][0],
                ends=tuple(ends),
                levels=kept,
            )
        ]


def equal(one: PromptGroup, other: PromptGroup) -> bool:
    """Whether two responses are the same tokens (prompts of one text may end differently, as the
    response needs it)."""
    return [*one.prompt, *one.responses[0]] == [*other.prompt, *other.responses[0]]


def _moved(judgement: Judgement, tokens: Sequence[int]) -> Judgement:
    """With the ends of steps behind what was moved from the prompt to the response."""
    by = tokens[judgement.options[0]] if judgement.ends else 0
    return replace(judgement, ends=tuple(end + by for end in judgement.ends)) if by else judgement


def unordered(record: Feedback) -> str | None:
    """Why the order of a ranking says nothing that a likelihood can use; None where it does."""
    if not isinstance(record.choice, Ranking):
        return None
    if len(record.choice.order) == 1 and len(record.choice.order[0]) > 2:
        return "ranking in which all are tied"
    return (
        f"ranking with more than {MOST_TIED} tied"
        if max(map(len, record.choice.order)) > MOST_TIED
        else None
    )


def _choice(
    record: Feedback, numbers: Mapping[str, int], annotator: int, margin: float
) -> Judgement:
    """A choice among the options; of a correction, the edit over the original."""
    shown, choice, kind, margin_wanted = (
        {o.id: o.shown_at for o in record.options},
        record.choice,
        "order",
        0.0,
    )
    tied: tuple[int, ...] = ()
    doubt = 0.0
    if isinstance(choice, Correction):
        original = record.options[0].id
        return Judgement((numbers[WRITTEN], numbers[original]), None, annotator)
    if isinstance(choice, Ranking):
        if len(choice.order) == 1:
            order, kind = record.shown, "tie"
        else:
            order = [i for group in choice.order for i in group]
            tied = tuple(map(len, choice.order)) if len(choice.order) < len(order) else ()
    elif isinstance(choice, BestWorst):
        order = [
            choice.best,
            *(i for i in record.shown if i not in (choice.best, choice.worst)),
            choice.worst,
        ]
        kind = "best_worst"
    elif not isinstance(choice, Comparison):
        raise TypeError(f"a {record.kind} compares nothing")
    elif (preferred := choice.preferred) is None:
        order, kind = record.shown, "tie"
    else:
        order = sorted(record.shown, key=lambda i: i != preferred)
        margin_wanted = margin * ((choice.strength or 1) - 1) + float(
            record.meta.get("margin", 0.0)
        )
        doubt = 0.0 if choice.probability is None else 1 - choice.probability
    places = tuple(shown[i] for i in order)
    ordered = tuple(numbers[i] for i in order)
    return Judgement(ordered, places, annotator, kind, margin_wanted, tied=tied, doubt=doubt)  # type: ignore[arg-type]
