"""What a critic's claims changed, for the page about it: what `accord feedback assistance` prints
of a project's export, while answers come in."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal

from accord.feedback.assistance import ArmContrast, ArmMeasures, assistance
from accord.statistics.intervals import Interval
from accord.statistics.means import Estimate
from accord.studio.quality.measures import Measured, ProjectSnapshot, measured

Form = Literal["share", "number"]
ROWS: tuple[tuple[str, Form], ...] = (
    ("recall", "share"),
    ("false_marks", "number"),
    ("seconds", "number"),
    ("accuracy", "share"),
)
"""Measures of an arm that two arms are compared by."""


@dataclass(frozen=True)
class AssistedRow:
    """One measure: its name, how it is written, and per column its value; None: not measurable."""

    name: str
    form: Form
    values: list[Interval | None]


@dataclass(frozen=True)
class AssistedTables:
    """arms: names of the first table's columns, with (judgements, items, annotators) of each;
    against: what the arm critique is held against, the second table's columns; over_reliance,
    misled: critique less none; left_out: judgements, by reason; notes: why something is missing."""

    arms: dict[str, tuple[int, int, int]]
    measures: list[AssistedRow]
    against: list[str]
    differences: list[AssistedRow]
    over_reliance: Interval | None
    misled: Interval | None
    left_out: dict[str, int]
    notes: list[str]


def assisted(snapshot: ProjectSnapshot) -> Measured[AssistedTables]:
    """Over all live answers, those about known answers too, but for quarantined annotators'."""
    records = [
        record
        for answer in snapshot.answers
        if answer.purpose != "screening" and snapshot.states.get(answer.annotator) != "quarantined"
        for record in answer.records
    ]

    def tables() -> AssistedTables:
        found = assistance(records)
        arms, contrasts = list(found.arms.values()), list(found.contrasts.values())
        whole: tuple[tuple[str, Form], ...] = (*ROWS, ("confirmed_wrong", "share"))
        return AssistedTables(
            {name: (a.judgements, a.items, a.annotators) for name, a in found.arms.items()},
            [_row(name, form, arms) for name, form in whole],
            list(found.contrasts),
            [_row(name, form, contrasts) for name, form in ROWS],
            found.over_reliance,
            found.misled,
            found.left_out,
            found.notes,
        )

    return measured(tables)


def _row(name: str, form: Form, columns: list[ArmMeasures] | list[ArmContrast]) -> AssistedRow:
    return AssistedRow(name, form, [_interval(getattr(one, name)) for one in columns])


def _interval(value: Interval | Estimate | None) -> Interval | None:
    if not isinstance(value, Estimate):
        return value
    if value.low is None or value.high is None:
        return Interval(value.value, nan, nan)
    return Interval(value.value, value.low, value.high)
