"""Rewards compared by episodes: EPIC, STARC, the order of clips, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from click.testing import CliRunner

from accord.cli.main import main
from accord.control import reward_comparison
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.discriminators import AirlReward, DiscriminatorSettings
from accord.control.episodes import EpisodeStore
from accord.control.leaving import saved_reward
from accord.control.making import make
from accord.control.networks import SmallNet
from accord.control.recording import record
from accord.control.reward_comparison import compare_rewards
from accord.control.reward_distance import (
    Ask,
    StoredSteps,
    TooFewSteps,
    epic,
    interval,
    ordered_alike,
    potential_features,
    starc,
)
from accord.control.rollouts import at_random
from accord.control.running import RunningScale
from accord.control.saving import save_arrays, saved_head
from accord.control.tabular import distances
from accord.control.tabular.mdp import FiniteMdp
from accord.errors import DataError
from accord.statistics.intervals import Array, Index

GAMMA = 0.9


def walked(episodes: int = 6, length: int = 20, seed: int = 0) -> StoredSteps:
    """Episodes that drift, each about a place of its own."""
    rng = np.random.default_rng(seed)
    place_E1O = rng.normal(size=(episodes, 1, 2))
    seen = place_E1O + rng.normal(size=(episodes, length + 1, 2)).cumsum(1) * 0.3
    action = rng.normal(size=(episodes, length, 1))
    whose = np.repeat(np.arange(episodes), length)
    return StoredSteps(
        seen[:, :-1].reshape(-1, 2), action.reshape(-1, 1), seen[:, 1:].reshape(-1, 2), whose
    )


def liked(seen: Array, action: Array, then: Array) -> Array:
    return np.tanh(then[..., 0]) - 0.2 * action[..., 0] ** 2 + 0.1 * seen[..., 1]


def otherwise(seen: Array, action: Array, then: Array) -> Array:
    return liked(seen, action, then) + 0.5 * np.sin(3 * then[..., 1]) * action[..., 0]


def potential(state: Array) -> Array:
    """Of the richest form there is."""
    return 3 * state[..., 0] * state[..., 1] - state[..., 1] ** 2 + 2 * state[..., 0]


def shaped(seen: Array, action: Array, then: Array) -> Array:
    return 2.5 * liked(seen, action, then) + GAMMA * potential(then) - potential(seen) + 7


def opposite(seen: Array, action: Array, then: Array) -> Array:
    return -liked(seen, action, then)


def pairs_of(steps: StoredSteps, count: int = 40) -> Index:
    return np.random.default_rng(1).integers(len(steps), size=(count, 2))


def told(reward: Ask, steps: StoredSteps) -> Array:
    return reward(steps.seen_NO, steps.action_NA, steps.next_NO)


def both(first: Ask, second: Ask, steps: StoredSteps) -> tuple[float, float]:
    """EPIC and STARC, all episodes counted once."""
    ones = np.ones(int(steps.episode_N[-1]) + 1)
    features = potential_features(steps.seen_NO, steps.next_NO, GAMMA)
    rewards = told(first, steps), told(second, steps)
    return (
        epic(first, second, steps, pairs_of(steps), GAMMA)(ones),
        starc(*rewards, features, steps.episode_N)(ones),
    )


@pytest.mark.parametrize("other", [liked, shaped], ids=["itself", "scaled and shaped"])
def test_a_factor_and_a_potential_are_no_distance(other: Ask) -> None:
    """Of the same steps and pairs, whatever the sample: to rounding."""
    assert both(liked, other, walked()) == pytest.approx((0, 0), abs=1e-6)
    apart = both(otherwise, liked, walked())
    assert both(otherwise, other, walked()) == pytest.approx(apart, abs=1e-9)
    assert min(apart) > 0.05


def test_opposites_are_at_distance_1() -> None:
    assert both(liked, opposite, walked()) == pytest.approx((1, 1))
    assert both(shaped, opposite, walked()) == pytest.approx((1, 1))


@pytest.mark.parametrize("without", [None, 2])
def test_distances_are_those_reckoned_by_hand(without: int | None) -> None:
    """Step by step, and by least squares on the steps that are left."""
    steps, pairs = walked(), pairs_of(walked())
    weight_E = np.ones(6)
    if without is not None:
        weight_E[without] = 0
    kept = weight_E[steps.episode_N] > 0
    forms: list[list[float]] = [[], []]
    for form, reward in zip(forms, (liked, otherwise), strict=True):
        for seen, action, then in zip(
            steps.seen_NO[kept], steps.action_NA[kept], steps.next_NO[kept], strict=True
        ):
            ahead = [
                GAMMA * reward(then, steps.action_NA[a], steps.next_NO[o])
                - reward(seen, steps.action_NA[a], steps.next_NO[o])
                for a, o in pairs
                if without not in (steps.episode_N[a], steps.episode_N[o])
            ]
            form.append(float(reward(seen, action, then) + np.mean(ahead)))
    by_hand = np.sqrt((1 - np.corrcoef(forms)[0, 1]) / 2)
    found = epic(liked, otherwise, steps, pairs, GAMMA)(weight_E)
    assert found == pytest.approx(by_hand, rel=1e-9)

    def of_form(state: Array) -> Array:
        one, other = state.T
        return np.stack([one, other, one * one, one * other, other * other, 1 + 0 * one], 1)

    moved = GAMMA * of_form(steps.next_NO[kept]) - of_form(steps.seen_NO[kept])
    left = []
    for reward in (liked, otherwise):
        paid = told(reward, steps)[kept]
        left.append(paid - moved @ np.linalg.lstsq(moved, paid, rcond=None)[0])
    by_hand = np.sqrt((1 - np.corrcoef(left)[0, 1]) / 2)
    features = potential_features(steps.seen_NO, steps.next_NO, GAMMA)
    found = starc(told(liked, steps), told(otherwise, steps), features, steps.episode_N)(weight_E)
    assert found == pytest.approx(by_hand, rel=1e-9)


def listed(states: int, actions: int) -> StoredSteps:
    """Each step of a world once, states one-hot."""
    from_N, taken_N, to_N = (one.ravel() for one in np.indices((states, actions, states)))
    return StoredSteps(
        np.eye(states)[from_N], taken_N[:, None].astype(float), np.eye(states)[to_N], from_N * 0
    )


def of_table(reward_SAS: Array) -> Ask:
    return lambda seen, action, then: reward_SAS[
        seen.argmax(-1), action[..., 0].astype(int), then.argmax(-1)
    ]


def test_epic_of_all_steps_is_that_of_the_world() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(2, 5, 3, 5))
    steps = listed(5, 3)
    at = np.arange(15)  # the steps from the first state: every action with every outcome
    found = epic(of_table(first), of_table(second), steps, np.stack([at, at], 1), GAMMA)
    assert found(np.ones(1)) == pytest.approx(distances.epic(first, second, GAMMA), rel=1e-12)


def test_starc_of_all_steps_agrees_with_the_world_on_what_is_the_same() -> None:
    """The world's has another canonical form: it has the same equivalents and opposites."""
    rng = np.random.default_rng(5)
    first, second, potential_S = rng.normal(size=(2, 40, 3, 40))[0], None, rng.normal(size=40)
    second = 2 * first + GAMMA * potential_S[None, None] - potential_S[:, None, None]
    world = FiniteMdp(np.full((40, 3, 40), 1 / 40), np.full(40, 1 / 40), GAMMA)
    steps = listed(40, 3)
    features = potential_features(steps.seen_NO, steps.next_NO, GAMMA)
    for other in (second, -second):
        found = starc(first.ravel(), other.ravel(), features, steps.episode_N)(np.ones(1))
        assert found == pytest.approx(distances.starc(first, other, world), abs=1e-6)


