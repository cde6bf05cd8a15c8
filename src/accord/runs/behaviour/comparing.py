"""Policies asked the same questions, each against the first: estimates, paired differences, and
which of them to believe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from accord.errors import AccordError, DataError
from accord.examine.behaviour.leaks import contaminated
from accord.examine.behaviour.scored import Scored
from accord.runs.behaviour.sets import Policy, QuestionSet
from accord.statistics.means import Estimate, minimal_detectable
from accord.statistics.significance import discoveries


class Change(BaseModel):
    """An arm less the first one on the same items. p_value: of none; believed: when all changes
    are asked (false discoveries at most 5 %); visible: the smallest change that 80 % of such
    examinations would see, None where none can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    change: Estimate
    p_value: float
    believed: bool
    visible: float | None


class Line(BaseModel):
    """One measure of one set, for every arm. items: asked, of `whole` in the file; chance: what
    guessing gets; control: a rule that does not read the question, and what it gets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    set: str
    measure: str
    unit: str
    meaning: str
    items: int
    whole: int
    chance: float | None
    control: tuple[str, float] | None
    arms: dict[str, Estimate]
    changes: dict[str, Change]


class Behaviour(BaseModel):
    """All that was measured; not_measurable: set -> why; left_out: set -> reason -> rows;
    contamination: set -> (items that were trained on word by word, items that share a long run of
    words with it), None where nobody said what was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: list[Line]
    not_measurable: dict[str, str]
    left_out: dict[str, dict[str, int]]
    contamination: dict[str, tuple[int, int]] | None


def compare(
    sets: Sequence[QuestionSet],
    policies: Mapping[str, Callable[[], Policy]],
    trained_on: Iterable[str] | None = None,
    progress: Callable[[str, str], None] = lambda arm, name: None,
) -> Behaviour:
    """Load one policy after the other (the first is what the others are compared with) and put
    every set to it. A set that a policy cannot be asked is not measurable; the others still come.
    Raises DataError where none can."""
    found: dict[str, dict[str, list[Scored]]] = {one.name: {} for one in sets}
    reasons: dict[str, str] = {}
    for arm, load in policies.items():
        policy = load()
        for one in sets:
            progress(arm, one.name)
            if one.name in reasons:
                continue
            try:
                found[one.name][arm] = one.measure(policy)
            except AccordError as error:
                reasons[one.name] = f"{arm}: {error.message}"
        del policy
    if len(reasons) == len(sets):
        raise DataError(f"nothing could be measured: {reasons}", "see each set's reason")
    lines = [
        line
        for one in sets
        if one.name not in reasons
        for line in _lines(one, found[one.name], list(policies))
    ]
    return Behaviour(
        lines=_believed(lines),
        not_measurable=reasons,
        left_out={one.name: one.left_out for one in sets if one.left_out},
        contamination=None if trained_on is None else _overlaps(sets, trained_on),
    )


def _lines(one: QuestionSet, scored: Mapping[str, list[Scored]], arms: Sequence[str]) -> list[Line]:
    """Per measure that every arm has (of one whose items depend on the first answers, such as
    flips when right, those that both have are compared)."""
    first, lines = arms[0], []
    for mine in scored[first]:
        theirs = {arm: next((s for s in scored[arm] if s.name == mine.name), None) for arm in arms}
        lines.append(
            Line(
                set=one.name,
                measure=mine.name,
                unit=mine.unit,
                meaning=mine.meaning,
                items=mine.items,
                whole=one.whole,
                chance=mine.chance,
                control=mine.control,
                arms={arm: s.estimate() for arm, s in theirs.items() if s is not None},
                changes={
                    arm: _change(s, mine)
                    for arm, s in theirs.items()
                    if s is not None and arm != first
                },
            )
        )
    return lines


def _change(mine: Scored, base: Scored) -> Change:
    if list(mine.cluster_I) != list(base.cluster_I):
        mine, base = mine.common(base)
    change, p_value = mine.difference(base)
    return Change(
        change=change, p_value=p_value, believed=False, visible=minimal_detectable(change)
    )


def _believed(lines: Sequence[Line]) -> list[Line]:
    """With what to believe of all changes together."""
    places = [(n, arm) for n, line in enumerate(lines) for arm in line.changes]
    sure = discoveries([lines[n].changes[arm].p_value for n, arm in places])
    told = dict(zip(places, sure, strict=True))
    return [
        line.model_copy(
            update={
                "changes": {
                    arm: change.model_copy(update={"believed": told[n, arm]})
                    for arm, change in line.changes.items()
                }
            }
        )
        for n, line in enumerate(lines)
    ]


def _overlaps(sets: Sequence[QuestionSet], trained_on: Iterable[str]) -> dict[str, tuple[int, int]]:
    """All sets in one pass over what was trained on."""
    texts = [one.texts() for one in sets]
    exact, overlapping = map(iter, contaminated([t for own in texts for t in own], trained_on))
    return {
        one.name: (sum(islice(exact, len(own))), sum(islice(overlapping, len(own))))
        for one, own in zip(sets, texts, strict=True)
    }
