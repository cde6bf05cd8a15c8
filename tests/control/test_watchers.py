"""Simulated watchers: what they say in each kind follows what they like, and errs as it is told to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from accord.control.answering import SHOWN
from accord.control.asked_kinds import ASKED_KINDS, AskedKind, said_of
from accord.control.watchers import AskedClips, SimulatedWatcher
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.feedback.simulate import flip
from accord.seeds import generator


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
