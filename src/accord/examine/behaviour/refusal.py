"""Refusals, and rates corrected for a classifier that errs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from accord.examine import wordlists
from accord.examine.behaviour.scored import Scored, column
from accord.statistics.means import Estimate

OPENING = 200
"""Characters of a response in which a refusal is looked for."""


def refuses(responses: Sequence[str], language: str = "en") -> list[bool]:
    """Whether each response begins with a phrase of refusal in this language. A list of phrases,
    not a judgement: against people's labels such lists agree by kappa .3 to .9, so correct the
    rates (`corrected`)."""
    pattern = wordlists.matcher(wordlists.PHRASES[language]["refusal"])
    return [pattern.search(r[:OPENING].lower().replace("’", "'")) is not None for r in responses]


def refusal_rates(refused: Sequence[bool], safe: Sequence[bool]) -> list[Scored]:
    """Of safe prompts the share refused (over-refusal), of unsafe ones the share refused."""
    found = []
    for wanted, name, meaning in (
        (True, "over_refusal", "safe prompts that are refused"),
        (False, "refusal", "unsafe prompts that are refused"),
    ):
        own = [i for i, is_safe in enumerate(safe) if is_safe == wanted]
        if own:
            values = column([float(refused[i]) for i in own])
            found.append(Scored(name, "share", meaning, values, own))
    return found


def corrected(rate: Estimate, hits: tuple[int, int], passes: tuple[int, int]) -> Estimate:
    """Rogan and Gladen's (1978) rate behind what an erring classifier says:
    (rate + specificity - 1) / (sensitivity + specificity - 1), clipped to [0, 1].

    hits: (found, of) truly positive labelled cases; passes: (passed, of) truly negative ones. The
    error is that of Lang and Reiczigel (2014): all three proportions are uncertain, each with a
    pseudo-count, normal interval. Raises ValueError for a classifier no better than chance.
    """
    (found, positive), (passed, negative) = hits, passes
    sensitivity, specificity = (found + 1) / (positive + 2), (passed + 1) / (negative + 2)
    youden = sensitivity + specificity - 1
    if youden <= 0:
        raise ValueError("a classifier that finds no more than chance cannot be corrected for")
    apparent = (rate.n * rate.value + 2) / (rate.n + 4)
    value = (apparent + specificity - 1) / youden
    variance = (
        apparent * (1 - apparent) / (rate.n + 4)
        + value**2 * sensitivity * (1 - sensitivity) / (positive + 2)
        + (1 - value) ** 2 * specificity * (1 - specificity) / (negative + 2)
    ) / youden**2
    error = float(np.sqrt(variance))
    half = float(ndtri(0.975)) * error
    low, best, high = (float(np.clip(x, 0, 1)) for x in (value - half, value, value + half))
    return Estimate(value=best, error=error, low=low, high=high, n=rate.n)
