"""Soft actor-critic: the published formulas, what it remembers, and that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from accord.control.environments import ActionForm
from accord.control.learners import told_of
from accord.control.recent import RecentWalk
from accord.control.replay import Remembered, ReplayBuffer, novelty
from accord.control.rollouts import Steps, at_random, joined
from accord.control.sac import (
    Sac,
    SacSettings,
    follow,
    policy_loss,
    soft_target,
    squashed_log_p,
    temperature_loss,
    value_loss,
)
from accord.errors import ConfigError
from accord.statistics.intervals import Array

BOX = ActionForm("box", 2, np.array([-1.0, 0]), np.array([1.0, 4]))
VALUES = torch.tensor([[1.0, 4.0, -2.0], [3.0, 2.0, -1.0]])
LOG_P = torch.tensor([-1.0, 0.5, 2.0])


def test_losses_are_the_published_formulas() -> None:
    """Haarnoja et al. 2018 (arXiv 1812.05905), equations 2, 3, 5, 9 and 18, worked out by hand for
    two values and three steps, of which the task ended the second."""
    reward, over, alpha = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.0, 1.0, 0.0]), torch.tensor(0.5)  # fmt: skip
    target = soft_target(reward, over, VALUES, LOG_P, alpha, 0.9)
    # 1 + .9 (1 - .5 * -1), 2 and nothing after, -1 + .9 (-2 - .5 * 2)
    torch.testing.assert_close(target, torch.tensor([2.35, 2.0, -3.7]))
    wanted = 0.5 * np.square(VALUES.numpy() - np.array([2.35, 2.0, -3.7])).mean(1).sum()
    assert value_loss(VALUES, target).item() == pytest.approx(wanted, rel=1e-6)
    # (.5 * -1 - 1 + .5 * .5 - 2 + .5 * 2 + 2) / 3
    assert policy_loss(VALUES, LOG_P, alpha).item() == pytest.approx(-0.25 / 3)
    log_alpha = torch.tensor(math.log(0.5), requires_grad=True)
    loss = temperature_loss(log_alpha, LOG_P, -2.0)  # -.5 (-1 + .5 + 2 - 6) / 3
    assert loss.item() == pytest.approx(0.75)
    loss.backward()
    assert log_alpha.grad is not None
    assert log_alpha.grad.item() > 0  # more random than wanted: the temperature falls


NUMBERS = st.floats(-4, 4, width=32)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(-3, 1.5, width=32)), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_the_density_of_actions_is_that_of_torch(rows: list[tuple[float, float, float]]) -> None:
    u, mean, log_sd = torch.tensor(rows, dtype=torch.float64).T[:, None]
    base = TransformedDistribution(Normal(mean, log_sd.exp()), [TanhTransform(cache_size=1)])
    action = base.transforms[0](u)
    found = squashed_log_p(u, mean, log_sd)
    torch.testing.assert_close(found, base.log_prob(action).sum(-1), rtol=1e-6, atol=1e-6)


@given(st.floats(-2, 2), st.floats(-2, 0.7))
@settings(max_examples=20, deadline=None)
def test_the_density_of_actions_is_one_in_all(mean: float, log_sd: float) -> None:
    """Integrated over tanh(u) between -1 and 1."""
    u = torch.linspace(-14, 14, 40001, dtype=torch.float64)[:, None]
    density = squashed_log_p(u, torch.tensor(mean), torch.tensor(log_sd)).exp()
    total = torch.trapezoid(density, torch.tanh(u[:, 0])).item()
    assert total == pytest.approx(1, abs=2e-3)


def test_a_density_stays_finite_where_an_action_rounds_to_its_bound() -> None:
    u = torch.tensor([[50.0], [-300.0]])
    assert torch.isfinite(squashed_log_p(u, torch.zeros(2, 1), torch.zeros(2, 1))).all()


def walked(seed: int, steps: int, count: int = 2) -> Steps:
    rng = np.random.default_rng(seed)
    ended = rng.random((2, steps, count)) < 0.2
    shape = (steps, count)
    return Steps(
        rng.normal(size=(*shape, 3)), rng.uniform(BOX.low_A, BOX.high_A, (*shape, 2)), rng.normal(size=(*shape, 3)),
        rng.normal(size=shape), np.zeros(shape), ended[0], ended[1] & ~ended[0], None, None, np.zeros(count, dtype=np.int64),
    )  # fmt: skip


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(10, 17))
@settings(max_examples=40, deadline=None)
def test_the_latest_steps_are_remembered_and_no_others(lengths: list[int], capacity: int) -> None:
    """Whatever the lengths of rollouts, and wherever the ring's end falls among them; what is saved
    is all of it."""
    buffer, walks = ReplayBuffer(capacity, 3, 2), [walked(n, t) for n, t in enumerate(lengths)]
    for walk in walks:
        buffer.add(walk, walk.reward_TN)
    kept = buffer.all()
    assert len(buffer) == min(capacity, 2 * sum(lengths)) == len(kept.reward_S)
    latest = np.concatenate([walk.reward_TN.ravel() for walk in walks])[-capacity:]
    order = np.argsort(kept.reward_S.numpy())
    np.testing.assert_allclose(kept.reward_S.numpy()[order], np.sort(latest), rtol=1e-6)
    flat = {
        np.float32(r): (o, a, n, float(over))
        for walk in walks
        for r, o, a, n, over in zip(
            walk.reward_TN.ravel(), walk.observation_TNO.reshape(-1, 3), walk.action_TNA.reshape(-1, 2),
            walk.next_TNO.reshape(-1, 3), walk.terminated_TN.ravel(), strict=True,
        )
    }  # fmt: skip
    for row, reward in enumerate(kept.reward_S.numpy()):
        seen, action, then, over = flat[reward]
        np.testing.assert_allclose(kept.seen_SO[row], seen, rtol=1e-6)
        np.testing.assert_allclose(kept.action_SA[row], action, rtol=1e-6)
        np.testing.assert_allclose(kept.next_SO[row], then, rtol=1e-6)
        assert kept.over_S[row] == over  # by the task alone: what time ended goes on
    again = ReplayBuffer(capacity, 3, 2)
    again.load(buffer.state())
    for one in (buffer, again):
        one.add(walks[0], walks[0].reward_TN)
    rng, same = np.random.default_rng(1), np.random.default_rng(1)
    for mine, theirs in zip(
        vars(buffer.draw(30, rng)).values(), vars(again.draw(30, same)).values(), strict=True
    ):
        assert torch.equal(mine, theirs)


@given(st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_all_rewards_are_told_anew_in_one_call(steps: int) -> None:
    buffer, calls = ReplayBuffer(40, 3, 2), []

    def worth(seen: Array, action: Array, then: Array, over: Array) -> Array:
        calls.append(len(seen))
        total: Array = seen.sum(1) - 2 * action[:, 1] + then[:, 0] - 5 * over
        return total

    buffer.relabel(worth)  # nothing is remembered yet
    for walk in (walked(1, 7), walked(2, min(steps, 20))):
        buffer.add(walk, walk.reward_TN)
    buffer.relabel(worth)
    assert calls == [len(buffer)]
    kept = buffer.all()
    wanted = worth(*(column.double().numpy() for column in (kept.seen_SO, kept.action_SA, kept.next_SO, kept.over_S)))  # fmt: skip
    np.testing.assert_allclose(kept.reward_S, wanted, rtol=1e-5, atol=1e-6)


def test_a_rollout_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="a rollout of 12 steps does not fit into 10"):
        ReplayBuffer(10, 3, 2).add(walked(0, 6), np.zeros((6, 2)))
    with pytest.raises(ValueError, match="rollouts of 256 steps do not fit into a buffer of 100"):
        SacSettings(buffer=100)


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_new_states_are_those_far_from_their_neighbours(seed: int, near: int, count: int) -> None:
    seen = np.random.default_rng(seed).normal(size=(count, 3))
    found = novelty(seen, near)
    if count <= near:
        assert (found == 0).all()
        return
    far = np.sort(np.linalg.norm(seen[:, None] - seen[None], axis=-1), 1)[:, near]
    np.testing.assert_allclose(found, far / max(far.std(), 1e-8), rtol=1e-6)


def test_slow_weights_follow_a_share_of_the_way() -> None:
    slow, fast = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    wanted = [0.9 * a + 0.1 * b for a, b in zip(slow.parameters(), fast.parameters(), strict=True)]
    kept = [p.clone() for p in fast.parameters()]
    follow(slow, fast, 0.1)
    torch.testing.assert_close(list(slow.parameters()), wanted)
    torch.testing.assert_close(list(fast.parameters()), kept)


def test_walks_that_go_on_from_each_other_are_one() -> None:
    """The latest of them; after a question none, and saved ones are the same."""
    walks, recent = [walked(n, 4) for n in range(4)], RecentWalk(3)
    for walk in walks[:3]:
        recent.add(walk)
    again = RecentWalk(3)
    again.load(recent.state())
    whole = joined(walks[1:4])
    for one in (recent, again):
        found = one.until(walks[3])
        np.testing.assert_array_equal(found.reward_TN, whole.reward_TN)
        assert found.pieces() == whole.pieces()
        assert one.until(walks[0]).size == walks[0].size
    alone = RecentWalk(1)
    alone.add(walks[0])
    assert alone.until(walks[1]).size == walks[1].size


SMALL = SacSettings(
    environments=8, rollout=8, minibatch=32, hidden=16, random_steps=64, buffer=300, learning_rate=3e-3, updates_per_step=0.1,
)  # fmt: skip


class Bandit:
    """One step an episode: pays for nearness to a target that depends on what is seen."""

    def walk(self, learner: Sac, seed: int, greedy: bool = False) -> Steps:
        rng = np.random.default_rng(seed)
        act, rows = learner.actor(True) if greedy else learner.behaviour(), []
        for _ in range(8):
            seen = rng.normal(size=(8, 3))
            action, log_p = act(seen, rng)
            paid = -np.square(action - np.array([0.5, 2]) * seen[:, :2] / 2 - [0, 2]).sum(1)
            rows.append((seen, action, seen, paid, log_p))
        over = np.ones((8, 8), dtype=bool)
        return Steps(*(np.stack(c) for c in zip(*rows, strict=True)), over, ~over, None, None, np.zeros(8, dtype=np.int64))  # fmt: skip


def taught(learner: Sac, first: int, last: int) -> Sac:
    for number in range(first, last):
        steps = Bandit().walk(learner, number)
        if number < 2:
            learner.explore(steps)
        else:
            learner.learn(steps, steps.reward_TN)
    return learner


def test_it_learns() -> None:
    learner = Sac(SMALL.changed(updates_per_step=0.5, learning_rate=1e-2), 3, BOX, 10, 1)
    before = Bandit().walk(learner, 99, greedy=True).reward_TN.mean()
    after = Bandit().walk(taught(learner, 2, 9), 99, greedy=True).reward_TN.mean()
    assert after > before / 3
    assert learner.log_alpha.exp() < 1


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_parts_of_an_update_are_done_later(lengths: list[int]) -> None:
    """Whatever the steps come in, an update for every eight of them."""
    small = SMALL.changed(environments=1, rollout=1, random_steps=0, updates_per_step=0.125)
    learner, rng = Sac(small, 3, BOX, 100, 1), np.random.default_rng(0)
    for rows in lengths:
        seen, over = rng.normal(size=(rows, 1, 3)), np.zeros((rows, 1), dtype=bool)
        steps = Steps(seen, rng.normal(size=(rows, 1, 2)), seen, over + 1.0, over + 0.0, over, over, None, None, np.zeros(1, dtype=np.int64))  # fmt: skip
        learner.learn(steps, steps.reward_TN)
    assert learner._optimizer.steps == sum(lengths) // 8


def test_what_is_told_of_parts_is_their_mean_and_of_a_state_the_last() -> None:
    parts = [{}, {"q_loss": 1.0, "optimizer_steps": 2.0}, {"q_loss": 4.0, "optimizer_steps": 3.0}]
    assert told_of(parts) == {"q_loss": 2.5, "optimizer_steps": 3.0}
    assert told_of(parts[:1]) == {}


def test_a_resumed_learner_is_the_same_to_the_bit() -> None:
    """After it explored, with a buffer whose end it has passed, and while it explores."""
    whole = taught(Sac(SMALL, 3, BOX, 10, 1), 0, 6)
    assert whole.buffer.added > SMALL.buffer
    for cut in (2, 5):
        again = Sac(SMALL, 3, BOX, 10, 1)
        again.load(taught(Sac(SMALL, 3, BOX, 10, 1), 0, cut).state())
        taught(again, cut, 6)
        assert str(again.state()) == str(whole.state())
        for one, other in ((whole.model, again.model), (whole.values, again.values), (whole.slow, again.slow)):  # fmt: skip
            for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
                assert torch.equal(mine, theirs)


def test_values_begin_anew_when_it_has_explored() -> None:
    """And never again; the policy and what it remembers stay."""
    learner = taught(Sac(SMALL, 3, BOX, 10, 1), 0, 2)
    explored, policy, remembered = learner.values, learner.model, learner.buffer.added
    taught(learner, 2, 3)
    assert learner.values is not explored
    assert learner.model is policy
    assert learner.buffer.added == remembered + 64
    learned = learner.values
    taught(learner, 3, 4)
    assert learner.values is learned


def test_updates_are_those_of_stable_baselines3() -> None:
    """From its weights, on the same steps and random numbers, three updates lead to its weights; its
    density adds 1e-6 under the logarithm."""
    gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    sb3 = pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    from stable_baselines3.common.buffers import ReplayBufferSamples
    from stable_baselines3.common.logger import Logger

    learner = Sac(SMALL, 3, ActionForm("box", 1, np.array([-2.0]), np.array([2.0])), 1, 1)
    model = sb3.SAC(
        "MlpPolicy", gymnasium.make("Pendulum-v1"), policy_kwargs={"net_arch": [16, 16]}, seed=3,
        learning_rate=SMALL.learning_rate, device="cpu", buffer_size=10,
    )  # fmt: skip
    model.set_logger(Logger(None, []))

    def theirs() -> list[torch.Tensor]:
        """In the order of ours: layers' weights and biases of the policy, of both values, of both
        slow ones."""
        actor = model.actor
        deep = [actor.latent_pi[0], actor.latent_pi[2]]
        found = [part for layer in deep for part in (layer.weight, layer.bias)]
        found += [torch.cat([getattr(actor.mu, name), getattr(actor.log_std, name)])
                  for name in ("weight", "bias")]  # fmt: skip
        for critic in (model.critic, model.critic_target):
            nets = [[one[0], one[2], one[4]] for one in critic.q_networks]
            layers = list(zip(*nets, strict=True))
            found += [torch.stack([one.weight.T for one in both]) for both in layers]
            found += [torch.stack([one.bias[None] for one in both]) for both in layers]
        return found

    ours = [*learner.model.parameters(), *learner.values.parameters(), *learner.slow.parameters()]
    with torch.no_grad():
        for mine, its in zip(ours, theirs(), strict=True):
            mine.copy_(its)
    before = [p.detach().clone() for p in ours]
    rng = np.random.default_rng(0)
    for update in range(3):
        seen, then = (torch.tensor(rng.normal(size=(32, 3)), dtype=torch.float32) for _ in range(2))
        action = torch.tensor(rng.uniform(-1, 1, (32, 1)), dtype=torch.float32)
        reward, over = (torch.tensor(rng.normal(size=32) > 0.5).float() for _ in range(2))
        torch.manual_seed(update)
        now, after = (torch.normal(torch.zeros(32, 1), torch.ones(32, 1)) for _ in range(2))
        learner._update(Remembered(seen, 2 * action, then, reward, over), torch.stack([after, now]))
        batch = ReplayBufferSamples(seen, action, then, over[:, None], reward[:, None])
        model.replay_buffer.sample = lambda *_, batch=batch, **__: batch
        torch.manual_seed(update)
        model.train(1, 32)
    for mine, its, once in zip(ours, theirs(), before, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=2e-5)
        assert (mine - once).abs().max() > 1e-5
    assert learner.log_alpha.item() == pytest.approx(model.log_ent_coef.item(), abs=2e-5)


def test_actions_are_within_their_bounds_and_by_chance_at_first() -> None:
    learner, seen = Sac(SMALL, 3, BOX, 1, 1), np.random.default_rng(0).normal(size=(500, 3))
    first, log_p = learner.behaviour()(seen, np.random.default_rng(1))
    np.testing.assert_array_equal(first, at_random(BOX)(seen, np.random.default_rng(1))[0])
    assert log_p == pytest.approx(-math.log(8))
    taught(learner, 2, 3)
    action, log_p = learner.behaviour()(seen, np.random.default_rng(1))
    assert ((action >= BOX.low_A) & (action <= BOX.high_A)).all()
    assert np.abs(action - first).max() > 0.1
    # log-densities in the environment's units, by the action itself
    mean, log_sd = learner.model.policy(torch.tensor(seen, dtype=torch.float32)).chunk(2, -1)
    base = TransformedDistribution(Normal(mean.double(), log_sd.double().exp()), [TanhTransform()])
    inner = torch.tensor((action - [0, 2]) / [1, 2])
    wanted = base.log_prob(inner).sum(-1) - math.log(2)
    near = (inner.abs() < 0.99).all(1).numpy()
    np.testing.assert_allclose(log_p[near], wanted.detach().numpy()[near], atol=1e-3)


def test_a_greedy_policy_takes_the_middle_whatever_is_drawn() -> None:
    learner, seen = Sac(SMALL, 3, BOX, 1, 1), np.random.default_rng(0).normal(size=(50, 3))
    with torch.no_grad():
        mean_NA = learner.model.policy(torch.tensor(seen, dtype=torch.float32)).chunk(2, -1)[0]
    middle = np.array([0.0, 2.0]) + np.array([1.0, 2.0]) * np.tanh(mean_NA.numpy())
    drawn = [[learner.actor(greedy)(seen, np.random.default_rng(k))[0] for k in range(2)]
             for greedy in (True, False)]  # fmt: skip
    for action in drawn[0]:
        np.testing.assert_allclose(action, middle, atol=1e-5)
    assert (np.abs(drawn[1][0] - drawn[1][1]).max(1) > 0).all()


def test_discrete_actions_are_refused() -> None:
    form = ActionForm("discrete", 3, np.zeros(0), np.zeros(0))
    with pytest.raises(ConfigError, match=r"one of 3(.|\n)*learner: ppo"):
        Sac(SMALL, 3, form, 1, 1)
