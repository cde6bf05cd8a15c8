"""What moves a reward model beside the better answer: rewrites, shuffles, padding, style, length,
topic, its members, and answers unlike those it was judged on.

Gaps and changes are in deviations of the original scores. Suffixes P: pairs, E: members, S: styles,
R: reference responses, Q: other responses, H: hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.feature_extraction.text import TfidfVectorizer

from accord.examine.best_of_n import expected_best
from accord.examine.rewriting import FANCY
from accord.statistics.intervals import Array, Index
from accord.statistics.means import Estimate, clustered_mean, paired_difference, share_mean

OUTLIER = 0.01
"""Share of the reference itself that counts as outlying."""


class Probe(BaseModel):
    """One change to the responses. moved: mean change of the score, in deviations; preferred: how
    often the changed response scores higher than it did (.5 is indifference). turned, of pairs that
    the better response won: how often the worse one, so changed, beats it; where the change breaks
    a response, how often the better one, so broken, still wins. None where it won none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    breaks: bool
    pairs: int
    moved: Estimate
    preferred: Estimate
    turned: Estimate | None


class Invariance(BaseModel):
    """The same responses scored otherwise (other batch, more padding). largest: difference of a
    score, in deviations; flipped: share of pairs whose order it changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    largest: float
    flipped: float


class StyleMatrix(BaseModel):
    """Accuracy when the better response is written in one style (row) and the worse one in another
    (column). easy: the better one has more to it; hard: the worse one; normal: both alike; gap:
    easy less hard, paired."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int
    cells: dict[str, dict[str, float]]
    easy: Estimate
    normal: Estimate
    hard: Estimate
    gap: Estimate


class Group(BaseModel):
    """Accuracy on a part of the pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pairs: int
    accuracy: Estimate


class Members(BaseModel):
    """Of an ensemble. spread: deviation between members, in deviations of the mean's scores;
    unanimous: share of pairs that all members order alike, and the accuracy there and elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: int
    spread: float
    unanimous: Estimate
    when_unanimous: Estimate | None
    when_split: Estimate | None


class Outliers(BaseModel):
    """Share of other responses that lie farther from the reference, in the space of the model's
    last hidden state, than 99 % of the reference does; chance: that share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: int
    responses: int
    chance: float
    share: Estimate


class BestOfGain(BaseModel):
    """What the best of n by the scores gains in gold over a random one; its lower end is what can
    be relied on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int
    gain: Estimate


def right(gap_P: Array) -> Array:
    """1, 0 or 1/2 for positive, negative or zero."""
    return (1 + np.sign(gap_P)) / 2


def probe(
    name: str, breaks: bool, before_2P: Array, after_2P: Array, prompt_P: Index
) -> Probe | None:
    """Scores of better and worse responses, [2, P], before and after; pairs with a score that is
    not a number (too long once changed) are left out. None for no pair."""
    kept_P = np.isfinite(before_2P).all(0) & np.isfinite(after_2P).all(0)
    if not kept_P.any():
        return None
    scale = float(np.nanstd(before_2P)) or 1.0
    before, after, prompts = before_2P[:, kept_P], after_2P[:, kept_P], prompt_P[kept_P]
    change = (after - before) / scale
    both = list(np.concatenate([prompts, prompts]))
    won = before[0] > before[1]
    turned = (after[0] > before[1] if breaks else after[1] > before[0])[won]
    return Probe(
        name=name,
        breaks=breaks,
        pairs=int(kept_P.sum()),
        moved=clustered_mean(change.ravel(), both),
        preferred=share_mean(right(change.ravel()), both),
        turned=share_mean(turned.astype(float), list(prompts[won])) if won.any() else None,
    )


def invariance(name: str, before_2P: Array, after_2P: Array) -> Invariance:
    """[2, P] scores of the same responses, twice."""
    scale = float(np.std(before_2P)) or 1.0
    orders = [np.sign(scores[0] - scores[1]) for scores in (before_2P, after_2P)]
    return Invariance(
        name=name,
        largest=float(np.abs(after_2P - before_2P).max() / scale),
        flipped=float((orders[0] != orders[1]).mean()),
    )


def style_matrix(scores_S2P: Mapping[str, Array], prompt_P: Index) -> StyleMatrix | None:
    """scores_S2P: style -> scores of better and worse responses so written, [2, P]. Pairs that are
    too long in one style are left out of all. None for no pair."""
    kept_P = np.stack([np.isfinite(scores).all(0) for scores in scores_S2P.values()]).all(0)
    if not kept_P.any():
        return None
    prompts = list(prompt_P[kept_P])
    groups: dict[str, list[Array]] = {"easy": [], "normal": [], "hard": []}
    cells: dict[str, dict[str, float]] = {}
    for mine, better in scores_S2P.items():
        cells[mine] = {}
        for theirs, worse in scores_S2P.items():
            won_P = right(better[0, kept_P] - worse[1, kept_P])
            cells[mine][theirs] = float(won_P.mean())
            order = int(np.sign(FANCY[mine] - FANCY[theirs]))
            if order or mine == theirs:
                groups[("normal", "easy", "hard")[order]].append(won_P)
    means = {name: np.mean(cells_of, axis=0) for name, cells_of in groups.items()}
    sizes = {name: len(prompts) * len(cells_of) for name, cells_of in groups.items()}
    return StyleMatrix(
        pairs=len(prompts),
        cells=cells,
        **{name: share_mean(won, prompts, sizes[name]) for name, won in means.items()},
        gap=paired_difference(means["easy"], means["hard"], prompts),
    )


