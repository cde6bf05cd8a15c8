"""Cells of how annotators use a rating scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import logistic, norm

from accord.feedback.agreement_kinds import Votes
from accord.feedback.scales import AnnotatorScales, fit_scales
from accord.statistics.intervals import Array, Interval
from benchmarks.coverage.registry import Cell, Drawn, add

ERRORS = {"logistic": logistic(scale=np.sqrt(3) / np.pi), "normal": norm}
"""Of standard deviation 1."""
TOP = 5
"""Ratings are rounded and clipped to 1..TOP."""


def expected(t: Array | float, offset: Array, scale: Array, noise: Array, errors: str) -> Array:
    """Mean rating of items of quality t."""
    above = [ERRORS[errors].sf((k + 0.5 - offset - scale * t) / noise) for k in range(1, TOP)]
    found: Array = 1 + np.sum(above, axis=0)
    return found


def rated(
    people: int, items: int, each: int, centre: float, errors: str, what: str
) -> Callable[[np.random.Generator], Drawn]:
    """Ratings of items by annotators who differ in offset, scale and noise, and what is true of
    each annotator, or of each item."""

    def draw(rng: np.random.Generator) -> Drawn:
        offset, scale = centre + 0.5 * rng.normal(size=people), 1 + 0.25 * rng.normal(size=people)
        noise, t = rng.uniform(0.4, 0.9, people), rng.normal(size=items)
        votes: Votes = {}
        for u in range(items):
            who = rng.choice(people, size=each, replace=False)
            error = noise[who] * ERRORS[errors].rvs(size=each, random_state=rng)
            said = np.clip(np.round(offset[who] + scale[who] * t[u] + error), 1, TOP)
            votes[f"{u:05d}",] = {
                f"{a:03d}": float(s) for a, s in zip(who.tolist(), said.tolist(), strict=True)
            }
        at = {part: expected(part, offset, scale, noise, errors) for part in (-1.0, 0.0, 1.0)}
        typical = (np.array(part) for part in (offset.mean(), scale.mean()))
        of_items = expected(t, *typical, np.exp(np.log(noise).mean()), errors)
        return votes, {"offset": at[0.0], "scale": (at[1.0] - at[-1.0]) / 2, "item": of_items}[what]

    return draw


def told(what: str) -> Callable[[Votes], Sequence[Interval]]:
    """The intervals of `scales.fit_scales`."""

    def intervals(votes: Votes) -> Sequence[Interval]:
        found: AnnotatorScales = fit_scales("overall", votes)
        if what == "item":
            return [item.calibrated for item in found.items]
        return [getattr(row, what) for row in found.annotators]

    return intervals


for people, items, each, centre, errors in (
    (6, 60, 3, 3.0, "logistic"),
    (6, 60, 3, 4.2, "logistic"),
    (20, 100, 4, 3.0, "normal"),
):
    for what, name in (("offset", "offset"), ("scale", "scale"), ("item", "rating of an item")):
        setting = (
            f"{people} annotators, {items} items, {each} ratings each, 1 to 5 around {centre:g},"
            f" {errors} errors"
        )
        draws = rated(people, items, each, centre, errors, what)
        add(Cell(name, setting, people, draws, told(what), slow=True, tested=5))
