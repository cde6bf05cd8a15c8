"""Taking over from a moment: the past stays, what follows is another's, and one corrects the other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

from click.testing import CliRunner

from accord.cli.main import main
from accord.control import mujoco_batch
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.episodes import Episode, EpisodeStore
from accord.control.kept_feedback import FEEDBACK, KeptFeedback
from accord.control.making import make
from accord.control.reading_clips import judged_clips
from accord.control.recording import record, replay
from accord.control.rollouts import at_random
from accord.control.taking_over import Continuation, correction, take_over, these
from accord.errors import DataError, RunError
from accord.feedback.records import dump_line, parse_line
from accord.files import AppendLog

BATCH = make("accord:Hopper", 1, 30)
EPISODE = record(BATCH, at_random(BATCH.actions), 1, seed=2).episodes[0]
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (30, BATCH.actions.numbers))


@given(st.integers(0, EPISODE.steps - 1))
@settings(max_examples=6, deadline=None)
def test_the_past_is_the_same_to_the_bit_and_the_rest_is_physics(at: int) -> None:
    taken = take_over(EPISODE, at, these(ACTIONS), 1, "taken")
    for name, more in (("observation_TO", 1), ("action_TA", 0), ("reward_T", 0), ("state_TS", 1)):
        mine, theirs = getattr(taken, name), getattr(EPISODE, name)
        np.testing.assert_array_equal(mine[: at + more], theirs[: at + more], name)
    np.testing.assert_array_equal(taken.action_TA[at:], ACTIONS[: taken.steps - at])
    assert taken.steps == EPISODE.steps or taken.terminated_T[-1]
    assert not (taken.terminated_T & taken.truncated_T).any()
    assert replay(taken).exact
    same = take_over(EPISODE, at, these(EPISODE.action_TA[at:]), 1, "same")
    assert same.digest == EPISODE.digest
    for name in ("reward_T", "state_TS", "terminated_T", "truncated_T"):
        np.testing.assert_array_equal(getattr(same, name), getattr(EPISODE, name), name)


def test_what_went_on_after_the_task_was_lost_does_so_again() -> None:
    """As with a fixed horizon: else it would be over at its first step."""
    fallen = record(make("accord:Hopper", 1, 80, endless=True), at_random(BATCH.actions), 1, seed=2)
    [episode] = fallen.episodes
    assert episode.steps == 80
    for at in (0, 70):
        same = take_over(episode, at, these(episode.action_TA[at:]), 1, "same")
        assert (same.digest, same.steps) == (episode.digest, 80)
        np.testing.assert_array_equal(same.truncated_T, episode.truncated_T)


def test_a_correction_is_learned_from(tmp_path: Path) -> None:
    taken = take_over(EPISODE, 9, at_random(BATCH.actions), 4, "taken", steps=5)
    assert taken.steps <= 14
    assert not taken.truncated_T.any()
    store = EpisodeStore(tmp_path)
    store.append([EPISODE, taken])
    said = correction("Which is better?", EPISODE, taken, "ann", since=4)
    assert (said.meta["grounds"], said.choice.named()) == ("correction", ["b"])
    reward = ClipReward(ClipRewardSettings(), BATCH.observation_size, BATCH.actions, 0)
    judged, left = judged_clips([said], store, reward)
    assert judged is not None
    assert not left
    before, after = (judged.clips_CLI[n] for n in judged.options[0])
    np.testing.assert_array_equal(before[:5], after[:5])
    assert judged.said[0][0].options == (1, 0)
    with pytest.raises(DataError, match="share 9 steps, the clips begin at 10"):
        correction("Which is better?", EPISODE, taken, "ann", since=10)
    other = replace(taken, observation_TO=taken.observation_TO + 1)
    with pytest.raises(DataError, match="do not begin alike"):
        correction("Which is better?", EPISODE, other, "ann")


def without_states() -> Episode:
    cart = make("CartPole-v1", 1)
    return record(cart, at_random(cart.actions), 1, seed=2).episodes[0]


def test_what_cannot_be_taken_over_is_refused() -> None:
    act = these(ACTIONS)
    with pytest.raises(DataError, match="has no states: those of CartPole-v1 cannot be read"):
        take_over(without_states(), 3, act, 1, "x")
    with pytest.raises(DataError, match="was made in accord:Hopper by mujoco 0"):
        take_over(replace(EPISODE, physics="mujoco 0"), 3, act, 1, "x")
    for at in (-1, EPISODE.steps):
        with pytest.raises(DataError, match=f"step {at} of episode {EPISODE.id}, which has"):
            take_over(EPISODE, at, act, 1, "x")
    with pytest.raises(DataError, match="0 steps to take over for"):
        take_over(EPISODE, 3, act, 1, "x", steps=0)
    with pytest.raises(DataError, match="1 actions were given"):
        take_over(EPISODE, 0, these(ACTIONS[:1]), 1, "x", steps=3)
    for wrong in (ACTIONS[:, :1], np.full_like(ACTIONS, np.nan)):
        with pytest.raises(DataError, match=r"(?s)action 0 from step 3 .* finite numbers"):
            take_over(EPISODE, 3, these(wrong), 1, "x")


def test_back_shows_what_was_seen_there_and_keeps_what_was_done() -> None:
    going, action_1A = Continuation(EPISODE, 3), EPISODE.action_TA[3:4].copy()
    going.step(action_1A)
    action_1A[:] = 0.5  # the caller's own, who may use it again
    going.step(action_1A)
    for to in (1, 0):
        going.back(to)
        np.testing.assert_array_equal(going.observation_1O[0], EPISODE.observation_TO[3 + to])
        if to:
            done_TA = going.whole(1, "x").action_TA
            np.testing.assert_array_equal(done_TA, EPISODE.action_TA[:4])


def test_what_was_lost_does_not_go_on() -> None:
    """Else the step by which the task ended it would lie in the middle of an episode."""
    batch = make("accord:Hopper", 1)
    fallen = record(batch, at_random(batch.actions), 1, seed=2).episodes[0]
    going = Continuation(fallen, fallen.steps - 1)
    going.step(fallen.action_TA[-1:])
    assert going.ended
    with pytest.raises(DataError, match=r"the task ended .* after 1 steps"):
        going.step(fallen.action_TA[-1:])
    assert len(going) == 1
    going.back(0)
    going.step(fallen.action_TA[-1:])
    np.testing.assert_array_equal(going.whole(2, fallen.id).state_TS, fallen.state_TS)


def test_a_simulation_that_breaks_is_where_it_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    going = Continuation(EPISODE, 3)
    going.step(EPISODE.action_TA[3:4])
    with monkeypatch.context() as patch:
        patch.setattr(mujoco_batch, "HUGE", 0)
        with pytest.raises(RunError, match="unstable"):
            going.step(EPISODE.action_TA[4:5])
    assert len(going) == 1
    going.step(EPISODE.action_TA[4:5])
    np.testing.assert_array_equal(going.observation_1O[0], EPISODE.observation_TO[5])


def test_the_command_keeps_both_episodes_and_what_is_preferred(tmp_path: Path) -> None:
    EpisodeStore(tmp_path / "old").append([EPISODE])
    given = ["control", "take-over", str(tmp_path / "old"), EPISODE.id, "5", str(tmp_path / "new")]
    given += ["--policy", "random", "--annotator", "ann", "--seed"]
    for seed in ("1", "2"):
        done = CliRunner().invoke(main, [*given, seed])
        assert done.exit_code == 0, done.output
        assert f"{EPISODE.id}-from-5-{seed}:" in done.output
    again = CliRunner().invoke(main, [*given, "2"])
    assert "is there already" in again.output
    other = CliRunner().invoke(main, [*given, "2", "--annotator", "bob"])
    assert other.exit_code == 0, other.output  # somebody else may prefer it, too
    store = EpisodeStore(tmp_path / "new")
    assert store.ids == [EPISODE.id, f"{EPISODE.id}-from-5-1", f"{EPISODE.id}-from-5-2"]
    assert EpisodeStore(tmp_path / "old").ids == [EPISODE.id]
    lines = (tmp_path / "new/feedback.jsonl").read_text().splitlines()
    reward = ClipReward(ClipRewardSettings(), BATCH.observation_size, BATCH.actions, 0)
    judged, _ = judged_clips([parse_line(line) for line in lines], store, reward)
    assert judged is not None
    assert len(judged) == 3


def test_a_call_killed_between_its_two_writes_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EpisodeStore(tmp_path / "old").append([EPISODE])
    given = ["control", "take-over", str(tmp_path / "old"), EPISODE.id, "5", str(tmp_path / "new")]
    given += ["--policy", "random", "--annotator", "ann"]

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(AppendLog, "append", dies)
        assert CliRunner().invoke(main, given).exit_code != 0
    taken = f"{EPISODE.id}-from-5-0"
    assert EpisodeStore(tmp_path / "new").ids == [EPISODE.id, taken]
    assert not (tmp_path / "new/feedback.jsonl").exists()
    again = CliRunner().invoke(main, given)
    assert again.exit_code == 0, again.output
    assert f"{taken} was there without its correction, which is kept now" in again.output
    assert EpisodeStore(tmp_path / "new").ids == [EPISODE.id, taken]
    (line,) = (tmp_path / "new/feedback.jsonl").read_text().splitlines()
    assert parse_line(line).choice.named() == ["b"]
    assert "is there already" in CliRunner().invoke(main, given).output


@pytest.mark.parametrize("empty", [("--annotator", " "), ("--annotator", "ann", "--question", "")])
@pytest.mark.parametrize("command", ["take-over", "steer", "proxy"])
def test_who_says_what_is_named_before_anything_begins(
    tmp_path: Path, command: str, empty: tuple[str, ...]
) -> None:
    EpisodeStore(tmp_path / "store").append([EPISODE])
    store, out = str(tmp_path / "store"), str(tmp_path / "out")
    given = {
        "take-over": [store, EPISODE.id, "3", out, "--policy", "random"],
        "steer": [store, out, "--no-open"],
        "proxy": [out, f"a={store}", "--chosen", "a"],
    }[command]
    refused = CliRunner().invoke(main, ["control", command, *given, *empty])
    assert refused.exit_code == 2
    assert f"Invalid value for '{empty[-2]}': it is empty" in refused.output
    assert not Path(out).exists()


def test_a_folder_holds_episodes_of_one_environment(tmp_path: Path) -> None:
    """Else no reward would learn from any of what is in it."""
    taken = take_over(EPISODE, 3, these(ACTIONS), 1, "taken")
    kept = KeptFeedback(tmp_path)
    kept.keep([EPISODE, taken], correction("q", EPISODE, taken, "ann"), "mend it")
    other = replace(EPISODE, id="other", environment="accord:HalfCheetah")
    for refused in (lambda: kept.check(other), lambda: kept.keep([other], correction("q", EPISODE, taken, "bob"), "mend it")):  # fmt: skip
        with pytest.raises(DataError, match="of accord:Hopper and of accord:HalfCheetah"):
            refused()
    assert EpisodeStore(tmp_path).ids == [EPISODE.id, "taken"]


@pytest.mark.parametrize("end", ["", "\n", '\n{"id": "ha'])
def test_a_line_written_by_hand_is_kept_and_half_a_line_is_not(tmp_path: Path, end: str) -> None:
    first, second = (take_over(EPISODE, 3, at_random(BATCH.actions), n, f"{n}") for n in (1, 2))
    by_hand = dump_line(correction("q", EPISODE, first, "ann"))
    (tmp_path / FEEDBACK).write_text(by_hand + end)
    KeptFeedback(tmp_path).keep([EPISODE, second], correction("q", EPISODE, second, "bob"), "mend")
    rows = [json.loads(line) for line in (tmp_path / FEEDBACK).read_text().splitlines()]
    assert [row["annotator"] for row in rows] == ["ann", "bob"]
