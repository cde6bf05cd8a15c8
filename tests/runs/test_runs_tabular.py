"""Studies of small worlds: their stages at toy size, and what their tables claim."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_runs_label_world import run

from accord.errors import ConfigError


def test_potentials_cost_nothing_and_what_resembles_them_does(tmp_path: Path) -> None:
    values = run(tmp_path, "shaping", "grids", worlds=3, side=4)
    for row in ("random", "distance", "nothing_at_end", "settled"):
        assert values[f"grids.regret_1.{row}"] == pytest.approx(0, abs=1e-7)
        assert values.get(f"grids.moved.{row}", 0) == 0
    for row in ("cut", "undiscounted", "wrong_discount", "state", "waypoint", "action"):
        assert values[f"grids.regret_1.{row}"] > 5


def test_distances_order_rewards_as_regret_does(tmp_path: Path) -> None:
    values = run(tmp_path, "reward-distance", "worlds", worlds=3, states=8)
    for name in ("epic", "dard", "starc"):
        assert values[f"worlds.{name}.shaped"] == pytest.approx(0, abs=1e-7)
        assert values[f"worlds.{name}.noise_0.1"] < values[f"worlds.{name}.noise_1"]
        assert values[f"worlds.rank.{name}"] > 0.7
    assert values["worlds.starc.redistributed"] == pytest.approx(0, abs=1e-7)
    assert values["worlds.regret.redistributed"] == pytest.approx(0, abs=1e-7)
    assert values["worlds.epic.redistributed"] > 0.2
    assert values["worlds.error_1024.noise_1"] < values["worlds.error_64.noise_1"]


@pytest.mark.parametrize(
    ("recipe", "stage", "changes", "told"),
    [
        ("reward-distance", "worlds", {"states": 2}, "leads_to = 3 of 2"),
        ("inverse-rewards", "grids", {"shown": [6]}, "shown = 6 episodes"),
        ("gallery", "worlds", {"only": ["boat_tye"]}, "no world 'boat_tye'"),
        ("gallery", "worlds", {"comparisons": [0]}, "comparisons = 0"),
    ],
)
def test_impossible_worlds_are_refused(
    tmp_path: Path, recipe: str, stage: str, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        run(tmp_path, recipe, stage, **changes)


def test_goals_are_found_and_what_cannot_be_told_apart_is_said(tmp_path: Path) -> None:
    values = run(tmp_path, "goal-inference", "rooms", episodes=60)
    assert values["rooms.cover.all"] > 0.95
    assert values["rooms.cover_pair.all"] == pytest.approx(0.95, abs=0.04)
    assert values["rooms.cover_rational.all"] < 0.8
    assert values["rooms.right.all"] > values["rooms.right_rational.all"]
    assert values["rooms.alike"] == 4
    for row in ("true", "opposite", "one_step", "nothing"):
        assert values[f"rooms.gap.{row}"] == pytest.approx(0, abs=1e-6)
        assert values[f"rooms.posterior.{row}"] == pytest.approx(0.25, abs=1e-6)
    assert values["rooms.gap.careless"] > 20
    assert values["rooms.regret.opposite"] == pytest.approx(100)


def test_rewards_are_inferred_where_copying_does_not_reach(tmp_path: Path) -> None:
    values = run(tmp_path, "inverse-rewards", "grids", worlds=1, shown=[4, 64])
    for row in ("causal", "entropy", "posterior"):
        assert values[f"grids.lost_64.{row}"] < 3 < values["grids.lost_4.cloning"]
        assert values[f"grids.elsewhere.{row}"] < 10 < values["grids.elsewhere.cloning"]
    assert values["grids.lost_64.cloning"] < values["grids.lost_4.cloning"]


def test_every_kind_of_feedback_tells_something(tmp_path: Path) -> None:
    values = run(tmp_path, "feedback-kinds", "grids", worlds=2, steps=3, judgements=5)
    bits = {name: v for name, v in values.items() if name.startswith("grids.bits.")}
    assert len(bits) == 10
    assert all(0.02 < v < 2.5 for v in bits.values())
    assert bits["grids.bits.demonstration"] > bits["grids.bits.comparison"]
    assert all(v < 6.97 for name, v in values.items() if name.startswith("grids.left."))


def test_planning_for_answers_beats_learning_first(tmp_path: Path) -> None:
    small = {"grids": 2, "side": 5, "steps": 4}
    values = run(
        tmp_path, "assistance-game", "game", {"teaching": small}, games=1, side=3, horizon=5
    )
    rows = ("told", "plans", "myopic", "first_0", "first_1", "first_3")
    told, plans, myopic, *first = (values[f"game.reward_0.3.{row}"] for row in rows)
    assert told > plans > max(myopic, first[0], first[2])
    assert plans >= first[1] - 1e-9
    assert values["teaching.regret_10.pull_0"] > 0


def test_deferring_pays_to_the_rational_and_the_uncertain(tmp_path: Path) -> None:
    values = run(tmp_path, "off-switch", "acts", acts=40, repeated=2, rounds=4, points=15)
    for deviation in ("0.25", "1", "4"):
        assert values[f"acts.gain_{deviation}.rational"] > 0
        assert values[f"acts.gain_{deviation}.0.5"] < values[f"acts.gain_{deviation}.rational"]
    assert values["acts.gain_0.25.1"] < 0 < values["acts.gain_4.1"]
    for row in ("rational", "4", "2", "1", "0.5"):
        assert values[f"acts.less_myopic.{row}"] >= -1e-9
        assert values[f"acts.less_first.{row}"] >= -1e-9


def test_a_procedure_is_cloned(tmp_path: Path) -> None:
    small = {"side": 7, "mazes": 4, "goals": 2, "unseen": 6, "updates": 80, "channels": 8}
    values = run(tmp_path, "procedure-cloning", "mazes", step_size=0.02, **small)
    assert values["mazes.unseen.procedure"] >= values["mazes.unseen.actions"]
    assert values["mazes.seen.procedure"] > 50


def test_comparisons_mend_what_a_written_reward_spoils_unless_people_are_deceived(
    tmp_path: Path,
) -> None:
    worlds = ["cleaning", "grasp_front", "grasp_two_views", "side_effects"]
    values = run(tmp_path, "gallery", "worlds", people=1, comparisons=[50, 500])
    for row in worlds:
        assert values[f"worlds.gamed.{row}"] < values[f"worlds.shown.{row}"] < 100
        deceived = row == "grasp_front"
        assert (values[f"worlds.after_500.{row}"] > 95) is not deceived
        assert values[f"worlds.called_gamed.{row}"] == (not deceived)
        assert values[f"worlds.called_learned.{row}"] == 0
    assert values["worlds.reachable.side_effects"] == pytest.approx(100, abs=1e-6)
    assert values["worlds.near.cleaning"] < values["worlds.shown.cleaning"]
