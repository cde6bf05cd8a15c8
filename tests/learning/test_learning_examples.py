"""The page that shows PPO gives the trainer's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from examples.ppo_minimal import ppo
from on_policy_toys import PROMPTS, SETTINGS, count_sevens, make

from accord.learning.session import LocalSession
from accord.models.loading import freeze
from accord.models.scalar import ScalarModel
from tiny import tiny_llama


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kl_target": 0.5, "kl_horizon": 50, "temperature": 0.8, "unfinished_score": -1.0},
        {"epochs": 3, "value_learning_rate": 1e-2, "whiten_advantages": False, "lam": 0.8},
    ],
)
def test_the_page_gives_the_numbers_of_the_trainer(changes: dict[str, Any]) -> None:
    settings, session = SETTINGS.changed(steps=4, **changes), LocalSession()
    trainer = make(settings=settings, seed=3)
    trainer.train(session)
    policy = tiny_llama()
    found = list(
        ppo(
            policy,
            freeze(tiny_llama()),
            ScalarModel.from_causal_lm(tiny_llama(), seed=5),
            lambda rollout: count_sevens(rollout)[0],
            PROMPTS,
            settings,
            seed=3,
        )
    )
    assert len(found) == 4
    for theirs, ours in zip(session.history, found, strict=True):
        for name, number in ours.items():
            assert number == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name
    for p, q in zip(policy.hf.parameters(), trainer.policy.hf.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
