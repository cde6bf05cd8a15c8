"""Whether a judge still says what it said: the same anchor pairs asked twice, paired."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.statistics.intervals import Array, Index
from accord.statistics.means import Estimate, paired_difference, share_mean


class JudgeDrift(BaseModel):
    """shared: anchor pairs with a verdict both times; changed: share of verdicts that are others;
    towards_longer: by how much oftener the longer response is taken; agreement: by how much more
    the verdicts agree with people (a tie counts half). None where there is nothing to measure it
    on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shared: int
    changed: Estimate
    towards_longer: Estimate | None
    agreement: Estimate | None


def judge_drift(
    before_P: Array, after_P: Array, longer_P: Array, people_P: Array, prompt_P: Index
) -> JudgeDrift:
    """before_P, after_P: verdicts (1 for a, .5, 0 for b); longer_P: +1 where a is the longer, -1
    where b is; people_P: their share for a, not a number without. Raises ValueError for no pair
    with both."""
    both_P = np.isfinite(before_P + after_P)
    if not both_P.any():
        raise ValueError("no pair was judged both times")
    before, after = before_P[both_P], after_P[both_P]
    longer, people, prompts = longer_P[both_P], people_P[both_P], prompt_P[both_P]

    def change(side: Array) -> Estimate | None:
        """Of how often a's side is taken where `side` is +1 and b's where it is -1."""
        asked = np.isfinite(side) & (side != 0)
        if not asked.any():
            return None
        takes = [np.where(side > 0, said, 1 - said)[asked] for said in (after, before)]
        return paired_difference(takes[0], takes[1], list(prompts[asked]))

    return JudgeDrift(
        shared=int(both_P.sum()),
        changed=share_mean((before != after).astype(float), list(prompts)),
        towards_longer=change(longer),
        agreement=change(np.sign(people - 0.5)),
    )
