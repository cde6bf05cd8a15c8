"""Imitation: published formulas on fixed numbers, cloning that stops, DAgger that asks where the
learner goes, horizons, and demonstrations that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control.adversarial import AdversarialLearning
from accord.control.cloning import CloningSettings, DaggerSettings, clone, dagger
from accord.control.demonstrations import (
    ShownSteps,
    check_horizon,
    check_shown,
    read_demonstrations,
    shown_steps,
)
from accord.control.discriminators import (
    Adversary,
    AirlNet,
    DiscriminatorSettings,
    imitation_reward,
    shaped_f,
    told_apart,
)
from accord.control.environments import ActionForm
from accord.control.episodes import Episode, EpisodeStore
from accord.control.leaving import LearnedReward, saved_reward
from accord.control.making import make
from accord.control.ppo import VectorPpo, VectorPpoSettings
from accord.control.recording import record
from accord.control.rollouts import at_random
from accord.control.saving import save_arrays, saved_head
from accord.errors import ConfigError, DataError, RunError
from accord.learning.session import LocalSession, State
from accord.statistics.intervals import Array
from real_data import shared_data

pytest.importorskip("gymnasium", reason="the extra control brings it")
BOX = ActionForm("box", 1, np.array([-1.0]), np.array([1.0]))
TWO = ActionForm("discrete", 2, np.zeros(0), np.zeros(0))
LOGITS = st.lists(st.floats(-20, 20), min_size=1, max_size=6)
POLICY = VectorPpoSettings(environments=4, rollout=20, minibatch=40, epochs=2, hidden=16)


# --- formulas -------------------------------------------------------------------------------------
def test_airl_is_its_published_formula() -> None:
    """Fu, Luo and Levine 2018, equation 4 and section 6: D = exp f / (exp f + pi), with f = g(s, a) +
    gamma h(s') - h(s); what is paid is log D - log(1 - D) = f - log pi."""
    g, h, after = (np.array(row) for row in ([0.3, -1.2, 2.0], [0.5, 0.1, -0.4], [1.0, -2.0, 0.7]))
    log_p, gamma = np.array([-0.7, -3.0, 0.4]), 0.9
    f = shaped_f(*(torch.from_numpy(row) for row in (g, h, after)), gamma).numpy()
    np.testing.assert_allclose(f, g + gamma * after - h)
    d = np.exp(f) / (np.exp(f) + np.exp(log_p))
    logit = f - log_p
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), d)
    np.testing.assert_allclose(imitation_reward(logit, "log_odds"), np.log(d) - np.log(1 - d))


