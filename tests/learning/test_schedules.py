"""The step size along the way equals the public schedules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_scheduler

from accord.learning.optimizer import schedule_share
from accord.learning.settings import OptimizerSettings

NAMES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup", "cosine_restarts": "cosine_with_restarts"}  # fmt: skip


def public(name: str, warmup: int, total: int, **specific: Any) -> list[float]:
    """Shares of the peak at each step by transformers."""
    adam = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(name, adam, warmup, total, scheduler_specific_kwargs=specific)
    shares = []
    for _ in range(total):
        shares.append(schedule.get_last_lr()[0])
        adam.step()
        schedule.step()
    return shares


@given(
    schedule=st.sampled_from(sorted(NAMES)),
    total=st.integers(1, 60),
    warmup=st.sampled_from([0.0, 0.1, 0.5]),
    restarts=st.integers(1, 4),
)
def test_schedules_are_the_public_ones(
    schedule: str, total: int, warmup: float, restarts: int
) -> None:
    """But for the warmup, whose first step is not one of size 0."""
    rising = round(warmup * total)
    specific = {"num_cycles": restarts + 1} if schedule == "cosine_restarts" else {}
    theirs = public(NAMES[schedule], rising, total, **specific)
    settings = OptimizerSettings(
        learning_rate=1.0, warmup=warmup, schedule=schedule, restarts=restarts
    )
    ours = [schedule_share(settings, step, total) for step in range(total)]
    assert ours[:rising] == pytest.approx([(step + 1) / rising for step in range(rising)])
    assert ours[rising:] == pytest.approx(theirs[rising:], abs=1e-6)


def test_wsd_is_flat_and_falls_over_its_share_to_the_last_step() -> None:
    settings = OptimizerSettings(
        learning_rate=1.0, warmup=0.1, schedule="wsd", decay=0.4, final_share=0.2
    )
    shares = [schedule_share(settings, step, 10) for step in range(10)]
    assert shares == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4])