def test_what_pays_the_same_for_every_step_has_no_distance() -> None:
    steps = walked()
    features = potential_features(steps.seen_NO, steps.next_NO, GAMMA)

    def flat(seen: Array, action: Array, then: Array) -> Array:
        return GAMMA * potential(then) - potential(seen)

    with pytest.raises(DataError, match="the second reward pays the same for every step, but"):
        epic(liked, flat, steps, pairs_of(steps), GAMMA)
    with pytest.raises(DataError, match="the first reward pays the same for every step, but"):
        starc(told(flat, steps), told(liked, steps), features, steps.episode_N)
    with pytest.raises(DataError, match="the first reward pays the same"):
        starc(np.zeros(len(steps)), told(liked, steps), features, steps.episode_N)


def test_potentials_get_the_richest_form_that_there_are_steps_for() -> None:
    """Of two numbers: five with their products, four with their squares, two by themselves."""
    steps = walked()
    for count, features in ((100, 5), (99, 4), (80, 4), (79, 2), (40, 2)):
        found = potential_features(steps.seen_NO[:count], steps.next_NO[:count], GAMMA)
        assert found.shape == (count, features)
    with pytest.raises(TooFewSteps, match="39 steps of 2 numbers each are too few"):
        potential_features(steps.seen_NO[:39], steps.next_NO[:39], GAMMA)