@settings(max_examples=30, deadline=None)
@given(LOGITS)
def test_gail_pays_what_is_published_and_its_sign_is_as_said(logits: list[float]) -> None:
    """Ho and Ermon 2016, algorithm 1: the cost is log of the learner's probability, 1 - D here. The
    discriminator maximises the mean log of being right."""
    logit = np.array(logits)
    d = 1 / (1 + np.exp(-logit))
    positive, negative = (imitation_reward(logit, kind) for kind in ("positive", "negative"))
    np.testing.assert_allclose(positive, -np.log1p(-d), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(negative, np.log(d), rtol=1e-6, atol=1e-8)
    assert (positive > 0).all()
    assert (negative < 0).all()
    np.testing.assert_allclose(positive + negative, imitation_reward(logit, "log_odds"), atol=1e-9)
    loss = told_apart(torch.tensor(logits).double(), torch.tensor(logits[:1]).double())
    wanted = -np.log(d).mean() - np.log1p(-d[0])
    assert loss.item() == pytest.approx(wanted, rel=1e-6, abs=1e-8)


def test_a_potential_is_not_worth_anything_after_the_end() -> None:
    net = AirlNet(2, 1, 8, 0.9, False, 1)
    seen, done, then = torch.randn(3, 2), torch.randn(3, 1), torch.randn(3, 2)
    on = torch.tensor([1.0, 0.0, 1.0])
    with torch.no_grad():
        whole, cut = net(seen, done, then, torch.ones(3)), net(seen, done, then, on)
        gone = 0.9 * net.h(then)[:, 0]
    torch.testing.assert_close(whole - cut, torch.where(on == 0, gone, 0.0))
    alone = AirlNet(2, 1, 8, 0.9, True, 1)
    torch.testing.assert_close(
        alone(seen, done, then, on), alone(seen, done + 1, then, on), atol=0, rtol=0
    )


# --- cloning --------------------------------------------------------------------------------------
def shown(count: int = 300, form: ActionForm = BOX, seed: int = 0) -> ShownSteps:
    """An expert whose action is half of the first number seen, or whether it is above 0."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(2, 3, (count, 3))
    action = 0.5 * seen[:, :1] + rng.normal(0, 0.1, (count, 1))
    done = action if form.kind == "box" else (seen[:, :1] > 2).astype(float)
    return ShownSteps(seen, done, seen, np.zeros(count, dtype=bool), np.zeros(1))


@pytest.mark.parametrize("form", [BOX, TWO], ids=["box", "discrete"])
def test_cloning_finds_the_experts_actions_and_stops_by_what_was_kept_aside(
    form: ActionForm,
) -> None:
    learner = VectorPpo(POLICY, 3, form, 1, 0)
    value = learner.model.value.layers[0].weight.clone()
    found = clone(
        learner, shown(600, form), CloningSettings(passes=40, patience=40, learning_rate=0.01), 0
    )
    other = shown(200, form, 1)
    act, _ = learner.actor(greedy=True)(other.seen_SO, np.random.default_rng(0))
    if form.kind == "box":
        assert np.abs(act - other.action_SA).mean() < 0.25
    else:
        assert (act == other.action_SA).mean() > 0.95
    torch.testing.assert_close(learner.model.value.layers[0].weight, value, atol=0, rtol=0)
    again = VectorPpo(POLICY, 3, form, 1, 0)
    few = clone(
        again, shown(20, form), CloningSettings(passes=400, patience=3, learning_rate=0.02), 0
    )
    assert few.passes < 400
    assert found.held_out < few.held_out


def test_one_step_is_nothing_to_clone() -> None:
    with pytest.raises(DataError, match="1 demonstrated steps"):
        clone(VectorPpo(POLICY, 3, BOX, 1, 0), shown(1), CloningSettings(), 0)


def test_dagger_asks_in_every_step_and_the_experts_share_falls() -> None:
    """As many labels as episodes have steps, those of the learner's states said by the expert."""
    env, asked = make("CartPole-v1", 2, 30, absorb=True), list[Array]()

    def expert(seen: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        asked.append(seen)
        return (seen[:, 2:3] + seen[:, 3:4] > 0).astype(float), np.zeros(len(seen))

    first = shown_steps(record(env, expert, 2, 0).episodes)
    asked.clear()
    learner, said = dagger(
        lambda: VectorPpo(POLICY, 4, env.actions, 1, 0), env, expert, first, 30,
        DaggerSettings(rounds=3, beta=0.0), CloningSettings(passes=3), 5,
    )  # fmt: skip
    assert len(said) == len(first) + 2 * 30 * 2
    np.testing.assert_array_equal(np.concatenate(asked), said.seen_SO[len(first) :])
    wanted = (said.seen_SO[:, 2] + said.seen_SO[:, 3] > 0).astype(float)
    np.testing.assert_array_equal(said.action_SA[:, 0], wanted)
    mean, count = said.seen_SO.mean(0), learner.seen.count
    np.testing.assert_allclose(learner.seen.mean, mean)
    assert count == len(said)


# --- adversaries ----------------------------------------------------------------------------------
BOTH: list[Adversary] = ["gail", "airl"]


def adversarial(
    kind: Adversary, updates: int = 3, where: str = "CartPole-v1"
) -> AdversarialLearning:
    """From an expert who always pushes to one side, which an untrained policy does not."""
    absorb = where == "CartPole-v1"
    env = make(where, 4, 20 if absorb else 30, not absorb, absorb=absorb)

    def pushes(seen: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        return np.ones((len(seen), env.actions.numbers)), np.zeros(len(seen))

    shown = shown_steps(record(env, pushes, 4, 0).episodes)
    settings = DiscriminatorSettings(updates=updates, minibatch=64)
    return AdversarialLearning(kind, env, shown, settings, POLICY, 400, 1)


@pytest.mark.parametrize("kind", BOTH)
def test_the_discriminator_tells_the_experts_steps_apart(kind: Adversary) -> None:
    learning, session = adversarial(kind, 30), LocalSession()
    learning.run(session)
    told = session.history
    assert learning.environment_steps == 400
    assert len(told) == 5
    assert told[0]["told_apart"] > 0.55
    assert told[-1]["gold_step"] <= 1
    seen = np.zeros((50, 4))
    act, _ = learning.learner.actor()(seen, np.random.default_rng(0))
    assert act.mean() > 0.5


class Kept(LocalSession):
    """Keeps the state after a step, and may start from another's."""

    def __init__(self, at: int, state: State | None = None) -> None:
        super().__init__(state)
        self.at, self.states = at, dict[int, State]()

    def end_step(
        self, step: int, total: int, values: Mapping[str, float], state: Callable[[], State],
        where: str = "",
    ) -> None:  # fmt: skip
        super().end_step(step, total, values, state, where)
        if step in (self.at, total):
            self.states[step] = deepcopy(state())


def bits(state: State) -> bytes:
    """Of all that a state holds."""
    place = BytesIO()
    torch.save(state, place)
    return place.getvalue()


@pytest.mark.parametrize("where", ["CartPole-v1", "accord:HalfCheetah"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_resumed_adversary_is_the_same_to_the_bit(kind: Adversary, where: str) -> None:
    """Where a state can be set in the middle of episodes; elsewhere between them."""
    if where.startswith("accord:"):
        pytest.importorskip("mujoco", reason="mujoco is not installed")
    whole = Kept(3)
    adversarial(kind, where=where).run(whole)
    again = Kept(3, whole.states[3])
    adversarial(kind, where=where).run(again)
    assert [row["environment_steps"] for row in again.history] == [320, 400]
    assert again.history == whole.history[3:]
    assert bits(again.states[5]) == bits(whole.states[5])


@pytest.mark.parametrize("alone", [False, True])
def test_airls_reward_is_its_g_wherever_it_is_used(alone: bool, tmp_path: Path) -> None:
    """Saved, loaded, and paid by an environment of Gymnasium's."""
    import gymnasium

    learning = adversarial("airl")
    learning.run(LocalSession())
    if alone:
        own = learning.settings.changed(state_only=True)
        learning = AdversarialLearning(
            "airl", learning.environments, learning.shown, own, POLICY, 80, 1
        )
        learning.run(LocalSession())
    reward, path = learning.learned_reward(), tmp_path / "reward.safetensors"
    head = saved_head("reward", learning.environments, "airl", learning.settings, {})
    save_arrays(path, reward.arrays(), head)
    rng = np.random.default_rng(0)
    seen, then = rng.normal(size=(2, 6, 4))
    done, on = rng.integers(2, size=(6, 1)).astype(float), np.zeros(6)
    steps = ShownSteps(seen, done, then, on == 1, np.zeros(1))
    net = learning.net
    assert isinstance(net, AirlNet)
    with torch.no_grad():
        f_S = net(*learning._read(steps))
        scaled = [
            torch.tensor(learning._scale.scaled(one), dtype=torch.float32) for one in (seen, then)
        ]
        h_S, next_S = (net.h(one)[:, 0] for one in scaled)
    wanted = (f_S - POLICY.gamma * next_S + h_S).numpy()
    loaded = saved_reward(path, 4, learning.form)
    for one in (reward, loaded):
        paid = one.rewards(one.inputs(seen, done, then))
        np.testing.assert_allclose(paid, wanted, atol=1e-5)
    other = loaded.rewards(loaded.inputs(seen, 1 - done, then))
    assert (np.abs(other - wanted).max() < 1e-5) == alone
    env = LearnedReward(gymnasium.make("CartPole-v1"), path)
    first, _ = env.reset(seed=1)
    _, paid_now, _, _, info = env.step(1)
    expected = loaded.rewards(
        loaded.inputs(first[None].astype(float), np.array([[1.0]]), first[None])
    )
    assert paid_now == pytest.approx(expected[0], abs=1e-5)
    assert info["paid"] == 1
    with pytest.raises(ConfigError, match="learned in CartPole-v1"):
        saved_reward(path, 3, learning.form)
    with pytest.raises(ConfigError, match="gail learns no reward"):
        adversarial("gail").learned_reward()


# --- horizons -------------------------------------------------------------------------------------
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(12, 40))
def test_what_ended_stays_as_it_is_until_its_time_is_over(seed: int, limit: int) -> None:
    env = make("CartPole-v1", 3, limit, absorb=True)
    pushes = record(env, at_random(env.actions), 6, seed)
    assert not pushes.unfinished
    for one in pushes.episodes:
        assert one.steps == limit
        assert not one.terminated_T.any()
        assert one.truncated_T[-1]
        lasted = int(one.reward_T.sum())
        assert (one.reward_T[:lasted] == 1).all()
        assert (one.observation_TO[lasted:] == one.observation_TO[lasted]).all()


def test_an_episode_that_ends_early_all_the_same_stops_the_learning() -> None:
    env = make("CartPole-v1", 4, 20)
    pushes = shown_steps([episode(steps=20)])
    learning = AdversarialLearning("gail", env, pushes, DiscriminatorSettings(), POLICY, 400, 1)
    with pytest.raises(RunError, match="CartPole-v1 ended an episode before its time"):
        learning.run(LocalSession())


def test_a_fixed_horizon_is_checked_before_anything_is_learned() -> None:
    with pytest.raises(ConfigError, match=r"CartPole-v1 ended an episode after \d+ of 200 steps"):
        check_horizon(make("CartPole-v1", 4, 200), 200, 0)
    check_horizon(make("CartPole-v1", 4, 200, absorb=True), 200, 0)
    check_horizon(make("Pendulum-v1", 2, 30), 30, 0)
    with pytest.raises(ConfigError, match="no environment 'CartPoel-v1'") as caught:
        make("CartPoel-v1", 1)
    assert "did you mean" in str(caught.value)


# --- demonstrations -------------------------------------------------------------------------------
def episode(
    name: str = "a", environment: str = "CartPole-v1", steps: int = 5, **more: Array
) -> Episode:
    ended = np.arange(steps) == steps - 1
    return Episode(
        name, environment, "p", 0, 0, more.get("seen", np.zeros((steps + 1, 4))),
        more.get("done", np.ones((steps, 1))), np.ones(steps), 0 * ended == 1, ended,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (episode(environment="Pendulum-v1"), "a is of Pendulum-v1, not of CartPole-v1"),
        (episode(done=np.ones((5, 2))), r"does \[2\] numbers a step, CartPole-v1 takes one number"),
        (
            episode(done=np.full((5, 1), 2.0)),
            "does 2 at step 0, CartPole-v1 takes one number, discrete",
        ),
        (episode(done=np.full((5, 1), 0.5)), "does 0.5 at step 0"),
        (episode(seen=np.zeros((6, 3))), r"observes \[3\] numbers, CartPole-v1 observes 4"),
        (episode(steps=4), "has 4 steps, an episode here 5"),
        (replace(episode(), first_step=3), "a piece of an episode, steps 3 to 8"),
        (replace(episode(), truncated_T=np.zeros(5, dtype=bool)), "a piece of an episode"),
    ],
)
def test_demonstrations_that_do_not_fit_are_named(given: Episode, told: str) -> None:
    env = make("CartPole-v1", 1, 5)
    check_shown([episode()], env, 5, 1)
    with pytest.raises(DataError, match=told):
        check_shown([episode("first"), given], env, 5, 2)


def test_too_few_none_and_nan_are_refused(tmp_path: Path) -> None:
    env = make("CartPole-v1", 1, 5)
    with pytest.raises(DataError, match="16 demonstrations are asked for, there are 1"):
        check_shown([episode()], env, 5, 16)
    check_shown([episode(steps=4)], env, None, 1)
    with pytest.raises(ConfigError, match="no demonstrations at"):
        read_demonstrations(tmp_path / "none", "CartPole-v1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no episode"):
        read_demonstrations(tmp_path / "empty", "CartPole-v1")
    with pytest.raises(DataError, match="observation at step 0 is not a finite"):
        episode(seen=np.full((6, 4), np.nan))
    EpisodeStore(tmp_path / "store").append([episode()])
    assert len(read_demonstrations(tmp_path / "store", "CartPole-v1")) == 1
    np.savez(tmp_path / "odd.npz", obs=np.zeros(3))
    with pytest.raises(DataError, match="has no array 'acts'"):
        read_demonstrations(tmp_path / "odd.npz", "CartPole-v1")


def flattened(lengths: list[int]) -> dict[str, Array]:
    steps = sum(lengths)
    return {
        "obs": np.arange(4.0 * (steps + len(lengths))).reshape(-1, 4), "acts": np.zeros(steps, int),
        "rews": np.ones(steps), "terminal": np.arange(len(lengths)) % 2 == 0,
        "indices": np.cumsum(lengths)[:-1],
    }  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from(["obs", "acts", "rews", "terminal", "indices"]),
    st.sampled_from(["short", "long", "single", "text", "deep"]),
)
def test_flattened_rollouts_are_read_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], name: str, wrong: str
) -> None:
    path, arrays = tmp_path_factory.mktemp("flat") / "f.npz", flattened(lengths)
    np.savez(path, **arrays)
    read = read_demonstrations(path, "CartPole-v1")
    assert [one.steps for one in read] == lengths
    assert np.concatenate([one.observation_TO for one in read]).tolist() == arrays["obs"].tolist()
    assert [bool(one.terminated_T[-1]) for one in read] == arrays["terminal"].tolist()
    rows = arrays[name]
    bad = {
        "short": rows[:-1], "long": np.resize(rows, (len(rows) + 1, *rows.shape[1:])),
        "single": np.array(3), "text": np.array(["x"] * max(1, len(rows))), "deep": rows[None],
    }[wrong]  # fmt: skip
    if wrong == "deep" and name in ("obs", "acts") and sum(lengths) == 1:
        return  # one action of several numbers is another shape of the same thing
    if len(bad.shape) and bad.shape == rows.shape and wrong != "text":
        return  # nothing to leave out
    np.savez(path, **(arrays | {name: bad}))
    with pytest.raises(DataError):
        read_demonstrations(path, "CartPole-v1")


def test_rollouts_of_other_libraries_are_read() -> None:
    folder = shared_data("imitation")
    env = make("Pendulum-v1", 1)
    pendulum = read_demonstrations(folder / "pendulum_expert_rollouts.npz", "Pendulum-v1")
    check_shown(pendulum, env, 200, 56)
    steps = shown_steps(pendulum)
    assert len(steps) == 11_200
    inside = np.abs(steps.next_SO[:-1] - steps.seen_SO[1:]).max(1) == 0
    assert (~inside).sum() == 55  # between episodes alone
    assert -400 < steps.paid_N.mean() < -100
    carts = read_demonstrations(folder / "cartpole_expert_rollouts.npz", "CartPole-v1")
    with pytest.raises(
        DataError, match=r"has 458 steps, an episode here 500: how\s+long it lasted"
    ):
        check_shown(carts, make("CartPole-v1", 1), 500, 16)
    check_shown(carts, make("CartPole-v1", 1), None, 16)
