"""What the samples of an arm cannot show: whether its scorers stayed what they were, what it
forgot, what it knows by heart, and how it behaves without the cue it was trained under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.examine.behaviour.canaries import exposure_p, exposures
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
    """Canaries among secrets of the same form that were planted nowhere. exposure: the mean
    (Carlini et al. 2019), bits; most: what a secret that is likelier than all others has; chance:
    one-sided exact p-value that it is none (`canaries.exposure_p`)."""

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


def memory(logp_KS: Sequence[Sequence[float]] | Array) -> Memory:
    """Log-probabilities of secrets as answers to each canary's question, columns as in
    `canaries.options`."""
    planted = len(logp_KS)
    others = len(logp_KS[0]) - planted
    return Memory(
        planted=planted,
        others=others,
        exposure=float(np.mean(exposures(logp_KS))),
        most=float(np.log2(others + 1)),
        chance=exposure_p(logp_KS, seed=0),
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
    """From what a probe stage left: "heldout" {"before", "after"}, "canaries" [logp of each
    option], "cue" {"cued": [after, before], "uncued": [...]}, each where it was asked for."""
    heldout, canaries, cue = (found.get(name) for name in ("heldout", "canaries", "cue"))
    return Probes(
        forgetting=None if heldout is None else forgetting(heldout["before"], heldout["after"]),
        memory=None if canaries is None else memory(canaries),
        cue=None
        if cue is None
        else cue_gap(
            (np.array(cue["cued"][0]), np.array(cue["cued"][1])),
            (np.array(cue["uncued"][0]), np.array(cue["uncued"][1])),
        ),
    )
