"""Self-play, solved: a round is the minimum of SPIN's published loss, and rounds do what the closed
form says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, logit

from accord.oversight.self_play import divergence, spin_step
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

LOG_ODDS = st.lists(st.floats(-2, 2), min_size=2, max_size=5)


def least_loss(log_pi_V: torch.Tensor, log_data_V: torch.Tensor, beta: float) -> np.ndarray:
    """The minimum of the loss as it is published, by L-BFGS."""
    free_V = log_pi_V.clone().requires_grad_()
    weight_VV = log_data_V.exp()[:, None] * log_pi_V.exp()[None, :]
    optimizer = torch.optim.LBFGS(
        [free_V], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-12,
        tolerance_change=1e-16,
    )  # fmt: skip

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        gain_V = beta * (free_V.log_softmax(0) - log_pi_V)
        margin_VV = gain_V[:, None] - gain_V[None, :]
        value = -(weight_VV * torch.nn.functional.logsigmoid(margin_VV)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    found: np.ndarray = free_V.detach().log_softmax(0).numpy()
    return found


@settings(max_examples=20)
@given(LOG_ODDS, st.floats(0.3, 3), st.integers(0, 99))
def test_a_round_is_the_minimum_of_the_loss(odds: list[float], beta: float, seed: int) -> None:
    pi_V = log_softmax(np.array(odds))
    data_V = log_softmax(np.random.default_rng(seed).normal(size=len(odds)))
    found_V = least_loss(torch.tensor(pi_V), torch.tensor(data_V), beta)
    np.testing.assert_allclose(np.exp(spin_step(pi_V, data_V, beta)), np.exp(found_V), atol=1e-6)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.1, 4))
def test_two_responses_follow_the_closed_form(pi: float, data: float, beta: float) -> None:
    both = (np.log([one, 1 - one]) for one in (pi, data))
    step = spin_step(*both, beta)
    wanted = expit(logit(pi) + (logit(data) - logit(pi)) / beta)
    assert np.exp(step[0]) == pytest.approx(wanted, abs=1e-9)


def test_rounds_arrive_swing_or_run_away(tmp_path: Path) -> None:
    told = yaml.safe_load(recipes.packaged()["spin"])
    path = tmp_path / "spin.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "threads": 1, "stages": told["stages"]}))
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, StageProgress(), {})
    (file,) = tmp_path.glob("run/stages/*/result.json")
    kl = json.loads(file.read_text())["values"]
    assert kl["kl_1.1"] == pytest.approx(0, abs=1e-12)
    assert kl["kl_0.2"] > kl["kl_1.2"] > kl["kl_2.2"] > kl["kl_3.2"] > 0
    assert kl["kl_2.0.5"] == pytest.approx(kl["kl_0.0.5"])  # there and back again
    assert kl["kl_4.0.1"] > kl["kl_1.0.1"] > 2 * kl["kl_0.0.1"]
    assert kl["kl_1.early"] == pytest.approx(0, abs=1e-12)  # a tenth of the way at a tenth
    rows, columns = told["study"]["rows"], told["study"]["columns"]
    assert {c.replace("play.", "").replace("{row}", r) for r in rows for c in columns} == set(kl)


def test_impossible_settings_are_refused() -> None:
    point = np.log([0.5, 0.5])
    assert divergence(point, point) == 0
    for beta, trained in ((0, 1), (-1, 1), (1, 0), (1, 2), (float("nan"), 1)):
        with pytest.raises(ValueError, match="above 0"):
            spin_step(point, point, beta, trained)
