"""What a project's answers are worth, while they come in: the functions of accord.feedback over its
records.

What cannot be measured says why instead. cache.py computes these parts beside the server and keeps
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Generic, TypeVar

from sqlalchemy import select

from accord.errors import DataError
from accord.feedback.agreement_kinds import measure_all
from accord.feedback.annotator_model import estimate
from accord.feedback.drift import drift
from accord.feedback.gold_checks import DetectionPower, GoldRule, detection_power
from accord.feedback.poisoning import Poisoning, VotesAlike, check_poisoning, votes_alike
from accord.feedback.position import PositionBias, position_bias
from accord.feedback.records import Feedback
from accord.feedback.scales import attributes, rating_scales
from accord.feedback.tastes import Tastes, tastes
from accord.feedback.votes import Objects
from accord.statistics.intervals import Z95, Interval, share
from accord.studio.people.members import members, settings_of
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Item, Project

T = TypeVar("T")


@dataclass(frozen=True)
class LiveAnswer:
    """One live answer. record: the main one; `annotator` in it is the account's public id, also of
    imported judgements."""

    id: str
    item: str
    annotator: str
    purpose: str
    correct: bool | None
    created_at: float
    active_seconds: float
    selected_by: str
    records: list[Feedback]


@dataclass(frozen=True)
class ProjectSnapshot:
    """A project's live answers, who gave them, and who is trusted or kept aside."""

    project_id: int
    answers: list[LiveAnswer]
    names: dict[str, str]
    states: dict[str, str]
    trusted: frozenset[str]
    gold_rate: float
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    population: dict[str, dict[str, float]] = field(default_factory=dict)

    def records(self, quarantined: bool = False) -> list[Feedback]:
        """Records of the work (no gold), oldest first; of quarantined members only if asked for."""
        return [
            record
            for answer in self.answers
            if answer.purpose == "work"
            and (quarantined or self.states.get(answer.annotator) != "quarantined")
            for record in answer.records
        ]

    @property
    def objects(self) -> Objects:
        """What votes are on: the producers where options name them, else the options themselves."""
        named = [o.producer for a in self.answers for r in a.records for o in r.options]
        return (
            "producer"
            if named and sum(p is not None for p in named) > 0.5 * len(named)
            else "option"
        )


def load(db: Database, project_id: int) -> ProjectSnapshot:
    """Read it all in one view of the database."""
    query = (
        select(
            Answer.id,
            Item.key,
            Account.public,
            Item.purpose,
            Answer.correct,
            Answer.created_at,
            Answer.active_seconds,
            Item.selected_by,
            Answer.records,
        )
        .join(Item, Item.id == Answer.item_id)
        .join(Account, Account.id == Answer.account_id)
        .where(Answer.project_id == project_id, Answer.state == "live")
        .order_by(Answer.created_at, Answer.id)
        .execution_options(yield_per=500)
    )
    with db.read() as session:
        settings = settings_of(session.get_one(Project, project_id))
        people = members(session, project_id)
        answers = [
            LiveAnswer(
                number,
                key,
                public,
                purpose,
                correct,
                at,
                seconds,
                arm,
                [_named(record, public) for record in records],
            )
            for number, key, public, purpose, correct, at, seconds, arm, records in session.execute(
                query
            )
        ]
    return ProjectSnapshot(
        project_id,
        answers,
        {a.public: a.name for _, a in people},
        {a.public: m.state for m, a in people},
        frozenset(a.public for m, a in people if m.trusted),
        settings.gold_rate,
        {
            a.public: {k: str(v) for k, v in a.attributes.items() if k != "kind" and v}
            for _, a in people
        },
        settings.population,
    )


def _named(raw: dict[str, Any], public: str) -> Feedback:
    """A stored record under its author's public id, without the gold mark: the tests want the
    choice there."""
    meta = {key: value for key, value in raw.get("meta", {}).items() if key != "gold"}
    return Feedback.model_validate({**raw, "annotator": public, "meta": meta})


