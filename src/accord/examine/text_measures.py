"""What the text itself looks like: length, diversity at equal length, repetition, and which words
changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from accord.examine.rows import Samples
from accord.seeds import generator
from accord.statistics.clusters import by_cluster
from accord.statistics.intervals import Z95, Array
from accord.statistics.means import Estimate, around_jackknife, clustered_mean, share_mean
from accord.statistics.significance import exchange_p

_WORD = re.compile(r"[\w']+|[^\w\s]")


class TextMeasures(BaseModel):
    """distinct_n: different n-grams per n-gram, over `words` words per response (responses shorter
    than that are left out and counted); repeated: share of a response's 4-grams seen before in it;
    unique: share of distinct responses; entropy: of the policy at a token, nats, by the whole
    softmax at the sampled positions, None where it was not measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: Estimate
    finished: Estimate
    distinct_1: float
    distinct_2: float
    words: int
    too_short: int
    repeated: Estimate
    unique: float
    entropy: Estimate | None = None


class Shift(BaseModel):
    """A word n-gram whose frequency changed: z of the log-odds ratio; counts before and after."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phrase: str
    z: float
    before: int
    after: int


def words(text: str) -> list[str]:
    """Lower-case words and punctuation marks."""
    return _WORD.findall(text.lower())


def equal_length(responses: Sequence[Sequence[str]]) -> int:
    """Words per response at which arms are compared: the lower quartile over all responses, at
    least 4."""
    return max(4, int(np.percentile([len(r) for r in responses], 25)))


def distinct(texts: Sequence[Sequence[str]], n: int, length: int) -> float:
    """Different n-grams divided by all n-grams, on the first `length` words of texts that have
    them."""
    grams = [tuple(t[i : i + n]) for t in texts if len(t) >= length for i in range(length - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def exchanged(
    before: Sequence[str], after: Sequence[str], length: int, draws: int = 399
) -> tuple[float, float]:
    """How likely the texts after are by chance as much less varied than those before, by distinct-2
    and by the share of distinct responses: before[i] and after[i] answer the same prompt, and were
    both policies alike, which is which would be chance. One-sided, exact for any number of prompts
    (`significance.exchange_p`)."""
    texts = [words(response) for response in (*before, *after)]
    pairs: dict[tuple[str, ...], int] = {}
    grams = [
        [pairs.setdefault(tuple(text[i : i + 2]), len(pairs)) for i in range(length - 1)]
        if len(text) >= length
        else []
        for text in texts
    ]
    names = {response: i for i, response in enumerate(dict.fromkeys((*before, *after)))}
    whole = [[names[response]] for response in (*before, *after)]
    distinct_p, unique_p = (
        exchange_p(
            _variety(coded[: len(before)], coded[len(before) :]),
            len(before),
            generator(0, "exchange"),
            draws,
        )
        for coded in (grams, whole)
    )
    return distinct_p, unique_p


def _variety(
    before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> Callable[[NDArray[np.bool_]], float]:
    """The share of different items after, less that before, where the sides of some prompts are
    exchanged."""
    sides = (before, after)
    text_I = np.array([p for side in sides for p, items in enumerate(side) for _ in items], int)
    after_I = np.array([s == 1 for s, side in enumerate(sides) for items in side for _ in items])
    item_I = np.array([item for side in sides for items in side for item in items], int)

    def share(chosen_I: NDArray[np.bool_]) -> float:
        return len(np.unique(item_I[chosen_I])) / max(1, int(chosen_I.sum()))

    def difference(exchanged_P: NDArray[np.bool_]) -> float:
        now_I = after_I ^ exchanged_P[text_I]
        return share(now_I) - share(~now_I)

    return difference


def repetition(text: Sequence[str], n: int = 4) -> float:
    """Share of a text's n-grams that occurred before in it; 0 for shorter texts."""
    grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def measure(samples: Samples, length: int, limit: int | None = None) -> TextMeasures:
    """All measures of one arm, diversity on `length` words; `limit` compares arms at equal sample
    counts."""
    texts = [words(response) for response in samples.response]
    clusters = list(samples.prompt_id_B)
    sample = texts[:limit]
    return TextMeasures(
        tokens=clustered_mean(samples.tokens_B, clusters),
        finished=share_mean(samples.finished_B.astype(np.float64), clusters),
        distinct_1=distinct(sample, 1, length),
        distinct_2=distinct(sample, 2, length),
        words=length,
        too_short=sum(len(text) < length for text in sample),
        repeated=share_mean([repetition(text) for text in texts], clusters),
        unique=len(set(samples.response)) / samples.size,
        entropy=None if samples.entropy_B is None else _entropy(samples, samples.entropy_B),
    )


def _entropy(samples: Samples, entropy_B: Array) -> Estimate | None:
    """Per token, over prompts."""
    ids, place_B = np.unique(samples.prompt_id_B, return_inverse=True)
    rows_BX = np.stack([entropy_B, samples.tokens_B], axis=1)
    if not samples.tokens_B.sum():
        return None
    return around_jackknife(
        by_cluster(rows_BX, place_B, len(ids)), lambda sums: sums[..., 0] / sums[..., 1]
    )


def shifts(
    before: Sequence[str], after: Sequence[str], most: int = 12, sizes: tuple[int, ...] = (1, 2)
) -> list[Shift]:
    """The n-grams that rose (z > 0) and fell most, by log-odds with an informative Dirichlet prior
    (Monroe et al. 2008, eq. 16-22); the prior is their joint frequency."""
    shifts_of_words: list[Shift] = []
    for size in sizes:
        counts = [
            Counter(g for text in texts for g in _phrases(text, size)) for texts in (before, after)
        ]
        joint = counts[0] + counts[1]
        if not joint:
            continue
        total_prior = float(sum(joint.values()))
        totals = [float(sum(c.values())) for c in counts]
        for phrase, prior in joint.items():
            if prior < 5:
                continue
            odds = [
                np.log((c[phrase] + prior) / (t + total_prior - c[phrase] - prior))
                for c, t in zip(counts, totals, strict=True)
            ]
            variance = sum(1 / (c[phrase] + prior) for c in counts)
            z = float((odds[1] - odds[0]) / np.sqrt(variance))
            shifts_of_words.append(
                Shift(phrase=phrase, z=z, before=counts[0][phrase], after=counts[1][phrase])
            )
    shifts_of_words.sort(key=lambda s: s.z)
    fell = [s for s in shifts_of_words[:most] if s.z < -Z95]
    rose = [s for s in shifts_of_words[::-1][:most] if s.z > Z95]
    return rose + fell


def _phrases(text: str, size: int) -> list[str]:
    parts = words(text)
    return [" ".join(parts[i : i + size]) for i in range(len(parts) - size + 1)]
