"""Agreement for every kind of judgement: choices between options, ratings, thumbs, labels of steps,
flags."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import DataError
from accord.feedback.agreement import (
    Agreement,
    ceiling,
    equal_pairs,
    in_time,
    measure,
    pairs_among,
)
from accord.feedback.records import (
    AttributeComparison,
    Comparison,
    Feedback,
    Flags,
    Rating,
    StepLabels,
    Thumb,
)
from accord.statistics.clusters import beyond_chance, by_cluster
from accord.statistics.intervals import Array, Interval
from accord.statistics.krippendorff import (
    Level,
    coincidences,
    disagreements,
    moment_disagreements,
    squared_differences,
)

CHOICES = ("comparison", "ranking", "best_worst")
MOST_CATEGORIES = 32
"""Different values beyond which a scale is measured as an interval scale only."""

UNMEASURED = {
    "correction": "free text", "demonstration": "free text", "critique": "free text", "spans": "marked passages",  # noqa: E501
    "skip": "no answer",
}  # fmt: skip

Unit = tuple[str, ...]
Votes = dict[Unit, dict[str, float]]


@dataclass(frozen=True)
class RatingAgreement:
    """Agreement on single options. what: "rating helpful", "thumb", "step", "flag toxic"; alpha:
    Krippendorff's at `level`, None where only one value occurs; same: share of a unit's rater pairs
    that gave the same value, its mean over units;
    ceiling: best accuracy on single labels (two-valued scales only); units: judged at least
    twice."""

    what: str
    level: Level
    alpha: Interval | None
    same: Interval
    ceiling: Interval | None
    units: int
    judgements: int


@dataclass(frozen=True)
class AgreementReport:
    """choices: comparisons, rankings and best/worst together, taken apart into pairs; by_kind: each
    alone; scales: the rest; not_measured: why what was left out, and how many records."""

    choices: Agreement | None
    by_kind: dict[str, Agreement]
    scales: list[RatingAgreement]
    not_measured: dict[str, int]


def measure_all(records: Sequence[Feedback]) -> AgreementReport:
    """Agreement of whatever was judged twice. Intervals over prompts; nothing is silently left
    out."""
    not_measured: Counter[str] = Counter()
    by_kind: dict[str, Agreement] = {}
    for kind in CHOICES:
        of_kind = [r for r in records if r.kind == kind]
        if of_kind:
            try:
                by_kind[kind] = measure(of_kind)
            except DataError:
                not_measured[f"{kind}: no pair of options judged by two annotators"] += len(of_kind)
    together = _together(records, by_kind)
    scales: list[RatingAgreement] = []
    for (what, level), votes in sorted(scale_votes(records).items()):
        twice = {unit: list(given.values()) for unit, given in votes.items() if len(given) >= 2}
        if twice:
            scales.append(measure_scale(what, level, twice))
        else:
            not_measured[f"{what}: nothing judged by two annotators"] = sum(
                map(len, votes.values())
            )
    for kind, why in UNMEASURED.items():
        if number := sum(r.kind == kind for r in records):
            not_measured[f"{kind}: {why}"] = number
    labels = sum(
        isinstance(r.choice, Flags)
        and any(not isinstance(v, bool) for v in r.choice.flags.values())
        for r in records
    )
    if labels:
        not_measured["flags: labels chosen from a list"] = labels
    return AgreementReport(together, by_kind, scales, dict(not_measured))


def _together(records: Sequence[Feedback], by_kind: Mapping[str, Agreement]) -> Agreement | None:
    """All kinds of choices at once, if any pair of options was judged by two annotators."""
    chosen = [r for r in records if r.kind in CHOICES]
    kinds = {r.kind for r in chosen}
    if len(kinds) < 2:
        return by_kind.get(*kinds) if kinds else None
    try:
        return measure(chosen)
    except DataError:
        return None


def scale_votes(records: Iterable[Feedback]) -> dict[tuple[str, Level], Votes]:
    """Votes per scale: unit (its prompt first) -> annotator -> value. The last of several by one
    annotator counts (`in_time`)."""
    scales: dict[tuple[str, Level], Votes] = defaultdict(lambda: defaultdict(dict))
    for record in in_time(r for r in records if isinstance(r.choice, SCALES) or "flags" in r.meta):
        for what, levels, unit, value in _values(record):
            for level in levels:
                scales[what, level][unit][record.annotator] = value
    return {name: dict(votes) for name, votes in scales.items()}


SCALES = (Rating, Thumb, StepLabels, AttributeComparison, Flags)
"""Choices that give values to one item; so do flags in `meta`."""


def _values(record: Feedback) -> Iterator[tuple[str, tuple[Level, ...], Unit, float]]:
    choice = record.choice
    item = (repr(record.prompt), *sorted(o.id for o in record.options))
    if isinstance(choice, Rating):
        for name, score in choice.scores.items():
            yield f"rating {name}", ("ordinal", "interval"), item, score
    elif isinstance(choice, Thumb):
        yield "thumb", ("nominal",), item, float(choice.up)
    elif isinstance(choice, StepLabels):
        for place, label in enumerate(choice.labels):
            yield "step", ("ordinal",), (*item, str(place), choice.steps[place]), float(label)
    elif isinstance(choice, AttributeComparison):
        for name, answer in choice.attributes.items():
            yield f"compared by {name}", ("nominal",), item, _side(record, answer)
    elif isinstance(choice, Flags):
        for name, raised in choice.flags.items():
            if isinstance(raised, bool):
                yield f"flag {name}", ("nominal",), item, float(raised)
    for name, raised in flags(record).items():
        yield f"flag {name}", ("nominal",), item, float(raised)


def _side(record: Feedback, answer: Comparison) -> float:
    """1 for the option with the smaller id, -1 for the other, 0 for a tie."""
    if answer.preferred is None:
        return 0.0
    return 1.0 if answer.preferred == min(o.id for o in record.options) else -1.0


def flags(record: Feedback) -> dict[str, bool]:
    """The flags in `meta["flags"]`, a mapping name -> raised or not. Raises DataError for anything
    else.

    A flag that was offered and not raised must be there as false: silence cannot be told from a
    flag never shown.
    """
    given = record.meta.get("flags", {})
    if not isinstance(given, dict) or not all(isinstance(v, bool) for v in given.values()):
        raise DataError(
            f"record {record.id}: meta.flags is {given!r}", 'write {"name": true or false, ...}'
        )
    return given


def measure_scale(what: str, level: Level, twice: Mapping[Unit, list[float]]) -> RatingAgreement:
    """Agreement of one scale's values per unit (its prompt first), two or more in each."""
    units = sorted(twice)
    prompts, place_U = np.unique([unit[0] for unit in units], return_inverse=True)
    categories = sorted({v for values in twice.values() for v in values})
    if len(categories) > MOST_CATEGORIES:
        level = "interval"
    if level == "interval":
        rows_UX, ratio = (
            _moments([twice[unit] for unit in units]),
            moment_disagreements(categories[-1] - categories[0]),
        )
    else:
        index = {value: i for i, value in enumerate(categories)}
        tally_UC = np.zeros((len(units), len(categories)))
        for row, unit in enumerate(units):
            np.add.at(tally_UC[row], [index[value] for value in twice[unit]], 1)
        rows_UX, ratio = coincidences(tally_UC), disagreements(np.array(categories), level)
    equal_U, pairs_U = np.array([_equal(twice[unit]) for unit in units], dtype=np.float64).T
    same = equal_pairs(equal_U, pairs_U, place_U, len(prompts))
    rows_PX = by_cluster(rows_UX, place_U, len(prompts))
    alpha = beyond_chance(rows_PX, ratio, float(pairs_U.sum()))
    return RatingAgreement(
        what,
        level,
        alpha if np.isfinite(alpha.value) else None,
        same,
        same.mapped(ceiling) if len(categories) == 2 else None,
        len(units),
        sum(map(len, twice.values())),
    )


def _equal(values: Sequence[float]) -> tuple[float, float]:
    """Equal rater pairs, and all, of one unit."""
    counts = np.array([*Counter(values).values()], dtype=np.float64)
    return float(pairs_among(counts).sum()), float(pairs_among(counts.sum()))


def _moments(units: Sequence[Sequence[float]]) -> Array:
    """Per unit: observed squared differences, number of values, sum, sum of squares: [U, 4]. An
    interval scale's alpha needs no categories."""
    sums_U3 = np.array(
        [(len(v), sum(v), sum(x * x for x in v)) for v in map(sorted, units)], dtype=np.float64
    )
    return np.column_stack([squared_differences(*sums_U3.T), sums_U3])
