"""A person steers: what is driven is what taking over by the same actions does, to the bit; the page
asks for it by a token; what is kept is read as any correction is."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium", reason="the extra control is not installed")
pytest.importorskip("mujoco", reason="the extra control is not installed")

import httpx2
from browsing import WAIT, violations
from click.testing import CliRunner
from fastapi.testclient import TestClient

from accord.cli.main import main
from accord.cli.steer_page import steer_app
from accord.control import steering as control_steering
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.environments import ActionForm
from accord.control.episodes import Episode, EpisodeStore
from accord.control.grounding import stopped
from accord.control.kept_feedback import LOCK, KeptFeedback
from accord.control.making import make
from accord.control.reading_clips import judged_clips
from accord.control.recording import record, replay
from accord.control.rollouts import at_random
from accord.control.steering import Hand, JudgedLast, Steering, judged_last
from accord.control.taking_over import correction, take_over, these
from accord.errors import ConfigError, DataError, RunError
from accord.feedback.messages import Clip
from accord.feedback.records import dump_line, parse_line
from accord.feedback.store import read_records
from accord.files import take_lock
from listening import listening

QUESTION, TOKEN = "Which is better?", "token-of-a-test"
WHOLE = make("accord:WrittenBackflip", 2, 30)
TIMED, OTHER = record(WHOLE, at_random(WHOLE.actions), 2, seed=2).episodes
"""Their time was over."""
FALLING = make("accord:Hopper", 1)
FALLEN = record(FALLING, at_random(FALLING.actions), 1, seed=2).episodes[0]
"""The task ended it."""


def same(one: Episode, other: Episode) -> None:
    """To the bit, in everything but the name."""
    for name, mine in vars(replace(one, id=other.id)).items():
        np.testing.assert_array_equal(mine, vars(other)[name], name, strict=True)


def sitting(folder: Path, *episodes: Episode, policy: bool = False) -> Steering:
    """At the first of these episodes, whose policy may be one by chance."""
    store = EpisodeStore(folder / "old")
    if not store.ids:
        store.append(episodes)
    act = at_random(make(episodes[0].environment, 1).actions) if policy else None
    kept = KeptFeedback(folder / "new")
    return Steering(store, episodes[0].id, kept, (QUESTION, "ann"), act, 3)


# --- what is driven -------------------------------------------------------------------------------
HELD = st.none() | st.floats(-1, 1).map(lambda x: round(x, 2))
HANDS = st.builds(
    Hand, st.lists(HELD, min_size=3, max_size=3), st.sampled_from(["policy", "before", "zero"])
)
DOES = st.lists(st.tuples(HANDS, st.integers(1, 12)) | st.integers(0, 9), min_size=1, max_size=6)


@given(st.integers(0, TIMED.steps - 1), DOES)
@settings(max_examples=25)
def test_however_it_was_driven_and_gone_back_in_it_is_what_its_actions_do(
    at: int, does: list[Any]
) -> None:
    folder = Path("/nowhere")
    steering = Steering(
        _Held(TIMED), TIMED.id, KeptFeedback(folder), (QUESTION, "ann"), at_random(WHOLE.actions), 3
    )
    steering.take_over(at)
    going = steering.driven()
    for done in [*does, (Hand([0.5, None, -1], "zero"), 1)]:
        if isinstance(done, int):
            going.back(max(len(going) - done, 0))
        else:
            steering.drive(*done)
    taken = going.whole(3, "x")
    actions = taken.action_TA[at:]
    same(taken, take_over(TIMED, at, these(actions), 3, "x", len(actions)))
    assert (steering.ended == "time") == (taken.steps == TIMED.steps) == taken.truncated_T[-1]
    assert replay(taken).exact
    poses = steering.drawing()["frames"][: at + 1] + steering.driven_frames(0)
    assert len(poses) == taken.steps + 1
    assert steering.driven_frames(len(going) - 1) == poses[-1:]


class _Held(EpisodeStore):
    """A store of one episode, in memory."""

    def __init__(self, one: Episode) -> None:
        super().__init__(Path("/nowhere"))
        self._one = one

    @property
    def ids(self) -> list[str]:
        return [self._one.id]

    def episode(self, name: str) -> Episode:
        return self._one


def test_the_policy_does_the_same_at_a_step_whenever_it_comes_there(tmp_path: Path) -> None:
    steering = sitting(tmp_path, TIMED, policy=True)
    steering.take_over(4)
    free = Hand([None, 1, None], "policy")
    steering.drive(free, 8)
    first = steering.driven().whole(3, "x")
    steering.driven().back(2)
    for _ in range(6):
        steering.drive(free, 1)
    same(first, steering.driven().whole(3, "x"))
    assert (first.action_TA[4:, 1] == 1).all()
    assert len(np.unique(first.action_TA[4:, 0])) == 8
    steering.take_over(6)  # a step is the episode's, wherever it was taken over
    steering.drive(free, 6)
    taken_later = steering.driven().whole(3, "x")
    np.testing.assert_array_equal(taken_later.action_TA[6:], first.action_TA[6:])
    steering.take_over(4)
    steering.driven().back(0)
    steering.drive(Hand([None, None, 0], "before"), 3)
    done = steering.driven().whole(3, "x").action_TA[4:]
    np.testing.assert_array_equal(done[:, :2], TIMED.action_TA[4:7, :2])
    assert (done[:, 2] == 0).all()


def test_what_is_held_reaches_from_one_bound_by_nothing_to_the_other() -> None:
    form = ActionForm("box", 3, np.array([-1.0, 0, 2]), np.array([4.0, 1, 6]))
    rest = np.array([9.0, 9, 9])
    for held, done in (
        ([1, 1, 1], [4, 1, 6]),
        ([-1, -1, -1], [-1, 0, 2]),
        ([0, 0, 0], [0, 0, 2]),
        ([0.5, 0.5, 0.5], [2, 0.5, 4]),
        ([None, -0.5, None], [9, 0, 9]),
    ):
        assert Hand(held, "zero").action(form, rest).tolist() == done
    with pytest.raises(DataError, match="2 numbers are held, an action has 3"):
        Hand([1, 1], "zero").action(form, rest)
    with pytest.raises(DataError, match=r"1\.5 is held"):
        Hand([1.5, None, None], "zero").action(form, rest)


def test_it_goes_on_where_the_task_had_ended_it_and_ends_where_the_task_does(
    tmp_path: Path,
) -> None:
    begun = sitting(tmp_path / "begun", replace(FALLEN, first_step=400))  # seen from there on
    assert begun.most == 600
    steering = sitting(tmp_path, FALLEN)
    assert steering.most == 1000
    with pytest.raises(DataError, match="take over at a step first"):
        steering.drive(Hand([None] * 3, "zero"), 1)
    steering.take_over(FALLEN.steps - 4)
    steering.drive(Hand([0, 0, 0], "zero"), 5000)
    assert steering.ended == "task"
    taken = steering.keep()
    assert taken.terminated_T[-1]
    assert not taken.truncated_T.any()
    steering.take_over(0)
    steering.drive(Hand([None] * 3, "before"), 5000)
    with pytest.raises(DataError, match="what was done is what was done before"):
        steering.keep()
    steering.driven().back(3)
    with pytest.raises(DataError, match="no policy"):
        steering.drive(Hand([None] * 3, "policy"), 1)
    with pytest.raises(DataError, match="back to step 4 of 3"):
        steering.driven().back(4)
    over = FALLEN.terminated_T
    once_timed = replace(FALLEN, terminated_T=np.zeros_like(over), truncated_T=over)
    fallen = take_over(once_timed, 3, these(FALLEN.action_TA[3:]), FALLEN.seed, FALLEN.id)
    same(fallen, FALLEN)  # at the last step both could have ended it, and the task did
    timed = sitting(tmp_path / "timed", TIMED)
    timed.take_over(20)
    timed.drive(Hand([0.3, None, None], "zero"), 5000)
    assert (timed.ended, len(timed.driven())) == ("time", 10)
    same(timed.keep(), take_over(TIMED, 20, these(np.tile([0.3, 0, 0], (10, 1))), 3, "x"))
    longer = take_over(TIMED, 20, these(np.zeros((11, 3))), 3, "x", steps=11)
    assert not longer.truncated_T.any()  # its time was over before


def test_a_long_episode_is_drawn_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = sitting(tmp_path, TIMED)
    long.take_over(2)
    long.drive(Hand([1, None, None], "zero"), 20)
    whole = long.drawing()["frames"], long.driven_frames(3)
    assert list(map(len, whole)) == [31, 17]
    monkeypatch.setattr(control_steering, "PIECE", 7)
    assert (long.drawing()["frames"], long.driven_frames(3)) == whole


# --- what is kept ---------------------------------------------------------------------------------
def test_several_are_kept_and_learned_from_as_any_corrections_are(tmp_path: Path) -> None:
    steering = sitting(tmp_path, TIMED, OTHER)
    for episode, held in ((TIMED, 1.0), (TIMED, -1.0), (OTHER, 0.5)):
        steering.open(episode.id)
        steering.take_over(5)
        steering.drive(Hand([held, None, None], "zero"), 6)
        steering.keep()
        with pytest.raises(DataError, match="kept already"):
            steering.keep()
    later = sitting(tmp_path, TIMED)  # another sitting
    later.take_over(5)
    with pytest.raises(DataError, match="nothing was done since step 5"):
        later.keep()
    later.drive(Hand([None, 0.5, None], "zero"), 1)
    handle = take_lock(tmp_path / "new" / LOCK)
    assert handle is not None
    with pytest.raises(RunError, match="another process keeps something"):
        later.keep()
    os.close(handle)
    later.keep()
    store = EpisodeStore(tmp_path / "new")
    steered = [f"{TIMED.id}-steered-5-{n}" for n in range(3)]
    assert set(store.ids) == {TIMED.id, OTHER.id, f"{OTHER.id}-steered-5-0", *steered}
    assert EpisodeStore(tmp_path / "old").ids == [TIMED.id, OTHER.id]
    records = read_records(tmp_path / "new/feedback.jsonl")
    assert [r.id for r in records] == [
        correction(QUESTION, store.episode(name.partition("-steered")[0]), store.episode(name), "ann").id
        for name in (*steered[:2], f"{OTHER.id}-steered-5-0", steered[2])
    ]  # fmt: skip
    reward = ClipReward(ClipRewardSettings(), WHOLE.observation_size, WHOLE.actions, 0)
    judged, left = judged_clips(records, store, reward)
    assert judged is not None
    assert (len(judged), left) == (4, {})


def test_the_episode_that_was_judged_last_comes_first(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "run/episodes")
    store.append([TIMED, OTHER])
    assert judged_last(store) is None
    said = [
        stopped(QUESTION, Clip(episode=name, start=2, stop=20), at, "ann")
        for name, at in ((TIMED.id, 9), (OTHER.id, 12), ("elsewhere", 4))
    ]
    judged = tmp_path / "run/feedback.jsonl"
    judged.write_text("".join(dump_line(one) + "\n" for one in said))
    found = judged_last(store)
    assert found is not None
    assert (found.episode, found.step) == (OTHER.id, 12)
    went_on = stopped(QUESTION, Clip(episode=TIMED.id, start=2, stop=20), 9, "ann", stop=False)
    judged.write_text(dump_line(went_on) + "\n")
    assert judged_last(store) == JudgedLast(TIMED.id, 2)  # it was not said to go wrong at 9
    judged.write_text(dump_line(correction(QUESTION, TIMED, replace(TIMED, id="x"), "ann")) + "\n")
    found = judged_last(store)
    assert found is not None
    assert (found.episode, found.step) == (TIMED.id, 0)


def test_what_cannot_be_steered_is_refused_before_the_page_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steer(*arguments: str, out: str = "new") -> str:
        given = ["control", "steer", arguments[0], str(tmp_path / out), "--annotator", "ann"]
        done = CliRunner().invoke(main, [*given, "--no-open", *arguments[1:]])
        assert done.exit_code in (1, 2), done.output
        return " ".join(done.output.split())

    old = EpisodeStore(tmp_path / "old")
    old.append([TIMED, replace(OTHER, physics="mujoco 0")])
    place, named = str(old.folder), ("--episode", TIMED.id)
    assert "there is no episode 'x'" in steer(place, "--episode", "x")
    assert "by mujoco 0, not in" in steer(place)
    assert f"step 30 of episode {TIMED.id}, which has 30" in steer(place, *named, "--step", "30")
    assert "--greedy without a policy" in steer(place, *named, "--greedy")
    cart = make("CartPole-v1", 1)
    EpisodeStore(tmp_path / "cart").append(
        record(cart, at_random(cart.actions), 1, seed=2).episodes
    )
    assert "those of CartPole-v1 cannot be read" in steer(str(tmp_path / "cart"))
    assert "there is no folder" in steer(str(tmp_path / "none"))
    EpisodeStore(tmp_path / "new").append([replace(OTHER, id=TIMED.id)])
    assert f"holds another episode {TIMED.id}" in steer(place, *named)
    (tmp_path / "run/stages").mkdir(parents=True)
    (tmp_path / "run/recipe.yaml").touch()
    assert "lies in the run" in steer(place, *named, out="run/stages/new")
    for name in ("one", "two"):
        (old.folder / name).mkdir()
        (old.folder / name / "policy.safetensors").touch()
    assert "holds 2 policy.safetensors" in steer(place, *named)
    given = (*named, "--policy", "random")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} cannot be used" in steer(place, *given, "--port", port, out="other")
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert "pip install 'accord[control]'" in steer(place, *given)
    with pytest.raises(ConfigError, match="lies in the run"):
        KeptFeedback(tmp_path / "run")


# --- the page -------------------------------------------------------------------------------------
@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """Of a sitting with two episodes and a policy."""
    app = steer_app(sitting(tmp_path, TIMED, OTHER, policy=True), TOKEN)
    return TestClient(app, base_url=f"http://127.0.0.1/{TOKEN}/")


def test_only_who_knows_the_token_steers(client: TestClient, tmp_path: Path) -> None:
    drive = {"driven": 0, "count": 1, "held": [None] * 3, "rest": "zero"}
    for path in ("/", "/state", "/guess/", f"/{TOKEN}x/state", "/static/steer.js", "/drive"):
        assert client.get(f"http://127.0.0.1{path}").status_code == 403
        assert client.post(f"http://127.0.0.1{path}", json=drive).status_code == 403
    assert client.get("state", headers={"host": "evil.example"}).status_code == 400
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.post("take-over", json={"step": 3}, headers=foreign).status_code == 403
    assert client.post("take-over", json={"step": 3}, headers={"origin": "http://evil.example"}).status_code == 403  # fmt: skip
    page = client.get("")
    assert 'type="module" src="static/steer.js"' in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "http" not in page.text  # nothing comes from elsewhere
    for name in ("steer.js", "hands.js", "steer.css", "base.css", "pose.js", "dom.js", "icon.svg"):
        assert client.get(f"static/{name}").status_code == 200
    assert client.get("nothing").status_code == 404
    assert client.get("state").json()["drive"] is None  # nobody drove


def test_a_script_drives_goes_back_and_keeps(tmp_path: Path) -> None:
    steering = sitting(tmp_path, TIMED, OTHER)
    with (
        listening(steer_app(steering, TOKEN)) as there,
        httpx2.Client(base_url=f"{there.url}/{TOKEN}/", timeout=30) as page,
    ):

        def ask(where: str, **body: Any) -> Any:
            answer = page.post(where, json=body)
            return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json()["error"])  # fmt: skip

        told = page.get("state").json()
        assert [one["id"] for one in told["episodes"]] == [OTHER.id, TIMED.id]
        assert told["episode"] == {"id": TIMED.id, "steps": 30, "ended": "time"}
        assert told["names"] == ["thigh_joint", "leg_joint", "foot_joint"]
        assert (len(told["drawing"]["frames"]), told["drawing"]["dt"]) == (31, 0.008)
        assert (told["policy"], told["more"], told["kept"]) == (False, 0, [])
        assert ask("drive", driven=0, count=1, held=[None] * 3, rest="zero")[0] == 400
        assert ask("take-over", step=30) == (400, f"step 30 of episode {TIMED.id}, which has 30: take over at a step from 0 to 29")  # fmt: skip
        drive = ask("take-over", step=6)["drive"]
        assert (drive["at"], drive["driven"], drive["most"], drive["frames"]) == (6, 0, 30, [])
        drive = ask("drive", driven=0, count=4, held=[1, None, -0.5], rest="zero")["drive"]
        assert (drive["driven"], len(drive["frames"]), drive["action"]) == (4, 4, [1, 0, -0.5])
        poses = drive["frames"]
        assert ask("drive", driven=0, count=1, held=[1, None, None], rest="zero")[0] == 409
        for body in (
            {"held": [2, None, None]},
            {"held": [None, None]},
            {"count": 0},
            {"count": 101},
            {"rest": "policy"},
            {"more": 1},
        ):
            given = {"driven": 4, "count": 1, "held": [None] * 3, "rest": "zero"} | body
            assert ask("drive", **given)[0] == 400, body
        drive = ask("drive", driven=4, count=3, held=[None] * 3, rest="before")["drive"]
        assert (drive["since"], len(drive["frames"])) == (4, 3)
        drive = ask("back", driven=7, to=2)["drive"]
        assert (drive["driven"], drive["since"], drive["frames"]) == (2, 2, [])
        drive = ask("drive", driven=2, count=2, held=[1, None, -0.5], rest="zero")["drive"]
        assert drive["frames"] == poses[2:]  # as if it had not been gone back
        assert page.get("state").json()["drive"]["frames"] == poses
        assert ask("keep", driven=3)[0] == 409
        kept = ask("keep", driven=4)["kept"]
        assert kept == {"id": f"{TIMED.id}-steered-6-0", "steps": 10, "ended": None, "at": 6}
        assert ask("keep", driven=4)[0] == 400
        assert ask("open", episode="x")[0] == 400
        told = ask("open", episode=OTHER.id)
        assert (told["episode"]["id"], told["drive"]) == (OTHER.id, None)
        ask("take-over", step=0)
        assert ask("leave") == {"drive": None}
    actions = np.tile([1, 0, -0.5], (4, 1))
    same(
        EpisodeStore(tmp_path / "new").episode(kept["id"]),
        take_over(TIMED, 6, these(actions), 3, kept["id"], 4),
    )


@pytest.mark.slow
def test_a_page_that_is_killed_loses_what_was_not_kept_alone(tmp_path: Path) -> None:
    EpisodeStore(tmp_path / "old").append([TIMED])
    command = [sys.executable, "-m", "accord.cli", "control", "steer", "old", "new"]
    command += ["--annotator", "ann", "--no-open", "--step", "7"]
    log = tmp_path / "log"
    with open(log, "w") as out:
        at_work = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT)
    try:
        address = None
        while address is None:
            assert at_work.poll() is None, log.read_text()
            address = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{40,}/", log.read_text())
            time.sleep(0.1)
        with httpx2.Client(base_url=address[0], timeout=60) as page:
            assert page.get("state").json()["step"] == 7
            page.post("take-over", json={"step": 7})
            hand = {"held": [1, None, None], "rest": "zero"}
            for driven in (0, 5):
                told = page.post("drive", json={"driven": driven, "count": 5} | hand)
                assert told.json()["drive"]["driven"] == driven + 5
                if not driven:
                    assert page.post("keep", json={"driven": 5}).status_code == 200
    finally:
        at_work.send_signal(signal.SIGKILL)
        at_work.wait(30)
    store = EpisodeStore(tmp_path / "new")
    assert store.ids == [TIMED.id, f"{TIMED.id}-steered-7-0"]
    same(
        store.episode(store.ids[1]),
        take_over(TIMED, 7, these(np.tile([1, 0, 0], (5, 1))), 0, store.ids[1], 5),
    )
    (line,) = (tmp_path / "new/feedback.jsonl").read_text().splitlines()
    assert (parse_line(line).annotator, parse_line(line).meta["grounds"]) == ("ann", "correction")


PHONE = {"viewport": {"width": 375, "height": 800}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def page(
    browser: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Any, Steering]]:
    """The page in a browser, and what it steers; a test may say what its window is like."""
    steering = sitting(tmp_path, TIMED, OTHER, policy=True)
    with listening(steer_app(steering, TOKEN)) as there:
        window = {"viewport": {"width": 1200, "height": 900}} | getattr(request, "param", {})
        context = browser.new_context(**window)
        opened, problems = context.new_page(), []
        opened.set_default_timeout(WAIT)
        opened.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.goto(f"{there.url}/{TOKEN}/")
        opened.wait_for_selector("#main[aria-busy=false]")
        yield opened, steering
        context.close()
        assert not problems


@pytest.mark.slow
def test_a_person_drives_by_keyboard(page: tuple[Any, Steering], tmp_path: Path) -> None:
    opened, steering = page
    expect = pytest.importorskip("playwright.sync_api").expect
    head, done = opened.locator("#goes"), opened.locator(".hand .value")
    keys = opened.keyboard

    def press(key: str, *then: str) -> None:
        """A key, until the page says how it stands."""
        keys.press(key)
        for said in then:
            expect(head).to_contain_text(said)

    for _ in range(6):
        keys.press(".")
    assert opened.get_by_role("slider", name="Step").get_attribute("aria-valuetext") == "step 6 of 30, 0.05 seconds"  # fmt: skip
    assert not violations(opened)
    for key in "x.":  # the second before the page knows that it is taken over
        keys.press(key)
    keys.down("q")
    expect(head).to_contain_text("1 step, 23 left")
    press("Backspace", "0 steps, 24 left")
    opened.get_by_label("nothing (0)").check()
    keys.down("d")
    assert opened.get_by_role("button", name="thigh_joint up").get_attribute("aria-pressed") == "true"  # fmt: skip
    press(".", "1 step,")
    press(".", "2 steps,")
    keys.up("d")
    opened.get_by_label("Strength").focus()
    keys.press("End")  # 100 %
    press(".", "3 steps,")
    expect(done).to_have_text(["1.00", "0.00", "0.00"])
    keys.up("q")
    press(".", "4 steps,")
    press("Backspace", "3 steps,")
    press(",", "2 steps,")
    expect(done).to_have_text(["0.50", "0.00", "−0.50"])
    keys.down("w")
    press(".", "3 steps,")
    keys.up("w")
    assert not violations(opened)
    # Looked through side by side, and gone back to a moment that is seen.
    moment = opened.get_by_role("slider", name="Step")
    moment.focus()
    keys.press("ArrowLeft")
    expect(moment).to_have_value("8")
    assert opened.locator("#here").is_enabled()
    keys.press("End")
    assert opened.locator("#was").text_content() == "its time was over"
    assert opened.locator("#here").is_disabled()
    # Time goes on by itself, a short press counts, and it stops where the episode's time is over.
    opened.get_by_label("Speed").select_option("real time")
    opened.locator("#driving").focus()
    press("p", "time is over")
    assert steering.ended == "time"
    for key in ("Backspace", ".", ",", ",", "."):  # faster than it is answered: none is lost
        keys.press(key)
    press("Shift+Backspace", "13 steps,")
    press(".", "14 steps,")
    opened.get_by_role("button", name="Keep as a correction").click()
    expect(opened.locator("#told")).to_contain_text("Kept:")
    expect(opened.locator("#kept li")).to_have_count(1)
    assert opened.locator("#keep").is_disabled()
    press(" ", "15 steps,")  # the focus is no longer on the button
    keys.press("Enter")
    expect(opened.locator("#kept li")).to_have_count(2)
    expect(opened.locator("#keep")).to_be_disabled()
    keys.press("Enter")  # it is kept once
    expect(opened.locator("#kept li")).to_have_count(2)
    assert len(steering.kept) == 2
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.get_by_role("button", name="Leave it").click()
    expect(opened.get_by_role("button", name="Take over here")).to_be_visible()
    opened.get_by_role("combobox", name="Episode").select_option(OTHER.id)
    expect(moment).to_have_value("0")
    name = f"{TIMED.id}-steered-6-0"
    kept = EpisodeStore(tmp_path / "new").episode(name)
    actions = kept.action_TA[6:]
    assert actions[:3].tolist() == [[0.5, 0, -0.5], [0.5, 0, -0.5], [0, 1, 0]]
    assert (actions[3:] == 0).all()
    same(kept, take_over(TIMED, 6, these(actions), 3, name, 14))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [PHONE | {"color_scheme": "dark", "reduced_motion": "reduce"}], indirect=True
)
def test_a_person_drives_on_a_phone_in_the_dark(page: tuple[Any, Steering]) -> None:
    opened, steering = page
    expect = pytest.importorskip("playwright.sync_api").expect
    assert opened.get_by_label("Speed").input_value() == "0"  # nothing moves by itself
    opened.get_by_role("button", name="Take over here").tap()
    held = opened.get_by_role("button", name="leg_joint down")
    held.dispatch_event("pointerdown", {"pointerId": 1, "isPrimary": True})
    opened.get_by_role("button", name="One step").tap()
    expect(opened.locator("#goes")).to_contain_text("1 step,")
    held.dispatch_event("pointerup", {"pointerId": 1})
    opened.get_by_role("button", name="One step").tap()
    expect(opened.locator("#goes")).to_contain_text("2 steps,")
    assert opened.evaluate("document.documentElement.scrollWidth") == 375
    assert not violations(opened, "dark")
    actions = steering.driven().whole(3, "x").action_TA
    assert actions[0, 1] == -0.5 != actions[1, 1]  # then the policy did it
    seen = opened.evaluate("[...document.querySelectorAll('canvas')].map((c) => c.toDataURL())")
    assert len({*seen}) == 2
    assert all(len(drawn) > 1000 for drawn in seen)