@dataclass(frozen=True)
class Measured(Generic[T]):
    """A result, or why there is none."""

    value: T | None = None
    why: str | None = None


def measured(work: Callable[[], T]) -> Measured[T]:
    """The result of `work`; the reason where the data do not allow it."""
    try:
        return Measured(work())
    except DataError as error:
        return Measured(
            None, error.message if error.fix is None else f"{error.message} ({error.fix})"
        )


# --- the parts ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ScaleAgreement:
    """Agreement on something rated, flagged or labelled."""

    what: str
    alpha: Interval | None
    same: Interval
    ceiling: Interval | None
    units: int


@dataclass(frozen=True)
class Overview:
    """agreement: of choices (alpha, with ties, strict, ceiling for a reward model); per_day:
    answers of the last 14 days;
    speed: answers per hour of active time; seconds: median per answer; gold: share right."""

    agreement: Measured[dict[str, Interval]]
    units: int
    scales: list[ScaleAgreement]
    position: Measured[PositionBias]
    per_day: list[int]
    seconds: float | None
    hours: float
    gold: Interval | None
    gold_asked: int
    power: DetectionPower | None


def overview(snapshot: ProjectSnapshot, now: float) -> Overview:
    """The dashboard's numbers, over what would be exported."""
    records = snapshot.records()
    agreement = measured(lambda: measure_all(records))
    choices = agreement.value.choices if agreement.value is not None else None
    intervals: Measured[dict[str, Interval]] = Measured(
        None, agreement.why or "no pair of options was judged by two people"
    )
    if choices is not None:
        names = {
            "alpha": choices.alpha,
            "with_ties": choices.with_ties,
            "strict": choices.strict,
            "ceiling": choices.ceiling,
        }
        why = choices.not_measurable.get("strict")
        intervals = Measured(names) if why is None else Measured(None, why)
    scales = (
        []
        if agreement.value is None
        else [
            ScaleAgreement(s.what, s.alpha, s.same, s.ceiling, s.units)
            for s in agreement.value.scales
        ]
    )
    days = [int((now - answer.created_at) // 86400) for answer in snapshot.answers]
    seconds = [answer.active_seconds for answer in snapshot.answers if answer.active_seconds > 0]
    checked = [
        a.correct
        for a in snapshot.answers
        if a.correct is not None and snapshot.states.get(a.annotator) != "quarantined"
    ]
    power = detection_power(snapshot.gold_rate) if snapshot.gold_rate else None
    return Overview(
        intervals,
        choices.units if choices is not None else 0,
        scales,
        measured(lambda: position_bias(records, snapshot.objects)),
        [days.count(day) for day in range(13, -1, -1)],
        median(seconds) if seconds else None,
        sum(seconds) / 3600,
        share(sum(checked), len(checked)) if checked else None,
        len(checked),
        power,
    )


@dataclass(frozen=True)
class Forecast:
    """Days until every slot is filled at the pace of the last week, with a 95 % interval (counts
    are Poisson)."""

    remaining: int
    per_day: float
    days: Interval | None


def forecast(remaining: int, per_day: Sequence[int]) -> Forecast:
    """From the answers of the last seven days, or of those since the first answer; None while there
    were none."""
    begun = next((day for day, count in enumerate(per_day) if count), len(per_day))
    days = min(7, max(1, len(per_day) - begun))
    week = sum(per_day[-days:])
    if not week or not remaining:
        return Forecast(remaining, week / days, None)
    half = Z95 * week**0.5
    low, high = max(week - half, 0.5), week + half
    left = days * remaining
    return Forecast(remaining, week / days, Interval(left / week, left / high, left / low))


@dataclass(frozen=True)
class AnnotatorRow:
    """One annotator. rationality, side: of the choice model; offset: of ratings, against the
    crowd's; gold: share right and the sequential test's state; drift: signals that alarm; finding:
    what stands out, in words."""

    annotator: str
    name: str
    state: str
    trusted: bool
    answers: int
    seconds: float | None
    rationality: Interval | None = None
    side: Interval | None = None
    offset: Interval | None = None
    gold: Interval | None = None
    gold_state: str | None = None
    drift: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class People:
    """Annotators, those with findings first; why what was not measured was not."""

    rows: list[AnnotatorRow]
    model: Measured[int]
    watched: Measured[int]
    attribute: str | None


def people(snapshot: ProjectSnapshot) -> People:
    """Every annotator with answers, quarantined ones too, compared with everybody."""
    records = snapshot.records(quarantined=True)
    model = measured(lambda: estimate(records))
    of_model = {} if model.value is None else {a.annotator: a for a in model.value.annotators}
    gold = {
        a.records[0].id: a.correct for a in snapshot.answers if a.records and a.correct is not None
    }
    dated = [r for a in snapshot.answers for r in a.records[:1]]
    watched = measured(lambda: drift(dated, snapshot.objects, gold))
    drifts = {} if watched.value is None else {d.annotator: d for d in watched.value.annotators}
    rated = attributes(records)
    scales = (
        measured(lambda: rating_scales(records, rated[0]))
        if rated
        else Measured[Any](None, "nothing was rated")
    )
    offsets = {} if scales.value is None else {s.annotator: s for s in scales.value.annotators}
    by_person: dict[str, list[LiveAnswer]] = {}
    for answer in snapshot.answers:
        by_person.setdefault(answer.annotator, []).append(answer)
    rows = []
    for public, mine in sorted(by_person.items()):
        times = [a.active_seconds for a in mine if a.active_seconds > 0]
        checks = [a.correct for a in mine if a.correct is not None]
        state = GoldRule().state(checks) if checks else None
        guessed, moved, scale = of_model.get(public), drifts.get(public), offsets.get(public)
        alarms = (
            [s.name for s in moved.signals if s.alarm] if moved is not None and moved.alarm else []
        )
        findings = [guessed.reason] if guessed is not None and guessed.flag != "ok" else []
        findings += ["fails known answers"] if state == "flagged" else []
        findings += [f"changed: {', '.join(alarms)}"] if alarms else []
        rows.append(
            AnnotatorRow(
                public,
                snapshot.names.get(public, public),
                snapshot.states.get(public, "active"),
                public in snapshot.trusted,
                len(mine),
                median(times) if times else None,
                *((None, None) if guessed is None else guessed.told()),
                None
                if scale is None or scales.value is None
                else _less(scale.offset, scales.value.offset),
                share(sum(checks), len(checks)) if checks else None,
                state,
                alarms,
                findings,
            )
        )
    rows.sort(key=lambda row: (not row.findings, -row.answers))
    return People(
        rows,
        Measured(None if model.value is None else model.value.records, model.why),
        Measured(None if watched.value is None else len(watched.value.annotators), watched.why),
        rated[0] if rated else None,
    )


def _less(interval: Interval, by: float) -> Interval:
    return Interval(interval.value - by, interval.low - by, interval.high - by)


def groups(snapshot: ProjectSnapshot) -> Measured[Tastes]:
    """Groups of taste, by a mixture."""
    return measured(lambda: tastes(snapshot.records(), snapshot.objects))


@dataclass(frozen=True)
class Integrity:
    """The score test with the trusted members as reference (without any: fitted to the others), and
    who votes alike."""

    poisoning: Measured[Poisoning]
    alike: Measured[list[VotesAlike]]
    trusted: int


def integrity(snapshot: ProjectSnapshot) -> Integrity:
    """Votes for sale, over everybody's votes."""
    records = snapshot.records(quarantined=True)
    voted = {r.annotator for r in records}
    trusted = snapshot.trusted & voted
    return Integrity(
        measured(lambda: check_poisoning(records, trusted or None, snapshot.objects)),
        measured(lambda: votes_alike(records)),
        len(trusted),
    )
