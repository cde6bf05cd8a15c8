"""Guards: reasons to stop a policy's training before it goes on getting worse. All are off unless a
limit is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Limits(Protocol):
    """What the guards watch; 0 switches a guard off."""

    @property
    def kl_budget(self) -> float: ...
    @property
    def min_unique(self) -> float: ...
    @property
    def min_entropy(self) -> float: ...
    @property
    def max_spread(self) -> float: ...


def why_stop(values: Mapping[str, float], limits: Limits, step: int) -> str | None:
    """Why training must stop after 1-based `step`, in words; None: go on. `values` are the step's
    metrics.

    - kl_budget:   the policy left the neighbourhood (nats per sequence) in which the reward was
                   learned
    - min_unique:  its answers became the same (share of distinct responses)
    - min_entropy: it stopped exploring (exact entropy, nats per token), which no later step undoes
    - max_spread:  the ensemble's members disagree (deviation per response, in rewards) on what it
                   now writes: they are guessing, and the mean of guesses is easily gamed (Coste et
                   al. 2023)
    """
    if limits.kl_budget and values["kl_seq"] > limits.kl_budget:
        return (
            f"KL is {values['kl_seq']:.1f} nats per sequence at step {step}, above the budget of"
            f" {limits.kl_budget:g}"
        )
    if limits.min_unique and values["unique_share"] < limits.min_unique:
        return (
            f"{values['unique_share']:.0%} of the responses of step {step} are distinct, below"
            f" {limits.min_unique:.0%}"
        )
    if limits.min_entropy and values["entropy_tok"] < limits.min_entropy:
        return (
            f"the policy's entropy is {values['entropy_tok']:.3g} nats per token at step {step},"
            f" below {limits.min_entropy:g}: it has stopped exploring"
        )
    if limits.max_spread and values["ensemble_spread"] > limits.max_spread:
        return (
            f"the members of the reward model disagree by {values['ensemble_spread']:.3g} at step"
            f" {step}, above {limits.max_spread:g}: the policy writes what none of them knows"
        )
    return None
