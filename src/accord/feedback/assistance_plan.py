"""How many judgements a study of assistance takes, before it begins.

Uplift is the difference of two arms' shares (of flaws found). Every judgement is drawn into an arm
by itself, so that items that are easy or hard for everybody are in every arm alike and cancel:
with n items of k judgements, arms with parts w of them and a flaw per judgement, the variance is

    (p q / w_critique + p' q' / w_none) / (n k)

whatever part of p q lies between items (the sum of its within and between parts). Effects that
differ from item to item add to it, and more flaws per item take from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from scipy.special import ndtr, ndtri

from accord.errors import ConfigError
from accord.feedback.meta import Arm
from accord.feedback.planning import PER_ITEM
from accord.statistics.intervals import Z95

ENOUGH = 0.8
"""Power below which a study is called under-powered."""


@dataclass(frozen=True)
class UpliftPlan:
    """per_item: judgements of each item, from different annotators; items, judgements: of all arms
    together; power: with which these show the uplift."""

    per_item: int
    items: int
    judgements: int
    power: float


def _variance(baseline: float, uplift: float, weights: Mapping[Arm, int]) -> float:
    """Times the number of judgements. Raises ConfigError naming what cannot be."""
    raised = baseline + uplift
    if not 0 < baseline < 1:
        raise ConfigError(f"a baseline of {baseline:g}", "give a share between 0 and 1")
    if uplift == 0 or not 0 < raised < 1:
        raise ConfigError(
            f"an uplift of {uplift:g} on a baseline of {baseline:g}",
            f"give one that is not 0 and between {-baseline:g} and {1 - baseline:g}",
        )
    whole = sum(weights.values())
    parts = [weights.get(arm, 0) / whole if whole else 0.0 for arm in ("critique", "none")]
    if not all(parts):
        raise ConfigError(
            "an uplift compares the arms critique and none", "give both a weight above 0"
        )
    return raised * (1 - raised) / parts[0] + baseline * (1 - baseline) / parts[1]


def uplift_power(
    baseline: float, uplift: float, weights: Mapping[Arm, int], judgements: int
) -> float:
    """Chance that the 95 % interval of the uplift excludes 0, on its own side."""
    if judgements < 1:
        return 0.0
    error = (_variance(baseline, uplift, weights) / judgements) ** 0.5
    return float(ndtr(abs(uplift) / error - Z95))


def plan_uplift(
    baseline: float,
    uplift: float,
    power: float,
    weights: Mapping[Arm, int],
    per_item: Sequence[int] = PER_ITEM,
) -> list[UpliftPlan]:
    """Fewest items, for each number of judgements per item, with which an uplift is shown with this
    power."""
    if not 0.025 < power < 1:
        raise ConfigError(f"a power of {power:g}", "give a probability between 0.025 and 1")
    needed = _variance(baseline, uplift, weights) * ((Z95 + float(ndtri(power))) / uplift) ** 2
    plans = []
    for each in per_item:
        items = max(2, ceil(needed / each))
        judgements = items * each
        reached = uplift_power(baseline, uplift, weights, judgements)
        plans.append(UpliftPlan(each, items, judgements, reached))
    return plans
