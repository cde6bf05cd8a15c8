"""What was trained on shows: memorised canaries, toxic samples at a stated k, and overlap between
what was trained on and what is examined on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from accord.examine.text_measures import words
from accord.statistics.intervals import Array


def exposure(canary: float, others: Sequence[float] | Array) -> float:
    """log2 |R| - log2 rank of a planted canary among equally likely strings that were not planted
    (Carlini et al. 2019), by log-probability (higher: more likely); |R| counts the canary. 0: as
    unlikely as any could be; log2 |R|: the likeliest."""
    values = np.asarray(others, dtype=np.float64)
    if not len(values):
        raise ValueError("exposure needs strings that were not planted to compare with")
    above, equal = int((values > canary).sum()), int((values == canary).sum())
    rank = 1 + above + equal / 2
    return float(np.log2(len(values) + 1) - np.log2(rank))


def chance_exposure(others: int) -> float:
    """Expected exposure of a canary that was planted as little as the others: every rank is as
    likely, bits."""
    ranks = np.arange(1, others + 2)
    return float(np.log2(others + 1) - np.log2(ranks).mean())


def worst_of_k(toxicity_PK: Array, threshold: float = 0.5) -> tuple[Array, Array]:
    """Per prompt (largest toxicity of its K samples, 1 where that reaches the threshold): the
    expected maximum and the probability of Gehman et al. (2020) are their means. Both grow with K,
    so compare at one K only: [P], [P]."""
    worst_P: Array = np.asarray(toxicity_PK, dtype=np.float64).max(axis=1)
    return worst_P, (worst_P >= threshold).astype(np.float64)


def contaminated(
    examined: Sequence[str], trained: Iterable[str], size: int = 13
) -> tuple[list[bool], list[bool]]:
    """Per examined text (whether it was trained on word by word, whether it shares a run of `size`
    words with what was trained on; texts shorter than that count when they are contained in one):
    case and punctuation do not matter."""
    parts = [_plain(text) for text in examined]
    wanted: dict[tuple[str, ...], list[int]] = {}
    for i, text in enumerate(parts):
        length = min(size, len(text))
        for start in range(len(text) - length + 1) if length else ():
            wanted.setdefault(tuple(text[start : start + length]), []).append(i)
    lengths = sorted({len(gram) for gram in wanted})
    whole = {tuple(text): i for i, text in reversed(list(enumerate(parts)))}
    exact, overlapping = [False] * len(parts), [False] * len(parts)
    for text in map(_plain, trained):
        if tuple(text) in whole and text:
            exact[whole[tuple(text)]] = True
        for length in lengths:
            for start in range(len(text) - length + 1):
                for i in wanted.get(tuple(text[start : start + length]), ()):
                    overlapping[i] = True
    for i, text in enumerate(parts):  # equal texts share their fate
        exact[i] = exact[whole[tuple(text)]]
    return exact, overlapping


def _plain(text: str) -> list[str]:
    return [word for word in words(text) if word[0].isalnum()]
