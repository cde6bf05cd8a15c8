"""Choices among options that stand for several clips: proxies, states found, words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from benchmarks.clip_kinds import FORM, NUMBERS, episodes_of

from accord.cli.main import main
from accord.control.answering import choose
from accord.control.clip_card import clip_card
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.episodes import Episode, EpisodeStore
from accord.control.gathering import ending_in, followed, gathered, labelled, true_of
from accord.control.grounding import (
    SET_CHOICES,
    SetChoice,
    among,
    corrected,
    demonstrated,
    designed,
    found,
    stopped,
    told,
)
from accord.control.judged_clips import JudgedClips
from accord.control.making import make
from accord.control.reading_clips import judged_clips
from accord.control.tabular.choices import KINDS, FeedbackGrid, choice_log_p, draw_features
from accord.control.tabular.gridworld import grid_world, open_grid
from accord.errors import DataError
from accord.feedback.formats import read_feedback
from accord.feedback.formats.columns import RowError
from accord.feedback.formats.tables import to_pairwise_row
from accord.feedback.formats.turns import check_spoken
from accord.feedback.messages import Clip, ClipSet, clips_in, plain, to_json
from accord.feedback.records import Comparison, Feedback, Option, dump_line, parse_line
from accord.feedback.simulate import SimulatedAnnotator
from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.judgements import AnnotatorEffects, Judgement
from accord.statistics.intervals import Array

LAPSE = 0.1


def clip(number: int, stop: int = 20, start: int = 0) -> Clip:
    return Clip(episode=f"e{number}", start=start, stop=stop)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    made = EpisodeStore(tmp_path / "episodes")
    made.append(episodes_of(12, 0))
    return made


def fresh(members: int = 2, lapse: float = LAPSE) -> ClipReward:
    return ClipReward(ClipRewardSettings(members=members, hidden=8, lapse=lapse), NUMBERS, FORM, 3)


def read(records: Sequence[Feedback], store: EpisodeStore, reward: ClipReward) -> JudgedClips:
    judged, left = judged_clips(records, store, reward)
    assert judged is not None
    assert not left
    return judged


def nll_E(reward: ClipReward, judged: JudgedClips) -> list[float]:
    """Of each member, the sum over judgements, as the reward learns from them."""
    rows = list(range(len(judged)))
    clips = reward._scaled(judged.clips_CLI)
    score_ER = reward._worth(judged, clips, judged.padding_CL, judged.options_of(rows))
    effects = AnnotatorEffects.none(len(judged.annotators))
    start = replace(effects, lapse=reward.settings.lapse)
    weights = torch.ones(1, len(rows))
    return [
        reward._loss(
            score_R[None], judged.batch, [JudgementParameters(start, judged.scales, judged.joint)], weights
        ).item()
        * len(rows)
        for score_R in score_ER
    ]  # fmt: skip


# --- the likelihood -------------------------------------------------------------------------------
def test_an_option_is_worth_the_mean_of_its_clips(store: EpisodeStore) -> None:
    """(1 - lapse) exp(mean) / sum of exp(mean) + lapse / options, of sums over steps (Jeon, Milli and
    Dragan 2020; the lapse of Christiano et al. 2017), though sets share a clip, one is of one clip,
    and clips differ in length."""
    options = {
        "a": [clip(0), clip(1, 7)],
        "b": [clip(2)],
        "c": [clip(1, 7), clip(3), clip(4, 19, 5)],
    }
    reward = fresh()
    judged = read([told("q", options, "c", "ann")], store, reward)
    assert len(judged.clips_CLI) == 5
    sums_EC = reward.scores(judged.clips_CLI, judged.there_CL)
    for nll, (e0, e1, e2, e3, e4) in zip(nll_E(reward, judged), sums_EC, strict=True):
        a, b, c = (e0 + e1) / 2, e2, (e1 + e3 + e4) / 3
        chosen = math.exp(c) / (math.exp(a) + math.exp(b) + math.exp(c))
        assert nll == pytest.approx(-math.log((1 - LAPSE) * chosen + LAPSE / 3), rel=1e-5)
    assert judged.ordered(np.array([True])) == [(6, 5), (6, 2)]
    assert judged.apart(np.array([True])) == [(0, 6, 5), (0, 6, 2)]
    assert judged.uneven == 1  # 13.5, 20 and 13.7 steps on average
    mean = judged.of_options(np.array([1.0, 2.0, 3.0, 6.0, 10.0]))
    assert mean.tolist() == [1, 2, 3, 6, 10, 1.5, 6]


def test_the_gradient_is_that_of_the_mean(store: EpisodeStore) -> None:
    """Each clip of a set of n moves by one n-th of what its option does."""
    judged = read([designed("q", {"a": [clip(0), clip(1), clip(2)], "b": [clip(3)]}, "a", "ann")], store, fresh())  # fmt: skip
    means = judged.means(judged.options_of([0]))
    assert means is not None
    score_EP = torch.zeros(1, 4, requires_grad=True)
    score_ER = means.mean(score_EP)
    (score_ER[0] @ torch.tensor([3.0, 5.0])).backward()
    assert score_EP.grad is not None
    torch.testing.assert_close(score_EP.grad, torch.tensor([[1.0, 1.0, 1.0, 5.0]]))


class Grid:
    """Every episode of a small grid, as clips whose outcomes are the features of the cells."""

    def __init__(self, folder: Path, steps: int = 3) -> None:
        rng = np.random.default_rng(2)
        world = grid_world(open_grid(3), 0.9).mdp
        regions = np.array([0, 0, 1, 0, 2, 1, 2, 2, 1])
        features = draw_features(9, 3, rng)
        self.grid = FeedbackGrid(world, features, steps, 4, regions)
        self.store = EpisodeStore(folder)
        self.cells: dict[Clip, tuple[int, ...]] = {}
        self.starts: dict[Clip, int] = {}
        made = []
        for start in range(9):
            grid = replace(self.grid, start=start)
            for number, cells_T in enumerate(grid.walk(grid.every_actions())):
                seen = features[[start, *cells_T]]
                never, zero = np.zeros(steps, dtype=bool), np.zeros(steps)
                one = Episode(f"{start}-{number}", "grid", "none", 0, 0, seen, zero[:, None], zero, never, never)  # fmt: skip
                made.append(one)
                at = Clip(episode=one.id, start=0, stop=steps)
                self.cells[at], self.starts[at] = tuple(cells_T.tolist()), start
        self.store.append(made)

    def options(self, kind: str) -> dict[str, list[Clip]]:
        """What tabular/choices.py says in features, in clips."""
        ends = {at: cells[-1] for at, cells in self.cells.items()}
        if kind == "initial_state":
            return {f"cell {c}": [a for a, end in ends.items() if end == c] for c in range(9)}
        begun = [at for at, start in self.starts.items() if start == self.grid.start]
        regions = self.grid.regions_S
        parts = {f"part {p}": [a for a in begun if regions[ends[a]] == p] for p in range(3)}
        return {name: some for name, some in parts.items() if some}


@pytest.mark.parametrize(("kind", "grounds"), [("language", "words"), ("initial_state", "initial_state")])  # fmt: skip
def test_it_is_the_choice_of_the_exact_worlds(
    tmp_path: Path, kind: str, grounds: SetChoice
) -> None:
    """Where the clips are all that there could have been, and what is wanted is a sum of features."""
    world, beta = Grid(tmp_path), 1.3
    rng = np.random.default_rng(5)
    weights_F = np.array([1.0, -0.7, 0.4])
    exact_CF = KINDS[kind](world.grid, weights_F[None], rng)
    options = world.options(kind)
    assert len(options) == len(exact_CF)
    wanted_C = choice_log_p(exact_CF, weights_F[None], beta, LAPSE)[0]
    outcome = ClipReward(ClipRewardSettings(sees="outcome"), 3, FORM, 0)
    records = [among(grounds, "q", options, name, "ann") for name in options]
    judged = read(records, world.store, outcome)
    score_C = judged.clips_CLI.sum(1) @ weights_F
    of_R = judged.options_of(range(len(judged)))
    means = judged.means(of_R)
    assert means is not None
    score_ER = means.mean(torch.from_numpy(score_C[None, means.clip_P]))
    effects = replace(AnnotatorEffects.none(1), rationality_A=torch.tensor([beta]), lapse=LAPSE)
    found_C = log_likelihood(score_ER[0], judged.batch, effects).logp_M.numpy()
    np.testing.assert_allclose(found_C, wanted_C, rtol=1e-6)
    assert np.exp(wanted_C).sum() == pytest.approx(1)


# --- what does not matter -------------------------------------------------------------------------
SETS = st.lists(
    st.lists(st.integers(0, 11), min_size=1, max_size=4, unique=True), min_size=2, max_size=4
)


@given(SETS, st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_order_padding_and_what_stands_beside_do_not_matter(
    sets: list[list[int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clips = [rng.normal(size=(int(rng.integers(1, 6)), 2 * NUMBERS + 1)) for _ in range(12)]
    places = tuple(range(len(sets)))
    tied = (1, len(sets) - 1) if len(sets) > 2 else ()
    doubt = None if tied else 0.0

    def judged_of(
        options: list[list[int]], order: Sequence[int], lone: bool = False
    ) -> JudgedClips:
        said = Judgement(tuple(order), None, tied=tied, doubt=doubt)
        alone = Judgement((0, 1), None, doubt=0.0)
        more = ([[0, 1]], [[alone]]) if lone else ([], [])
        return JudgedClips.of(clips, [options, *more[0]], [[said], *more[1]])

    reward = fresh()
    judged = judged_of(sets, places)
    told_E = np.array(nll_E(reward, judged))
    turned = [[int(n) for n in rng.permutation(one)] for one in sets]
    assert judged_of(turned, places).sets == judged.sets
    np.testing.assert_allclose(nll_E(reward, judged_of(turned, places)), told_E, atol=1e-5)
    order = [0, *(1 + rng.permutation(len(sets) - 1)).tolist()]  # the others, in any order
    np.testing.assert_allclose(nll_E(reward, judged_of(sets, order)), told_E, atol=1e-5)
    noise = rng.normal(size=(12, 3, clips[0].shape[1])) * 9
    longer = replace(judged, clips_CLI=np.concatenate([judged.clips_CLI, noise], 1))
    np.testing.assert_allclose(nll_E(reward, longer), told_E, atol=1e-4)
    pair = np.array(nll_E(reward, JudgedClips.of(clips, [[0, 1]], [[Judgement((0, 1), None, doubt=0.0)]])))  # fmt: skip
    both = nll_E(reward, judged_of(sets, places, lone=True))
    np.testing.assert_allclose(both, told_E + pair, atol=1e-4)


def test_an_option_of_one_clip_is_that_clip_to_the_bit(store: EpisodeStore) -> None:
    plain_ones, sets = list[Feedback](), list[Feedback]()
    for n in range(10):
        ones = [clip(k % 12) for k in range(n, n + 3)]
        plain_ones.append(demonstrated("q", ones[0], ones[1:], "ann"))
        options = {str(k): [one] for k, one in enumerate(ones)}
        sets.append(designed("q", options, "0", "ann"))
    arrays = []
    for records in (plain_ones, sets):
        reward = fresh()
        judged = read(records, store, reward)
        assert judged.sets == ()
        reward.learn(judged, 20)
        arrays.append(reward.arrays())
    for name, one in arrays[0].items():
        np.testing.assert_array_equal(one, arrays[1][name])


def test_who_does_something_has_no_side(store: EpisodeStore) -> None:
    """Their records have an order all the same, in which what was shown is always first and what
    was corrected second; a correction that a run asked about was seen side by side."""
    tie = demonstrated("q", clip(4), [clip(5)], "bob").model_copy(
        update={"kind": "comparison", "choice": Comparison(tie=True), "meta": {}}
    )
    mended = corrected("q", clip(0), clip(1), "ann")
    asked = mended.model_copy(update={"id": "asked", "meta": mended.meta | {"stop": "s1"}})
    done = [demonstrated("q", clip(2), [clip(3)], "ann"), mended, stopped("q", clip(6), 9, "ann")]
    judged = read([*done, asked, tie], store, fresh())
    assert [said[0].shown_at for said in judged.said] == [None, None, None, (1, 0), (0, 1)]
    likelihoods = {table.likelihood: len(table.options_MK) for table in judged.batch.choices}
    assert likelihoods == {"decided": 3, "comparison": 2}  # who does something calls no tie


def test_nobody_was_shown_the_options_so_no_side_acts_and_none_ties(store: EpisodeStore) -> None:
    two = {"a": [clip(0), clip(1)], "b": [clip(2), clip(3)]}
    tie = demonstrated("q", clip(4), [clip(5)], "bob").model_copy(
        update={"kind": "comparison", "choice": Comparison(tie=True)}
    )
    reward = fresh()
    judged = read([designed("q", two, "b", "ann"), tie], store, reward)
    assert [table.likelihood for table in judged.batch.choices] == ["comparison", "decided"]
    assert judged.said[0][0].shown_at is None
    sums_EC = reward.scores(judged.clips_CLI, judged.there_CL)
    means_EO = judged.of_options(sums_EC)
    effects = replace(AnnotatorEffects.none(2), lapse=LAPSE, side_bias_A=torch.tensor([3.0, 3.0]))
    score_R = torch.from_numpy(means_EO[0, judged.options_of([0, 1])])
    said = log_likelihood(score_R, judged.batch, effects).logp_M
    gap = means_EO[0, judged.options[0][1]] - means_EO[0, judged.options[0][0]]
    wanted = math.log((1 - LAPSE) / (1 + math.exp(-gap)) + LAPSE / 2)
    assert said[1].item() == pytest.approx(wanted, rel=1e-5)


# --- learning -------------------------------------------------------------------------------------
def chosen_by_paid(store: EpisodeStore, count: int, seed: int = 1) -> list[Feedback]:
    """Choices among three sets of three clips, by what the environment paid on average."""
    rng, made = np.random.default_rng(seed), []
    names = store.ids
    for number in range(count):
        at = rng.choice(len(names), 9, replace=False).reshape(3, 3)
        options = {
            f"{number} {k}": [Clip(episode=names[n], start=0, stop=20) for n in row]
            for k, row in enumerate(at)
        }
        paid = {
            one: float(store.clip(one).reward_T.sum()) for some in options.values() for one in some
        }
        best = max(options, key=lambda name: sum(paid[one] for one in options[name]))
        made.append(among(SET_CHOICES[number % 3], "q", options, best, "ann"))
    return made


def test_it_is_learned_resumed_and_held_out(tmp_path: Path) -> None:
    """Half and half again is the whole to the bit; the card orders sets by what was paid."""
    store = EpisodeStore(tmp_path)
    store.append(episodes_of(40, 0))
    records = chosen_by_paid(store, 60)
    whole, halves = fresh(3), fresh(3)
    judged = read(records, store, whole)
    steps = judged.clips_CLI.reshape(-1, judged.clips_CLI.shape[-1])
    for reward in (whole, halves):
        reward.fix_scale(steps)
        reward.learn(judged, 60)
    told = whole.learn(judged, 60)
    later = fresh(3)
    later.load(halves.state())
    assert later.learn(read(records, store, later), 60) == told
    for name, one in whole.arrays().items():
        np.testing.assert_array_equal(one, later.arrays()[name])
    assert told["heldout_pairs"] == 12
    assert told["heldout_agreement"] > 0.8
    card = clip_card(whole, judged)
    assert card is not None
    assert card.pairs == 12
    assert card.label_gold_accuracy is not None
    assert card.label_gold_accuracy.value == 1  # they were chosen so


def test_members_have_mean_0_over_what_was_judged_each_set_once(store: EpisodeStore) -> None:
    options = {"a": [clip(0), clip(1)], "b": [clip(2), clip(3)]}
    pair = demonstrated("q", clip(4), [clip(5)], "ann")
    judged = read([told("q", options, "a", "ann")] * 3 + [pair, pair], store, fresh())
    assert sorted(judged.judged_R.tolist()) == [0, 1, 2, 3, 4, 4, 5, 5]
    reward = fresh()
    reward.fix_scale(judged.steps_BI)
    reward.learn(judged, 5)
    steps_BI = np.concatenate([judged.clips_CLI[n][judged.there_CL[n]] for n in judged.judged_R])
    each = reward.member_rewards(steps_BI)
    assert each.mean(1) == pytest.approx([0] * len(each), abs=1e-6)
    assert each.std(1) == pytest.approx([1] * len(each), abs=1e-6)


def test_the_simulated_person_chooses_by_the_mean_and_by_no_side() -> None:
    liked = {clip(n): float(value) for n, value in enumerate((4, -4, 1, 1, 9, 9))}
    options = {"zero": [clip(0), clip(1)], "one": [clip(2), clip(3)], "low": [clip(1)]}
    person = SimulatedAnnotator("bob", rationality=1.0, side_bias=20.0)
    said = [choose("words", "q", options, liked, person, seed) for seed in range(300)]
    shares = [sum(one.choice.named()[0] == name for one in said) / 300 for name in options]
    total = math.exp(0) + math.exp(1) + math.exp(-4)
    for share, mean in zip(shares, (0, 1, -4), strict=True):
        assert share == pytest.approx(math.exp(mean) / total, abs=0.08)


# --- records --------------------------------------------------------------------------------------
TWO: Mapping[str, list[Clip]] = {"a": [clip(0), clip(1)], "b": [clip(2)]}


def test_what_was_written_found_and_said_is_a_record_that_stays_what_it_is(tmp_path: Path) -> None:
    made = [
        designed("q", TWO, "a", "ann"),
        found("q", TWO, "a", "ann"),
        told("q", TWO, "b", "ann"),
    ]
    assert len({one.id for one in made}) == 3
    assert [one.meta["grounds"] for one in made] == list(SET_CHOICES)
    path = tmp_path / "feedback.jsonl"
    path.write_text("".join(dump_line(one) + "\n" for one in made))
    assert read_feedback(str(path)).records == made
    assert parse_line(dump_line(made[0])) == made[0]
    dumped = json.loads(dump_line(made[2]))
    assert dumped["options"][1]["content"] == {"clips": [{"episode": "e2", "start": 0, "stop": 20}]}
    assert dumped["choice"] == {"order": [["b"], ["a"]], "all_bad": False}
    first = made[0].options[0].content
    assert isinstance(first, ClipSet)
    assert clips_in(first) == TWO["a"]
    assert plain(first) == "e0 [0, 20), e1 [0, 20)"
    assert to_json(first) == dumped["options"][0]["content"]


@pytest.mark.parametrize(
    ("options", "chosen", "said"),
    [
        ({}, "a", "a choice among 0 options"),
        ({"a": [clip(0)]}, "a", "a choice among 1 options"),
        ({str(n): [clip(n)] for n in range(14)}, "0", "a choice among 14 options"),
        (TWO, "c", "'c' was chosen among 'a', 'b'"),
        ({"a": [clip(0)], "b": []}, "a", "the option 'b' stands for no clip"),
        ({"a": [clip(0), clip(0)], "b": [clip(1)]}, "a", r"the option 'a' has the clip e0 \[0, 20\) twice"),
        ({"a": [clip(0), clip(1)], "b": [clip(1), clip(0)]}, "a", "the options 'a', 'b' stand for the same clips"),
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused(
    options: dict[str, list[Clip]], chosen: str, said: str
) -> None:
    for make_record in (designed, found, told):
        with pytest.raises(DataError, match=said):
            make_record("q", options, chosen, "ann")


def test_as_many_options_as_the_likelihood_takes_are_taken(store: EpisodeStore) -> None:
    store.append([replace(episodes_of(1, 1)[0], id="e12")])
    thirteen = {str(n): [clip(n)] for n in range(13)}
    judged = read([told("q", thirteen, "5", "ann")], store, fresh())
    assert judged.said[0][0].tied == (1, 12)
    assert all(math.isfinite(one) for one in nll_E(fresh(), judged))


def test_bad_sets_of_clips_are_named(store: EpisodeStore) -> None:
    for clips, problem in (([], "at least 1 item"), ([clip(0), clip(0)], "is there twice")):
        with pytest.raises(ValidationError, match=problem):
            ClipSet(clips=clips)
    line = dump_line(designed("q", TWO, "a", "ann"))
    with pytest.raises(DataError, match=r"options.0.content.clips.0: the clip \[9, 3\) is empty"):
        parse_line(line.replace('"start": 0, "stop": 20', '"start": 9, "stop": 3'))
    alone = dump_line(demonstrated("q", clip(0), [clip(1)], "ann"))
    with pytest.raises(DataError, match=r"options.0.content: the clip \[9, 3\) is empty"):
        parse_line(alone.replace('"start": 0, "stop": 20', '"start": 9, "stop": 3', 1))
    with pytest.raises(DataError, match=r"\[0, 99\) leaves episode e1"):
        judged_clips([designed("q", {"a": [clip(0), clip(1, 99)], "b": [clip(2)]}, "a", "x")], store, fresh())  # fmt: skip
    other = replace(episodes_of(1, 1)[0], id="x", environment="Pendulum-v1")
    store.append([other])
    mixed = {"a": [clip(0), Clip(episode="x", start=0, stop=20)], "b": [clip(2)]}
    record = told("q", mixed, "a", "ann")
    with pytest.raises(DataError, match=f"record {record.id} shows a clip of Pendulum-v1"):
        judged_clips([record], store, fresh())
    first = designed("q", TWO, "a", "ann")
    worded = [first.options[0], Option(id="b", content="a text", shown_at=1)]
    with pytest.raises(DataError, match=f"option b of record {first.id} is a text, not a clip"):
        judged_clips([first.model_copy(update={"options": worded})], store, fresh())


def test_formats_of_texts_refuse_sets_of_clips() -> None:
    options = [Option(id=n, content=ClipSet(clips=TWO[n]), shown_at=k) for k, n in enumerate("ab")]
    record = Feedback(id="r", kind="comparison", prompt="q", options=options, choice=Comparison(preferred="a"), annotator="ann")  # fmt: skip
    with pytest.raises(RowError, match="clips of episodes"):
        to_pairwise_row(record)
    for content in (options[0].content, clip(0)):
        with pytest.raises(RowError, match="a tree holds no clips of episodes"):
            check_spoken("a tree", "a text", content)


def test_commands_on_records_name_the_clips(tmp_path: Path) -> None:
    """Imported once, exported as they came, and shown by name."""
    three = TWO | {"c": [clip(3)]}
    made = [
        *(told(f"q{n}", three, "a", who) for n in range(3) for who in ("ann", "bob")),
        demonstrated("q", clip(0), [clip(1)], "ann"),
    ]
    path, kept, back = (tmp_path / name for name in ("f.jsonl", "f.sqlite", "back.jsonl"))
    path.write_text("".join(dump_line(one) + "\n" for one in made))

    def accord(*given: str) -> str:
        done = CliRunner().invoke(main, list(given))
        assert done.exit_code == 0, done.output
        return done.output

    assert "e0 [0, 20), e1 [0, 20)" in accord("data", "check", str(path))
    assert "7 new" in accord("feedback", "import", str(path), str(kept))
    accord("feedback", "export", str(kept), str(back), "--to", "accord")
    assert sorted(back.read_text().splitlines()) == sorted(path.read_text().splitlines())
    said = accord("feedback", "select", str(kept), "--count", "10")
    assert "'e0 [0, 20), e1 [0, 20)'" in said
    assert "'e1 [0, 20)'" in said
    texts = ["feedback", "export", str(kept), str(tmp_path / "t.jsonl"), "--to", "trl-preference"]
    refused = CliRunner().invoke(main, texts)
    assert "the options are clips of episodes (7)" in refused.output
    assert refused.exit_code == 2


# --- gathering ------------------------------------------------------------------------------------
def test_policies_are_recorded_from_the_same_starts(tmp_path: Path) -> None:
    batch = make("Pendulum-v1", 4, 10)
    left, right = (lambda seen, rng, v=v: (np.full((len(seen), 1), v), np.zeros(len(seen))) for v in (-2.0, 2.0))  # fmt: skip
    into = EpisodeStore(tmp_path / "all")
    clips = followed({"left": left, "right": right}, batch, 6, into, 3)
    assert [len(some) for some in clips.values()] == [6, 6]
    assert {one.stop for some in clips.values() for one in some} == {10}
    for one, other in zip(clips["left"], clips["right"], strict=True):
        first, second = into.clip(one), into.clip(other)
        np.testing.assert_array_equal(first.observation_TO[0], second.observation_TO[0])
        assert (first.action_TA < 0).all()
        assert (second.action_TA > 0).all()
    assert followed({"left": left}, batch, 6, into, 3)["left"] == clips["left"]  # it is there
    assert len(into) == 12
    with pytest.raises(DataError, match="holds another episode left-3-000-0000"):
        followed({"left": right}, batch, 6, into, 3)
    endless = make("Pendulum-v1", 4)
    with pytest.raises(DataError, match="6 of 6 episodes of 'left' had no end after 50 steps"):
        followed({"left": left}, endless, 6, into, 4, most=50)
    record = designed("q", clips, "left", "ann")
    reward = ClipReward(ClipRewardSettings(), batch.observation_size, batch.actions, 0)
    assert len(read([record], into, reward).clips_CLI) == 12


def test_stores_whose_episodes_have_the_same_names_are_gathered(tmp_path: Path) -> None:
    stores = {}
    for seed, name in enumerate(("fast", "slow")):
        stores[name] = EpisodeStore(tmp_path / name)
        stores[name].append(episodes_of(3, seed))
    into = EpisodeStore(tmp_path / "all")
    clips = gathered(stores, into)
    assert clips["slow"][2] == Clip(episode="slow-e2", start=0, stop=20)
    assert into.clip(clips["slow"][2]).digest == stores["slow"].episode("e2").digest
    assert len(into) == 6


def test_words_are_true_of_clips(store: EpisodeStore) -> None:
    clips = [clip(n) for n in range(12)]
    words = {"it pays": lambda piece: piece.reward_T.sum() > 0, "all": lambda piece: True}
    said = true_of(clips, store, words)
    paid = [one for one in clips if store.clip(one).reward_T.sum() > 0]
    assert said == {"it pays": paid, "all": clips}
    labels = {clip(0): ["high", "late"], clip(1): ["high", "high"], clip(2): []}
    assert labelled(labels) == {"high": [clip(0), clip(1)], "late": [clip(0)]}


def test_clips_end_in_the_nearest_state_within_a_distance(store: EpisodeStore) -> None:
    clips = [clip(n) for n in range(12)]
    ends: dict[Clip, Array] = {one: store.clip(one).observation_TO[-1] for one in clips}
    states = {"here": ends[clips[0]], "there": ends[clips[1]]}
    by_state = ending_in(clips, store, states)
    assert sorted(one.episode for some in by_state.values() for one in some) == sorted(one.episode for one in clips)  # fmt: skip
    for name, some in by_state.items():
        other = states["there" if name == "here" else "here"]
        for one in some:
            near, far = (float(np.square(ends[one] - at).sum()) for at in (states[name], other))
            assert near <= far
    assert ending_in(clips, store, states, within=0.0) == {"here": clips[:1], "there": clips[1:2]}

    def first(a: Array, b: Array) -> float:
        return abs(float(a[0] - b[0]))

    by_first = ending_in(clips, store, states, apart=first)
    assert all(
        first(ends[one], states[name]) == min(first(ends[one], at) for at in states.values())
        for name, some in by_first.items()
        for one in some
    )
    with pytest.raises(DataError, match=r"ends in the state 'far': the nearest end lies .* away"):
        ending_in(clips, store, states | {"far": ends[clips[0]] + 99}, within=1.0)
    with pytest.raises(DataError, match="the state 'here' has 2 numbers, the clip e0"):
        ending_in(clips, store, {"here": np.zeros(2)})
    for wrong in (-1.0, math.nan):
        with pytest.raises(DataError, match="of a state"):
            ending_in(clips, store, states, within=wrong)
    with pytest.raises(DataError, match="'slow' is a text, not labels"):
        labelled({clips[0]: "slow"})


# --- the command ----------------------------------------------------------------------------------
def proxies(tmp_path: Path) -> dict[str, str]:
    places = {}
    for seed, name in enumerate(("fast", "upright")):
        EpisodeStore(tmp_path / name).append(episodes_of(3, seed))
        places[name] = str(tmp_path / name)
    return places


def test_the_command_keeps_all_episodes_and_the_choice(tmp_path: Path) -> None:
    named = [f"{name}={place}" for name, place in proxies(tmp_path).items()]
    out = tmp_path / "meant"
    command = ["control", "proxy", str(out), *named, "--chosen", "upright", "--annotator", "ann"]
    told_once = CliRunner().invoke(main, command)
    assert told_once.exit_code == 0, told_once.output
    assert "upright over fast, by 6 episodes" in told_once.output
    (record,) = read_feedback(str(out / "feedback.jsonl")).records
    assert record.choice.named() == ["upright", "fast"]
    assert len(read([record], EpisodeStore(out), fresh()).clips_CLI) == 6
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "this proxy by ann is there already" in again.output
    assert len((out / "feedback.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "chosen", "said"),
    [
        (["fast", "upright"], "upright", "'fast' is not the store of one more reward"),
        (["fast=fast", "fast=upright"], "fast", "'fast=upright' is not the store"),
        (["fast=fast", "upright=upright"], "slow", "'slow' was chosen among 'fast', 'upright'"),
        (["fast=nowhere", "upright=upright"], "fast", "there is no folder"),
        (["fast=fast", "same=fast"], "fast", "fast, same are the same episodes"),
        (["fast=fast", "cart=cart"], "fast", "is to hold episodes of"),
    ],
)
def test_what_the_command_refuses_leaves_nothing(
    tmp_path: Path,
    given: list[str],
    chosen: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies(tmp_path)
    cart = [replace(one, environment="CartPole-v1") for one in episodes_of(2, 7)]
    EpisodeStore(tmp_path / "cart").append(cart)
    monkeypatch.chdir(tmp_path)
    command = ["control", "proxy", "out", *given, "--chosen", chosen, "--annotator", "ann"]
    refused = CliRunner().invoke(main, command)
    assert (refused.exit_code, said in refused.output) == (2, True), refused.output
    assert {path.name for path in Path("out").glob("*")} <= {"writing.lock"}
