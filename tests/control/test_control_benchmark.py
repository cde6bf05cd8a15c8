"""The race against Stable-Baselines3: what its lines say, and that both sides run."""

from __future__ import annotations

import math

import pytest
from benchmarks import clip_loop, control, soft


def line(steps: int, seconds: float, reached: float | None) -> dict[str, float | None]:
    return {"steps": steps, "cpu_seconds": seconds, "to_target": reached, "return": 50.0}


def test_ratios_say_by_how_much_ours_is_ahead() -> None:
    found = {
        "ours": [line(1000, 1.0, 10.0), line(1000, 1.0, 10.0)],
        "theirs-64": [line(1000, 4.0, 20.0), line(1000, 1.0, 80.0)],
        "theirs-512": [line(500, 1.0, None), line(500, 1.0, 30.0)],
    }
    rows = control.compared(found)
    assert rows["theirs-64"]["speed"].startswith("2.00 [")
    assert rows["theirs-64"]["to_target"].startswith("4.00 [")
    assert rows["theirs-512"]["speed"] == "2.00 (all equal: no interval)"
    assert rows["theirs-512"]["to_target"] == "3.00 (1 of 2 seeds)"
    assert control.ratio([math.nan]) == "not reached"


def test_a_race_ends_when_enough_episodes_are_good_enough() -> None:
    race = control.Race(10.0)
    assert not race.told(100, [20.0] * 10)
    assert not race.told(200, [9.0] * 60)
    assert race.told(300, [12.0] * 60)
    assert race.line()["steps"] == 300
    assert race.line()["return"] == 12
    assert "target after" in control.told("x", race.line())


def test_without_a_target_it_is_the_last_return_that_counts() -> None:
    race = control.Race(None)
    assert not race.told(100, [20.0] * 60)
    assert not race.told(200, [12.0] * 60)
    assert (race.line()["return"], race.line()["last"]) == (20, 12)
    ends = {"ours": [9.0, 11.0], "theirs-64": [11.0, 13.0], "theirs-512": [10.0, 12.0]}
    lines = control.as_good(ends)
    assert lines[0].startswith("ours: 10 [")
    assert lines[3] == "ours less theirs-64 -2, pooled deviation 1: is not as good"
    assert lines[4] == "ours less theirs-512 -1, pooled deviation 1: is as good"


@pytest.mark.slow
@pytest.mark.parametrize("side", control.SIDES)
def test_every_side_runs(side: str) -> None:
    pytest.importorskip("mujoco", reason="mujoco is not installed")
    if side != "ours":
        pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    options = type("Options", (), {"task": "Hopper", "steps": 2048})()
    if side == "ours":  # in a process of its own, as in a race
        found = control.measured(side, options, 1, more=("--whole",))
    else:
        found = control.theirs("Hopper", int(side.split("-")[1]), 1, 2048, None).line()
    assert found["steps"] >= 2048
    assert found["cpu_seconds"] > 0


def test_soft_actor_critics_are_compared_by_their_spread() -> None:
    """As good: no worse by one pooled deviation."""

    def sides(*returns: float) -> list[soft.Line]:
        return [{"steps": 100, "cpu_seconds": 1.0, "returns": [-900.0, r]} for r in returns]

    faster = [row | {"cpu_seconds": 0.5} for row in sides(-200.0, -220.0)]
    lines = soft.compared({"ours": faster, "theirs": sides(-190.0, -210.0)})
    assert lines[0].startswith("ours: -210 [")
    assert lines[2] == "ours less theirs -10, pooled deviation 14: is as good"
    assert lines[3].startswith("ours: -555 [")
    assert lines[5] == "ours less theirs -5, pooled deviation 7: is as good"
    assert lines[6] == "ours, mean at each tenth: -900 -210"
    assert lines[8].startswith("ours takes 2.00 ")
    worse = soft.compared({"ours": sides(-200.0, -240.0), "theirs": sides(-190.0, -190.0)})
    assert worse[1] == "theirs: -190 at the end, 2 seeds"
    assert worse[2].endswith("is not as good")


@pytest.mark.slow
@pytest.mark.parametrize("side", soft.SIDES)
def test_every_soft_actor_critic_runs(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    if side != "ours":
        pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    options = type("Options", (), {"task": "Pendulum", "steps": 150})()
    if side == "ours":
        found = control.measured(side, options, 1, "benchmarks.soft", ("--update-every", "25"))
    else:
        monkeypatch.setattr(soft, "EPISODES", 4)
        found = soft.theirs("Pendulum", 1, 150)
    assert found["steps"] == 150
    assert len(found["returns"]) == (6 if side == "ours" else soft.LOOKS)
    assert all(-2000 < one < 0 for one in found["returns"])


def test_time_counts_for_the_part_that_took_it() -> None:
    """What one part calls of another counts for the other alone, also where it fails."""
    now = [0.0]
    clock = clip_loop.Clock(("inner", "outer", "rest"), lambda: now[0])

    def takes(seconds: float) -> None:
        now[0] += seconds

    def fails() -> None:
        takes(1)
        raise ValueError("no")

    inner = clock.of("inner", fails)

    def calls() -> None:
        takes(2)
        with pytest.raises(ValueError, match="no"):
            inner()
        takes(4)

    clock.of("outer", calls)()
    takes(8)
    clock.stop()
    assert clock.spent == {"inner": 1, "outer": 6, "rest": 8}


def test_the_loop_of_clips_says_what_its_reward_costs() -> None:
    pytest.importorskip("mujoco", reason="mujoco is not installed")
    small = [
        "comparisons=12", "steps=2048", "learn.rounds=1", "learn.anew=[]", "learn.keep=last",
        "learn.reward.anew_steps=0", "learn.reward.first_steps=3", "learn.policy.environments=8",
        "learn.policy.rollout=64", "learn.policy.minibatch=128",
    ]  # fmt: skip
    found = [clip_loop.measured(clip_loop.of_recipe(small), seed) for seed in (1, 2)]
    for one in found:
        assert sum(one[part] for part in clip_loop.PARTS) == pytest.approx(1)
        assert all(one[part] > 0 for part in clip_loop.PARTS)
        assert one["extra_steps"] >= 0
    told = clip_loop.lines(found)
    assert told[0].endswith("of the loop's CPU time is for learning the reward")
    assert told[0].count(".") == 3  # a mean and two ends


@pytest.mark.slow
def test_soft_actor_critic_is_as_good_as_stable_baselines3s_on_pendulum() -> None:
    """After 4,000 steps, one seed, mean of 20 greedy episodes: no more than 50 behind, where acting
    at random has -1,200 and the best -145. Five seeds and their spread are `benchmarks.soft`'s."""
    pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    options = type("Options", (), {"task": "Pendulum", "steps": 4000})()
    ours = control.measured("ours", options, 0, "benchmarks.soft")["returns"][-1]
    theirs = soft.theirs("Pendulum", 0, 4000)["returns"][-1]
    assert ours > -300
    assert ours > theirs - 50
