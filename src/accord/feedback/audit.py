"""Everything that is known against a set of judgements, at once: all measures, and the alarms that
they raise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, TypeVar

import numpy as np

from accord.collector import without_collector
from accord.errors import DataError
from accord.feedback.agreement_kinds import CHOICES, AgreementReport, measure_all
from accord.feedback.annotator_model import CrowdEstimate, estimate
from accord.feedback.drift import TIME_NAME, DriftReport, drift
from accord.feedback.gold_checks import GoldRule, GoldScore, gold_results, score_gold
from accord.feedback.poisoning import Poisoning, VotesAlike, check_votes, votes_alike
from accord.feedback.position import PositionBias, position_bias
from accord.feedback.ratings import Ratings, RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.representation import Representation, representation
from accord.feedback.scales import AnnotatorScales, ScaleModel, attributes, rating_scales
from accord.feedback.tastes import Tastes, tastes_of_several
from accord.feedback.votes import Objects, Votes, doubt_of, votes_of
from accord.statistics.intervals import Interval, around

T = TypeVar("T")
MOST_RECORDS = 20_000
"""Records beyond which annotators' effects within prompts are not integrated out (minutes); their
reliability is."""
UNRELIABLE = 0.25
"""Times the typical reliability below which, with its whole interval, an annotator is named."""


@dataclass(frozen=True)
class Alarm:
    """area: which measure; subject: annotator, group or the whole set; finding: in words, with its
    numbers."""

    area: Literal[
        "position", "annotator", "drift", "poisoning", "gold", "groups", "scale", "accounts"
    ]
    subject: str
    finding: str


@dataclass(frozen=True)
class Reliability:
    """One annotator's reliability over producers, times the typical one's."""

    annotator: str
    times_typical: Interval


@dataclass(frozen=True)
class Audit:
    """objects: what votes were scored as; not_done: measures that these records do not allow, and
    why; alarms: the findings that should not be passed over, in order of area. The rest is what
    each measure returned."""

    records: int
    people: int
    objects: Objects
    alarms: list[Alarm]
    not_done: dict[str, str]
    agreement: AgreementReport
    position: PositionBias | None
    annotators: CrowdEstimate | None
    reliability: list[Reliability] | None
    drift: DriftReport
    poisoning: Poisoning | None
    accounts: list[VotesAlike]
    gold: list[GoldScore]
    groups: Tastes | None
    scales: list[AnnotatorScales]
    representation: list[Representation]


@without_collector()
def audit(
    records: Sequence[Feedback],
    trusted: Collection[str] | None = None,
    rule: GoldRule | None = None,
    self_described: Mapping[str, Mapping[str, str]] | None = None,
    gold: Mapping[str, bool] | None = None,
    seed: int = 0,
    scale_model: ScaleModel | None = None,
) -> Audit:
    """Measure all. trusted: annotators whose votes poisoning is tested against; self_described:
    annotator -> attribute -> value; gold: record id -> passed, where `meta["gold"]` does not carry
    the expected choice; scale_model: of ratings, see `scales.fit_scales`. Raises DataError when
    there are no records, or a gold item or flag cannot be read."""
    if not records:
        raise DataError("there is nothing to audit", "import records first: accord feedback import")
    objects = scored_objects(records)
    not_done: dict[str, str] = {}

    def attempt(what: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except DataError as error:
            not_done[what] = error.message
            return None

    rated = [
        attempt(f"scale of {name}", partial(rating_scales, records, name, scale_model))
        for name in attributes(records)
    ]
    results = gold_results(records) if gold is None else gold
    hidden = sum(r.meta.get("gold") is True and r.id not in results for r in records)
    if hidden:
        not_done["gold"] = (
            f"{hidden:,} gold records do not carry the expected choice, and no results were"
            " handed in"
        )
    scored = score_gold(records, rule, results)
    counted = _Counted(records, objects)
    result = Audit(
        len(records),
        len({r.annotator for r in records}),
        objects,
        [],
        not_done,
        measure_all(records),
        attempt("position", lambda: position_bias(records, objects)),
        attempt("annotators", lambda: _annotators(records)),
        attempt("reliability", lambda: _reliability(counted.weighted))
        if objects == "producer"
        else None,
        drift(records, objects, results, seed, lambda: counted.plain),
        attempt("poisoning", lambda: check_votes(counted.plain, trusted)),
        votes_alike(records),
        scored,
        attempt("groups", lambda: tastes_of_several(counted.weighted, seed=seed)),
        [scale for scale in rated if scale],
        representation(records, self_described or {}),
    )
    result.alarms.extend(
        [
            *_position(result.position),
            *_gold(scored),
            *_people(result.annotators, result.reliability),
            *_drift(result.drift),
            *_poisoning(result.poisoning),
            *_accounts(result.accounts),
            *_groups(result.groups),
            *_scales(result.scales),
        ]
    )
    return result


def scored_objects(records: Sequence[Feedback]) -> Objects:
    """ "producer" where most choices are between different named producers, else "option" (within
    its prompt)."""
    choices = [r for r in records if r.kind in CHOICES]
    named = sum(len({o.producer for o in r.options if o.producer}) > 1 for r in choices)
    return "producer" if 2 * named > len(choices) else "option"


def _annotators(records: Sequence[Feedback]) -> CrowdEstimate:
    if len(records) > MOST_RECORDS:
        raise DataError(
            f"{len(records):,} records; up to {MOST_RECORDS:,} are integrated over within prompts"
        )
    return estimate(records)


class _Counted:
    """The votes that several measures rest on, counted once; raises DataError without any."""

    def __init__(self, records: Sequence[Feedback], objects: Objects) -> None:
        self._records, self._objects = records, objects

    @cached_property
    def plain(self) -> Votes:
        """Every record the one answer that it names."""
        return votes_of(self._records, self._objects, weighted=False)[0]

    @cached_property
    def weighted(self) -> Votes:
        """By weights and soft labels."""
        if all(record.weight == 1.0 and not doubt_of(record) for record in self._records):
            return self.plain
        return votes_of(self._records, self._objects)[0]


def reliability(records: Sequence[Feedback]) -> list[Reliability]:
    """Of every annotator, from a fit of the producers' scores. Raises DataError when fewer than two
    annotators voted."""
    return _reliability(votes_of(records)[0])


def _reliability(votes: Votes) -> list[Reliability]:
    ratings = fit(votes, RatingSettings())
    if len(ratings.annotators) < 2:
        raise DataError(
            "one annotator: reliability is relative to others'",
            "collect with an overlap of 2 or more",
        )
    return reliability_of(ratings)


def reliability_of(ratings: Ratings) -> list[Reliability]:
    """The same from a fit."""
    return [
        Reliability(name, around(a, error).mapped(np.exp))
        for name, a, error in zip(
            ratings.annotators,
            ratings.log_reliability_A,
            ratings.log_reliability_error_A,
            strict=True,
        )
    ]


def _position(bias: PositionBias | None) -> list[Alarm]:
    if bias is None:
        return []
    alarms = []
    if bias.alarm:
        way, part = "first" if bias.pull.value > 0 else "last", bias.first_share
        alarms.append(
            Alarm(
                "position",
                "everybody",
                f"what is shown {way} gains {abs(bias.pull.value):.3f} logits (z = {bias.z:.1f});"
                f" the first place won {part.value:.1%} [{part.low:.1%}, {part.high:.1%}] of"
                f" {bias.decided:,} decided pairs",
            )
        )
    for row in bias.annotators:
        if row.alarm:
            part = row.first_share
            text = (
                f"prefers the first place in {part.value:.0%} [{part.low:.0%}, {part.high:.0%}] of"
                " decided comparisons"
            )
            alarms.append(Alarm("position", row.annotator, text))
    return alarms


def _gold(gold_scores: Sequence[GoldScore]) -> list[Alarm]:
    return [
        Alarm(
            "gold",
            g.annotator,
            f"passed {g.passed.value:.0%} [{g.passed.low:.0%}, {g.passed.high:.0%}] of {g.asked}"
            " gold items",
        )
        for g in gold_scores
        if g.state == "flagged"
    ]


def _people(crowd: CrowdEstimate | None, reliability: Sequence[Reliability] | None) -> list[Alarm]:
    flagged = (
        [Alarm("annotator", a.annotator, a.reason) for a in crowd.annotators if a.flag != "ok"]
        if crowd
        else []
    )
    named = {alarm.subject for alarm in flagged}
    for row in reliability or ():
        r = row.times_typical
        if r.high < UNRELIABLE and row.annotator not in named:
            text = f"reliability {r.value:.2f} [{r.low:.2f}, {r.high:.2f}] times the typical one's"
            flagged.append(Alarm("annotator", row.annotator, text))
    return flagged


def _drift(report: DriftReport) -> list[Alarm]:
    alarms = []
    for row in report.annotators:
        for s in row.signals if row.alarm else ():
            if s.alarm and s.before and s.after:
                unit = " seconds" if s.name == TIME_NAME else ""
                text = (
                    f"{s.name} changed about judgement {s.changed_at} (noticed at {s.detected_at}):"
                    f" {s.before.value:.2f}{unit} [{s.before.low:.2f}, {s.before.high:.2f}] before,"
                    f" {s.after.value:.2f}{unit} [{s.after.low:.2f}, {s.after.high:.2f}] after; p ="
                    f" {s.p_value:.3f}"
                )
                alarms.append(Alarm("drift", row.annotator, text))
    return alarms


def _poisoning(result: Poisoning | None) -> list[Alarm]:
    return [Alarm("poisoning", s.annotator, s.reason) for s in result.quarantine] if result else []


def _accounts(accounts: Sequence[VotesAlike]) -> list[Alarm]:
    return [
        Alarm(
            "accounts",
            " and ".join(v.annotators),
            f"gave the same answer on {v.same} of {v.common} common pairs (expected"
            f" {v.expected:.0%}); a hint, not proof",
        )
        for v in accounts
    ]


def _groups(mixture: Tastes | None) -> list[Alarm]:
    if mixture is None or len(mixture.groups) < 2:
        return []
    shares = ", ".join(
        f"{g.share.value:.0%} [{g.share.low:.0%}, {g.share.high:.0%}]" for g in mixture.groups
    )
    text = (
        f"{len(mixture.groups)} groups prefer differently ({shares}); they differ on"
        f" {len(mixture.disputed):,} pairs"
    )
    return [Alarm("groups", "everybody", text)]


def _scales(fits: Sequence[AnnotatorScales]) -> list[Alarm]:
    """Scales whose whole interval lies below a quarter of the crowd's: ratings that say next to
    nothing of the item."""
    return [
        Alarm(
            "scale",
            a.annotator,
            f"uses {a.scale.value:.2f} [{a.scale.low:.2f}, {a.scale.high:.2f}] points of"
            f" {s.attribute} per standard deviation of the items, the crowd {s.scale:.2f}",
        )
        for s in fits
        for a in s.annotators
        if a.scale.high < UNRELIABLE * s.scale
    ]
