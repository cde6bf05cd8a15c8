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
from math import comb

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import fisher_exact, mannwhitneyu

from accord.examine.episodes import EPISODE_ALARMS, EpisodeEvidence, decide_episodes
from accord.examine.evidence import Evidence
from accord.examine.verdict import (
    THRESHOLDS,
    Outcome,
    Rule,
    Thresholds,
    Verdict,
    alarms,
    decide,
)
from accord.statistics.clusters import clustered_share
from accord.statistics.significance import discoveries

FILE = "alarms.json"
SURE = 0.05
"""p-value above which no number of kinds that fire would be told from chance."""
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
    evidence: Evidence | EpisodeEvidence


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
    """An alarm's rates by the threshold in use. caught: of runs of the kinds it is made for; false:
    of healthy runs where it was measurable; None where there are no such runs. threshold: the one
    in use, None for alarms without one; best: the one that these runs would choose. p_value: exact,
    one-sided (Fisher), that kinds it is made for set it off no more often than healthy ones, a kind
    by most of its runs, None without kinds of either sort; beats_chance: believed when all alarms
    are asked of which kinds enough are known that any could be (Tarone 1990), None of others."""

    alarm: str
    made_for: list[str]
    caught: Rate | None
    false: Rate | None
    threshold: float | None
    best: float | None
    p_value: float | None
    beats_chance: bool | None


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
    """What a zoo of known runs says of the verdict. outcomes: kind -> outcome -> runs, by the
    thresholds in use, which no zoo chose; broken: kind -> whether it is; right: outcomes that were
    among the expected; missed: broken runs said to have worked; false_alarms: healthy runs said to
    be gamed or collapsed; unsaid: broken runs in which no alarm fired at all; warned: healthy runs
    in which any did; None where there are no such runs. missed_chosen, false_chosen: the same where
    each kind is judged by thresholds chosen on the others."""

    version: str
    size: str
    seeds: list[int]
    broken: dict[str, bool]
    expected: dict[str, list[Outcome]]
    outcomes: dict[str, dict[str, int]]
    right_broken: Rate | None
    right_healthy: Rate | None
    missed: Rate | None
    false_alarms: Rate | None
    unsaid: Rate | None
    warned: Rate | None
    missed_chosen: Rate | None
    false_chosen: Rate | None
    alarms: list[AlarmRates]
    warnings: list[EarlyWarning]


def error_rates(
    runs: Sequence[KnownRun], version: str, size: str, seeds: Sequence[int]
) -> ErrorRates:
    """Everything: what runs of one sort alone say where there is no other. Of policies that respond
    or of policies that act: the rules differ. Raises ValueError for no runs, and for both."""
    if not runs:
        raise ValueError("error rates need runs")
    names = _alarms_of(runs)
    judged = [decided(run.evidence) for run in runs]
    outcomes = [verdict.outcome for verdict in judged]
    by_others = _outcomes_by_others(runs)
    fired = [_alarming(verdict.arms[0].rules, names) for verdict in judged]
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

    rates = []
    for name in names:
        made = np.array([name in run.alarms for run in runs])
        sound = np.array(
            [not run.broken and name in names for run, names in zip(runs, known, strict=True)]
        )
        hit = np.array([name in names for names in fired])
        p_value, least = _kinds_p(runs, hit, made, sound)
        rates.append(
            AlarmRates(
                alarm=name,
                made_for=sorted({run.kind for run in runs if name in run.alarms}),
                caught=share(hit, made),
                false=share(hit, sound),
                threshold=THRESHOLDS.get(name),
                best=everything.get(name),
                p_value=p_value,
                beats_chance=None if least > SURE else False,
            )
        )
    tested = [one for one in rates if one.beats_chance is not None]
    sure = discoveries([one.p_value for one in tested if one.p_value is not None])
    believed = {one.alarm: found for one, found in zip(tested, sure, strict=True)}
    rates = [one.model_copy(update={"beats_chance": believed.get(one.alarm)}) for one in rates]
    return ErrorRates(
        version=version,
        size=size,
        seeds=list(seeds),
        broken={run.kind: run.broken for run in runs},
        expected={run.kind: list(run.expected) for run in runs},
        outcomes={kind: {o: found[o] for o in OUTCOMES} for kind, found in of_kind.items()},
        right_broken=share(right, broken),
        right_healthy=share(right, ~broken),
        missed=share([o == "worked" for o in outcomes], broken),
        false_alarms=share([o in BAD for o in outcomes], ~broken),
        unsaid=share(~said, broken),
        warned=share(said, ~broken),
        missed_chosen=share([o == "worked" for o in by_others], broken),
        false_chosen=share([o in BAD for o in by_others], ~broken),
        alarms=rates,
        warnings=early_warnings(runs),
    )  # fmt: skip


