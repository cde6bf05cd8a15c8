"""Records about one prompt as a judged group: responses numbered, choices as judgements about the
numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from accord.feedback.records import (
    WRITTEN,
    Comparison,
    Demonstration,
    Feedback,
    StepLabels,
)
from accord.learning.answers import THUMB, RatingScales, bad
from accord.learning.judgements import JudgedGroup, Judgement
from accord.learning.said import choice_of, compared_by, unordered
from accord.runs.stages.rules_said import RuleScales
from accord.runs.stages.usable import Response, prompt_key, responses
from accord.text.packing import PromptGroup, join
from accord.text.steps import Decode, step_ends

Tokens = Mapping[tuple[str, Response], PromptGroup]
"""The tokens of a prompt with a response, by both."""


@dataclass(frozen=True)
class GroupReader:
    """Turns records into groups; `left_out` counts what cannot be used, by reason.

    "Both bad" is a tie, a ranking called all bad its order; where there are thumbs, so that it is
    known what "bad" means, each is also a thumb down for all its options.

    rules: what is said of rules, each an output of its own; annotators: the number of each, by
    name; margin: utility asked for per step of a comparison's
    strength above 1; limit: response tokens at which longer responses were cut (None: none was).
    """

    tokens: Tokens
    annotators: Mapping[str, int]
    scales: RatingScales
    left_out: Counter[str]
    margin: float
    decode: Decode
    limit: int | None
    rules: RuleScales = field(default_factory=RuleScales)

    def group(self, rows: Sequence[Feedback]) -> JudgedGroup | None:
        """All that was said about one prompt; None when nothing of it can be used."""
        key = prompt_key(rows[0])
        numbers: dict[Response, int] = {}
        parts: list[PromptGroup] = []
        judgements: list[Judgement] = []
        # Demonstrations come last: they are compared with all the others.
        for record in sorted(rows, key=lambda r: r.kind == "demonstration"):
            named = responses(record)
            if reason := self._why_left_out(record, key, named, parts):
                self.left_out[reason] += 1
                continue
            for response in named.values():
                if response not in numbers:
                    numbers[response] = len(numbers)
                    parts.append(self.tokens[key, response])
            places = {name: numbers[response] for name, response in named.items()}
            judged = self._judgements(record, places, parts)
            if record.weight != 1:
                judged = [replace(j, weight=record.weight) for j in judged]
            judgements += judged
        return _joined(parts, judgements, rows[0].id) if judgements else None

    def _why_left_out(
        self,
        record: Feedback,
        key: str,
        named: Mapping[str, Response],
        parts: Sequence[PromptGroup],
    ) -> str | None:
        """Why a record cannot be used beside the responses so far; None where it can."""
        if any((key, response) not in self.tokens for response in named.values()):
            return "response too long"
        if record.kind != "demonstration":
            return None
        written = self.tokens[key, named[WRITTEN]]
        if all(equal(written, other) for other in parts):
            return "demonstration without another response to its prompt"
        return None

    def _judgements(
        self, record: Feedback, numbers: Mapping[str, int], parts: Sequence[PromptGroup]
    ) -> list[Judgement]:
        """`numbers`: place of each response in the group, whose responses so far are `parts`."""
        annotator = self.annotators[record.annotator]
        if self.rules.book.about(record):
            return self._of_rules(record, numbers, annotator, parts)
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
        compared = [] if unordered(record) else self._choice(record, numbers, annotator, parts)
        return compared + self._thumbs_down(record, numbers.values(), annotator)

    def _of_rules(
        self,
        record: Feedback,
        numbers: Mapping[str, int],
        annotator: int,
        parts: Sequence[PromptGroup],
    ) -> list[Judgement]:
        """Answers on a rule's scale, and comparisons by the outputs of rules and objectives."""
        rules, said, found = self.rules, self.rules.book.read(record), list[Judgement]()
        for rule, kept in said.answers:
            scale, (place,) = rules.scale_of(rule), numbers.values()
            if scale is not None:
                facet = rules.first_facet + rule
                yes = Judgement((place,), None, annotator, "rating", facet=facet, scale=scale)
                found.append(replace(yes, level=int(kept)))
        by: list[tuple[int | None, Comparison]] = []
        by += [(rules.first_facet + rule, part) for rule, part in said.compared]
        several = len(rules.book.objectives) > 1  # a single one is the reward as a whole
        by += [(number if several else None, part) for number, part in said.objectives]
        if by and equal(*(parts[place] for place in numbers.values())):
            self.left_out[f"{record.kind} of equal responses"] += 1
            return found
        return found + [
            replace(compared_by(part, record, numbers, annotator, self.margin), facet=facet)
            for facet, part in by
        ]

    def _thumbs_down(
        self, record: Feedback, places: Iterable[int], annotator: int
    ) -> list[Judgement]:
        """One for each option of a record that calls all bad, where it is known what that means."""
        if not bad(record) or THUMB not in self.scales.keys:
            return []
        scale = self.scales.keys.index(THUMB)
        return [Judgement((place,), None, annotator, "rating", scale=scale) for place in places]

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
        return [choice_of(record, numbers, annotator, self.margin)]

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


def _joined(parts: Sequence[PromptGroup], judgements: Sequence[Judgement], row: str) -> JudgedGroup:
    """The responses after one shared prompt, with what was said about them."""
    group = join(parts)
    moved = [
        len(whole) - len(part.responses[0])
        for whole, part in zip(group.responses, parts, strict=True)
    ]
    return JudgedGroup(group, tuple(_moved(j, moved) for j in judgements), row=row)


def _moved(judgement: Judgement, tokens: Sequence[int]) -> Judgement:
    """With the ends of steps behind what was moved from the prompt to the response."""
    by = tokens[judgement.options[0]] if judgement.ends else 0
    return replace(judgement, ends=tuple(end + by for end in judgement.ends)) if by else judgement
