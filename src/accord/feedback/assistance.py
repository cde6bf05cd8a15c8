"""Does help from a critic help? Judgements made with claims shown (arm critique), with the same
words about passages that nobody faulted (placebo) and without (none).

Recall: the share of known flaws found: marked, or confirmed by a claim that meets them. A flag that
is raised marks the whole response. Over-reliance: how often a wrong claim is agreed with
(confirmed, or its passage marked) where it is shown, less how often the same passage is marked
where it is not. Judgements are compared as they were drawn, whether the claims were asked for or
not. Every interval rests on how items differ (clusters), every difference on items that arms have
in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from accord.errors import DataError
from accord.feedback.meta import Arm, Assist, Passage
from accord.feedback.records import Feedback, Flags, Skip, Spans, content_id, plain
from accord.statistics.clusters import by_cluster, clustered_share, share_difference
from accord.statistics.intervals import Array, Index, Interval
from accord.statistics.means import Estimate, around_jackknife, clustered_mean

ARMS: tuple[Arm, ...] = get_args(Arm)
CONTRASTS: tuple[tuple[Arm, Arm], ...] = (("critique", "none"), ("critique", "placebo"))


@dataclass(frozen=True)
class AssistedJudgement:
    """One of them, counted. flaws, found: known ones; false_marks: marks and confirmed claims that
    meet no flaw; wrong, agreed: wrong claims of the critic, shown or not; shown_wrong, confirmed:
    wrong claims that were shown. None where the task has no marks, or flaws are not known."""

    item: str
    annotator: str
    arm: Arm
    opened: bool
    seconds: float | None
    correct: bool | None
    flaws: int | None
    found: int | None
    false_marks: int | None
    wrong: int | None
    agreed: int | None
    shown_wrong: int | None
    confirmed: int | None
    only_wrong: bool


@dataclass(frozen=True)
class ArmMeasures:
    """Of one arm. unopened: judgements sent without asking for the claims; confirmed_wrong: share
    of the wrong claims shown that were confirmed. None: not measurable here."""

    judgements: int
    items: int
    annotators: int
    unopened: int
    recall: Interval | None
    false_marks: Estimate | None
    seconds: Estimate | None
    accuracy: Interval | None
    confirmed_wrong: Interval | None


@dataclass(frozen=True)
class ArmContrast:
    """critique - another arm."""

    recall: Interval | None
    false_marks: Estimate | None
    seconds: Estimate | None
    accuracy: Interval | None


@dataclass(frozen=True)
class Assistance:
    """arms: by name; contrasts: critique less the arm named; over_reliance: see above; misled:
    accuracy on items whose claims are all wrong, critique - none; left_out: records, by reason;
    notes: why something is missing."""

    arms: dict[Arm, ArmMeasures]
    contrasts: dict[Arm, ArmContrast]
    over_reliance: Interval | None
    misled: Interval | None
    left_out: dict[str, int]
    notes: list[str]


def assistance(records: Sequence[Feedback]) -> Assistance:
    """Measure a study. Raises DataError where no record says which arm it was judged in."""
    judged, left_out = judgements_of(records)
    if not judged:
        raise DataError(
            "no judgement says which help it was made with (meta.assist)",
            "give the export of a studio project with the setting `assistance`",
        )
    rows = _Rows(judged)
    arms = {arm: _measures(rows, arm) for arm in ARMS if rows.count(arm)}
    contrasts = {b: _contrast(rows, a, b) for a, b in CONTRASTS if a in arms and b in arms}
    over = misled = None
    if "none" in contrasts:
        over = rows.difference("agreed", "wrong", "critique", "none")
        misled = rows.difference("right_if_wrong", "known_if_wrong", "critique", "none")
    return Assistance(arms, contrasts, over, misled, left_out, _notes(rows, arms))


def judgements_of(
    records: Sequence[Feedback],
) -> tuple[list[AssistedJudgement], dict[str, int]]:
    """The judgements of a study, and what was left out, by reason."""
    left_out: Counter[str] = Counter()
    judged = []
    for record in records:
        if "assist" not in record.meta:
            left_out["judged outside a study (no meta.assist)"] += 1
        elif "part" in record.meta:
            left_out["said beside another judgement of the same screen"] += 1
        elif isinstance(record.choice, Skip):
            left_out["skipped"] += 1
        else:
            judged.append(_judgement(record, Assist.model_validate(record.meta["assist"])))
    return judged, dict(left_out)


def _judgement(record: Feedback, assist: Assist) -> AssistedJudgement:
    marks, flaws = _marks(record), assist.flaws
    said = assist.said or [None] * len(assist.shown)
    confirmed = [c for c, answer in zip(assist.shown, said, strict=True) if answer == "confirm"]
    found = false = wrong = agreed = shown_wrong = wrong_confirmed = None
    only_wrong = False
    if flaws is not None:
        claims = [claim for claim in assist.critic if not assist.right(claim)]
        only_wrong = bool(assist.critic) and len(claims) == len(assist.critic)
        shown_wrong = sum(not assist.right(claim) for claim in assist.shown)
        wrong_confirmed = sum(not assist.right(claim) for claim in confirmed)
        if marks is not None:
            named = [*marks, *confirmed]
            found = sum(any(one.meets(flaw) for one in named) for flaw in flaws)
            off = [one for one in named if not assist.right(one)]
            false, wrong = len(off), len(claims)
            agreed = sum(any(one.meets(claim) for one in off) for claim in claims)
    return AssistedJudgement(
        item=str(record.meta.get("item") or content_id(record.prompt, *sorted(record.shown))),
        annotator=record.annotator,
        arm=assist.arm,
        opened=assist.opened_seconds is not None,
        seconds=record.active_seconds,
        correct=assist.correct,
        flaws=None if marks is None or flaws is None else len(flaws),
        found=found,
        false_marks=false,
        wrong=wrong,
        agreed=agreed,
        shown_wrong=shown_wrong,
        confirmed=wrong_confirmed,
        only_wrong=only_wrong,
    )


def _marks(record: Feedback) -> list[Passage] | None:
    """What the answer itself marks; None where its task has no marks."""
    choice = record.choice
    if isinstance(choice, Spans):
        (option,) = record.options
        return [Passage(option=option.id, start=s.start, end=s.end) for s in choice.spans]
    if isinstance(choice, Flags) and record.options:
        raised = any(answer is not False for answer in choice.flags.values())
        texts = {option.id: len(plain(option.content)) for option in record.options}
        return [Passage(option=i, start=0, end=n) for i, n in texts.items() if raised and n]
    return None


# --- sums by item and arm -------------------------------------------------------------------------
class _Rows:
    """Columns of numbers, summed by item within each arm."""

    def __init__(self, judged: Sequence[AssistedJudgement]) -> None:
        self.judged = judged
        names, self.item_J = np.unique([one.item for one in judged], return_inverse=True)
        self.items = len(names)
        self.arm_J = np.array([one.arm for one in judged])

    def count(self, arm: Arm) -> int:
        return int((self.arm_J == arm).sum())

    def column(self, name: str) -> Array:
        """[J]; not a number where it is not known."""
        take = _COLUMNS[name]
        values = [take(one) for one in self.judged]
        return np.array([np.nan if v is None else float(v) for v in values])

    def sums(self, above: str, below: str | None, arm: Arm) -> tuple[Array, Array]:
        """Sum of `above` and of `below` (of judgements, without) per item, where both are known."""
        above_J = self.column(above)
        below_J = np.ones(len(above_J)) if below is None else self.column(below)
        there_J = (self.arm_J == arm) & ~np.isnan(above_J) & ~np.isnan(below_J)
        rows_JX = np.stack([above_J, below_J], 1)[there_J]
        place_J: Index = self.item_J[there_J].astype(np.int64)
        sums_CX = by_cluster(rows_JX, place_J, self.items)
        return sums_CX[:, 0], sums_CX[:, 1]

    def share(self, above: str, below: str, arm: Arm) -> Interval | None:
        sums_C, sizes_C = self.sums(above, below, arm)
        there_C = sizes_C > 0
        return clustered_share(sums_C[there_C], sizes_C[there_C]) if there_C.any() else None

    def difference(self, above: str, below: str, arm: Arm, other: Arm) -> Interval | None:
        first, second = self.sums(above, below, arm), self.sums(above, below, other)
        if not first[1].any() or not second[1].any():
            return None
        there_C = (first[1] > 0) | (second[1] > 0)
        a, n, b, m = (part[there_C] for part in (*first, *second))
        return share_difference(a, n, b, m)

    def mean(self, name: str, arm: Arm) -> Estimate | None:
        values_J = self.column(name)
        there_J = (self.arm_J == arm) & ~np.isnan(values_J)
        if not there_J.any():
            return None
        return clustered_mean(values_J[there_J], self.item_J[there_J])

    def mean_difference(self, name: str, arm: Arm, other: Arm) -> Estimate | None:
        parts = [*self.sums(name, None, arm), *self.sums(name, None, other)]
        rows_CX = np.stack(parts, 1)
        if not rows_CX[:, 1].any() or not rows_CX[:, 3].any():
            return None
        rows_CX = rows_CX[(rows_CX[:, 1] > 0) | (rows_CX[:, 3] > 0)]
        if (np.count_nonzero(rows_CX[:, [1, 3]], axis=0) < 2).any():  # one item says it all
            value = float(_apart(rows_CX.sum(0)))
            return Estimate(value=value, error=None, low=None, high=None, n=1)
        return around_jackknife(rows_CX, _apart)


def _apart(sums_X: Array) -> Array:
    apart: Array = sums_X[..., 0] / sums_X[..., 1] - sums_X[..., 2] / sums_X[..., 3]
    return apart


_COLUMNS: dict[str, Callable[[AssistedJudgement], float | None]] = {
    "found": lambda one: one.found,
    "flaws": lambda one: one.flaws,
    "false_marks": lambda one: one.false_marks,
    "seconds": lambda one: one.seconds,
    "correct": lambda one: one.correct,
    "known": lambda one: None if one.correct is None else 1,
    "right_if_wrong": lambda one: one.correct if one.only_wrong else None,
    "known_if_wrong": lambda one: None if one.correct is None else 1,
    "agreed": lambda one: one.agreed,
    "wrong": lambda one: one.wrong,
    "confirmed": lambda one: one.confirmed,
    "shown_wrong": lambda one: one.shown_wrong,
}


def _measures(rows: _Rows, arm: Arm) -> ArmMeasures:
    own = [one for one in rows.judged if one.arm == arm]
    return ArmMeasures(
        judgements=len(own),
        items=len({one.item for one in own}),
        annotators=len({one.annotator for one in own}),
        unopened=sum(not one.opened for one in own),
        recall=rows.share("found", "flaws", arm),
        false_marks=rows.mean("false_marks", arm),
        seconds=rows.mean("seconds", arm),
        accuracy=rows.share("correct", "known", arm),
        confirmed_wrong=rows.share("confirmed", "shown_wrong", arm),
    )


def _contrast(rows: _Rows, arm: Arm, other: Arm) -> ArmContrast:
    return ArmContrast(
        recall=rows.difference("found", "flaws", arm, other),
        false_marks=rows.mean_difference("false_marks", arm, other),
        seconds=rows.mean_difference("seconds", arm, other),
        accuracy=rows.difference("correct", "known", arm, other),
    )


def _notes(rows: _Rows, arms: dict[Arm, ArmMeasures]) -> list[str]:
    """What cannot be said, and why."""
    judged, notes = rows.judged, []
    if "critique" not in arms or len(arms) == 1:
        (only, *_) = arms
        said = f"only the arm {only}" if len(arms) == 1 else "no judgement in the arm critique"
        notes.append(f"{said}: nothing to compare, so no uplift and no over-reliance")
    if rows.items == 1:
        notes.append("one item: no intervals")
    if all(one.flaws is None for one in judged):
        notes.append(
            "no recall: it takes items with known flaws (`flaws`, or claims with `planted`) and a"
            " task whose answers mark them (spans, flags)"
        )
    if all(one.correct is None for one in judged):
        notes.append("no accuracy: no item has a known answer (`gold`)")
    unopened = sum(one.unopened for one in arms.values())
    if unopened:
        notes.append(f"{unopened:,} sent without asking for the claims: they count in their arm")
    return notes
