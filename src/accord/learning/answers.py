"""Ratings, thumbs and labels of steps as levels on scales."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from accord.errors import DataError
from accord.feedback.records import (
    AttributeComparison,
    Comparison,
    Feedback,
    Ranking,
    Rating,
    StepLabels,
    Thumb,
)
from accord.learning.judgements import RatingScale

MOST_LEVELS = 32
"""Scales with more different answers than this are refused: each needs a threshold."""
Key = tuple[str, float, float]
"""A scale: attribute, lowest and highest answer it allows."""
THUMB: Key = ("thumb", 0.0, 1.0)
STEP: Key = ("step", -1.0, 1.0)
ALWAYS = {THUMB: (0.0, 1.0), STEP: (-1.0, 1.0)}
"""Levels these scales have whether they occur or not."""


@dataclass(frozen=True)
class RatingScales:
    """The scales found in records; `left_out` counts answers that say nothing, by reason.

    facets: the objective that each scale is about, by number; None: the reward as a whole.
    """

    keys: tuple[Key, ...]
    scales: tuple[RatingScale, ...]
    facets: tuple[int | None, ...]
    left_out: dict[str, int]

    def levels(self, record: Feedback) -> list[tuple[int, int]]:
        """(scale, level) of each of the record's answers that can be used."""
        levels = []
        for key, value in answers(record):
            if key in self.keys:
                number = self.keys.index(key)
                levels.append((number, self.scales[number].levels.index(value)))
        return levels


def answers(record: Feedback) -> list[tuple[Key, float]]:
    """What a rating, a thumb or each step's label says, by scale."""
    choice = record.choice
    if isinstance(choice, Thumb):
        return [(THUMB, float(choice.up))]
    if isinstance(choice, Rating):
        return [((name, choice.low, choice.high), score) for name, score in choice.scores.items()]
    if isinstance(choice, StepLabels):
        return [(STEP, float(label)) for label in choice.labels]
    return []


def bad(record: Feedback) -> bool:
    """Whether none of the options would do."""
    choice = record.choice
    return (isinstance(choice, Comparison) and choice.both_bad) or (
        isinstance(choice, Ranking) and choice.all_bad
    )


def find_scales(records: Sequence[Feedback], objectives: Sequence[str] = ()) -> RatingScales:
    """One scale per attribute and range, its levels the answers that occur (of a thumb and of a
    step's label always good and bad).

    `objectives` are the attributes wanted; ratings of others, and scales on which everybody says
    the same, are left out and counted. Raises DataError for more than MOST_LEVELS different
    answers, for an objective without ratings, and for
    several attributes without objectives: one reward cannot be all of them.
    """
    counts: dict[Key, Counter[float]] = {}
    for record in records:
        for key, value in answers(record):
            if not all(map(math.isfinite, (*key[1:], value))):
                raise DataError(
                    f"record {record.id}: {key[0]} = {value} on [{key[1]}, {key[2]}] is not finite"
                )
            counts.setdefault(key, Counter())[value] += 1
    if THUMB in counts:  # "both bad" is a thumb down for both, "all bad" for all
        counts[THUMB][0.0] += sum(len(r.options) for r in records if bad(r))
    compared = {
        name
        for record in records
        if isinstance(record.choice, AttributeComparison)
        for name in record.choice.attributes
    }
    _check_attributes({key[0] for key in counts if key not in ALWAYS}, objectives, compared)
    keys, scales, facets, left_out = [], [], [], {}
    for key, level_counts in sorted(counts.items()):
        if objectives and key not in ALWAYS and key[0] not in objectives:
            left_out[f"rating of {key[0]}: no objective"] = level_counts.total()
            continue
        levels = tuple(sorted({*level_counts, *ALWAYS.get(key, ())}))
        if len(levels) > MOST_LEVELS:
            raise DataError(
                f"ratings of {key[0]} have {len(levels)} different values, at most {MOST_LEVELS}"
                " can be levels of a scale",
                "round them",
            )
        if len(levels) == 1:
            left_out[f"rating of {key[0]}: all are {levels[0]:g}"] = level_counts.total()
            continue
        keys.append(key)
        facets.append(
            objectives.index(key[0]) if len(objectives) > 1 and key not in ALWAYS else None
        )
        shares = tuple(level_counts[level] / level_counts.total() for level in levels)
        scales.append(RatingScale(_name(key), levels, shares, anchored=key == STEP))
    return RatingScales(tuple(keys), tuple(scales), tuple(facets), left_out)


def _check_attributes(names: set[str], objectives: Sequence[str], compared: set[str]) -> None:
    """names: attributes that are rated; compared: by which responses are compared."""
    if missing := sorted(set(objectives) - names - compared):
        by = f"; compared by: {', '.join(sorted(compared))}" if compared else ""
        raise DataError(
            f"nothing is rated for the objective {missing[0]!r}",
            f"rated are: {', '.join(sorted(names)) or 'none'}{by}",
        )
    if len(names) > 1 and not objectives:
        raise DataError(
            f"the ratings are of several attributes: {', '.join(sorted(names))}; one reward cannot"
            " be all of them",
            "name objectives and their weights, for example objectives: {"
            + sorted(names)[0]
            + ": 1.0}",
        )


def _name(key: Key) -> str:
    return key[0] if key in ALWAYS else f"{key[0]} {key[1]:g} to {key[2]:g}"
