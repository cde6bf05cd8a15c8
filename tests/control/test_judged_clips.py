"""A reward of clips from every kind of feedback: its likelihood, what it recovers, what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from benchmarks.clip_kinds import FORM, NUMBERS, accuracy, episodes_of
from benchmarks.clip_kinds import KINDS as CLIP_KINDS

from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.episodes import EpisodeStore
from accord.control.grounding import corrected, demonstrated, stopped, thumb_at
from accord.control.judged_clips import JudgedClips
from accord.control.reading_clips import judged_clips
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback, Ranking
from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, RatingScale
from accord.text.packing import PromptGroup

UTILITY = [0.7, -0.4, 1.3]
LAPSE = 0.1
SCALE = RatingScale("overall", (0.0, 1.0, 2.0), (0.2, 0.5, 0.3))


def log_p(
    judgement: Judgement,
    utility: torch.Tensor,
    log_nu: float = -1.0,
    lapse: float | torch.Tensor = LAPSE,
) -> torch.Tensor:
    group = JudgedGroup(PromptGroup([0], [[n] for n in range(len(utility))]), (judgement,))
    plain = AnnotatorEffects.none(1, log_nu)
    effects = replace(plain, sharpness_A=torch.ones(1), offset_A=torch.zeros(1),
                      thresholds=(torch.tensor([-0.5, 1.0], dtype=torch.float64),))  # fmt: skip
    effects = replace(effects, lapse=lapse)
    return log_likelihood(utility, JudgedBatch.of([group]), effects).logp_M[0]


def mixed(p: float, answers: int) -> float:
    """(1 - lapse) P + lapse / answers (Christiano et al. 2017 section 2.2.3)."""
    return math.log((1 - LAPSE) * p + LAPSE / answers)


def softmax(*u: float) -> float:
    """Share of the first: Jeon, Milli and Dragan 2020 equation 2."""
    return math.exp(u[0]) / sum(map(math.exp, u))


def test_every_kind_is_its_formula_and_so_is_its_gradient() -> None:
    a, b, c = UTILITY
    tie = math.exp(-1 + (a + b) / 2)  # Davidson 1970
    davidson = math.exp(a) + math.exp(b) + tie

    def below(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    wanted: list[tuple[Judgement, float]] = [
        (Judgement((0, 1), (0, 1), doubt=0.0), mixed(softmax(a, b), 2)),
        (Judgement((0, 1), (0, 1), doubt=0.3), 0.7 * mixed(softmax(a, b), 2) + 0.3 * mixed(softmax(b, a), 2)),
        (Judgement((0, 1), (0, 1)), mixed(math.exp(a) / davidson, 3)),
        (Judgement((0, 1), (0, 1), kind="tie"), mixed(tie / davidson, 3)),
        (Judgement((2, 0, 1), (0, 1, 2)), mixed(softmax(c, a, b) * softmax(a, b), 6)),  # Plackett 1975
        (Judgement((2, 0, 1), (0, 1, 2), tied=(1, 2)), mixed(softmax(c, a, b), 3)),
        (Judgement((2, 0, 1), None, kind="choice"), mixed(softmax(c, a, b), 3)),
        (Judgement((2, 0, 1), (0, 1, 2), kind="best_worst"), mixed(softmax(c, a, b) * softmax(-b, -a), 6)),
        (Judgement((0,), None, kind="rating", level=1), mixed(below(1.0 - a) - below(-0.5 - a), 3)),  # Samejima 1969
    ]  # fmt: skip
    for judgement, value in wanted:
        utility = torch.tensor(UTILITY, dtype=torch.float64, requires_grad=True)
        found = log_p(judgement, utility)
        assert found.item() == pytest.approx(value, rel=1e-6), judgement
        found.backward()
        assert utility.grad is not None
        for n in range(3):
            ends = []
            for step in (1e-5, -1e-5):
                moved = torch.tensor(UTILITY, dtype=torch.float64)
                moved[n] += step
                ends.append(log_p(judgement, moved).item())
            slope = (ends[0] - ends[1]) / 2e-5
            assert utility.grad[n].item() == pytest.approx(slope, abs=1e-6), judgement
        lapse_A = torch.tensor([LAPSE], dtype=torch.float64, requires_grad=True)
        own = log_p(judgement, utility.detach(), lapse=lapse_A)
        assert own.item() == pytest.approx(value, rel=1e-6), judgement
        own.backward()
        ends = [
            log_p(judgement, utility.detach(), lapse=LAPSE + step).item() for step in (1e-5, -1e-5)
        ]
        assert lapse_A.grad is not None
        assert lapse_A.grad.item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-5), judgement


@given(st.lists(st.floats(-8, 8), min_size=3, max_size=3))
@settings(max_examples=25, deadline=None)
def test_the_answers_of_each_kind_add_up_to_one(u: list[float]) -> None:
    utility = torch.tensor(u, dtype=torch.float64)
    places = (0, 1, 2)
    kinds = {
        "ranking": [Judgement(order, places) for order in permutations(range(3))],
        "tied": [Judgement(o, places, tied=(1, 2)) for o in ((0, 1, 2), (1, 0, 2), (2, 0, 1))],
        "best_worst": [Judgement(o, places, kind="best_worst") for o in permutations(range(3))],
        "levels": [Judgement((0,), None, kind="rating", level=n) for n in range(3)],
        "may tie": [Judgement((0, 1), (0, 1)), Judgement((1, 0), (1, 0)),
                    Judgement((0, 1), (0, 1), kind="tie")],
    }  # fmt: skip
    for name, answers in kinds.items():
        total = sum(log_p(one, utility).exp().item() for one in answers)
        assert total == pytest.approx(1, abs=1e-6), name


@pytest.mark.parametrize("kind", CLIP_KINDS)
def test_each_kind_alone_orders_clips_it_never_saw(kind: Any) -> None:
    """A reward of nothing orders half of them."""
    assert accuracy(kind, 120, 3, updates=150) > 0.8


# --- what does not matter -------------------------------------------------------------------------
def nll(judged: JudgedClips, weight_M: list[float] | None = None) -> float:
    """The sum over judgements for a fresh reward of one member."""
    reward = ClipReward(ClipRewardSettings(members=1, hidden=8), 2, FORM, 3)
    people = [JudgementParameters(AnnotatorEffects.none(2), judged.scales, True)]
    rows = list(range(len(judged)))
    of_R, there = judged.options_of(rows), torch.tensor(judged.there_CL, dtype=torch.float32)
    score = reward._sums(reward._scaled(judged.clips_CLI)[of_R], there[of_R])
    weights = torch.tensor([weight_M or [1.0] * len(rows)])
    return reward._loss(score, judged.batch, people, weights).item() * len(rows)


SAID = st.sampled_from(
    [
        (Judgement((1, 0), (0, 1), doubt=0.0), 2),
        (Judgement((0, 1), (0, 1), 1), 2),
        (Judgement((0, 1), (0, 1), kind="tie"), 2),
        (Judgement((2, 0, 1), (0, 1, 2), 1), 3),
        (Judgement((2, 0, 3, 1), (0, 1, 2, 3), tied=(1, 3)), 4),
        (Judgement((1, 2, 0), (0, 1, 2), kind="best_worst"), 3),
        (Judgement((0,), None, 1, "rating", level=2), 1),
    ]
)


def made_of(said: list[tuple[Judgement, int]], rng: np.random.Generator) -> JudgedClips:
    total = sum(shown for _, shown in said)
    clips = [rng.normal(size=(int(rng.integers(1, 6)), 5)) for _ in range(total)]
    ends = np.cumsum([shown for _, shown in said])
    options = [range(end - shown, end) for end, (_, shown) in zip(ends, said, strict=True)]
    return JudgedClips.of(clips, options, [[one] for one, _ in said], "ab", [SCALE])


@given(st.lists(SAID, min_size=1, max_size=6), st.integers(0, 99), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_padding_order_and_repetition_do_not_matter(
    said: list[tuple[Judgement, int]], seed: int, more: int
) -> None:
    rng = np.random.default_rng(seed)
    judged = made_of(said, rng)
    alone = nll(judged)
    count, _, size = judged.clips_CLI.shape
    noise = rng.normal(size=(count, more, size)) * 9  # what stands behind a clip's end
    longer = replace(judged, clips_CLI=np.concatenate([judged.clips_CLI, noise], 1))
    assert nll(longer) == pytest.approx(alone, abs=1e-4)
    turned = rng.permutation(len(judged))
    moved = replace(
        judged,
        options=tuple(judged.options[n] for n in turned),
        said=tuple(judged.said[n] for n in turned),
    )
    assert nll(moved) == pytest.approx(alone, abs=1e-4)
    twice = replace(judged, options=judged.options * 2, said=judged.said * 2)
    heavy = replace(judged, said=tuple((replace(j, weight=2.0),) for (j,) in judged.said))
    assert nll(twice) == pytest.approx(2 * alone, abs=1e-4)
    assert nll(heavy) == pytest.approx(2 * alone, abs=1e-4)
    drawn = [2.0] * len(judged)
    assert nll(judged, drawn) == pytest.approx(2 * alone, abs=1e-4)


@given(st.lists(SAID, min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_members_together_lose_what_each_loses_alone(
    said: list[tuple[Judgement, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    judged, members, lapses = made_of(said, rng), 3, ClipRewardSettings(members=3, hidden=8)
    reward = ClipReward(lapses, 2, FORM, 3)
    score_ER = torch.tensor(rng.normal(size=(members, len(judged.clips_CLI))), dtype=torch.float32)
    weight_EM = torch.tensor(rng.poisson(1.0, (members, len(judged))), dtype=torch.float32)
    person = JudgementParameters(AnnotatorEffects.none(2), judged.scales, True)
    rows = list(range(len(judged)))
    one_by_one = reward._loss(score_ER, judged.batch, [person] * members, weight_EM)
    several = judged.batch.select(rows * members)
    together = reward._loss(score_ER, several, [person], weight_EM)
    assert together.item() == pytest.approx(one_by_one.item(), rel=1e-5, abs=1e-5)
    for row, shown in enumerate(judged.options):
        assert judged.options_of([row]).tolist() == list(shown)


# --- records --------------------------------------------------------------------------------------
@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    found = EpisodeStore(tmp_path)
    found.append(episodes_of(5, 0))
    return found


def clip(number: int, stop: int = 20, start: int = 0) -> Clip:
    return Clip(episode=f"e{number}", start=start, stop=stop)


def read(records: list[Feedback], store: EpisodeStore) -> tuple[JudgedClips | None, dict[str, int]]:
    return judged_clips(records, store, ClipReward(ClipRewardSettings(), NUMBERS, FORM, 0))


def test_steps_that_ended_an_episode_are_found_in_clips_of_any_length(tmp_path: Path) -> None:
    """Not those where its time was over, nor the last ones of clips that others go on after."""
    found = EpisodeStore(tmp_path)
    task, time, other = episodes_of(3, 0)
    last_T = np.arange(task.steps) == task.steps - 1
    task, other = (replace(one, terminated_T=last_T) for one in (task, other))
    time = replace(time, truncated_T=last_T)
    found.append([task, time, other])
    ids, steps = found.ids, task.steps
    pairs = [((0, steps - 5), (1, 0)), ((2, 0), (0, 0)), ((0, steps - 5), (2, 3))]
    shown = [
        [Clip(episode=ids[n], start=at, stop=steps - (at == 3)) for n, at in pair] for pair in pairs
    ]
    reward = ClipReward(ClipRewardSettings(), NUMBERS, FORM, 0)
    judged, _ = read([corrected("q", a, b, "ann") for a, b in shown], found)
    assert judged is not None
    ends = [reward.of_episode(one)[-1] for one in (task, other, task)]
    np.testing.assert_array_equal(judged.ends_BI, ends)
    clips = dict.fromkeys(clip for pair in shown for clip in pair)
    every = [reward.of_episode(found.clip(clip)) for clip in clips]
    np.testing.assert_array_equal(judged.steps_BI, np.concatenate(every))


def test_what_is_done_is_the_choice_that_it_is(store: EpisodeStore) -> None:
    records = [
        stopped("q", clip(0), 7, "ann"),
        stopped("q", clip(0), 9, "ann", stop=False),
        corrected("q", clip(1), clip(2, 15), "bob"),
        demonstrated("q", clip(3), [clip(0), clip(1), clip(2)], "ann"),
        thumb_at("q", clip(4), 8, 10, False, "ann"),
        thumb_at("q", clip(4), 18, 10, True, "ann"),
    ]
    assert len({one.id for one in records}) == len(records)
    judged, left = read(records, store)
    assert judged is not None
    assert not left
    shown = [[int(judged.length_C[c]) for c in options] for options in judged.options]
    assert shown == [[7, 20], [9, 20], [20, 15], [20, 20, 20, 20], [8], [10]]
    assert [j.options for (j,) in judged.said] == [(0, 1), (1, 0), (1, 0), (0, 1, 2, 3), (0,), (0,)]
    assert [j.level for (j,) in judged.said[-2:]] == [0, 1]
    assert (judged.said[3][0].tied, judged.uneven) == ((1, 3), 3)
    told = list[str]()
    judged.tell_uneven(told.append)
    assert [
        one.partition(" judgements choose among clips of different lengths")[0] for one in told
    ] == ["3"]
    even, _ = read([demonstrated("q", clip(3), [clip(0)], "ann")], store)
    assert even is not None
    even.tell_uneven(told.append)
    assert len(told) == 1
    assert judged.annotators == ("ann", "bob")
    whole = judged.clips_CLI[judged.options[0][1]]  # a clip that two judge is there once
    assert judged.options[0][1] == judged.options[1][1] == judged.options[3][1]
    np.testing.assert_array_equal(judged.clips_CLI[judged.options[0][0]][:7], whole[:7])


@pytest.mark.parametrize("at", [0, 20, 33])
def test_moments_outside_a_clip_are_refused(at: int) -> None:
    for make in (stopped, lambda q, c, t, who: thumb_at(q, c, t, 5, True, who)):
        with pytest.raises(DataError, match=rf"moment {at} of the clip \[0, 20\) of e0"):
            make("q", clip(0), at, "ann")
    with pytest.raises(DataError, match="itself among them"):
        demonstrated("q", clip(0), [clip(0)], "ann")
    with pytest.raises(DataError, match="beside 0 clips"):
        demonstrated("q", clip(0), [], "ann")
    with pytest.raises(DataError, match="is itself"):
        corrected("q", clip(0), clip(0), "ann")
    with pytest.raises(DataError, match="0 steps before a moment"):
        thumb_at("q", clip(0), 5, 0, True, "ann")


def test_who_calls_ties_has_three_answers_and_both_bad_is_one_of_them(store: EpisodeStore) -> None:
    sure = corrected("q", clip(0), clip(1), "ann").model_copy(update={"meta": {}})
    tie = sure.model_copy(update={"choice": Comparison(tie=True)})
    none = sure.model_copy(update={"choice": Comparison(both_bad=True)})
    thumb = thumb_at("q", clip(2), 8, 5, True, "ann")
    for records, likelihoods, joint in (
        ([sure], ["decided"], False),
        ([sure, tie], ["comparison"], True),
        ([sure, none], ["comparison"], True),
    ):
        judged, _ = read(records, store)
        assert judged is not None
        assert [table.likelihood for table in judged.batch.choices] == likelihoods
        assert judged.joint == joint
    judged, _ = read([none, thumb], store)  # where it is known what bad means, both are
    assert judged is not None
    assert [(j.kind, j.options, j.level) for j in judged.said[0]] == [
        ("tie", (0, 1), 0), ("rating", (0,), 0), ("rating", (1,), 0),
    ]  # fmt: skip
    assert [len(table) for table in judged.batch.answers] == [3]


def test_what_says_nothing_of_clips_is_counted_by_reason(store: EpisodeStore) -> None:
    sure = corrected("q", clip(0), clip(1), "ann")
    all_tied = demonstrated("q", clip(0), [clip(1), clip(2)], "ann").model_copy(
        update={"choice": Ranking(order=[["0", "1", "2"]])}
    )
    thumb = thumb_at("q", clip(2), 8, 5, True, "ann")
    rated = {"kind": "rating", "choice": {"scores": {"overall": 3}}}
    skipped = {"kind": "skip", "choice": {"reason": "too fast"}}
    records = [
        sure,
        sure.model_copy(update={"weight": 0.0}),
        all_tied,
        Feedback.model_validate(thumb.model_dump() | rated),
        Feedback.model_validate(thumb.model_dump() | skipped),
    ]
    judged, left = read(records, store)
    assert judged is not None
    assert len(judged) == 1
    assert left == {
        "comparison of weight 0": 1, "ranking in which all are tied": 1,
        "rating of overall: all are 3": 1, "skip: no choice among clips": 1,
    }  # fmt: skip
    assert read([all_tied], store) == (None, {"ranking in which all are tied": 1})


def test_bad_records_are_named(store: EpisodeStore) -> None:
    sure = corrected("q", clip(0), clip(1), "ann")
    text = [option.model_copy(update={"content": "a text"}) for option in sure.options]
    with pytest.raises(DataError, match=f"option a of record {sure.id} is a text, not a clip"):
        read([sure.model_copy(update={"options": text})], store)
    with pytest.raises(DataError, match="no episode 'e9'"):
        read([corrected("q", clip(0), clip(9), "ann")], store)
    with pytest.raises(DataError, match=r"\[0, 99\) leaves episode e1"):
        read([corrected("q", clip(0), clip(1, 99), "ann")], store)
    other = replace(episodes_of(1, 1)[0], id="x", environment="Pendulum-v1")
    store.append([other])
    mixed_up = corrected("q", clip(0), Clip(episode="x", start=0, stop=20), "ann")
    with pytest.raises(DataError, match=f"record {mixed_up.id} shows a clip of Pendulum-v1, others are of none"):  # fmt: skip
        read([mixed_up], store)


def test_held_out_ratings_and_rankings_tell_how_well_it_predicts() -> None:
    said = [
        Judgement((2, 0, 1), (0, 1, 2)),
        Judgement((0,), None, 0, "rating", level=2),
        Judgement((0,), None, 0, "rating", level=0),
        Judgement((0,), None, 1, "rating", level=1),
    ]
    judged = made_of([(one, len(one.options)) for one in said], np.random.default_rng(0))
    assert judged.ordered(np.ones(4, bool)) == [(2, 0), (2, 1), (0, 1), (3, 4)]
    assert judged.ordered(np.array([False, True, False, True])) == []
    assert judged.apart(np.ones(4, bool)) == [(0, 2, 0), (0, 2, 1), (0, 0, 1), (6, 3, 4)]
    levels = [Judgement((0,), None, 0, "rating", level=n) for n in (2, 0, 1, 0, 2)]
    rated = made_of([(one, 1) for one in levels], np.random.default_rng(0))
    found = rated.apart(np.ones(5, bool))
    assert len({clip for _, *both in found for clip in both}) == 2 * len(found) == 4
    assert len({number for number, _, _ in found}) == 2
    assert all(levels[better].level > levels[worse].level for _, better, worse in found)
