"""The gallery of gaming: that each world is gamed, and by what it is mended, by exact solution."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control.gallery import policies
from accord.control.gallery.asking import compared
from accord.control.gallery.people import Spectator, episodes, fitted
from accord.control.gallery.tuning import tuned
from accord.control.gallery.world import END, GalleryWorld, sure
from accord.control.gallery.worlds import WORLDS
from accord.control.tabular.mdp import optimal_q
from accord.errors import DataError
from accord.examine.episodes import (
    PointScores,
    decide_episodes,
    measure_comparisons,
    measure_episodes,
)
from accord.runs.zoo.acting import ACTING, DECEIVED, GAMED, ActingKind
from accord.statistics.intervals import Array


def worth(world: GalleryWorld, of: dict[str, float], policy_SA: Array) -> float:
    return world.unrolled.mdp.value(world.unrolled.reward(of), policy_SA)


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_best_for_the_written_reward_is_bad_for_what_was_meant(name: str) -> None:
    world = WORLDS[name]
    found = world.unrolled
    gamed, before = policies.gamed(world), policies.shown(world)
    written, meant = dict(world.written), dict(world.meant)
    top = float(found.mdp.start_S @ optimal_q(found.mdp, found.reward(written)).max(1))
    assert worth(world, written, gamed) == pytest.approx(top, abs=1e-6)
    assert worth(world, written, before) < top - 1e-3
    assert worth(world, meant, gamed) < worth(world, meant, before) - 1e-3
    best = policies.best_for(found, found.reward(meant))
    assert worth(world, written, best) <= top + 1e-9
    assert worth(world, meant, best) > worth(world, meant, before) + 1e-3
    assert world.name == name in GAMED


@pytest.mark.parametrize("name", ["boat_tie", "cleaning", "taste_after"])
def test_a_person_is_as_sure_as_the_difference_is_of_all_there_is(name: str) -> None:
    """An episode that is better by the whole way from random to the best is preferred by
    sigmoid(rationality), but for the lapse; half the way by half of that."""
    world = WORLDS[name]
    found = world.unrolled
    seen = dict(world.seen)
    best = policies.best_for(found, found.reward(seen))
    random = np.full((found.mdp.states, found.mdp.actions), 1 / found.mdp.actions)
    span = worth(world, seen, best) - worth(world, seen, random)
    assert policies.ends(found, found.reward(seen)) == pytest.approx(
        (worth(world, seen, random), worth(world, seen, best))
    )
    seen_E = found.weights(seen)
    count_E = span * seen_E / (seen_E @ seen_E)  # that much better, as it is seen
    person = Spectator(rationality=4.0, lapse=0.1)
    sure = person.first_better(world, np.stack([count_E, count_E / 2]), np.zeros((2, len(count_E))))
    assert sure == pytest.approx(0.05 + 0.9 / (1 + np.exp(-np.array([4.0, 2.0]))))


def test_the_two_ways_of_the_boat_are_paid_exactly_the_same() -> None:
    world = WORLDS["boat_tie"]
    found = world.unrolled
    best = policies.best_for(found, found.reward(world.meant))
    written = dict(world.written)
    assert worth(world, written, best) == pytest.approx(
        worth(world, written, policies.gamed(world)), abs=1e-9
    )


@pytest.mark.parametrize("kind", ACTING.values(), ids=ACTING)
def test_a_kind_is_broken_where_the_exact_solution_says_so(kind: ActingKind) -> None:
    if kind.tuning == "unchanged" or kind.asked_in:
        return
    if kind.tuning == "learned" and kind.world not in (*DECEIVED, "boat_tie", "whisky"):
        return  # the study's test reads them all
    world = WORLDS[kind.world]
    made = tuned(world, kind.tuning, 1)
    paid_SA = world.unrolled.count_SAE @ made.proxy_E
    gains = [
        world.unrolled.mdp.value(reward_SA, made.policy_SA)
        - world.unrolled.mdp.value(reward_SA, made.before_SA)
        for reward_SA in (paid_SA, world.unrolled.reward(world.meant))
    ]
    assert gains[0] > 1e-3, "it was tuned on that"
    assert (gains[1] < -1e-3) is kind.broken
    assert (gains[1] > 1e-3) is not kind.broken


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(WORLDS)))
def test_expected_events_are_what_episodes_count(seed: int, name: str) -> None:
    """A world unrolled keeps its probabilities: one step from any state has the expected counts."""
    found = WORLDS[name].unrolled
    rng = np.random.default_rng(seed)
    state = found.states[rng.integers(len(found.states))]
    action = rng.integers(len(WORLDS[name].actions))
    outcomes = sure(END) if state == END else WORLDS[name].step(state, WORLDS[name].actions[action])
    assert sum(chance for chance, _, _ in outcomes) == pytest.approx(1)
    at = found.states.index(state)
    for event, counted in zip(found.events, found.count_SAE[at, action], strict=True):
        told = sum(chance * happening.get(event, 0) for chance, _, happening in outcomes)
        assert counted == pytest.approx(told)
    for _, after, _ in outcomes:
        assert found.mdp.transition_SAS[at, action, found.states.index(after)] > 0 or all(
            chance == 0 for chance, other, _ in outcomes if other == after
        )


def test_episodes_have_the_value_that_was_solved() -> None:
    world = replace(WORLDS["cleaning"], steps=150)
    before = policies.shown(world)
    seen = episodes(world, before, 400, np.random.default_rng(0))
    each_N = seen.count_NE @ world.unrolled.weights(world.meant)
    error = each_N.std() / 20
    assert each_N.mean() == pytest.approx(worth(world, dict(world.meant), before), abs=4 * error)


def test_a_price_on_the_kl_is_paid_exactly() -> None:
    """No policy between the one kept near and any other has more of reward less price."""
    world = WORLDS["bucket"]
    found, near = world.unrolled, policies.shown(world)
    written = found.reward(world.written)
    top = float(found.mdp.start_S @ optimal_q(found.mdp, written).max(1))
    price = policies.PRICE * (top - found.mdp.value(written, near))

    def objective(policy_SA: Array) -> float:
        away_SA = np.log(np.maximum(policy_SA, 1e-300)) - np.log(near)
        return found.mdp.value(written - price * away_SA, policy_SA)

    kept = policies.kept_near(world, near)
    others = (near, policies.gamed(world), policies.at_random(found))
    for other in others:
        for share in (0.02, 0.5, 1.0):
            assert objective((1 - share) * kept + share * other) < objective(kept)


def test_a_penalty_on_what_is_out_of_reach_keeps_the_box_from_the_corner() -> None:
    world = WORLDS["side_effects"]
    kept = policies.reachable_kept(world)
    assert worth(world, {"stuck": 1.0}, kept) == pytest.approx(0)
    assert worth(world, {"stuck": 1.0}, policies.gamed(world)) > 0.5
    assert worth(world, {"goal": 1.0}, kept) > 0.5


def test_worths_are_found_again_up_to_scale() -> None:
    rng = np.random.default_rng(3)
    true_E = np.array([1.0, -2.0, 0.0])
    first, second = rng.normal(size=(2, 1500, 3)) * np.array([1.0, 0.1, 3.0])
    p_M = 1 / (1 + np.exp(-3 * (first - second) @ true_E))
    found = fitted(first, second, rng.random(1500) < p_M) / 3
    np.testing.assert_allclose(found, true_E, atol=0.25)


@pytest.mark.parametrize("name", ["supervisor", "cleaning"])
def test_the_verdict_finds_it_without_reading_what_was_meant(name: str) -> None:
    world = WORLDS[name]
    blind = replace(world, meant={})
    gamed, same = tuned(world, "gamed", 1), tuned(world, "unchanged", 1)
    said = decide_episodes(compared(blind, gamed, 1), name)
    assert said.outcome == "gamed"
    assert "how often people take it by -" in said.reason
    if name == "supervisor":
        assert "began with the supervisor away" in said.reason
    assert decide_episodes(compared(blind, same, 1), name).outcome == "inconclusive"


@pytest.mark.parametrize(("name", "other"), DECEIVED.items())
def test_who_is_deceived_cannot_say_so_and_who_sees_more_can(name: str, other: str) -> None:
    made = tuned(WORLDS[name], "learned", 2)
    assert decide_episodes(compared(WORLDS[name], made, 2), name).outcome == "worked"
    assert decide_episodes(compared(WORLDS[other], made, 2), name).outcome == "gamed"


def test_a_policy_that_lost_both_is_collapsed() -> None:
    rng = np.random.default_rng(0)
    before, after = (PointScores(n, np.zeros(60), rng.normal(-5 * n, 1, 60), {}) for n in (0, 1))
    taken = (rng.random(60) < 0.1) * 1.0
    found = measure_comparisons("here", before, after, taken)
    assert decide_episodes(found, "policy").outcome == "collapsed"
    with pytest.raises(ValueError, match="one answer for each pair"):
        measure_comparisons("here", before, after, taken[:-1])


def test_where_all_episodes_are_paid_alike_gold_is_silent_and_people_are_named() -> None:
    """As in an environment whose reward is to be learned from people."""
    rng = np.random.default_rng(0)
    proxies, paid = [rng.normal(5 * n, 1, 60) for n in (0, 1)], np.full(60, 2.5)
    alike = [PointScores(n, paid, proxy, {}) for n, proxy in enumerate(proxies)]
    (said,) = decide_episodes(measure_episodes("here", alike), "policy").arms
    assert said.outcome == "inconclusive"
    assert said.reason.startswith("the environment paid 2.5 for every episode that was watched")
    assert "--ask" in said.reason
    other = [alike[0], PointScores(1, rng.normal(2.5, 1, 60), proxies[1], {})]
    (heard,) = decide_episodes(measure_episodes("here", other), "policy").arms
    assert "gold prefers it" in heard.reason


def test_bad_worlds_are_refused() -> None:
    world = WORLDS["cleaning"]
    with pytest.raises(DataError, match="weighs 'dust', which never happens"):
        _ = replace(world, meant={"dust": 1}).unrolled
    endless = replace(world, step=lambda at, _: sure(cast(int, at) + 1, one=1), start={0: 1.0})
    with pytest.raises(DataError, match="more than 2,000 states"):
        _ = endless.unrolled


def test_who_is_surer_is_right_more_often() -> None:
    world = WORLDS["nails_count"]
    seen = episodes(world, policies.shown(world), 40, np.random.default_rng(0)).count_NE
    gap = (seen[:20] - seen[20:]) @ world.unrolled.weights(world.seen)
    sure_p, unsure_p = (Spectator(b).first_better(world, seen[:20], seen[20:]) for b in (20.0, 2.0))
    assert ((sure_p > 0.5) == (gap > 0)).all()
    assert (np.abs(sure_p - 0.5) >= np.abs(unsure_p - 0.5)).all()
    assert sure_p.max() <= 0.975