def test_intervals_rest_on_episodes_not_on_steps() -> None:
    """An episode that is there four times as long, each step the same, says no more."""
    steps = walked()
    again = np.repeat(np.arange(len(steps)), 4)
    four = StoredSteps(
        *(rows[again] for rows in (steps.seen_NO, steps.action_NA, steps.next_NO, steps.episode_N))
    )
    found = [
        interval(epic(liked, otherwise, one, pairs_K2, GAMMA), 6)
        for one, pairs_K2 in ((steps, pairs_of(steps)), (four, pairs_of(steps) * 4))
    ]
    assert found[0].low < found[0].value < found[0].high < 1
    assert vars(found[1]) == pytest.approx(vars(found[0]))
    alone = interval(lambda weight_E: 0.3, 1)
    assert (alone.value, np.isnan(alone.low)) == (0.3, True)
    same = interval(epic(liked, liked, steps, pairs_of(steps), GAMMA), 6)
    assert (same.value, np.isnan(same.high)) == (0.0, True)


def test_an_interval_is_students_where_the_distance_is_a_mean() -> None:
    """Of the logarithm of (1 + rho) / (1 - rho), told back as a distance."""
    told_E = np.array([0.3, 1.2, 0.8, 2.0, 1.1])
    found = interval(lambda weight_E: (1 + np.exp(np.average(told_E, weights=weight_E))) ** -0.5, 5)
    reach = 2.776445 * told_E.std(ddof=1) / np.sqrt(5)
    by_hand = [(1 + np.exp(told_E.mean() + sign * reach)) ** -0.5 for sign in (0, 1, -1)]
    assert [found.value, found.low, found.high] == pytest.approx(by_hand, rel=1e-6)


def test_pairs_of_clips_are_counted() -> None:
    score_2C = np.array([[0, 1, 2, 3.0], [0, 1, 1, 0]])
    pairs = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    found = ordered_alike(score_2C, np.arange(4), pairs)
    assert found.value == (1 + 0.5 + 0 + 0.5) / 4
    assert 0 < found.low < found.value < found.high < 1
    surely = ordered_alike(score_2C[[0, 0]], np.arange(4), pairs)
    # Four episodes are two pairs without one in common: two of two.
    assert (surely.value, surely.low) == (1, pytest.approx(0.025 ** (1 / 2)))
    assert np.isnan(ordered_alike(score_2C, np.array([0, 1, 2, 2]), pairs).low)


def test_where_one_episode_has_all_there_is_no_interval_is_told() -> None:
    steps, pairs = walked(4), pairs_of(walked(4))
    own_K = np.flatnonzero(steps.episode_N == 1)
    found = interval(epic(liked, otherwise, steps, own_K[pairs % len(own_K)], GAMMA), 4)
    assert 0 < found.value < 1
    assert np.isnan([found.low, found.high]).all()
    # A clip of the first episode is in every pair.
    score_2C = np.array([[0, 1, 2, 3.0], [0, 1, 1, 0]])
    alike = ordered_alike(score_2C, np.arange(4), np.array([[0, 1], [2, 0], [0, 3]]))
    assert alike.value == (1 + 1 + 0.5) / 3
    assert np.isnan([alike.low, alike.high]).all()


# --- the command ----------------------------------------------------------------------------------
def accord(*given: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["control", "reward-distance", *map(str, given)])
    assert done.exit_code == code, done.output
    return done.output


