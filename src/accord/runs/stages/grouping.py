"""Records about one prompt as a judged group: responses numbered, choices as judgements about the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accord.feedback.formats import plain
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
from accord.runs.stages.answers import THUMB, Scales, bad
from accord.text.packing import Group
from accord.text.steps import Decode, step_ends

WRITTEN = "(written)"
"""The name, within its record, of the response an annotator wrote."""
Response = tuple[str, str, bool]
"""Option id, text, and whether it ends there (a policy's answer may have been cut off)."""
Tokens = Mapping[tuple[str, Response], tuple[list[int], list[int]]]
"""(prompt ids, response ids) by prompt and response."""


def responses(record: Feedback) -> dict[str, Response]:
    """The responses a record is about, by their names in it."""
    finished: Any = record.meta.get("finished", {})  # by option; of a demonstration a bool
    found = {o.id: (o.id, plain(o.content), bool(finished.get(o.id, True))) for o in record.options}
    if isinstance(record.choice, Correction | Demonstration):
        found[WRITTEN] = (WRITTEN, plain(record.choice.content), finished is not False)
    return found


@dataclass(frozen=True)
class GroupReader:
    """Turns records into groups; `left_out` counts what cannot be used, by reason.

    "Both bad" is a tie, a ranking called all bad its order; where there are thumbs, so that it is known what "bad" means, each
    is also a thumb down for all its options.

    margin: utility asked for per step of a comparison's strength above 1; limit: response tokens at which longer
    responses were cut (None: none was).
    """

    tokens: Tokens
    annotators: Sequence[str]
    scales: Scales
    left_out: Counter[str]
    margin: float
    decode: Decode
    limit: int | None

    def group(self, rows: Sequence[Feedback]) -> JudgedGroup | None:
        """All that was said about one prompt; None when nothing of it can be used."""
        key = repr(rows[0].prompt)
        numbers: dict[Response, int] = {}
        ids: list[list[int]] = []
        prompt: list[int] | None = None
        judgements: list[Judgement] = []
        for record in sorted(rows, key=lambda r: r.kind == "demonstration"):  # they are compared with all the others
            named = responses(record)
            if any((key, response) not in self.tokens for response in named.values()):
                self.left_out["response too long"] += 1
                continue
            if record.kind == "demonstration" and not set(numbers) - set(named.values()):
                self.left_out["demonstration without another response to its prompt"] += 1
                continue
            for response in named.values():
                if response not in numbers:
                    numbers[response] = len(numbers)
                    prompt, tokens_R = self.tokens[key, response]
                    ids.append(tokens_R)
            judgements += self._judgements(record, {name: numbers[r] for name, r in named.items()}, ids)
        if prompt is None or not judgements:
            return None
        return JudgedGroup(Group(prompt, ids), tuple(judgements), row=rows[0].id)

    def _judgements(self, record: Feedback, numbers: Mapping[str, int], ids: Sequence[list[int]]) -> list[Judgement]:
        """`numbers`: place of each response in the group, whose responses so far are `ids`."""
        annotator = self.annotators.index(record.annotator)
        levels = self.scales.levels(record)
        if isinstance(record.choice, StepLabels):
            (place,) = numbers.values()
            return self._steps(record.choice, levels, place, annotator, ids[place])
        if levels:
            (place,) = numbers.values()
            facets = self.scales.facets
            return [
                Judgement((place,), None, annotator, "rating", level=k, scale=s, facet=facets[s]) for s, k in levels
            ]
        said = [] if unordered(record) else [_choice(record, numbers, annotator, len(ids), self.margin)]
        if bad(record) and THUMB in self.scales.keys:
            down = self.scales.keys.index(THUMB)
            said += [Judgement((place,), None, annotator, "rating", scale=down) for place in numbers.values()]
        return said

    def _steps(
        self, choice: StepLabels, levels: Sequence[tuple[int, int]], place: int, annotator: int, ids: Sequence[int]
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
        return [Judgement((place,), None, annotator, "steps", scale=levels[0][0], ends=tuple(ends), levels=kept)]


def unordered(record: Feedback) -> str | None:
    """Why the order of a ranking says nothing that a likelihood can use; None where it does."""
    if not isinstance(record.choice, Ranking):
        return None
    if len(record.choice.order) == 1 and len(record.choice.order[0]) > 2:
        return "ranking in which all are tied"
    return f"ranking with more than {MOST_TIED} tied" if max(map(len, record.choice.order)) > MOST_TIED else None


def _choice(record: Feedback, numbers: Mapping[str, int], annotator: int, count: int, margin: float) -> Judgement:
    """A choice among responses; a demonstration is compared with all `count` there are so far."""
    shown, choice, kind, asked = {o.id: o.shown_at for o in record.options}, record.choice, "order", 0.0
    tied: tuple[int, ...] = ()
    if isinstance(choice, Demonstration):
        mine = numbers[WRITTEN]
        others = [place for place in range(count) if place != mine]
        return Judgement((mine, *others), None, annotator, "choice")
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
        order = [choice.best, *(i for i in record.shown if i not in (choice.best, choice.worst)), choice.worst]
        kind = "best_worst"
    elif not isinstance(choice, Comparison):
        raise TypeError(f"a {record.kind} compares nothing")
    elif (preferred := choice.preferred) is None:
        order, kind = record.shown, "tie"
    else:
        order = sorted(record.shown, key=lambda i: i != preferred)
        asked = margin * ((choice.strength or 1) - 1) + float(record.meta.get("margin", 0.0))
    places = tuple(shown[i] for i in order)
    return Judgement(tuple(numbers[i] for i in order), places, annotator, kind, asked, tied=tied)  # type: ignore[arg-type]
