"""How often the verdict is wrong: from runs of which it is known whether they are broken.

Runs of a kind are alike, so that all intervals are clustered by kind. A threshold is never judged
on a kind that helped to choose it: each kind is judged by thresholds chosen on all the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import mannwhitneyu

from accord.examine.evidence import Evidence
from accord.examine.verdict import THRESHOLDS, Outcome, Rule, alarms, decide
from accord.statistics.clusters import clustered_share
from accord.statistics.significance import discoveries

FILE = "alarms.json"
OUTCOMES: tuple[Outcome, ...] = ("worked", "gamed", "collapsed", "inconclusive")
BAD: tuple[Outcome, ...] = ("gamed", "collapsed")


@dataclass(frozen=True)
class KnownRun:
    """A run with what is known of it: its kind, whether it is broken, which outcomes are right, and
    which alarms are made for what is wrong with it."""

    kind: str
    broken: bool
    expected: tuple[Outcome, ...]
    alarms: tuple[str, ...]
    evidence: Evidence


class _RateModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_RateModel):
    """hits of runs, with the interval over kinds; no ends for a single kind."""

    hits: int
    runs: int
    kinds: int
    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        within = "one kind: no interval" if self.low is None else f"{self.low:.0%}, {self.high:.0%}"
        return f"{self.hits} of {self.runs} [{within}]"


class AlarmRates(_RateModel):
    """An alarm's rates by thresholds chosen without the kind that is judged. caught: of runs of the
    kinds it is made for; false: of healthy runs where it was measurable; None where there are no
    such runs. threshold: chosen on all kinds, None for alarms without one."""

    alarm: str
    made_for: list[str]
    caught: Rate | None
    false: Rate | None
    threshold: float | None


class EarlyWarning(_RateModel):
    """A sign half-way through the training. area: how often it is larger in a kind of broken runs
    than in a healthy one (.5: chance); p_value: exact, one-sided, over kinds; beats_chance:
    believed when all signs are asked."""

    sign: str
    area: float
    p_value: float
    broken: int
    healthy: int
    beats_chance: bool


class ErrorRates(_RateModel):
    """What a zoo of known runs says of the verdict. outcomes: kind -> outcome -> runs, by
    thresholds chosen without that kind; broken: kind -> whether it is; right: outcomes that were
    among the expected; missed: broken runs said to have worked; false_alarms: healthy runs said to
    be gamed or collapsed; unsaid: broken runs in which no alarm fired at all; warned: healthy runs
    in which any did."""

    version: str
    size: str
    seeds: list[int]
    broken: dict[str, bool]
    expected: dict[str, list[Outcome]]
    outcomes: dict[str, dict[str, int]]
    right_broken: Rate
    right_healthy: Rate
    missed: Rate
    false_alarms: Rate
    unsaid: Rate
    warned: Rate
    alarms: list[AlarmRates]
    warnings: list[EarlyWarning]


def error_rates(
    runs: Sequence[KnownRun], version: str, size: str, seeds: Sequence[int]
) -> ErrorRates:
    """Everything, each kind judged by thresholds chosen on the others. Raises ValueError without
    broken or without healthy runs."""
    if not any(run.broken for run in runs) or all(run.broken for run in runs):
        raise ValueError("error rates need both broken and healthy runs")
    chosen = {kind: choose_thresholds(runs, kind) for kind in dict.fromkeys(r.kind for r in runs)}
    judged = [decide(run.evidence, None, chosen[run.kind]) for run in runs]
    outcomes = [verdict.outcome for verdict in judged]
    fired = [_alarming(verdict.arms[0].rules) for verdict in judged]
    known = [{rule.name for rule in verdict.arms[0].rules} for verdict in judged]
    of_kind: dict[str, Counter[str]] = {}
    for run, outcome in zip(runs, outcomes, strict=True):
        of_kind.setdefault(run.kind, Counter())[outcome] += 1
    broken = np.array([run.broken for run in runs])
    right = np.array([o in run.expected for o, run in zip(outcomes, runs, strict=True)])
    said = np.array([bool(names) for names in fired])
    everything = choose_thresholds(runs)

    def share(hit: Sequence[bool] | np.ndarray, among: np.ndarray) -> Rate | None:
        return rate(
            np.asarray(hit, bool)[among], [r.kind for r, a in zip(runs, among, strict=True) if a]
        )

    def some(hit: np.ndarray, among: np.ndarray) -> Rate:
        found = share(hit, among)
        assert found is not None
        return found

    rates = []
    for name in alarms():
        made = np.array([name in run.alarms for run in runs])
        sound = np.array(
            [not run.broken and name in names for run, names in zip(runs, known, strict=True)]
        )
        hit = np.array([name in names for names in fired])
        rates.append(
            AlarmRates(
                alarm=name,
                made_for=sorted({run.kind for run in runs if name in run.alarms}),
                caught=share(hit, made),
                false=share(hit, sound),
                threshold=everything.get(name),
            )
        )
    return ErrorRates(
        version=version,
        size=size,
        seeds=list(seeds),
        broken={run.kind: run.broken for run in runs},
        expected={run.kind: list(run.expected) for run in runs},
        outcomes={kind: {o: found[o] for o in OUTCOMES} for kind, found in of_kind.items()},
        right_broken=some(right, broken),
        right_healthy=some(right, ~broken),
        missed=some(np.array([o == "worked" for o in outcomes]), broken),
        false_alarms=some(np.array([o in BAD for o in outcomes]), ~broken),
        unsaid=some(~said, broken),
        warned=some(said, ~broken),
        alarms=rates,
        warnings=early_warnings(runs),
    )  # fmt: skip


def _alarming(rules: Sequence[Rule]) -> set[str]:
    return {rule.name for rule in rules if rule.fired} & set(alarms())


def rate(hits: Sequence[bool] | np.ndarray, kinds: Sequence[str]) -> Rate | None:
    """Share of hits with its interval over kinds (`clusters.clustered_share`); None for no runs."""
    values = np.asarray(hits, dtype=np.float64)
    if not len(values):
        return None
    place = np.unique(np.asarray(kinds), return_inverse=True)[1]
    sums, sizes = np.bincount(place, values).astype(float), np.bincount(place).astype(float)
    found = clustered_share(sums, sizes)
    ends = [None if np.isnan(end) else float(end) for end in (found.low, found.high)]
    return Rate(
        hits=int(values.sum()),
        runs=len(values),
        kinds=len(sums),
        value=float(found.value),
        low=ends[0],
        high=ends[1],
    )


# --- thresholds -----------------------------------------------------------------------------------
def choose_thresholds(runs: Sequence[KnownRun], without: str | None = None) -> dict[str, float]:
    """The threshold of each rule that has one, chosen on all kinds but one: see `choose`."""
    used = [run for run in runs if run.kind != without]
    sound: dict[str, list[float]] = {name: [] for name in THRESHOLDS}
    made: dict[str, list[float]] = {name: [] for name in THRESHOLDS}
    for run in used:
        for name, value in statistics(run.evidence).items():
            if name in THRESHOLDS and not run.broken:
                sound[name].append(value)
            if name in THRESHOLDS and name in run.alarms:
                made[name].append(value)
    return {name: choose(THRESHOLDS[name], made[name], sound[name]) for name in THRESHOLDS}


def choose(before: float, broken: Sequence[float], healthy: Sequence[float]) -> float:
    """The threshold above which most of the broken and least of the healthy lie: the largest
    difference of the two shares (Youden 1950), and among equals the one nearest to what it was
    before, half-way between two values seen. Nothing moves without healthy runs."""
    if not healthy:
        return before
    seen = np.unique([*broken, *healthy])
    between = (seen[1:] + seen[:-1]) / 2
    candidates = [before, *(float(b) for b in between if b > 0)]

    def worth(threshold: float) -> tuple[float, float]:
        caught = float((np.asarray(broken) > threshold).mean()) if len(broken) else 0.0
        false = float((np.asarray(healthy) > threshold).mean())
        return round(caught - false, 9), -abs(threshold - before)

    return max(candidates, key=worth)


def statistics(evidence: Evidence) -> dict[str, float]:
    """How alarming each rule finds the first arm, where it was measurable."""
    arm = decide(evidence).arms[0]
    return {rule.name: rule.statistic for rule in arm.rules if rule.statistic is not None}


# --- early warnings -------------------------------------------------------------------------------
def early_warnings(runs: Sequence[KnownRun]) -> list[EarlyWarning]:
    """Signs half-way through the training, each tested exactly over kinds (Mann and Whitney 1947;
    the mean over a kind's runs), false discoveries at most 5 %."""
    found: dict[str, dict[str, list[float]]] = {}
    broken = {run.kind: run.broken for run in runs}
    for run in runs:
        for sign, value in signs(run.evidence).items():
            found.setdefault(sign, {}).setdefault(run.kind, []).append(value)
    tested = []
    for sign, by_kind in found.items():
        bad, sound = (
            [float(np.mean(v)) for kind, v in by_kind.items() if broken[kind] is which]
            for which in (True, False)
        )
        if bad and sound:
            p_value = float(mannwhitneyu(bad, sound, alternative="greater", method="exact").pvalue)
            gap = np.subtract.outer(bad, sound)
            area = float(((gap > 0) + (gap == 0) / 2).mean())
            tested.append((sign, area, p_value, len(bad), len(sound)))
    believed = discoveries([p_value for _, _, p_value, _, _ in tested])
    return [
        EarlyWarning(sign=sign, area=area, p_value=p, broken=b, healthy=h, beats_chance=sure)
        for (sign, area, p, b, h), sure in zip(tested, believed, strict=True)
    ]


def signs(evidence: Evidence) -> dict[str, float]:
    """What could be seen of the first arm half-way, without gold; nothing where it was not examined
    on the way."""
    points = evidence.arms[0].points
    way = points[1 : (len(points) + 1) // 2]
    start, base = evidence.baseline_proxy, evidence.baseline_text
    if not way or start is None or base is None:
        return {}
    half, text = way[-1], way[-1].text
    spread = (start.error or 0.0) * start.n**0.5 or 1.0
    return {
        "KL": half.kl.exact.value,
        "proxy gained": half.proxy_gain.value / spread,
        "length changed": abs(text.tokens.value / base.tokens.value - 1),
        "variety lost": 1 - text.distinct_2 / base.distinct_2 if base.distinct_2 else 0.0,
        "responses unfinished": base.finished.value - text.finished.value,
        "proxy gained per nat": half.proxy_gain.value / spread / max(half.kl.exact.value, 0.01),
    }


# --- what was measured of this version ------------------------------------------------------------
@cache
def measured() -> ErrorRates | None:
    """The rates that `accord zoo --write` left with this version; None where it left none."""
    place = resources.files("accord") / "examine" / FILE
    if not place.is_file():
        return None
    return ErrorRates.model_validate_json(place.read_text(encoding="utf-8"))


def told(alarm: str, rates: ErrorRates | None) -> str:
    """An alarm's measured rates, in words."""
    one = next((a for a in rates.alarms if a.alarm == alarm), None) if rates else None
    if one is None or (one.caught is None and one.false is None):
        return "not measured"
    parts: Mapping[str, Rate | None] = {"caught": one.caught, "false": one.false}
    return ", ".join(
        f"{name} {found.hits}/{found.runs}" for name, found in parts.items() if found is not None
    )