def saved(path: Path, environment: str, seed: int, sign: float = 1, sizes: str = "") -> Path:
    """A reward that has learned nothing, or the opposite of one; sizes: as of an environment that
    has other numbers."""
    sized = make(sizes or environment, 1)
    settings = ClipRewardSettings(hidden=8, members=2)
    reward = ClipReward(settings, sized.observation_size, sized.actions, seed)
    reward.deviation_E = np.full(2, sign)
    head = saved_head("reward", make(environment, 1), "clip_reward", settings, {})
    save_arrays(path, reward.arrays(), head)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("episodes")
    batch = make("Pendulum-v1", 6, 40)
    EpisodeStore(folder).append(record(batch, at_random(batch.actions), 6, seed=1).episodes)
    return folder


def test_the_command_compares_rewards(store: Path, tmp_path: Path) -> None:
    first, second = (saved(tmp_path / f"{n}.safetensors", "Pendulum-v1", n) for n in (1, 2))
    against = saved(tmp_path / "run" / "reward.safetensors", "Pendulum-v1", 1, -1)
    given = ["--episodes", store, "--clip", 10, "--json"]
    found = json.loads(accord(first, second, *given))
    assert (found["environment"], found["gamma"], found["steps"]) == ("Pendulum-v1", 0.99, 240)
    assert (found["episodes"], found["stored"], found["clips"]) == (6, 6, 24)
    for name in ("epic", "starc", "alike"):
        assert 0 <= found[name]["low"] < found[name]["value"] < found[name]["high"] <= 1
    assert json.loads(accord(first, second, *given)) == found
    assert json.loads(accord(first, second, *given, "--gamma", 0.5)) != found
    same = json.loads(accord(first, first, *given))
    assert (same["epic"]["value"], same["starc"]["value"], same["alike"]["value"]) == (0, 0, 1)
    assert same["epic"]["low"] is None
    opposite = json.loads(accord(first, against.parent, *given))
    values = [opposite[name]["value"] for name in ("epic", "starc", "alike")]
    assert values == pytest.approx([1, 1, 0], abs=1e-6)


def test_what_was_paid_is_compared_by_what_happened(store: Path, tmp_path: Path) -> None:
    first = saved(tmp_path / "1.safetensors", "Pendulum-v1", 1)
    found = json.loads(accord("environment", first, "--episodes", store, "--clip", 10, "--json"))
    assert found["epic"] is None
    assert list(found["why_not"]) == ["epic"]
    assert 0 < found["starc"]["value"] < 1
    shown = accord("environment", first, "--episodes", store, "--steps", 30)
    assert "what the environment would pay for steps that did not happen is unknown" in shown
    assert "too few to tell potentials: use at least 60 steps" in shown
    assert "fewer than two episodes last 60 steps: use a shorter clip" in shown


def test_what_was_paid_in_every_step_and_over_clips_is_found(store: Path, tmp_path: Path) -> None:
    """An environment that pays what was learned, and a potential, is at no distance; one that pays the opposite, and makes up for it in the last step of a clip, orders clips alike."""
    path = saved(tmp_path / "1.safetensors", "Pendulum-v1", 1)
    stored, sized = EpisodeStore(store), make("Pendulum-v1", 1)
    reward = saved_reward(path, sized.observation_size, sized.actions)
    same, late = [], []
    for name in stored.ids:
        one = stored.episode(name)
        seen_TO = one.observation_TO
        paid_T = reward.rewards(reward.inputs(seen_TO[:-1], one.action_TA, seen_TO[1:]))
        potential_T = 3 * seen_TO[:, 0] * seen_TO[:, 1] - seen_TO[:, 2] ** 2
        moved_T = 0.99 * potential_T[1:] - potential_T[:-1]
        same.append(replace(one, reward_T=paid_T + moved_T))
        last_T = np.zeros(len(paid_T))
        last_T[9::10] = 2 * paid_T.reshape(-1, 10).sum(1)
        late.append(replace(one, reward_T=last_T - paid_T))
    for name, episodes in (("same", same), ("late", late)):
        EpisodeStore(tmp_path / name).append(episodes)
    given = [path, "environment", "--clip", 10, "--steps", 190, "--json", "--episodes"]
    found = json.loads(accord(*given, tmp_path / "same"))
    assert found["starc"]["value"] == pytest.approx(0, abs=1e-6)
    found = json.loads(accord(*given, tmp_path / "late"))
    assert found["starc"]["value"] > 0.3
    assert found["alike"]["value"] == 1


