"""Heads for rules: where they start, and what is known of them after training.

An answer to a rule is a yes or no of its annotator a, P(kept) = sigmoid(kappa_a r + o_a), r the
output of the rule's head (`annotators.JudgementParameters`). What is saved is the logit of the
average annotator, weighed by answers, so that sigmoid of a saved output is a probability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch

from accord.errors import DataError
from accord.learning.annotators import LearnedValues
from accord.learning.constrained import CostZero, calibrate_zero
from accord.learning.judgements import JudgedGroup
from accord.models.reward_model import RewardModel
from accord.text.packing import response_offsets


class RuleAnswer(NamedTuple):
    """That a response, by its number in packing order, keeps a rule or not; the prompt's number."""

    rule: int
    response: int
    kept: bool
    prompt: int
    annotator: int
    weight: float


def rule_answers(groups: Sequence[JudgedGroup], first_rule: int) -> list[RuleAnswer]:
    """All yes and no answers to rules, whose outputs begin at `first_rule`."""
    starts = response_offsets([g.group for g in groups])
    return [
        RuleAnswer(
            j.facet - first_rule,
            starts[number] + j.options[0],
            bool(j.level),
            number,
            j.annotator,
            j.weight,
        )
        for number, g in enumerate(groups)
        for j in g.judgements
        if j.kind == "rating" and j.facet is not None and j.facet >= first_rule
    ]


@torch.no_grad()
def start_rules(model: RewardModel, shares: Sequence[float | None]) -> None:
    """Let each rule's head begin at the logit of the share of answers that say kept (None: none
    says what that is), which a small step size would take long to find."""
    first = model.form.first_rule
    for member in model.members:
        for rule, share in enumerate(shares):
            if share is not None:
                member.head.bias[first + rule] = torch.logit(torch.tensor(share))


@torch.no_grad()
def settle_rules(
    model: RewardModel, learned: Sequence[LearnedValues], answers: Sequence[RuleAnswer]
) -> None:
    """Take the average annotator's sharpness and offset into the rules' heads."""
    counts = Counter[int]()
    for answer in answers:
        counts[answer.annotator] += 1
    if not counts:
        return
    share_A = torch.zeros(len(learned[0]["sharpness"]))
    for annotator, count in counts.items():
        share_A[annotator] = count / counts.total()
    first = model.form.first_rule
    for member, values in zip(model.members, learned, strict=True):
        sharpness = share_A @ torch.tensor(values["sharpness"])
        member.head.weight[first:] *= sharpness.to(member.head.weight)
        member.head.bias[first:] *= sharpness.to(member.head.bias)
        member.head.bias[first:] += (share_A @ torch.tensor(values["offset"])).to(member.head.bias)


def rule_zeros(
    model: RewardModel, groups: Sequence[JudgedGroup], micro_batch_tokens: int
) -> dict[str, CostZero | str]:
    """Of each rule the zero of its cost, which is minus the logit of "kept", by the answers in
    these groups, none of which it was trained on; or why they say none.

    A rule that is learned from answers and from comparisons by attribute has Safe RLHF's loss
    (`losses.cost_model`): its output is compared, and has a sign.
    """
    if not model.form.rules:
        return {}
    answers = [a for a in rule_answers(groups, model.form.first_rule) if a.weight]
    cost_RJ = -model.rule_logits([g.group for g in groups], micro_batch_tokens).double().numpy()
    found: dict[str, CostZero | str] = {}
    for number, name in enumerate(model.form.rules):
        about = [a for a in answers if a.rule == number]
        cost_B = cost_RJ[[a.response for a in about], number]
        try:
            zero = calibrate_zero(cost_B, [not a.kept for a in about], [a.prompt for a in about])
            found[name] = zero
        except DataError as error:
            found[name] = error.message
    return found