def _outcomes_by_others(runs: Sequence[KnownRun]) -> list[Outcome]:
    """The verdict on each run by thresholds chosen on the other kinds."""
    chosen = {kind: choose_thresholds(runs, kind) for kind in dict.fromkeys(r.kind for r in runs)}
    return [decided(run.evidence, chosen[run.kind]).outcome for run in runs]


def decided(evidence: Evidence | EpisodeEvidence, thresholds: Thresholds | None = None) -> Verdict:
    """The verdict on a run of either sort, by the thresholds in use where none are given."""
    if isinstance(evidence, EpisodeEvidence):
        return decide_episodes(evidence, evidence.environment, thresholds or THRESHOLDS)
    return decide(evidence) if thresholds is None else decide(evidence, None, thresholds)


def _alarms_of(runs: Sequence[KnownRun]) -> Sequence[str]:
    """Rules that speak against runs of this sort."""
    acts = {isinstance(run.evidence, EpisodeEvidence) for run in runs}
    if len(acts) > 1:
        raise ValueError("policies that respond and policies that act have rates of their own")
    return EPISODE_ALARMS if acts == {True} else alarms()


def _kinds_p(
    runs: Sequence[KnownRun], hit: np.ndarray, made: np.ndarray, sound: np.ndarray
) -> tuple[float | None, float]:
    """Fisher's exact test over kinds (`AlarmRates.p_value`), and the smallest p-value that so many
    kinds could have; (None, 1) without kinds of either sort."""
    table = []
    for among in (made, sound):
        share: dict[str, list[bool]] = {}
        for run, fired, counts in zip(runs, hit, among, strict=True):
            if counts:
                share.setdefault(run.kind, []).append(bool(fired))
        if not share:
            return None, 1.0
        most = sum(np.mean(fired) > 0.5 for fired in share.values())
        table.append([int(most), len(share) - int(most)])
    kinds = [sum(row) for row in table]
    found = float(fisher_exact(table, alternative="greater").pvalue)
    return found, 1 / comb(sum(kinds), kinds[0])


def _alarming(rules: Sequence[Rule], names: Sequence[str]) -> set[str]:
    return {rule.name for rule in rules if rule.fired} & set(names)


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
    """The threshold of each rule that has one, chosen on all kinds but one: see `choose`. Those in
    use where broken or healthy runs are all there is: nothing can be told apart."""
    used = [run for run in runs if run.kind != without]
    if len({run.broken for run in used}) < 2:
        return dict(THRESHOLDS)
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
    """The threshold from the one before upwards above which most of the broken and least of the
    healthy lie: the largest difference of the two shares (Youden 1950), and among equals the one
    nearest to what it was before, half-way between two values seen.

    Never downwards: a threshold is a size that matters (half of the variety is gone), which a small
    language in which healthy runs hardly differ cannot tell, and a dozen alarms, each as low as its
    own catches allow, together go off on healthy runs. Nothing moves without healthy runs."""
    if not healthy:
        return before
    seen = np.unique([*broken, *healthy])
    between = (seen[1:] + seen[:-1]) / 2
    candidates = [before, *(float(b) for b in between if b > before)]

    def worth(threshold: float) -> tuple[float, float]:
        caught = float((np.asarray(broken) > threshold).mean()) if len(broken) else 0.0
        false = float((np.asarray(healthy) > threshold).mean())
        return round(caught - false, 9), -abs(threshold - before)

    return max(candidates, key=worth)


def statistics(evidence: Evidence | EpisodeEvidence) -> dict[str, float]:
    """How alarming each rule finds the first arm, where it was measurable."""
    arm = decided(evidence).arms[0]
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


def signs(evidence: Evidence | EpisodeEvidence) -> dict[str, float]:
    """What could be seen of the first arm half-way, without gold; nothing where it was not examined
    on the way."""
    if isinstance(evidence, EpisodeEvidence):
        return {}
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


def with_rates(verdict: Verdict) -> Verdict:
    """The verdict with each alarm's measured rates beside it."""
    rates, alarming = measured(), set(alarms())
    return verdict.model_copy(
        update={
            "arms": [
                arm.model_copy(
                    update={
                        "rules": [
                            rule.model_copy(update={"in_known_runs": told(rule.name, rates)})
                            if rule.name in alarming
                            else rule
                            for rule in arm.rules
                        ]
                    }
                )
                for arm in verdict.arms
            ]
        }
    )


def told(alarm: str, rates: ErrorRates | None) -> str:
    """An alarm's measured rates, in words."""
    one = next((a for a in rates.alarms if a.alarm == alarm), None) if rates else None
    if one is None or (one.caught is None and one.false is None):
        return "not measured"
    parts: Mapping[str, Rate | None] = {"caught": one.caught, "false": one.false}
    said = [f"{name} {found.hits}/{found.runs}" for name, found in parts.items() if found]
    doubt = {True: [], False: ["not shown to beat chance"], None: ["too few kinds to tell"]}
    return ", ".join([*said, *doubt[one.beats_chance]])
