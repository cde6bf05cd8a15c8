"""Environments in batch: ours are gymnasium's to rounding, and what is wrong with a user's is said."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="the extra control is not installed")
mujoco = pytest.importorskip("mujoco", reason="the extra control is not installed")

from accord.control import hanging  # noqa: E402
from accord.control.flips import count_flips  # noqa: E402
from accord.control.making import make  # noqa: E402
from accord.control.mujoco_batch import MujocoBatch  # noqa: E402
from accord.control.rollouts import Walker, at_random  # noqa: E402
from accord.errors import AccordError, ConfigError, DataError, RunError  # noqa: E402
from accord.seeds import generator  # noqa: E402
from forked import Command  # noqa: E402


@pytest.fixture(autouse=True)
def beside_the_users_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def batch(name: str, count: int = 4) -> MujocoBatch:
    made = make(name, count)
    assert isinstance(made, MujocoBatch)
    return made


@pytest.mark.parametrize("name", ["Hopper", "HalfCheetah"])
def test_a_step_is_gymnasiums(name: str) -> None:
    ours, rng = batch(f"accord:{name}"), generator(1, "parity")
    ours.reset(np.arange(4), rng)
    states = ours.states()
    assert states is not None
    theirs = gymnasium.make(f"{name}-v5")
    theirs.reset(seed=1)
    now = ours.moment()
    theirs.unwrapped.set_state(now.qpos_NQ[2], now.qvel_NV[2])
    for _ in range(40):
        action_NA = rng.uniform(-1, 1, (4, ours.actions.size))
        stepped = ours.step(action_NA)
        seen, reward, terminated, _, _ = theirs.step(action_NA[2])
        np.testing.assert_allclose(stepped.observation_NO[2], seen, atol=1e-6)
        assert stepped.reward_N[2] == pytest.approx(reward, abs=1e-6)
        assert stepped.terminated_N[2] == terminated
        if terminated:
            break


def test_the_written_backflip_pays_the_published_formula_of_hoppers_observation() -> None:
    """-o7 (1 + 0.3 o0 + 0.1 (a0 o8 + a1 o9 + a2 o10) + 0.05 (-o5)), and the floor ends nothing.
    Hopper's observation is held against gymnasium's above."""
    ours, hopper, rng = batch("accord:WrittenBackflip"), batch("accord:Hopper"), generator(1, "w")
    ours.reset(np.arange(4), rng)
    for _ in range(60):
        a = rng.uniform(-1, 1, (4, 3))
        stepped = ours.step(a)
        o = hopper.task.observe(ours.moment())
        driven = a[:, 0] * o[:, 8] + a[:, 1] * o[:, 9] + a[:, 2] * o[:, 10]
        paid = -o[:, 7] * (1 + 0.3 * o[:, 0] + 0.1 * driven + 0.05 * -o[:, 5])
        np.testing.assert_allclose(stepped.reward_N, paid, atol=1e-9)
        assert not stepped.terminated_N.any()


@pytest.mark.parametrize("name", ["Backflip", "HalfCheetah"])
def test_limbs_are_where_mujoco_has_them(name: str) -> None:
    ours, rng = batch(f"accord:{name}", 8), generator(2, "limbs")
    data = mujoco.MjData(ours.model)
    qpos_NQ = rng.normal(size=(8, ours.model.nq))
    ends = ours.body.ends(qpos_NQ)
    for row, qpos in enumerate(qpos_NQ):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(ours.model, data)
        for limb, geom in enumerate(ours.body.names):
            place = data.geom(geom).xpos[[0, 2]]
            np.testing.assert_allclose(ends[row, limb].mean(0), place, atol=1e-12)
            along = data.geom(geom).xmat.reshape(3, 3)[[0, 2], 2]
            half = (ends[row, limb, 1] - ends[row, limb, 0]) / 2
            np.testing.assert_allclose(half / np.linalg.norm(half), along, atol=1e-12)


def test_a_state_says_how_it_goes_on() -> None:
    """Whatever came before: memory taken and put back continues to the bit."""
    first, second, rng = batch("accord:Backflip"), batch("accord:Backflip"), generator(3, "on")
    first.reset(np.arange(4), rng, 0.5)
    actions = rng.normal(size=(30, 4, 3))
    for action_NA in actions[:10]:
        first.step(action_NA)
    memory = first.memory()
    assert memory is not None
    second.recall(memory)
    for action_NA in actions[10:]:
        one, other = first.step(action_NA), second.step(action_NA)
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name))


@pytest.mark.parametrize("name", ["Hopper", "Backflip", "HalfCheetah"])
@pytest.mark.parametrize(("place", "value"), [(2, np.nan), (3, 1e12), (8, 1e12), (9, 1e300)])
def test_a_robot_that_breaks_does_not_begin_again_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: int, value: float
) -> None:
    """As MuJoCo by itself lets it, in the middle of an episode."""
    monkeypatch.chdir(tmp_path)  # where it writes what it has to say
    ours = batch(f"accord:{name}")
    ours.reset(np.arange(4), generator(1, "broken"))
    states = ours.states()
    assert states is not None
    states[2, place] = value
    ours.set_states(np.arange(4), states)
    with pytest.raises(RunError, match=rf"the state of accord:{name} is .* \(environment 2"):
        Walker(ours).walk(at_random(ours.actions), 5, generator(1, "walk"))


@pytest.mark.parametrize("name", ["accord:Hopper", "Pendulum-v1"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_action_that_is_no_number_is_not_taken_for_zero(name: str, value: float) -> None:
    ours = make(name, 4)
    ours.reset(np.arange(4), generator(1, "broken"))
    action_NA = np.zeros((4, ours.actions.numbers))
    action_NA[3, -1] = value
    with pytest.raises(RunError, match=rf"the action of {name} is {value} \(environment 3"):
        ours.step(action_NA)
    for wrong in (np.zeros((4, ours.actions.numbers + 1)), np.zeros(4), np.zeros((1, 1))):
        with pytest.raises(RunError, match=rf"actions of shape .* in {name}, which takes \(4, "):
            ours.step(wrong)


def test_the_backflips_integrator_goes_where_the_files_own_goes() -> None:
    """implicitfast against Runge-Kutta of fourth order, half the starts in the air: within 15 mm
    and 0.06 rad of it after 16 steps; and what it stores says which of both it was."""
    ours, theirs, rng = (
        batch("accord:Backflip", 32),
        batch("accord:Backflip", 32),
        generator(6, "rk"),
    )
    assert ours.model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert ours.physics.endswith(", implicitfast")
    assert batch("accord:Hopper").model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    assert "," not in batch("accord:Hopper").physics
    theirs.model.opt.integrator = int(mujoco.mjtIntegrator.mjINT_RK4)
    ours.reset(np.arange(32), rng, 0.5)
    memory = ours.memory()
    assert memory is not None
    theirs.recall(memory)
    for action_NA in rng.uniform(-1, 1, (16, 32, 3)):
        ours.step(action_NA)
        theirs.step(action_NA)
    apart = np.abs(ours.moment().qpos_NQ - theirs.moment().qpos_NQ)
    assert 0 < np.median(apart) < 2e-3
    assert apart[:, :2].max() < 0.015
    assert apart[:, 2:].max() < 0.06


def test_lying_on_the_floor_ends_an_episode_and_time_truncates_it() -> None:
    ours = batch("accord:Backflip", 2)
    endless = make("accord:Backflip", 2, limit=200, endless=True)
    for environments in (ours, endless):
        environments.reset(np.arange(2), generator(4, "floor"))
    lay, steps = (
        0,
        [(ours.step(np.ones((2, 3))), endless.step(np.ones((2, 3)))) for _ in range(200)],
    )
    for here, there in steps:
        lay += int(here.terminated_N[0])
        assert not here.truncated_N.any()
        assert not there.terminated_N.any()
    assert lay
    assert steps[-1][1].truncated_N.all()
    assert not steps[-2][1].truncated_N.any()


def test_states_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="states of 5 numbers: accord:Hopper has 13"):
        batch("accord:Hopper").set_states(np.arange(2), np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("accord:Backfilp", r'did you mean "accord:Backflip"'),
        ("accord:Walker", r"'accord:Walker'.\W*fix: known: accord:Hopper"),
        ("Pendulum-v9", "Pendulum"),
        ("ALE/Pong-v5", r"ALE/… comes with a package: .* \(ale_py:ALE/Pong-v5\), name an id"),
        ("user_environments:Wlak-v0", r'did you mean "Walk-v0"'),
        ("no_such_module:Walk-v0", "No module named 'no_such_module'"),
        ("user_environments:Worded-v0", "observes Text spaces .* Box and Discrete"),
        ("user_environments:Unbounded-v0", "have no bounds"),
        ("Blackjack-v1", "observes Tuple spaces"),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(name, 1)
    assert __import__("re").search(said, str(caught.value), 16), str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Breaking", r"failed in step\(\): ValueError: the motor burnt out .*user_environments.py"),
        ("Singular", r"failed in step\(\): LinAlgError: .*user_environments.py line \d+\)"),
        ("Blind", "the observation of user_environments:Blind-v0 is nan"),
        ("Unpaid", "the reward of user_environments:Unpaid-v0 is nan"),
        ("Narrow", r"failed in reset\(\): ValueError: it observed 1 numbers; .*\(2,\)"),
        ("Praised", r"failed in step\(\): TypeError: its reward is 'well done': pay one number"),
        ("Leaving", r"failed in step\(\): SystemExit: 3 .*user_environments.py line \d+\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # gymnasium's, of the same mistakes
def test_what_a_users_environment_does_wrong_is_its_own(name: str, said: str) -> None:
    environments = make(f"user_environments:{name}-v0", 2)

    def walk() -> None:
        environments.reset(np.arange(2), generator(1, "own"))
        for _ in range(3):
            environments.step(np.zeros((2, 1)))

    with pytest.raises(RunError, match=said):
        walk()


def test_a_module_that_leaves_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"SystemExit: no licence \(.*leaving.py line 2\)"):
        make("leaving:Walk-v0", 1)


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "Pendulum-v1"])
def test_gymnasiums_own_step_in_all_spaces(name: str) -> None:
    environments, rng = make(name, 3), generator(5, "all")
    environments.reset(np.arange(3), rng)
    form = environments.actions
    for _ in range(3):
        drawn = rng.integers(form.size, size=(3, 1)) if form.kind == "discrete" else rng.normal(size=(3, form.size))  # fmt: skip
        stepped = environments.step(drawn.astype(float))
        assert stepped.observation_NO.shape == (3, environments.observation_size)
    assert environments.states() is None


def test_other_starts_where_there_are_none() -> None:
    for name in ("accord:Hopper", "Pendulum-v1"):
        with pytest.raises(ConfigError, match="starts"):
            make(name, 1).reset(np.arange(1), generator(1, "no"), 0.5)


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mujoco", None)
    with pytest.raises(AccordError, match=r"pip install 'accord\[control\]'"):
        make("accord:Backflip", 1)


def test_flips_are_whole_turns_backwards_and_clean_ones_touch_nothing() -> None:
    turn = 2 * np.pi
    pitch = np.array([
        [0, -2, -4, -7, -10, -13],  # two turns
        [0, -2, -4, -7, -4, -7],  # there, back and there again: one
        [0, 2, 4, 7, 10, 13],  # forwards: none
        [0.5, -3, -turn, -7, -9, -turn * 2 + 0.4],  # from its own first pitch: two
        [0, -2, -4, -7, -10, -13],  # the second after it was over
    ]).T  # fmt: skip
    down, alive = np.zeros_like(pitch, dtype=bool), np.ones_like(pitch, dtype=bool)
    down[2, 0] = True  # within the first turn
    alive[4:, 4] = False
    turns, clean = count_flips(pitch, down, alive)
    assert turns.tolist() == [2, 1, 0, 2, 1]
    assert clean.tolist() == [1, 1, 0, 2, 1]


def test_an_environment_that_hangs_is_named_and_not_waited_for() -> None:
    environments = make("user_environments:Hanging-v0", 2, patience=0.2)
    walker = Walker(environments)
    walker.begin(generator(1, "begin"))
    began = time.monotonic()
    with pytest.raises(RunError, match=r"Hanging-v0 hangs in step\(\): .*within 0.2 seconds .*user_environments.py line") as caught:  # fmt: skip
        walker.walk(lambda seen, _: (np.zeros((2, 1)), np.zeros(2)), 4, generator(1, "walk"))
    assert time.monotonic() - began < 3
    assert "patience" in str(caught.value.fix)
    time.sleep(0.25)  # nothing is interrupted afterwards


def take_steps(arguments: list[str]) -> None:
    """In a process of its own, with little grace: (environment, patience, steps)."""
    hanging.GRACE = 0.1
    name, patience, steps = arguments
    environments = make(name, 1, patience=float(patience))
    environments.reset(np.arange(1), generator(1, "begin"))
    print("begun")
    for _ in range(int(steps)):
        environments.step(np.zeros((1, 1)))


@pytest.mark.parametrize("name", ["Stubborn", "Compiled"])
def test_what_swallows_the_interruption_or_is_compiled_ends_the_process(name: str) -> None:
    """And says where it was; what was printed before is not lost."""
    ending = Command(take_steps, f"user_environments:{name}-v0", "0.3", "1")
    said = ending.ended()
    assert ending.returncode == 1
    assert "begun" in said
    assert re.search(
        rf"error: the environment user_environments:{name}-v0 hangs in step\(\): it did not come back"
        r" within 0.3 seconds, nor where it was interrupted \(\S*user_environments.py line \d+\)"
        r"\n  fix: .*patience",
        said,
    )


def test_a_process_that_is_stopped_hangs_in_nothing() -> None:
    """For longer than a step may take; one that hangs after that is found."""
    going = Command(take_steps, "user_environments:Stopping-v0", "1", "1")
    going.continue_after(1.2)
    assert (going.ended(), going.returncode) == ("begun\n", 0)
    second = Command(take_steps, "user_environments:Stopping-v0", "1", "2")
    second.continue_after(1.2)
    second.continue_after(1.2)
    assert re.search(r"Stopping-v0 hangs in step\(\): .*within 1 seconds", second.ended())
    assert second.returncode == 1


def test_who_listens_for_a_process_that_goes_on_hears_it_all_the_same() -> None:
    heard, limit = list[int](), hanging.TimeLimit(60)
    before = signal.signal(signal.SIGCONT, lambda number, _: heard.append(number))
    try:
        limit.begin("Walk-v0", "step")
        os.kill(os.getpid(), signal.SIGCONT)
        limit.end()
        os.kill(os.getpid(), signal.SIGCONT)
    finally:
        signal.signal(signal.SIGCONT, before)
    assert heard == [signal.SIGCONT] * 2


def test_many_short_steps_are_no_long_one() -> None:
    """Which together take longer than one may."""
    going = Command(take_steps, "user_environments:Slow-v0", "1", "40")
    assert going.ended() == "begun\n"
    assert going.returncode == 0
