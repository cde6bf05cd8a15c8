"""Every objective as one function from a variant to (loss values, gradients): for tests of what
must not matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from on_policy_toys import SETTINGS, make
from torch import Tensor

from accord.learning import advantages as adv
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
from accord.learning.kinds import BETAS, REFERENCE_FREE, PreferenceLoss, TextObjective
from accord.learning.on_policy_batch import Experience
from accord.learning.preference import Pair, PreferenceSettings, preference_step, reference_logprobs
from accord.learning.reward import reward_step
from accord.learning.scored_text import scored_step
from accord.learning.settings import RewardSettings, TextFeedbackSettings
from accord.learning.supervised import supervised_step
from accord.learning.unpaired import ThumbExample, UnpairedSettings, reference_point, unpaired_step
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze
from accord.models.scalar import ScalarHead, ScalarModel
from accord.text.packing import PromptGroup, pack
from accord.text.scored import ScoredWindow
from tiny import tiny_llama

GENERATOR = torch.Generator().manual_seed(0)
EOS = 1


def tokens(n: int) -> list[int]:
    return torch.randint(4, 40, (n,), generator=GENERATOR).tolist()


EXAMPLES = [
    PromptGroup([0, *tokens(1 + i % 3)], [[*tokens(1 + i % 5), EOS]], weight=0.5 + i % 2)
    for i in range(9)
]
PAIRS = [
    Pair([0, *tokens(1 + i % 4)], [*tokens(2 + i % 3), EOS], [*tokens(4 - i % 3), EOS], doubt=0.1 * (i % 2), weight=0.5 + i % 3)
    for i in range(6)
]  # fmt: skip
THUMBS = [
    ThumbExample(p.prompt, r, good, weight=p.weight)
    for p in PAIRS
    for r, good in ((p.chosen, True), (p.rejected, False))
]
JUDGED = [
    JudgedGroup(
        PromptGroup([0, *tokens(3)], [[*tokens(2 + k), EOS] for k in range(3 + i % 2)]),
        (
            Judgement((2, 0, 1), (0, 1, 2), 0, weight=0.5 + i),
            Judgement((1, 2), (1, 0), 1, doubt=0.1 * i),
            Judgement((0, 2), (0, 1), 1, "tie", weight=3 - i / 2),
        ),
    )
    for i in range(5)
]
EFFECTS = AnnotatorEffects(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.3]))
ROLLOUT = [
    PromptGroup([0, *tokens(1 + i % 3)], [[*tokens(1 + (i + k) % 5), EOS] for k in range(2)])
    for i in range(6)
]


@dataclass(frozen=True)
class Variant:
    """model: a policy by its seed; budget: tokens per micro-batch; order: of the rows."""

    model: Callable[[int], CausalLM] = tiny_llama
    budget: int = 10_000
    order: Callable[[Sequence[Any]], list[Any]] = list


Outcome = tuple[dict[str, float], list[Tensor]]
OBJECTIVES: dict[str, Callable[[Variant], Outcome]] = {}


def sft(v: Variant) -> Outcome:
    model = v.model(3)
    loss, _ = supervised_step(model, v.order(EXAMPLES), v.budget)
    return {"loss": loss}, gradients(model.parameters())


WINDOWS = [
    ScoredWindow(
        PromptGroup([0], [[*tokens(2 + i % 4), 40, *tokens(2)]], [[*[True] * (2 + i % 4), False, True, True]]),
        [*[-0.5 * (i % 3)] * (2 + i % 4), *[0.3 - 0.2 * (i % 2)] * 2],
        i,
    )
    for i in range(8)
]  # fmt: skip


def scored_text(objective: TextObjective) -> Callable[[Variant], Outcome]:
    def run(v: Variant) -> Outcome:
        model, feedback = v.model(3), TextFeedbackSettings(
            objective=objective, threshold=-0.2, beta=0.5, unlikelihood_weight=0.7
        )  # fmt: skip
        head = ScalarHead(32, seed=1) if objective == "awr" else None
        values, _ = scored_step(model, v.order(WINDOWS), feedback, v.budget, head)
        return values, gradients([*model.parameters(), *(head.parameters() if head else ())])

    return run


def preference(kind: PreferenceLoss) -> Callable[[Variant], Outcome]:
    def run(v: Variant) -> Outcome:
        policy, reference, batch = v.model(3), freeze(v.model(4)), v.order(PAIRS)
        settings = PreferenceSettings(
            loss=kind,
            beta=BETAS[kind],
            gamma=0.5 * (kind == "simpo"),
            micro_batch_tokens=v.budget,
            nll_weight=0.2,
            learning_rate=1e-5,
        )
        cached = reference_logprobs(policy, reference, batch, v.budget)
        if kind in REFERENCE_FREE:
            cached = torch.zeros_like(cached)
        values, _ = preference_step(policy, batch, cached, settings)
        return values, gradients(policy.parameters())

    return run


def kto(v: Variant) -> Outcome:
    policy, reference, batch = v.model(3), freeze(v.model(4)), v.order(THUMBS)
    point = reference_point(policy, reference, batch, v.budget)
    settings = UnpairedSettings(
        micro_batch_tokens=v.budget, undesirable_weight=1.3, learning_rate=5e-6
    )
    with torch.no_grad():
        cached = torch.cat([reference.logprobs(pack([t.group])).sum()[None] for t in batch])
    values, _ = unpaired_step(policy, batch, cached, point, settings)
    return values, gradients(policy.parameters())


def reward(v: Variant) -> Outcome:
    member = ScalarModel(v.model(3), ScalarHead(32, seed=1))
    settings = RewardSettings(micro_batch_tokens=v.budget, label_smoothing=0.05, learning_rate=3e-4)
    loss, _ = reward_step(member, JudgedBatch.of(v.order(JUDGED)), settings, EFFECTS)
    return {"loss": loss}, gradients(member.parameters())


def on_policy(**changes: Any) -> Callable[[Variant], Outcome]:
    def run(v: Variant) -> Outcome:
        settings = SETTINGS.changed(
            samples_per_prompt=2,
            whiten_advantages=changes.get("estimator") in (None, "reinforce"),
            max_new_tokens=16,
            micro_batch_tokens=v.budget,
            **changes,
        )
        policy, old, reference = v.model(3), v.model(5), v.model(4)
        with torch.no_grad():  # near each other, so that some ratios are clipped and some are not
            for p, q in zip(policy.hf.parameters(), old.hf.parameters(), strict=True):
                q.copy_(p + 0.05 * q)
        t = make(policy=policy, reference=freeze(reference), settings=settings)
        if t.value is not None:
            t.value = ScalarModel(v.model(6), ScalarHead(32, seed=5))
        batch = _experience(t, old, v.order(ROLLOUT))
        both = (t.policy_optimizer, t.value_optimizer)
        for optimizer in both:
            if optimizer is not None:
                optimizer.step = lambda where: {"grad_norm": 0.0}  # type: ignore[method-assign]
        values = t.minibatch(batch, 0, None)
        values.pop("tokens")  # a prompt that is shared costs fewer
        return values, gradients([*policy.parameters(), *(t.value.parameters() if t.value else ())])

    return run


def _experience(t: Any, old: CausalLM, groups: list[PromptGroup]) -> Experience:
    """What `OnPolicyTrainer.experience` makes of responses that `old` gave."""
    with torch.no_grad():
        (old_S, ref_S) = (t._per_token(groups, m.logprobs) for m in (old, t.reference))
        values_S = t._per_token(groups, t.value.values) if t.value else torch.zeros_like(old_S)
    responses = [r for g in groups for r in g.responses]
    lengths_B, score_B = (
        torch.tensor([len(r) for r in responses]),
        torch.tensor([float(sum(r) % 7) for r in responses]),
    )
    rewards_S = adv.token_rewards(
        old_S - ref_S, score_B, lengths_B, 0.0 if t.settings.kl_in == "loss" else 0.1
    )
    advantages_S, returns_S = t.advantages(rewards_S, values_S, lengths_B)
    return Experience(
        groups, lengths_B, old_S, ref_S, values_S, advantages_S, returns_S, score_B, score_B[None]
    )


def gradients(parameters: Any) -> list[Tensor]:
    return [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in parameters]


OBJECTIVES["sft"] = sft
for name in get_args(PreferenceLoss):
    OBJECTIVES[name] = preference(name)
OBJECTIVES["kto"] = kto
for objective in ("unlikelihood", "rwr", "awr"):
    OBJECTIVES[objective] = scored_text(objective)
OBJECTIVES["reward"] = reward
OBJECTIVES["ppo"] = on_policy()
OBJECTIVES["rloo"] = on_policy(estimator="rloo", ratio="response", aggregation="sequence")
OBJECTIVES["grpo"] = on_policy(estimator="grpo", aggregation="sequence", kl_in="loss")
OBJECTIVES["dr_grpo"] = on_policy(estimator="dr_grpo", aggregation="constant")
OBJECTIVES["gspo"] = on_policy(estimator="grpo", ratio="sequence", clip=0.01)
OBJECTIVES["reinforce"] = on_policy(estimator="reinforce")
OBJECTIVES["reinforce_baseline"] = on_policy(estimator="reinforce_baseline")