def test_of_more_than_is_read_some_are_chosen_by_chance(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first of them: a policy is another at the end of a run than at its beginning."""
    first, second = (saved(tmp_path / f"{n}.safetensors", "Pendulum-v1", n) for n in (1, 2))
    monkeypatch.setattr(reward_comparison, "MOST_STEPS", 100)
    compared = [
        compare_rewards(str(first), str(second), EpisodeStore(store), GAMMA, 10, 2000, seed)
        for seed in range(4)
    ]
    assert {(one.episodes, one.steps, one.stored) for one in compared} == {(3, 120, 6)}
    assert len({one.starc.value for one in compared if one.starc}) > 1
    whole = [one.id for one in reward_comparison._chosen(EpisodeStore(store), 0)]
    assert whole == sorted(whole, key=EpisodeStore(store).ids.index)
    monkeypatch.setattr(reward_comparison, "MOST_EPISODES", 2)
    assert len(reward_comparison._chosen(EpisodeStore(store), 0)) == 2


def test_clips_are_paired_across_episodes_and_episodes_without_steps_do_not_count(
    store: Path,
) -> None:
    episode_C = np.array([0, 0, 0, 0, 0, 1, 3])
    pairs_P2 = reward_comparison._pairs(episode_C, np.random.default_rng(0))
    assert (episode_C[pairs_P2[:, 0]] != episode_C[pairs_P2[:, 1]]).all()
    stored = EpisodeStore(store)
    episodes = [stored.episode(name) for name in stored.ids[:3]]
    some = reward_comparison._steps(episodes, np.array([0, 39, 80]))
    assert some.episode_N.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(some.next_NO[2], episodes[2].observation_TO[1])


def test_what_cannot_be_compared_is_said(store: Path, tmp_path: Path) -> None:
    first = saved(tmp_path / "1.safetensors", "Pendulum-v1", 1)
    cart = saved(tmp_path / "cart.safetensors", "CartPole-v1", 1)
    flat = saved(tmp_path / "flat.safetensors", "Pendulum-v1", 1, np.inf)
    sizes = saved(tmp_path / "sizes.safetensors", "Pendulum-v1", 1, sizes="CartPole-v1")
    given = ["--episodes", store]
    assert "steps have 10 numbers; here they have 7" in accord(first, sizes, *given, code=2)
    assert "was learned in CartPole-v1, the episodes are of Pendulum-v1" in accord(
        first, cart, *given, code=2
    )
    assert "the second reward pays the same for every step" in accord(first, flat, *given, code=2)
    assert "there is no file" in accord(first, tmp_path / "gone", *given, code=2)
    assert "both rewards are what was paid" in accord("environment", "environment", *given, code=2)
    none = tmp_path / "none"
    none.mkdir()
    assert "holds 0 stores of episodes" in accord(first, first, "--episodes", none, code=2)
    assert "holds 2 reward.safetensors" in accord(first, _two(tmp_path), *given, code=2)


def test_a_reward_of_airl_is_compared_too(store: Path, tmp_path: Path) -> None:
    """It reads what is seen and done, and says so itself."""
    sized = make("Pendulum-v1", 1)
    settings = DiscriminatorSettings(hidden=8)
    g = SmallNet([sized.observation_size + sized.actions.size, 8, 8, 1], 1.0, 3)
    scale = RunningScale(sized.observation_size)
    reward = AirlReward(g, scale, sized.actions, settings.state_only)
    path = tmp_path / "airl.safetensors"
    save_arrays(path, reward.arrays(), saved_head("reward", sized, "airl", settings, {}))
    first = saved(tmp_path / "1.safetensors", "Pendulum-v1", 1)
    found = json.loads(accord(path, first, "--episodes", store, "--clip", 10, "--json"))
    assert 0 < found["epic"]["value"] < 1
    assert 0 < found["starc"]["value"] < 1


def _two(folder: Path) -> Path:
    run = folder / "two"
    for name in ("01-learn", "02-learn"):
        saved(run / name / "reward.safetensors", "Pendulum-v1", 1)
    return run
