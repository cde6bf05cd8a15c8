"""Proximal policy optimisation on vectors: advantages at ends and cuts, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control.environments import ActionForm
from accord.control.ppo import VectorPpo, VectorPpoSettings, cut
from accord.control.rollouts import Steps
from accord.control.running import RunningScale
from accord.errors import RunError
from accord.learning.advantages import gae

BOX = ActionForm("box", 2, np.array([-1.0, -1]), np.array([1.0, 1]))
NUMBERS = st.floats(-3, 3, width=32)


@given(st.lists(st.tuples(st.integers(1, 6), NUMBERS), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_advantages_are_the_sums_they_stand_for(pieces: list[tuple[int, float]], seed: int) -> None:
    """A_t = sum_k (gamma lambda)^k delta_{t+k}, with the value of what comes after a cut."""
    gamma, lam, rng = 0.9, 0.8, np.random.default_rng(seed)
    lengths = torch.tensor([length for length, _ in pieces])
    reward, value = (torch.tensor(rng.normal(size=int(lengths.sum()))) for _ in range(2))
    after = torch.tensor([one for _, one in pieces], dtype=torch.float64)
    found, returns = gae(reward, value, lengths, gamma, lam, after)
    start = 0
    for length, then in pieces:
        v = [*value[start : start + length].tolist(), then]
        delta = [float(reward[start + t]) + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            wanted = sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length))
            assert float(found[start + t]) == pytest.approx(wanted, abs=1e-9)
        start += length
    torch.testing.assert_close(returns, found + value)


def walked(seed: int, steps: int = 12, count: int = 3) -> Steps:
    rng = np.random.default_rng(seed)
    ended = rng.random((2, steps, count)) < 0.15
    return Steps(
        rng.normal(size=(steps, count, 4)), rng.normal(size=(steps, count, 2)),
        rng.normal(size=(steps, count, 4)), rng.normal(size=(steps, count)),
        np.zeros((steps, count)), ended[0], ended[1], None, None, np.arange(count),
    )  # fmt: skip


@given(st.integers(0, 200))
@settings(deadline=None)
def test_pieces_are_all_steps_once_and_end_where_episodes_do(seed: int) -> None:
    steps = walked(seed)
    seen = np.zeros_like(steps.reward_TN)
    ended = steps.terminated_TN | steps.truncated_TN
    for n, start, end in steps.pieces():
        seen[start:end, n] += 1
        assert not ended[start : end - 1, n].any()
        assert end == len(seen) or ended[end - 1, n]
        assert steps.begun_at(n, start) == (n if start == 0 else 0)
    assert (seen == 1).all()


def test_running_scale_is_that_of_all_rows_so_far() -> None:
    rows, scale = np.random.default_rng(0).normal(3, 2, (50, 4)), RunningScale(4)
    for part in np.split(rows, [7, 8, 30]):
        scale.add(part)
    np.testing.assert_allclose(scale.mean, rows.mean(0))
    np.testing.assert_allclose(scale.deviation, rows.std(0), rtol=1e-6)
    again = RunningScale(4)
    again.load(scale.state())
    np.testing.assert_array_equal(again.scaled(rows), scale.scaled(rows))


def settings_of(**more: float) -> VectorPpoSettings:
    return VectorPpoSettings(environments=16, rollout=8, minibatch=64, hidden=16, **more)


class Bandit:
    """One step an episode: pays for nearness to a target that depends on what is seen."""

    def __init__(self, truncates: bool) -> None:
        self.truncates = truncates

    def walk(self, learner: VectorPpo, seed: int) -> Steps:
        rng, act = np.random.default_rng(seed), learner.actor()
        rows = []
        for _ in range(8):
            seen = rng.normal(size=(16, 2))
            action, log_p = act(seen, rng)
            rows.append((seen, action, seen, -np.square(action - 0.5 * seen).sum(1), log_p))
        ended = np.ones((8, 16), dtype=bool)
        return Steps(*(np.stack(c) for c in zip(*rows, strict=True)), ended & (not self.truncates), ended & self.truncates, None, None, np.zeros(16, dtype=np.int64))  # fmt: skip


def learned(updates: int, **more: float) -> VectorPpo:
    learner = VectorPpo(settings_of(**more), 2, BOX, updates, 1)
    for number in range(updates):
        steps = Bandit(False).walk(learner, number)
        learner.learn(steps, steps.reward_TN)
    return learner


def test_it_learns() -> None:
    first, last = (Bandit(False).walk(learned(n), 99).reward_TN.mean() for n in (0, 25))
    assert first < -1.5
    assert last > first / 1.5


@given(st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_what_is_cut_goes_on_with_the_value_of_what_was_seen_last(seed: int) -> None:
    """Where time was over, or the rollout; where the task ended it, nothing follows."""
    steps = walked(seed)
    value_TN = np.arange(1.0, steps.size + 1).reshape(steps.reward_TN.shape)
    lengths, after = cut(steps, torch.from_numpy(value_TN.T.copy()).flatten())
    for (n, start, end), length, then in zip(
        steps.pieces(), lengths.tolist(), after.tolist(), strict=True
    ):
        assert length == end - start
        assert then == (0 if steps.terminated_TN[end - 1, n] else value_TN[end - 1, n])


def test_a_resumed_learner_is_the_same_to_the_bit() -> None:
    whole, half = learned(6), learned(3)
    again = VectorPpo(settings_of(), 2, BOX, 6, 1)
    again.load(half.state())
    for number in range(3, 6):
        steps = Bandit(False).walk(again, number)
        again.learn(steps, steps.reward_TN)
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole.seen.state() == again.seen.state()


def test_actions_that_the_policy_did_not_draw_are_noticed() -> None:
    learner = learned(0)
    steps = Bandit(False).walk(learner, 0)
    steps.log_p_TN[0, 0] += 0.5
    with pytest.raises(RunError, match=r"rollout and update differ by 0\.5"):
        learner.learn(steps, steps.reward_TN)


def test_discrete_actions_are_drawn_by_their_probabilities() -> None:
    form = ActionForm("discrete", 3, np.zeros(0), np.zeros(0))
    learner = VectorPpo(settings_of(), 2, form, 1, 3)
    with torch.no_grad():
        learner.model.policy.layers[-1].bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    act, seen = learner.actor(), np.zeros((4000, 2))
    action, log_p = act(seen, np.random.default_rng(0))
    wanted = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(np.bincount(action[:, 0].astype(int)) / 4000, wanted, atol=0.03)
    torch_log_p, entropy = learner.model.log_p(torch.zeros(4000, 2), torch.from_numpy(action))
    np.testing.assert_allclose(torch_log_p.detach().numpy(), log_p, atol=1e-5)
    assert entropy[0].item() == pytest.approx(-(wanted * np.log(wanted)).sum(), abs=1e-4)
    greedy, _ = learner.actor(greedy=True)(seen[:5], np.random.default_rng(0))
    assert (greedy == 2).all()
