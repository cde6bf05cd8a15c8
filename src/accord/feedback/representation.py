"""Whose judgements are these? Coverage of self-described groups, and agreement within and between
them.

Attributes are given by the annotators themselves, are optional, and never leave this table for
groups smaller than k: such groups are counted together as "suppressed", and so is one more when the
suppressed number alone would give a size away.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import ConfigError
from accord.feedback.agreement import TIE, pair_votes
from accord.feedback.records import Feedback
from accord.statistics.clusters import clustered_share, share_difference
from accord.statistics.intervals import Array, Interval, share

UNKNOWN = "not said"
SMALLEST = 5


@dataclass(frozen=True)
class GroupCoverage:
    """annotators and judgements of one group; population: its share where that is known, else None;
    within: share of pairs of its members that agree on what both decided; between: the same with
    one from each of two groups; None where nobody met; apart: within - between, None where either
    is."""

    group: str
    annotators: int
    share_of_annotators: Interval
    judgements: int
    share_of_judgements: float
    population: float | None
    within: Interval | None
    between: Interval | None
    apart: Interval | None


@dataclass(frozen=True)
class Representation:
    """One attribute: its groups, the largest first; suppressed: groups below `smallest` and how
    many annotators they hold together; said: share of annotators who gave the attribute; absent:
    groups of the population that are not among those shown (nobody, or too few to show), with their
    shares of it."""

    attribute: str
    groups: list[GroupCoverage]
    suppressed_groups: int
    suppressed_annotators: int
    said: Interval
    smallest: int
    absent: dict[str, float]


def representation(
    records: Sequence[Feedback],
    attributes: Mapping[str, Mapping[str, str]],
    smallest: int = SMALLEST,
    population: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Representation]:
    """attributes: annotator -> attribute -> value, as far as they were given. population: attribute
    -> value -> share.

    Raises ConfigError for `smallest` below 2: a group of one is a person.
    """
    if smallest < 2:
        raise ConfigError(f"groups of {smallest} are single people", f"use {SMALLEST} or more")
    judged = Counter(record.annotator for record in records)
    names = sorted({name for given in attributes.values() for name in given})
    votes = pair_votes(records) if names else {}
    return [
        _one(
            name,
            judged,
            votes,
            {a: given[name] for a, given in attributes.items() if name in given},
            smallest,
            (population or {}).get(name, {}),
        )
        for name in names
    ]


def _one(
    name: str,
    judged: Counter[str],
    votes: Mapping[tuple[str, str, str], Mapping[str, float]],
    value_of: Mapping[str, str],
    smallest: int,
    population: Mapping[str, float],
) -> Representation:
    people = Counter(value_of.get(a, UNKNOWN) for a in judged)
    known = len(judged) - people[UNKNOWN]
    shown, hidden = groups_shown(people, smallest)
    of = {a: value_of.get(a, UNKNOWN) for a in judged}
    agreement = agreement_of_groups(votes, of, shown)
    total = sum(judged.values())
    groups = []
    for group in sorted(shown, key=lambda g: (-people[g], g)):
        work = sum(n for a, n in judged.items() if of[a] == group)
        groups.append(
            GroupCoverage(
                group,
                people[group],
                share(people[group], len(judged)),
                work,
                work / total,
                population.get(group),
                *agreement[group],
            )
        )
    return Representation(
        name,
        groups,
        len(hidden),
        sum(people[g] for g in hidden),
        share(known, len(judged)),
        smallest,
        {group: part for group, part in population.items() if group not in shown},
    )


def groups_shown(people: Counter[str], smallest: int) -> tuple[list[str], list[str]]:
    """Groups to show and to hide. A single hidden group, or few hidden people, could be read off
    the total: the next smallest groups are hidden with them."""
    order = sorted((g for g in people if people[g]), key=lambda g: (people[g], g))
    hidden = [g for g in order if people[g] < smallest]
    while (
        hidden
        and len(hidden) < len(order)
        and (len(hidden) == 1 or sum(people[g] for g in hidden) < smallest)
    ):
        hidden = order[: len(hidden) + 1]
    return [g for g in order if g not in hidden], hidden


def agreement_of_groups(
    votes: Mapping[tuple[str, str, str], Mapping[str, float]],
    of: Mapping[str, str],
    shown: Sequence[str],
) -> dict[str, tuple[Interval | None, Interval | None, Interval | None]]:
    """Per group (within, between, their difference), intervals over prompts. Rows: pairs and
    agreeing pairs of either sort."""
    rows: dict[str, dict[str, Array]] = {g: defaultdict(lambda: np.zeros(4)) for g in shown}
    for (prompt, _, _), given in sorted(votes.items()):
        decided = [(of[a], v) for a, v in given.items() if v != TIE]
        tally: dict[str, Counter[float]] = defaultdict(Counter)
        for group, v in decided:
            tally[group][v] += 1
        everyone: Counter[float] = Counter(v for _, v in decided)
        for group, counts in tally.items():
            if group in rows:
                n = sum(counts.values())
                others = everyone - counts
                rows[group][prompt] += (
                    n * (n - 1) / 2,
                    sum(c * (c - 1) / 2 for c in counts.values()),
                    n * sum(others.values()),
                    sum(c * others[v] for v, c in counts.items()),
                )
    return {group: _rates(np.array(list(rows[group].values())).reshape(-1, 4)) for group in shown}


def _rates(rows_P4: Array) -> tuple[Interval | None, Interval | None, Interval | None]:
    """Agreeing pairs per pair within and between, and the difference."""
    pairs_P, equal_P, pairs_between_P, equal_between_P = rows_P4.T
    rates = [
        clustered_share(equal[pairs > 0], pairs[pairs > 0]) if pairs.any() else None
        for pairs, equal in ((pairs_P, equal_P), (pairs_between_P, equal_between_P))
    ]
    apart = (
        share_difference(equal_P, pairs_P, equal_between_P, pairs_between_P)
        if None not in rates
        else None
    )
    return rates[0], rates[1], apart
