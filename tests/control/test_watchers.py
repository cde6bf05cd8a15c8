"""Simulated watchers: what they say in each kind follows what they like, and errs as it is told to."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.watchers import KINDS, PLAIN, coverage, estimated, held, pairs
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from accord.control.answering import SHOWN
from accord.control.asked_kinds import ASKED_KINDS, AskedKind, said_of
from accord.control.question_settings import ClipQuestionSettings
from accord.control.watcher_estimate import WatcherEstimate, estimate_watcher
from accord.control.watchers import AskedClips, SimulatedWatcher
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.feedback.simulate import flip
from accord.seeds import generator
from accord.statistics.intervals import Interval, share


def asked(kind: AskedKind, sums: np.ndarray) -> list[AskedClips]:
    """Questions about clips of three steps that are liked so much."""
    rows = np.resize(sums, (len(sums) // SHOWN[kind], SHOWN[kind]))
    return [
        AskedClips(
            tuple(Clip(episode=f"{n}-{k}", start=0, stop=3) for k in range(len(row))), "random",
            tuple(np.full(3, one / 3) for one in row),
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip


def order(record: Feedback) -> list[str]:
    """What was said of each clip, in the order of its options."""
    return [said_of(record, option) for option in record.options]


@pytest.mark.parametrize("kind", ASKED_KINDS)
@given(st.integers(0, 99), st.floats(-1e3, 1e3))
@settings(max_examples=10, deadline=None)
def test_who_is_sure_says_what_is_liked_and_mistakes_turn_it_round(
    kind: AskedKind, seed: int, shift: float
) -> None:
    """Whatever zero the liking has; ratings and thumbs are held against the clips seen first."""
    sums = shift + 10 * np.random.default_rng(seed).permutation(40)
    questions = asked(kind, sums)
    right, wrong = (SimulatedWatcher("Q", 50.0, mistakes, kind) for mistakes in (0.0, 1.0))
    said = [order(one) for one in right.judge(questions, generator(seed, "watch"))]
    turned = [order(one) for one in wrong.judge(questions, generator(seed, "watch"))]
    for one, other, question in zip(said, turned, questions, strict=True):
        liked = np.array([row.sum() for row in question.liked])
        place = np.argsort(np.argsort(-liked))
        if kind == "comparison":
            assert one == [["preferred", "not preferred"][n] for n in place]
            assert other == one[::-1]
        elif kind == "ranking":
            assert one == [f"place {n + 1} of 4" for n in place]
            assert other == [f"place {4 - n} of 4" for n in place]
        elif kind == "best_worst":
            ends = {0: "the best", 3: "the worst"}
            assert one == [ends.get(n, "neither best nor worst") for n in place]
            assert other == [ends.get(3 - n, "neither best nor worst") for n in place]
        elif kind == "thumb":
            assert one == ["good" if liked[0] > sums.mean() else "bad"]
            assert {*one, *other} == {"good", "bad"}
        else:
            level = int(np.searchsorted([-1.5, -0.5, 0.5, 1.5], (liked[0] - sums.mean()) / sums.std()))  # fmt: skip
            assert one == [f"rated {level} on 0 to 4"]
            assert other == [f"rated {4 - level} on 0 to 4"]


def test_a_scale_stays_as_the_first_clips_made_it() -> None:
    watcher = SimulatedWatcher("Q", 50.0, kind="rating")
    watcher.judge(asked("rating", np.arange(40.0)), generator(1, "first"))
    other = SimulatedWatcher("Q", 50.0, kind="rating")
    other.load(watcher.state())
    later = asked("rating", np.arange(40.0) + 100)
    for one in (watcher, other):
        said = one.judge(later, generator(2, "later"))
        assert {said_of(record, record.options[0]) for record in said} == {"rated 4 on 0 to 4"}


@pytest.mark.parametrize("kind", ASKED_KINDS)
def test_what_is_turned_round_twice_is_what_it_was(kind: AskedKind) -> None:
    for record in SimulatedWatcher("Q", 0.1, kind=kind).judge(asked(kind, np.arange(40.0)), generator(3, "turn")):  # fmt: skip
        once = flip(record, 1.0, 0)
        assert flip(once, 1.0, 1).choice == record.choice
        assert flip(record, 0.0, 0) == record


@given(st.integers(0, 999), st.sampled_from([0.0, 0.2, 0.5]), st.sampled_from([0.0, 0.1, 0.4]))
@settings(max_examples=15, deadline=None)
def test_the_worst_questions_are_skipped_and_the_nearest_clips_are_equal(
    seed: int, skips: float, equal: float
) -> None:
    """Of what is asked at once: no answer that was given is about less, or about clips as near."""
    questions = pairs(30, seed)
    records = SimulatedWatcher("Q", 1.0, 0.3, skips=skips, equal=equal).judge(questions, generator(seed, "q"))  # fmt: skip
    sums = np.array([[row.sum() for row in one.liked] for one in questions])
    skipped = np.array([one.kind == "skip" for one in records])
    same = np.array([not s and one.choice.preferred is None for s, one in zip(skipped, records, strict=True)])  # type: ignore[union-attr]  # fmt: skip
    assert skipped.sum() == int(skips * 30)
    assert same.sum() == int(equal * (30 - skipped.sum()))
    best, apart = sums.max(1), np.abs(sums[:, 0] - sums[:, 1])
    assert best[skipped].max(initial=-np.inf) <= best[~skipped].min()
    assert apart[same].max(initial=0) <= apart[~skipped & ~same].min()


def test_who_forgets_goes_by_the_end() -> None:
    """B-Pref's Myopic teacher (get_label of reward_model.py at f3ece2e): the reward of each step is
    discounted once for every later one."""
    early, late = np.array([5.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0])
    clips = tuple(Clip(episode=name, start=0, stop=3) for name in "xy")
    question = [AskedClips(clips, "random", (early, late))]
    for memory, better in ((1.0, "a"), (0.7, "a"), (0.6, "b"), (0.1, "b")):  # 5 * .6^2 < 2
        watcher = SimulatedWatcher("Q", 200.0, memory=memory)
        (record,) = watcher.judge(question, generator(1, "q"))
        assert record.choice.preferred == better  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_watcher_is_like_is_found_from_its_answers(kind: str) -> None:
    """Near 95 % intervals, of which those of who errs and who forgets leave out who does not."""
    told = KINDS[kind]
    found = estimated(told, 1500, 7)
    for name, plain in PLAIN.items():
        interval, true = getattr(found, name), told.get(name, plain)
        half = (interval.high - interval.low) / 4  # of 18 intervals one misses by chance
        assert interval.low - half <= true <= interval.high + half, name
    assert found.rationality.high < 10 * found.rationality.low
    if kind != "all of it":  # who forgets and skips, too, may be less sure instead
        assert (found.mistakes.low > 0) == ("mistakes" in told)
    assert (found.memory.high < 1) == ("memory" in told)
    assert found.skipped == pytest.approx(told.get("skips", 0), abs=0.01)
    assert found.equal == pytest.approx(told.get("equal", 0), abs=0.01)
    assert found.decided + round(found.equal * (1500 - 1500 * found.skipped)) + 1500 * found.skipped == 1500  # fmt: skip


def test_an_interval_holds_what_the_watcher_is_like_and_its_ends() -> None:
    one = Interval(1.0, 0.8, 1.25)
    found = WatcherEstimate(9, one, Interval(0.1, 0.06, 0.15), one, 0.0, 0.0, (0.0, 0.0))
    assert held(found, {}) == {"rationality": True, "mistakes": False, "memory": True}
    assert held(found, {"mistakes": 0.15, "memory": 0.79}) == {"rationality": True, "mistakes": True, "memory": False}  # fmt: skip
    shares, ratio = coverage(KINDS["lapsing"], 3, 200, 1)
    assert shares == {name: share(3, 3) for name in PLAIN}
    assert ratio > 1


def test_nothing_decided_tells_nothing() -> None:
    questions = pairs(4, 1)
    records = SimulatedWatcher("Q", 1.0, skips=0.99).judge(questions, generator(1, "q"))
    records = [one for one in records if one.kind == "skip"]
    with pytest.raises(DataError, match="none of 3 comparisons is decided"):
        estimate_watcher(records, [one.liked for one in questions[:3]])  # type: ignore[misc]
    ratings = SimulatedWatcher("Q", 1.0, kind="rating").judge(asked("rating", np.arange(3.0)), generator(1, "r"))  # fmt: skip
    with pytest.raises(DataError, match="is a rating"):
        estimate_watcher(ratings, [one.liked for one in questions[:3]])  # type: ignore[misc]


def test_who_likes_all_clips_alike_guesses() -> None:
    watcher = SimulatedWatcher("Q", 1.0)
    assert watcher.guesses(asked("comparison", np.array([3.0, 3, 3, 3])))
    assert not watcher.guesses(asked("comparison", np.array([3.0, 3, 3, 6])))
    assert not watcher.guesses([])  # nothing is answered
    late = AskedClips(asked("comparison", np.ones(2))[0].clips, "random", (np.eye(3)[0], np.eye(3)[2]))  # fmt: skip
    assert watcher.guesses([late])
    assert not SimulatedWatcher("Q", 1.0, memory=0.5).guesses([late])


def test_ratings_are_not_equal() -> None:
    told = {"environment": "Pendulum-v1", "equal": 0.1}
    assert SimulatedWatcher.of(ClipQuestionSettings.model_validate(told), "Q").equal == 0.1
    with pytest.raises(ValueError, match=r"equal 0.1 with asks: rating"):
        ClipQuestionSettings.model_validate(told | {"asks": "rating"})
