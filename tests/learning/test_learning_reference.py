"""Whole PPO steps equal an implementation written from the papers, number by number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from on_policy_toys import count_sevens, make
from ppo_reference import Answer, Reference

from accord.learning.on_policy_batch import Experience
from accord.learning.session import LocalSession
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze
from accord.models.scalar import ScalarModel
from accord.sampling.rollout import Rollout
from tiny import tiny_llama


def eager(model: CausalLM) -> Any:
    """The plain transformers model."""
    model.hf.config._attn_implementation = "eager"
    return model.hf


def test_two_ppo_steps_equal_an_independent_implementation() -> None:
    """Two rollouts, each two epochs of two minibatches: losses, gradients, norms, KL, coefficient
    and weights.

    The reference gets the samples and the order of rows; everything computed from them is its own.
    """
    t = make(
        policy=tiny_llama(0),
        reference=freeze(tiny_llama(0)),
        steps=2,
        epochs=2,
        minibatches=2,
        temperature=0.7,
        kl_target=0.05,
        kl_horizon=50,
        score_clip=1.5,
        unfinished_score=-1.0,
        adam_beta2=0.999,
        max_new_tokens=12,
        micro_batch_tokens=40,
    )
    policy, frozen = tiny_llama(0), freeze(tiny_llama(0))
    for model in (
        policy,
        t.policy,
    ):  # away from its reference, so that the KL is in the reward from the start
        with torch.no_grad():
            for p, q in zip(model.hf.parameters(), tiny_llama(7).hf.parameters(), strict=True):
                p.add_(0.1 * q)
    value = ScalarModel.from_causal_lm(tiny_llama(), seed=5)
    peer = Reference(
        policy=eager(policy),
        frozen=eager(frozen),
        value=(eager(value.lm).model, value.head.weight, value.head.bias),
        updates=8,
        temperature=0.7,
        coefficient=0.05,
        target=0.05,
        horizon=50,
        rate=3e-3,
        betas=(0.9, 0.999),
        score_clip=1.5,
        unfinished=-1.0,
    )
    rollouts: list[Rollout] = []
    parts: list[list[tuple[int, ...]]] = []
    updates: list[dict[str, float]] = []
    gradients: list[list[torch.Tensor]] = []
    sample, minibatch, update = t.sampler.sample, t.minibatch, t.policy_optimizer.step

    def noted_sample(*args: Any) -> Rollout:
        rollouts.append(sample(*args))
        return rollouts[-1]

    def noted_minibatch(part: Experience, *args: Any, **more: Any) -> dict[str, float]:
        parts.append([tuple(g.prompt) for g in part.groups])
        updates.append(minibatch(part, *args, **more))
        return updates[-1]

    def noted_update(where: str) -> dict[str, float]:
        if not gradients:
            gradients.append([p.grad.clone() for p in t.policy.hf.parameters()])
            gradients.append([p.grad.clone() for p in t.value.parameters()])
        return update(where)

    t.sampler.sample, t.minibatch, t.policy_optimizer.step = (
        noted_sample,
        noted_minibatch,
        noted_update,
    )  # type: ignore[method-assign]
    session = LocalSession()
    t.train(session)

    for step, rollout in enumerate(rollouts):
        scores = count_sevens(rollout)[0].tolist()
        rows = zip(rollout.prompts, rollout.responses, rollout.finished, scores, strict=True)
        place = {tuple(prompt): b for b, prompt in enumerate(rollout.prompts)}
        peer.step(
            [Answer(*row) for row in rows],
            [[place[p] for p in part] for part in parts[4 * step : 4 * step + 4]],
        )
    assert any(rollouts[0].finished)
    assert not all(rollouts[0].finished)

    assert len(updates) == len(peer.log) == 8
    for ours, theirs in zip(updates, peer.log, strict=True):
        for name, expected in theirs.items():
            assert ours[name] == pytest.approx(expected, rel=2e-3, abs=2e-5), name
    for clipped in ("clip_share", "value_clip_share"):
        assert any(row[clipped] > 0 for row in updates), (
            f"{clipped} is 0: the test shows too little"
        )
    for ours, theirs in zip(gradients, peer.first_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-3)
    for ours, theirs in zip(session.history, peer.rollouts, strict=True):
        assert ours["kl_seq"] == pytest.approx(theirs["kl_seq"], abs=1e-4)
        assert ours["kl_coefficient"] == pytest.approx(theirs["kl_coefficient"], rel=1e-5)
        assert abs(ours["kl_seq"]) > 0.01
    assert t.kl.coefficient == pytest.approx(peer.coefficient, rel=1e-5)
    for name, ours, theirs in (
        ("policy", t.policy.hf.parameters(), peer.adams[0].parameters),
        ("value", t.value.parameters(), peer.adams[1].parameters),
    ):
        worst = max(float((p - q).abs().max()) for p, q in zip(ours, theirs, strict=True))
        assert worst < 5e-6, (name, worst)
