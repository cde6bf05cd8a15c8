"""The surface of an arm's responses: which features changed, which the rewards go with, and how far
a rule without any reading would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import rankdata

from accord.examine import features, wordlists
from accord.examine.rows import Samples
from accord.examine.winrate import aligned
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, clustered_mean, p_of_zero, paired_difference
from accord.statistics.significance import discoveries


class SurfaceRow(BaseModel):
    """One feature: its mean before and after, the paired change, and whether that is believed when
    all features are asked (false discoveries at most 5 %). liked, wanted: its rank correlation
    within a prompt with proxy and gold, over the pool of best-of-n, mean over prompts where both
    vary; None without a pool or where nothing varies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    unit: str
    before: float
    after: float
    change: Estimate
    believed: bool
    liked: Estimate | None
    wanted: Estimate | None


class Surface(BaseModel):
    """Every feature; language: whose lists of words were used, None where there are
    none, so that ways of speaking were not measurable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: str | None
    rows: list[SurfaceRow]


class NullArm(BaseModel):
    """What a rule that reads nothing gets of the pool: proxy and gold of its choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    proxy: Estimate
    gold: Estimate | None


Ranks = Mapping[str, tuple[Estimate | None, Estimate | None]]
"""Feature -> its rank correlation within prompts with proxy and gold."""


def pool_ranks(pool: Samples) -> Ranks:
    """What the rewards go with among several samples of a prompt: the same for every arm."""
    kinds = features.known(wordlists.language_of(pool.response))
    values_BF = features.measured(pool.response, kinds)
    return {
        kind.name: (
            within_prompt_rank(values_B, pool.proxy_B, pool.prompt_id_B),
            None
            if pool.gold_B is None
            else within_prompt_rank(values_B, pool.gold_B, pool.prompt_id_B),
        )
        for kind, values_B in zip(kinds, values_BF.T, strict=True)
    }


def measure(baseline: Samples, last: Samples, ranks: Ranks | None = None) -> Surface:
    """Features of the policy's responses against the baseline's to the same prompts. ranks: those
    of `pool_ranks`, where there is a pool."""
    at = aligned(last.prompt_id_B, baseline)
    texts = [*(baseline.response[i] for i in at), *last.response]
    language = wordlists.language_of(texts)
    kinds = features.known(language)
    values_BF = features.measured(texts, kinds)
    before_PF, after_PF = values_BF[: last.size], values_BF[last.size :]
    changes = [paired_difference(after_PF[:, f], before_PF[:, f]) for f in range(len(kinds))]
    believed = discoveries([p_of_zero(change) for change in changes])
    known = ranks or {}
    return Surface(
        language=language,
        rows=[
            SurfaceRow(
                feature=kind.name,
                unit=kind.unit,
                before=float(before_PF[:, f].mean()),
                after=float(after_PF[:, f].mean()),
                change=change,
                believed=sure,
                liked=known.get(kind.name, (None, None))[0],
                wanted=known.get(kind.name, (None, None))[1],
            )
            for f, (kind, change, sure) in enumerate(zip(kinds, changes, believed, strict=True))
        ],
    )


def null_arms(pool: Samples) -> list[NullArm]:
    """Best of n by the proxy beside the shortest, the longest and any sample of each prompt."""
    ids, place_B = np.unique(pool.prompt_id_B, return_inverse=True)
    rules: Sequence[tuple[str, Array | None]] = (
        ("highest proxy", pool.proxy_B),
        ("shortest", -pool.tokens_B),
        ("longest", pool.tokens_B),
        ("any", None),
    )
    return [
        NullArm(
            rule=rule,
            proxy=clustered_mean(_chosen(pool.proxy_B, order_B, place_B, len(ids))),
            gold=None
            if pool.gold_B is None
            else clustered_mean(_chosen(pool.gold_B, order_B, place_B, len(ids))),
        )
        for rule, order_B in rules
    ]


def _chosen(
    value_B: Array, order_B: Array | None, place_B: NDArray[np.int64], prompts: int
) -> Array:
    """Per prompt the mean value of the samples that come first in an order (ties shared): [P]."""
    first_B = np.ones(len(value_B), bool)
    if order_B is not None:
        best_P = np.full(prompts, -np.inf)
        np.maximum.at(best_P, place_B, order_B)
        first_B = order_B == best_P[place_B]
    mean_P: Array = np.bincount(place_B, first_B * value_B, prompts).astype(np.float64)
    mean_P /= np.bincount(place_B, first_B, prompts)
    return mean_P


def within_prompt_rank(
    first_B: Array, second_B: Array, prompt_B: NDArray[np.int64]
) -> Estimate | None:
    """Spearman's rank correlation of two values within each prompt, mean over the prompts where
    both vary; None where there is none."""
    found = []
    for prompt in np.unique(prompt_B):
        own = prompt_B == prompt
        ranks = [rankdata(values[own]) for values in (first_B, second_B)]
        if all(np.ptp(rank) > 0 for rank in ranks):
            found.append(float(np.corrcoef(*ranks)[0, 1]))
    return clustered_mean(found) if found else None
