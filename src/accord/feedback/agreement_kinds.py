"""Agreement for every kind of judgement: choices between options, ratings, thumbs, labels of steps,
flags."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import DataError
from accord.feedback.agreement import (
    Agreement,
    ceiling,
    measure,
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
from accord.seeds import generator
from accord.statistics.intervals import Array, Interval
from accord.statistics.krippendorff import (
    Level,
    alpha_of,
    alpha_of_moments,
    coincidences,
    squared_differences,
)
from accord.statistics.resampling import bootstrap

CHOICES = ("comparison", "ranking", "best_worst")
MOST_CATEGORIES = 32
"""Different values beyond which a scale is measured as an interval scale only."""

UNMEASURED = {
    "correction": "free text", "demonstration": "free text", "critique": "free text", "spans": "marked passages",
    "skip": "no answer",
}  # fmt: skip

Unit = tuple[str, ...]
Votes = dict[Unit, dict[str, float]]


@dataclass(frozen=True)
class RatingAgreement:
    """Agreement on single options. what: "rating helpful", "thumb", "step", "flag toxic"; alpha:
    Krippendorff's at `level`, None where only one value occurs; same: share of rater pairs, one per
    unit, that gave the same value;
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


def measure_all(records: Sequence[Feedback], draws: int = 400, seed: int = 0) -> AgreementReport:
    """Agreement of whatever was judged twice. Intervals by bootstrap over prompts; nothing is
    silently left out."""
    not_measured: Counter[str] = Counter()
    by_kind: dict[str, Agreement] = {}
    for kind in CHOICES:
        of_kind = [r for r in records if r.kind == kind]
        if of_kind:
            try:
                by_kind[kind] = measure(of_kind, draws, seed)
            except DataError:
                not_measured[f"{kind}: no pair of options judged by two annotators"] += len(of_kind)
    chosen = [r for r in records if r.kind in CHOICES]
    try:
        together = measure(chosen, draws, seed) if chosen else None
    except DataError:
        together = None
    scales: list[RatingAgreement] = []
    for (what, level), votes in sorted(scale_votes(records).items()):
        twice = {unit: list(given.values()) for unit, given in votes.items() if len(given) >= 2}
        if twice:
            scales.append(_measure_scale(what, level, twice, draws, seed))
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


def scale_votes(records: Iterable[Feedback]) -> dict[tuple[str, Level], Votes]:
    """Votes per scale: unit (its prompt first) -> annotator -> value. The last of several by one
    annotator counts."""
    scales: dict[tuple[str, Level], Votes] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        for what, levels, unit, value in _values(record):
            for level in levels:
                scales[what, level][unit][record.annotator] = value
    return {name: dict(votes) for name, votes in scales.items()}


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


def _measure_scale(
    what: str, level: Level, twice: dict[Unit, list[float]], draws: int, seed: int
) -> RatingAgreement:
    rng = generator(seed, "agreement", what)
    by_prompt: dict[str, list[list[float]]] = defaultdict(list)
    for unit, values in sorted(twice.items()):
        by_prompt[unit[0]].append([float(v) for v in rng.permutation(values)])
    categories = sorted({v for values in twice.values() for v in values})
    if len(categories) > MOST_CATEGORIES:
        level = "interval"
    rows, statistic = (
        _moments(by_prompt.values())
        if level == "interval"
        else _categorical(by_prompt.values(), categories, level)
    )
    alpha, same = bootstrap(rows, statistic, draws, rng)
    top = same.mapped(ceiling) if len(categories) == 2 else None
    defined = alpha if np.isfinite(alpha.value) else None
    return RatingAgreement(
        what, level, defined, same, top, len(twice), sum(map(len, twice.values()))
    )


Statistic = Callable[[Array], tuple[float, float]]


def _categorical(
    groups: Iterable[list[list[float]]], categories: list[float], level: Level
) -> tuple[Array, Statistic]:
    """Rows [P, C * C + 2] (coincidences, rater pairs, equal pairs) and (alpha, share equal) from
    their sum."""
    index, count = {value: i for i, value in enumerate(categories)}, len(categories)
    rows = []
    for units in groups:
        observed, equal = np.zeros((count, count)), 0
        for unit in units:
            observed += coincidences([index[v] for v in unit], count)
            equal += unit[0] == unit[1]
        rows.append(np.concatenate([observed.ravel(), [len(units), equal]]))
    names = np.array(categories)

    def statistic(row: Array) -> tuple[float, float]:
        return alpha_of(row[:-2].reshape(count, count), names, level), float(row[-1] / row[-2])

    return np.array(rows), statistic


def _moments(groups: Iterable[list[list[float]]]) -> tuple[Array, Statistic]:
    """Rows [P, 6] (observed squared differences, n, sum, sum of squares, rater pairs, equal pairs),
    and the statistics: an interval scale's alpha needs no categories."""
    rows = []
    for units in groups:
        row = np.zeros(6)
        for unit in units:
            v = np.array(unit)
            moments = len(v), v.sum(), (v**2).sum()
            row += (float(squared_differences(*moments)), *moments, 1, unit[0] == unit[1])
        rows.append(row)

    def statistic(row: Array) -> tuple[float, float]:
        return alpha_of_moments(*row[:4]), float(row[5] / row[4])

    return np.array(rows), statistic
