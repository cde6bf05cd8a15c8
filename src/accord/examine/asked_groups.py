"""Whether groups of annotators take an arm's responses alike: what a verdict by all of them hides.

Answers count as they are, on the prompts that were asked: these were not drawn equally often
(`asked.asking_order`), so that a group's share is one among these prompts, and is compared with
what all others say of them. Suffix C: prompts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.examine.verdict import ArmVerdict, Rule, Verdict
from accord.feedback.representation import SMALLEST, UNKNOWN, groups_shown
from accord.statistics.clusters import clustered_share, share_difference
from accord.statistics.intervals import Array, Interval

LEVEL = 0.95
DIFFER = "groups of annotators differ"


@dataclass(frozen=True)
class PersonsAnswer:
    """One annotator's answer to one prompt. share: 1 for the arm's response, 0 for the other, .5
    for neither."""

    prompt: int
    annotator: str
    share: float


class GroupWins(BaseModel):
    """What the members of one group say. takes_it: share of their answers for the arm's response;
    apart: that less the others' on all prompts, None where there are no others; both as [value,
    low, high], ends None where one prompt alone was answered. differs: apart beyond chance, with as
    many comparisons as there are groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: str
    attribute: str
    group: str
    annotators: int
    answers: int
    prompts: int
    takes_it: tuple[float, float | None, float | None]
    apart: tuple[float, float | None, float | None] | None
    differs: bool


class GroupsOf(BaseModel):
    """Of an attribute: its groups, and how many annotators are in groups too small to be shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: str
    groups: list[GroupWins]
    hidden_annotators: int


def group_wins(
    arm: str,
    answers: Sequence[PersonsAnswer],
    attributes: Mapping[str, Mapping[str, str]],
    smallest: int = SMALLEST,
) -> list[GroupsOf]:
    """attributes: annotator -> attribute -> value, as far as they were given; annotators without
    one are a group of their own. Groups below `smallest` annotators are not shown."""
    names = sorted({name for given in attributes.values() for name in given})
    people = sorted({one.annotator for one in answers})
    found = []
    for name in names:
        of = {a: attributes.get(a, {}).get(name, UNKNOWN) for a in people}
        sizes = Counter(of.values())
        shown, hidden = groups_shown(sizes, smallest)
        level = 1 - (1 - LEVEL) / max(1, len(shown))
        found.append(
            GroupsOf(
                attribute=name,
                groups=[
                    _one(arm, name, group, sizes[group], answers, of, level)
                    for group in sorted(shown, key=lambda g: (-sizes[g], g))
                ],
                hidden_annotators=sum(sizes[group] for group in hidden),
            )
        )
    return found


def _one(
    arm: str,
    attribute: str,
    group: str,
    size: int,
    answers: Sequence[PersonsAnswer],
    of: Mapping[str, str],
    level: float,
) -> GroupWins:
    sums_C, sizes_C, other_sums_C, other_sizes_C = _by_prompt(answers, of, group)
    own = sizes_C > 0
    takes_it = clustered_share(sums_C[own], sizes_C[own])
    apart, differs = None, False
    if other_sizes_C.any():
        tables = (sums_C, sizes_C, other_sums_C, other_sizes_C)
        apart = share_difference(*tables)
        strict = share_difference(*tables, level=level)
        differs = bool(strict.low > 0 or strict.high < 0)
    return GroupWins(
        arm=arm,
        attribute=attribute,
        group=group,
        annotators=size,
        answers=int(sizes_C.sum()),
        prompts=int(own.sum()),
        takes_it=_plain(takes_it),
        apart=None if apart is None else _plain(apart),
        differs=differs,
    )


def _by_prompt(
    answers: Sequence[PersonsAnswer], of: Mapping[str, str], group: str
) -> tuple[Array, Array, Array, Array]:
    """Per prompt the sum and the number of the group's answers, and of all others'."""
    rows: dict[int, Array] = defaultdict(lambda: np.zeros(4))
    for one in answers:
        at = 0 if of[one.annotator] == group else 2
        rows[one.prompt][at : at + 2] += (one.share, 1)
    table = np.array([rows[prompt] for prompt in sorted(rows)])
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def _plain(found: Interval) -> tuple[float, float | None, float | None]:
    low, high = (float(end) if np.isfinite(end) else None for end in (found.low, found.high))
    return float(found.value), low, high


def with_groups(verdict: Verdict, found: Mapping[str, Sequence[GroupsOf]]) -> Verdict:
    """The verdict with a rule per arm beside its outcome: whether groups differ beyond chance."""
    arms = [
        arm.model_copy(update={"rules": [*arm.rules, _rule(arm, found[arm.arm])]})
        if arm.arm in found
        else arm
        for arm in verdict.arms
    ]
    return verdict.model_copy(update={"arms": arms})


def _rule(arm: ArmVerdict, found: Sequence[GroupsOf]) -> Rule:
    groups = [one for attribute in found for one in attribute.groups]
    apart = [one for one in groups if one.differs]
    told = "; ".join(
        f"{one.attribute} {one.group} takes {arm.arm} on {one.takes_it[0]:.0%}, others on"
        f" {one.takes_it[0] - one.apart[0]:.0%}"
        for one in apart
        if one.apart is not None
    )
    names = ", ".join(one.attribute for one in found)
    return Rule(
        name=DIFFER,
        fired=bool(apart),
        statement=told or f"no difference beyond chance between groups by {names}",
    )
