"""Gold items: judgements whose right answer is known. Who passes, how soon a random clicker is
found, who qualifies.

A gold record carries the expected choice in `meta["gold"]`, written like a choice of its kind, or
only true, where the expected choice is kept elsewhere (the studio does, so that records give
nothing away) and results are handed in. Detection is Wald's sequential test (1945) of error rate e1
(clicker) against e0 (honest): after each gold item log e1/e0 is added for an error, log
(1-e1)/(1-e0) for a pass; flagged above log((1-miss)/false_alarm), cleared below
log(miss/(1-false_alarm)).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError
from scipy.stats import binom

from accord.errors import ConfigError, DataError
from accord.feedback.records import (
    CHOICES,
    BestWorst,
    Comparison,
    Feedback,
    Ranking,
    Rating,
    StepLabels,
    Thumb,
)
from accord.statistics.intervals import Array, Interval, share

State = Literal["flagged", "cleared", "undecided"]


@dataclass(frozen=True)
class GoldRule:
    """Error rates on gold of honest annotators and of random clickers (half, for comparisons
    without ties), and the error rates of the test itself."""

    honest_error: float = 0.1
    clicker_error: float = 0.5
    false_alarm: float = 0.01
    miss: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.honest_error < self.clicker_error < 1:
            raise ConfigError(
                f"honest_error {self.honest_error} and clicker_error {self.clicker_error} must be 0"
                " < honest < clicker < 1"
            )
        if not (0 < self.false_alarm < 0.5 and 0 < self.miss < 0.5):
            raise ConfigError(
                f"false_alarm {self.false_alarm} and miss {self.miss} must lie between 0 and .5"
            )

    @property
    def steps(self) -> tuple[float, float]:
        """What a pass and what an error adds (nats)."""
        return (
            float(np.log((1 - self.clicker_error) / (1 - self.honest_error))),
            float(np.log(self.clicker_error / self.honest_error)),
        )

    @property
    def bounds(self) -> tuple[float, float]:
        """Cleared at or below, flagged at or above (nats)."""
        return float(np.log(self.miss / (1 - self.false_alarm))), float(
            np.log((1 - self.miss) / self.false_alarm)
        )

    def state(self, passed: Sequence[bool]) -> State:
        """The test on results in order. Once cleared it starts again, so a later change is found
        too."""
        total, (low, high), (right, wrong) = 0.0, self.bounds, self.steps
        state: State = "undecided"
        for ok in passed:
            total += right if ok else wrong
            if total >= high:
                return "flagged"
            if total <= low:
                state, total = "cleared", 0.0
        return state


@dataclass(frozen=True)
class GoldScore:
    """One annotator on gold: share passed with Clopper and Pearson's interval, and the test's
    state."""

    annotator: str
    asked: int
    passed: Interval
    state: State


def passes(record: Feedback, expected: Mapping[str, Any], tolerance: float = 1.0) -> bool:
    """Whether a judgement agrees with the expected choice. Raises DataError when that is no choice
    of the record's kind.

    Ratings may differ by `tolerance` points per expected attribute; a ranking must order every pair
    that the expected one orders; of a comparison the strength does not matter; of steps the labels
    must be equal, and so must everything else.
    """
    try:
        wanted = CHOICES[record.kind].model_validate(expected)
    except ValidationError as error:
        raise DataError(
            f"record {record.id}: meta.gold is not a choice of a {record.kind}:"
            f" {error.errors()[0]['msg']}",
            "write the expected choice as the record's own choice is written",
        ) from None
    given = record.choice
    if isinstance(given, Rating) and isinstance(wanted, Rating):
        return all(
            abs(given.scores.get(k, np.inf) - v) <= tolerance for k, v in wanted.scores.items()
        )
    if isinstance(given, Ranking) and isinstance(wanted, Ranking):
        mine, right = (
            {i: p for p, group in enumerate(c.order) for i in group} for c in (given, wanted)
        )
        return all(
            (mine[a] - mine[b]) * (right[a] - right[b]) > 0
            for a, b in combinations(sorted(right), 2)
            if right[a] != right[b]
        )
    if isinstance(given, StepLabels) and isinstance(wanted, StepLabels):
        return given.labels == wanted.labels
    if isinstance(given, Comparison) and isinstance(wanted, Comparison):
        return (given.preferred, given.tie, given.both_bad) == (
            wanted.preferred,
            wanted.tie,
            wanted.both_bad,
        )
    if isinstance(given, (BestWorst, Thumb)):
        return bool(given == wanted)
    raise DataError(
        f"record {record.id}: a {record.kind} cannot be checked against gold",
        "use choices, ratings or labels",
    )


def gold_results(records: Sequence[Feedback], tolerance: float = 1.0) -> dict[str, bool]:
    """Record id -> passed, of all records that carry the expected choice in `meta["gold"]`."""
    return {
        r.id: passes(r, r.meta["gold"], tolerance)
        for r in records
        if r.meta.get("gold") not in (None, True, False)
    }


def score_gold(
    records: Sequence[Feedback],
    rule: GoldRule | None = None,
    results: Mapping[str, bool] | None = None,
) -> list[GoldScore]:
    """Every annotator who met gold, flagged ones first. results: record id -> passed, where the
    expected choices are kept elsewhere; else from `meta["gold"]`."""
    results = gold_results(records) if results is None else results
    by_annotator: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        if record.id in results:
            by_annotator[record.annotator].append(results[record.id])
    rule = rule or GoldRule()
    scores = [
        GoldScore(name, len(passed), share(sum(passed), len(passed)), rule.state(passed))
        for name, passed in sorted(by_annotator.items())
    ]
    return sorted(scores, key=lambda s: (s.state != "flagged", s.passed.value))


@dataclass(frozen=True)
class DetectionPower:
    """What a gold rate buys. expected, median, most (95 %): judgements until a clicker is flagged,
    counting all judgements at `gold_rate` gold among them; power: clickers flagged before they are
    once cleared; false_alarms: honest annotators flagged by the same test; by_judgements: share of
    clickers flagged after so many judgements."""

    gold_rate: float
    expected: float
    median: float
    most: float
    power: float
    false_alarms: float
    by_judgements: dict[int, float]


def detection_power(
    gold_rate: float,
    rule: GoldRule | None = None,
    at: Sequence[int] = (20, 50, 100, 200, 500),
    longest: int = 2000,
) -> DetectionPower:
    """Exact, by following the test's distribution over gold items. Raises ConfigError for a rate
    outside (0, 1]."""
    if not 0 < gold_rate <= 1:
        raise ConfigError(
            f"the gold rate is {gold_rate}", "use a share of the judgements, such as 0.05"
        )
    rule = rule or GoldRule()
    clicker, honest = (
        _flagged_at(rule, error, longest) for error in (rule.clicker_error, rule.honest_error)
    )
    total = float(clicker.sum())
    cumulative = np.cumsum(clicker) / total
    items = np.arange(1, longest + 1)
    median, most = (float(items[np.searchsorted(cumulative, q)]) for q in (0.5, 0.95))
    # After n judgements the number of gold items seen is binomial.
    by = {
        n: float(
            binom.pmf(np.arange(n + 1), n, gold_rate) @ np.append(0, np.cumsum(clicker))[: n + 1]
        )
        for n in at
    }
    return DetectionPower(
        gold_rate,
        float(clicker @ items) / total / gold_rate,
        median / gold_rate,
        most / gold_rate,
        total,
        float(honest.sum()),
        by,
    )


def _flagged_at(rule: GoldRule, error: float, longest: int) -> Array:
    """P(flagged at exactly the n-th gold item, not cleared before): [longest]. The state is the
    number of errors."""
    (right, wrong), (low, high) = rule.steps, rule.bounds
    alive, chances = np.array([1.0]), np.zeros(longest)
    for n in range(1, longest + 1):
        following = np.zeros(n + 1)
        following[: len(alive)] += alive * (1 - error)
        following[1 : len(alive) + 1] += alive * error
        errors = np.arange(n + 1)
        level = errors * wrong + (n - errors) * right
        chances[n - 1] = following[level >= high].sum()
        following[(level >= high) | (level <= low)] = 0
        alive = following
        if alive.sum() < 1e-12:
            break
    return chances


@dataclass(frozen=True)
class QualificationResult:
    """passed: share with its exact interval; state: qualified when the interval lies above
    `required`, refused when below."""

    asked: int
    passed: Interval
    required: float
    state: Literal["qualified", "refused", "undecided"]


def qualify(passed: int, asked: int, required: float = 0.7) -> QualificationResult:
    """Whether someone who passed `passed` of `asked` screening items is at least `required`
    accurate, at 95 %."""
    if not 0 <= passed <= asked:
        raise DataError(f"{passed} passed of {asked} asked")
    accuracy = share(passed, asked)
    state: Literal["qualified", "refused", "undecided"] = (
        "qualified"
        if accuracy.low >= required
        else "refused"
        if accuracy.high < required
        else "undecided"
    )
    return QualificationResult(asked, accuracy, required, state)


def chance_to_qualify(accuracy: float, asked: int, required: float = 0.7) -> float:
    """P(qualified) of somebody of this accuracy after `asked` items: what a screening set of that
    size can do."""
    counts = [k for k in range(asked + 1) if qualify(k, asked, required).state == "qualified"]
    return float(binom.pmf(counts, asked, accuracy).sum())
