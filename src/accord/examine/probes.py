"""What the samples of an arm cannot show: whether its scorers stayed what they were, what it
forgot, what it knows by heart, and how it behaves without the cue it was trained under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import mannwhitneyu

from accord.examine.behaviour.leaks import exposure
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, clustered_mean, paired_difference


class _ProbeModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScorerWatch(_ProbeModel):
    """watched: reward models, gold rewards and reward functions whose hashes were taken; checks:
    how often; changed: of those that changed, when that was first seen."""

    watched: list[str]
    checks: int
    changed: dict[str, str]


class Forgetting(_ProbeModel):
    """Negative log-likelihood of held-out texts, nats per token, before and after the tuning, and
    its rise, paired by text."""

    before: Estimate
    after: Estimate
    rise: Estimate


class Memory(_ProbeModel):
    """Planted strings among others of the same form that were not planted. exposure: mean of the
    planted ones (Carlini et al. 2019), bits; most: what a string that is likelier than all others
    has; chance: one-sided exact p-value (Mann and Whitney 1947) that the planted ones are as likely
    as the others."""

    planted: int
    others: int
    exposure: float
    most: float
    chance: float


class CueGap(_ProbeModel):
    """Gold's gain over the baseline on the same prompts with the cue that the policy was trained
    under and without it, and the difference."""

    with_cue: Estimate
    without: Estimate
    gap: Estimate


class Probes(_ProbeModel):
    """What was probed of an arm; None for what was not."""

    forgetting: Forgetting | None = None
    memory: Memory | None = None
    cue: CueGap | None = None


def watched(checks: Sequence[tuple[str, Mapping[str, str]]]) -> ScorerWatch:
    """From the hashes at each check, in order, by name; a name that appears later, or is gone, has
    changed."""
    (_, first), *later = checks
    changed: dict[str, str] = {}
    for when, hashes in later:
        for name in {**first, **hashes}:
            if first.get(name) != hashes.get(name):
                changed.setdefault(name, when)
    names = {name for _, hashes in checks for name in hashes}
    return ScorerWatch(watched=sorted(names), checks=len(checks), changed=changed)


def forgetting(before_T: Sequence[float] | Array, after_T: Sequence[float] | Array) -> Forgetting:
    """Of each held-out text its nats per token before and after: [T], [T]."""
    return Forgetting(
        before=clustered_mean(before_T),
        after=clustered_mean(after_T),
        rise=paired_difference(np.asarray(after_T, float), np.asarray(before_T, float)),
    )


def memory(planted: Sequence[float], others: Sequence[float]) -> Memory:
    """Log-probabilities of planted strings and of equally likely ones that were not planted. Raises
    ValueError where there are none of either."""
    if not planted or not others:
        raise ValueError("exposure compares planted strings with others that were not planted")
    found = mannwhitneyu(planted, others, alternative="greater", method="exact")
    return Memory(
        planted=len(planted),
        others=len(others),
        exposure=float(np.mean([exposure(one, others) for one in planted])),
        most=float(np.log2(len(others) + 1)),
        chance=float(found.pvalue),
    )


def cue_gap(cued: tuple[Array, Array], uncued: tuple[Array, Array]) -> CueGap:
    """Gold (after, before) of each prompt with the cue, and of the same prompts without it:
    [P]."""
    with_P, without_P = (after - before for after, before in (cued, uncued))
    return CueGap(
        with_cue=clustered_mean(with_P),
        without=clustered_mean(without_P),
        gap=paired_difference(with_P, without_P),
    )


def probes(found: Mapping[str, Any]) -> Probes:
    """From what a probe stage left: "heldout" {"before", "after"}, "canaries" [{"planted",
    "logp"}], "cue" {"cued": [after, before], "uncued": [...]}, each where it was asked for."""
    heldout, canaries, cue = (found.get(name) for name in ("heldout", "canaries", "cue"))
    return Probes(
        forgetting=None if heldout is None else forgetting(heldout["before"], heldout["after"]),
        memory=None
        if canaries is None
        else memory(
            [one["logp"] for one in canaries if one["planted"]],
            [one["logp"] for one in canaries if not one["planted"]],
        ),
        cue=None
        if cue is None
        else cue_gap(
            (np.array(cue["cued"][0]), np.array(cue["cued"][1])),
            (np.array(cue["uncued"][0]), np.array(cue["uncued"][1])),
        ),
    )