def members(gap_EP: Array, spread: float, prompt_P: Index) -> Members | None:
    """gap_EP: better less worse per member; None for a single one."""
    if len(gap_EP) < 2:
        return None
    sign_EP = np.sign(gap_EP)
    alike_P = (sign_EP == sign_EP[0]).all(0)
    right_P = right(gap_EP.mean(0))

    def accuracy(where_P: Array) -> Estimate | None:
        kept = where_P.astype(bool)
        return share_mean(right_P[kept], list(prompt_P[kept])) if kept.any() else None

    return Members(
        members=len(gap_EP),
        spread=spread,
        unanimous=share_mean(alike_P.astype(float), list(prompt_P)),
        when_unanimous=accuracy(alike_P),
        when_split=accuracy(~alike_P),
    )


def by_length(gap_P: Array, better_P: Array, worse_P: Array, prompt_P: Index) -> list[Group]:
    """Accuracy where the better response is the longer, the shorter, and for short, middling and
    long pairs (thirds of their mean length)."""
    size_P = (better_P + worse_P) / 2
    low, high = np.quantile(size_P, [1 / 3, 2 / 3])
    parts = {
        "better is longer": better_P > worse_P,
        "better is shorter": better_P < worse_P,
        "short pairs": size_P <= low,
        "middling pairs": (size_P > low) & (size_P <= high),
        "long pairs": size_P > high,
    }
    return _groups(gap_P, parts, prompt_P)


def by_topic(gap_P: Array, texts_P: Sequence[str], prompt_P: Index, topics: int = 5) -> list[Group]:
    """Accuracy per topic: k-means on TF-IDF of the prompts, each named by its three weightiest
    words. Empty where the prompts do not fill as many topics with 20 pairs each, or have no
    words."""
    topics = min(topics, len(gap_P) // 20, len(set(texts_P)))
    if topics < 2:
        return []
    vectorizer = TfidfVectorizer(max_features=5000, stop_words="english")
    try:
        rows = vectorizer.fit_transform(texts_P)
    except ValueError:  # no words
        return []
    found = KMeans(topics, n_init=3, random_state=0).fit(rows)
    words = vectorizer.get_feature_names_out()
    parts = {}
    for topic, centre in enumerate(found.cluster_centers_):
        name = " ".join(words[n] for n in np.argsort(-centre)[:3])
        parts[f"topic {topic + 1}: {name}"] = found.labels_ == topic
    return _groups(gap_P, parts, prompt_P)


def _groups(gap_P: Array, parts: Mapping[str, Array], prompt_P: Index) -> list[Group]:
    return [
        Group(
            name=name,
            pairs=int(where.sum()),
            accuracy=share_mean(right(gap_P[where]), list(prompt_P[where])),
        )
        for name, where in parts.items()
        if where.any()
    ]


def outliers(reference_RH: Array, other_QH: Array, prompt_Q: Sequence[int]) -> Outliers | None:
    """Mahalanobis distances from the reference (mean and Ledoit and Wolf's covariance of one half),
    against the 99 % quantile of the other half, which was not fitted (Miao et al. 2024, MOP). None
    for fewer than 200 references: the quantile is then a guess."""
    half = len(reference_RH) // 2
    if half < 100:
        return None
    order = np.random.default_rng(0).permutation(len(reference_RH))
    fitted = LedoitWolf().fit(reference_RH[order[:half]])
    rest = np.sort(fitted.mahalanobis(reference_RH[order[half:]]))
    place = int(np.ceil((1 - OUTLIER) * (len(rest) + 1))) - 1
    bound = rest[min(place, len(rest) - 1)]
    beyond_Q = fitted.mahalanobis(other_QH) > bound
    return Outliers(
        reference=len(reference_RH),
        responses=len(other_QH),
        chance=OUTLIER,
        share=share_mean(beyond_Q.astype(float), list(prompt_Q)),
    )


def best_of_gains(score_PN: Array, gold_PN: Array) -> list[BestOfGain]:
    """At n = 2, 4, 8, ... up to N samples of each prompt, in units of gold."""
    sizes = [2**k for k in range(1, int(np.log2(score_PN.shape[1])) + 1)]
    mean_P = gold_PN.mean(1)
    return [
        BestOfGain(n=n, gain=paired_difference(expected_best(score_PN, gold_PN, n), mean_P))
        for n in sizes
    ]
