"""The reward learned from clips: Christiano's likelihood, what it recovers, and what is asked."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.control.acquisition import choose, distinct, far_apart, sets_of, value
from accord.control.answering import SHOWN
from accord.control.asked_kinds import ASKED_KINDS, AskedKind, answer_shares
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.environments import ActionForm
from accord.control.judged_clips import JudgedClips
from accord.errors import ConfigError
from accord.learning.annotators import JudgementParameters
from accord.learning.judgements import AnnotatorEffects, Judgement
from accord.learning.likelihoods import bradley_terry, with_lapse
from accord.seeds import generator
from accord.statistics.intervals import Array

BOX = ActionForm("box", 1, np.array([-1.0]), np.array([1.0]))


def reward_of(**more: float) -> ClipReward:
    return ClipReward(ClipRewardSettings(hidden=16, **more), 2, BOX, 1)


def compared(count: int, seed: int = 0, length: int = 5) -> tuple[JudgedClips, np.ndarray]:
    """Clips compared without error by the sum of the first number seen; and these gaps."""
    rng = np.random.default_rng(seed)
    first, second = (rng.normal(size=(count, length, 5)) for _ in range(2))
    gap = (first[..., 0] - second[..., 0]).sum(1)
    better = [(0, 1) if one > 0 else (1, 0) for one in gap]
    said = [[Judgement(order, (0, 1), doubt=0.0)] for order in better]
    pairs = [(n, count + n) for n in range(count)]
    return JudgedClips.of([*first, *second], pairs, said), gap


@given(st.floats(-20, 20), st.floats(0, 0.9))
def test_lapses_are_christianos(gap: float, lapse: float) -> None:
    """P = (1 - lapse) sigma(d) + lapse / 2 (Christiano et al. 2017 section 2.2.3)."""
    first = with_lapse(
        bradley_terry(torch.tensor(gap, dtype=torch.float64), torch.tensor(0.0)), lapse
    )
    wanted = (1 - lapse) / (1 + np.exp(-gap)) + lapse / 2
    assert first.exp().item() == pytest.approx(wanted, rel=1e-6)
    assert answer_shares("comparison", np.array([[[gap, 0.0]]]), lapse)[0, 0, 0] == pytest.approx(
        wanted, rel=1e-6
    )


def longer_liked(count: int, seed: int) -> JudgedClips:
    """Clips of 60 to 90 steps, each liked better than one like it of 20 to 30."""
    rng = np.random.default_rng(seed)
    lengths = [*rng.integers(60, 90, count), *rng.integers(20, 30, count)]
    said = [[Judgement((0, 1), None, doubt=0.0)] for _ in range(count)]
    pairs = [(n, count + n) for n in range(count)]
    return JudgedClips.of([rng.normal(size=(n, 5)) for n in lengths], pairs, said)


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("seed", range(4))
def test_a_few_judgements_of_long_clips_are_learned_by_all_members(count: int, seed: int) -> None:
    """An untrained network is tens of nats sure of such clips: an answer against it is a lapse."""
    judged = longer_liked(count, seed)
    reward = ClipReward(ClipRewardSettings(hidden=16), 2, BOX, seed)
    reward.fix_scale(judged.steps_BI)
    assert reward.scores(judged.clips_CLI, judged.there_CL).std(1).max() > 3
    reward.begin_unsure(judged)
    assert reward.scores(judged.clips_CLI, judged.there_CL).std(1).max() <= 1.001
    assert reward.learn(judged, 200)["judgement_nll"] < np.log(2) / 2
    better_EP, worse_EP = np.split(reward.scores(judged.clips_CLI, judged.there_CL), 2, axis=1)
    assert (better_EP > worse_EP).all(1).sum() >= 2  # a member may not have had one of several
    if count == 1:
        assert (better_EP > worse_EP).all()
    reward.keep_zero()
    assert reward.orders(judged) == (count, count)


def test_the_zero_that_was_learned_orders_clips_of_different_lengths() -> None:
    """With another the order may be the reverse; of equally long clips none matters."""
    judged = longer_liked(8, 1)
    reward = reward_of()
    reward.fix_scale(judged.steps_BI)
    reward.begin_unsure(judged)
    reward.learn(judged, 200)
    reward.keep_zero()
    raw_EBL = reward.member_rewards(judged.clips_CLI) * reward.deviation_E[:, None, None] + reward.mean_E[:, None, None]  # fmt: skip
    wanted = (raw_EBL / reward.deviation_E[:, None, None]).mean(0)
    np.testing.assert_allclose(reward.rewards(judged.clips_CLI), wanted, rtol=1e-6, atol=1e-6)
    reward.floor += 9.0  # as an end that is worth more than most steps
    assert reward.orders(judged) == (0, 8)
    even, _ = compared(30)
    learned = reward_of()
    learned.fix_scale(even.steps_BI)
    learned.learn(even, 60)
    found = learned.orders(even)
    learned.floor += 9.0
    assert learned.orders(even) == found
    assert found[0] > 20


def test_a_member_that_would_have_no_judgement_has_all_of_them() -> None:
    alone = [ClipReward(ClipRewardSettings(), 2, BOX, n)._bootstrap(1) for n in range(30)]
    assert all((weight_EM >= 1).all() for weight_EM in alone)
    many = reward_of()._bootstrap(40)
    assert (many == 0).any()
    drawn = [generator(1, "bootstrap", member).poisson(1.0, 40) for member in range(len(many))]
    np.testing.assert_array_equal(many, drawn)


def imitations_loss(returns_P2: Array, preferred_P: Array, noise: float, most: float) -> float:
    """CrossEntropyRewardTrainer._loss and _probability of the library imitation
    (src/imitation/algorithms/preference_comparisons.py at 002d2a9): binary cross-entropy between
    noise_prob / 2 + (1 - noise_prob) / (1 + exp(clip(return 2 - return 1))) and the probability
    that the first is preferred."""
    gap_P = np.clip(returns_P2[:, 1] - returns_P2[:, 0], -most, most)
    p_P = noise * 0.5 + (1 - noise) / (1 + np.exp(gap_P))
    return float(-(preferred_P * np.log(p_P) + (1 - preferred_P) * np.log(1 - p_P)).mean())


def b_prefs_loss(returns_P2: Array, label_P: Array, margin: float) -> float:
    """train_soft_reward and softXEnt_loss of B-Pref (reward_model.py at f3ece2e): cross-entropy
    between the softmax of both sums and 1 - margin for the preferred clip, margin for the other,
    a half for both where the label is -1."""
    target_P2 = np.full_like(returns_P2, margin)
    target_P2[np.arange(len(label_P)), np.maximum(label_P, 0)] += 1 - 2 * margin
    target_P2[label_P == -1] = 0.5
    log_p_P2 = returns_P2 - np.log(np.exp(returns_P2).sum(1, keepdims=True))
    return float(-(target_P2 * log_p_P2).sum() / len(label_P))


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.0, 0.2]))
@settings(max_examples=20, deadline=None)
def test_losses_are_those_of_imitation_and_b_pref(seed: int, lapse: float, margin: float) -> None:
    """One member's, on the same clips and answers, decided, doubtful and equal ones."""
    rng = np.random.default_rng(seed)
    clips = rng.normal(0, 2, (18, 4, 5))
    label_P = rng.integers(-1, 2, 9)
    doubt_P = np.where(label_P == -1, 0.5, margin)
    chosen_P = np.maximum(label_P, 0)
    pairs = [(n, 9 + n) for n in range(9)]
    said = [
        [Judgement((best, 1 - best), (0, 1), doubt=doubt)]
        for best, doubt in zip(chosen_P.tolist(), doubt_P.tolist(), strict=True)
    ]
    reward = ClipReward(ClipRewardSettings(members=1, hidden=16, lapse=lapse), 2, BOX, seed)
    returns_P2 = reward.scores(clips)[0].reshape(2, 9).T
    preferred_P = np.where(chosen_P == 0, 1 - doubt_P, doubt_P)
    ours = reward.learn(JudgedClips.of([*clips], pairs, said), 1)[
        "judgement_nll"
    ]  # of 9 none is held out
    assert ours == pytest.approx(imitations_loss(returns_P2, preferred_P, lapse, 50), rel=1e-4)
    if not lapse:
        assert ours == pytest.approx(b_prefs_loss(returns_P2, label_P, margin), rel=1e-4)


def test_a_surely_wrong_answer_goes_on_to_count_where_imitation_cuts_it_off() -> None:
    """Its gradient is 0 beyond 50 nats, where clips may well lie apart; ours is not."""
    gap = torch.tensor(80.0, dtype=torch.float64, requires_grad=True)
    loss = -bradley_terry(torch.zeros((), dtype=torch.float64), gap)
    loss.backward()
    assert gap.grad is not None
    assert (loss.item(), gap.grad.item()) == (pytest.approx(80), pytest.approx(1))
    assert imitations_loss(np.array([[0.0, 80.0]]), np.ones(1), 0, 50) == pytest.approx(50)


@given(st.integers(0, 99))
def test_a_reward_of_outcomes_sees_nothing_of_what_came_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    form = ActionForm("box", 2, -np.ones(2), np.ones(2))
    seen, then = rng.normal(size=(2, 2, 6, 3))
    action = rng.normal(size=(2, 6, 2))
    for sees, same in (("outcome", True), ("step", False)):
        reward = ClipReward(ClipRewardSettings.model_validate({"sees": sees}), 3, form, seed)
        first, second = (
            reward.rewards(reward.inputs(seen[n], action[n], then[0])) for n in range(2)
        )
        assert np.array_equal(first, second) == same
        later = reward.rewards(reward.inputs(seen[0], action[0], then[1]))
        assert not np.array_equal(first, later)


def test_what_is_held_out_is_counted_by_the_pairs_it_orders() -> None:
    """One judgement in ten is kept aside; who sees no difference orders nothing."""
    clips = np.random.default_rng(1).normal(size=(40, 5, 5))
    said = [[Judgement((0, 1), (0, 1), kind="tie" if n == 9 else "order")] for n in range(20)]
    judged = JudgedClips.of([*clips], [(n, 20 + n) for n in range(20)], said)
    reward = reward_of()
    reward.fix_scale(judged.clips_CLI.reshape(-1, 5))
    assert reward.learn(judged, 1)["heldout_pairs"] == 1


def test_it_recovers_what_was_liked() -> None:
    reward, (clips, _) = reward_of(), compared(200)
    reward.fix_scale(clips.clips_CLI.reshape(-1, 5))
    found = reward.learn(clips, 150)
    assert found["heldout_agreement"] >= 0.8
    assert found["heldout_pairs"] == 20
    fresh, gap = compared(200, 9)
    first, second = reward.scores(fresh.clips_CLI).mean(0).reshape(2, -1)
    assert ((first > second) == (gap > 0)).mean() > 0.85
    every = clips.clips_CLI
    each = reward.member_rewards(every)
    np.testing.assert_allclose(each.mean((1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(each.std((1, 2)), 1, atol=1e-3)
    ends = every[:7, 0]
    before = reward.rewards(every)
    reward.settle(ends)
    np.testing.assert_allclose(reward.rewards(ends).mean(), 0, atol=1e-6)
    np.testing.assert_allclose(before - reward.rewards(every), reward.floor)


@pytest.mark.slow
def test_who_answers_by_chance_is_found() -> None:
    """Four people of one rationality, who answer shares of the comparisons by tossing a coin; the
    priors draw these together."""
    wanted, people = [0.05, 0.05, 0.3, 0.7], 4
    rng, count = np.random.default_rng(3), 1600
    clips = rng.normal(size=(2 * count, 6, 5))
    gap = 3 * (clips[:count] - clips[count:])[..., 0].sum(1)
    said = []
    for n in range(count):
        lapses = rng.random() < wanted[n % people]
        first = rng.random() < 0.5 if lapses else gap[n] + rng.logistic() > 0
        order = (0, 1) if first else (1, 0)
        said.append([Judgement(order, order, n % people, doubt=0.0)])
    judged = JudgedClips.of([*clips], [(n, n + count) for n in range(count)], said, "abcd")
    settings = {"lapse": 0.1, "lapses": "each", "members": 2, "annotator_rate": 0.05}
    settings |= {"hidden": 16, "learning_rate": 3e-3}
    reward = ClipReward(ClipRewardSettings.model_validate(settings), 2, BOX, 1)
    reward.fix_scale(clips.reshape(-1, 5))
    reward.learn(judged, 1500)
    found = np.mean([one["lapse"] for one in reward.learned], 0)
    np.testing.assert_allclose(found, wanted, atol=0.15)
    assert max(found[:2]) < 0.12 < 0.15 < found[2] < 0.45 < found[3]
    assert len({*np.array([one["lapse"] for one in reward.learned]).ravel().tolist()}) == 8
    state = reward.state()
    other = ClipReward(ClipRewardSettings.model_validate(settings), 2, BOX, 1)
    other.load(state)
    assert other.learned == reward.learned


def test_a_share_of_lapses_begins_above_none() -> None:
    with pytest.raises(ValueError, match=r"lapses: each begin at lapse, which is 0: use 0\.1"):
        ClipRewardSettings(lapse=0, lapses="each")
    with pytest.raises(ValueError, match="within 0 and 1, not 0"):
        JudgementParameters(AnnotatorEffects.none(2), lapses=True)


def lasting(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episodes of two to nine of twelve steps that then stay as they are, at a place that tells how
    long they lasted: seen before and after [C, L, 2], how long [C]."""
    rng = np.random.default_rng(seed)
    lasted = rng.integers(2, 10, count)
    seen = rng.normal(size=(count, 13, 2))
    for row, steps in zip(seen, lasted, strict=True):
        row[steps:] = [3.0, steps - 5.0]
    return seen[:, :-1], seen[:, 1:], lasted


@pytest.mark.parametrize("sees", ["step", "outcome"])
def test_what_is_over_is_worth_the_same_wherever_it_ended(sees: str) -> None:
    """Lasting longer is liked, and where an episode ended tells how long it lasted: what is learned
    is that to go on is good, not that some ends are."""
    reward = ClipReward(
        ClipRewardSettings.model_validate({"hidden": 16, "sees": sees}), 2, BOX, 1, absorbs=True
    )
    before, after, lasted = lasting(80, 3)
    inputs = reward.inputs(before, np.zeros((80, 12, 1)), after)
    over = np.arange(12) >= lasted[:, None]
    np.testing.assert_array_equal(inputs[..., -1], over)
    reward.fix_scale(inputs.reshape(-1, inputs.shape[-1]))
    np.testing.assert_allclose(reward.centre_I[:-1], inputs[~over][:, :-1].mean(0))
    said = [
        [Judgement((0, 1) if lasted[n] > lasted[n + 40] else (1, 0), (0, 1), doubt=0.0)]
        for n in range(40)
    ]
    judged = JudgedClips.of([*inputs], [(n, n + 40) for n in range(40)], said)
    reward.learn(judged, 100)
    reward.settle(np.zeros((0, inputs.shape[-1])))
    paid = reward.rewards(inputs)
    np.testing.assert_allclose(paid[over], 0, atol=1e-6)
    assert (paid[~over] > 0).mean() > 0.9  # of the last step what is seen then tells of the end
    still = reward.staying(before[:, 0])
    assert (still[:, -1] == 0).all()  # as an episode begins, nothing is over


def test_gradients_of_certain_choices_are_no_denormal_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it learns they count as 0, since arithmetic on them is slow; outside all is as before."""
    seen: list[bool] = []
    learned = ClipReward._normalise

    def looking(self: ClipReward, clips: JudgedClips) -> None:
        seen.append((torch.tensor([1e-39]) * 1.0).item() > 0)
        learned(self, clips)

    monkeypatch.setattr(ClipReward, "_normalise", looking)
    reward_of().learn(compared(20)[0], 1)
    assert seen == [False]
    assert (torch.tensor([1e-39]) * 1.0).item() > 0


def test_members_have_bootstraps_that_stay_when_more_is_judged() -> None:
    reward = reward_of()
    few, more = reward._bootstrap(40), reward._bootstrap(900)
    assert torch.equal(few, more[:, :40])
    assert not torch.equal(more[0], more[1])
    assert more.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(reward_of(members=1)._bootstrap(5), torch.ones(1, 5))


def test_a_resumed_reward_is_the_same_to_the_bit() -> None:
    clips, _ = compared(40)
    one, other = reward_of(), reward_of()
    for reward in (one, other):
        reward.fix_scale(clips.clips_CLI.reshape(-1, 5))
    one.learn(clips, 5)
    other.load(one.state())
    for reward in (one, other):
        reward.learn(clips, 5)
    np.testing.assert_array_equal(one.rewards(clips.clips_CLI), other.rewards(clips.clips_CLI))


def apart(gap_EP: np.ndarray) -> np.ndarray:
    """Scores of pairs that are as far apart."""
    return np.stack([gap_EP, np.zeros_like(gap_EP)], -1)


def test_what_members_disagree_on_is_asked_and_what_is_uncertain_to_all_alike_is_not() -> None:
    score = apart(np.array([[0.0, 3.0, 4.0], [0.0, -3.0, 4.0], [0.0, 3.0, 4.0]]))
    for kind in ("variance", "information"):
        worth = value(kind, answer_shares("comparison", score, 0.1))
        assert worth.argmax() == 1
        assert worth[0] == pytest.approx(0, abs=1e-12)
        assert (worth <= np.log(2)).all()
    sure, lapsing = (
        value("information", answer_shares("comparison", score, lapse))[1] for lapse in (0.0, 0.8)
    )
    assert lapsing < sure / 5  # who answers at random tells little


@pytest.mark.parametrize("kind", ASKED_KINDS)
@given(st.integers(0, 99), st.floats(0, 0.9))
@settings(max_examples=15, deadline=None)
def test_answers_of_every_kind_are_shares_that_do_not_hang_on_names(
    kind: AskedKind, seed: int, lapse: float
) -> None:
    """They sum to one; a question whose clips stand in another order is worth as much; where all
    members think alike no kind is worth asking."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(3, 7, SHOWN[kind])) * 3
    p_EQA = answer_shares(kind, score, lapse)
    assert p_EQA.shape[2] == {"comparison": 2, "ranking": 24, "best_worst": 12}.get(kind, 2)
    np.testing.assert_allclose(p_EQA.sum(-1), 1)
    assert (p_EQA >= lapse / p_EQA.shape[2] - 1e-12).all()
    turned = answer_shares(kind, score[..., ::-1], lapse)
    for how in ("variance", "information"):
        np.testing.assert_allclose(value(how, turned), value(how, p_EQA), atol=1e-12)
        alike = answer_shares(kind, score[:1].repeat(3, 0), lapse)
        np.testing.assert_allclose(value(how, alike), 0, atol=1e-12)


@given(st.integers(2, 40), st.integers(0, 99))
def test_the_random_arm_is_always_there(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_EQA = answer_shares("comparison", apart(rng.normal(size=(3, 10 * count))), 0.1)
    chosen, arms = choose("variance", p_EQA, count, 0.25, rng)
    assert len(set(chosen.tolist())) == count
    assert arms.count("random") == int(np.ceil(0.25 * count))
    worth = value("variance", p_EQA)
    active = worth[chosen[arms.count("random") :]]
    left = np.delete(worth, chosen)
    assert not len(active) or active.min() >= left.max()
    few, _ = choose("variance", p_EQA[:, :3], max(3, count), 0.25, rng)
    assert sorted(few.tolist()) == [0, 1, 2]  # each once, where there are no more


@given(st.integers(2, 8), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_centres_are_no_further_than_twice_the_best(
    places: int, taken: int, count: int, seed: int
) -> None:
    """Against all ways to take as many (Gonzalez 1985); each once, and those there are."""
    rng = np.random.default_rng(seed)
    place, before = rng.normal(size=(places, 2)), rng.normal(size=(taken, 2))

    def furthest(chosen: list[int]) -> float:
        centres = np.concatenate([before, place[chosen]])
        return float(np.linalg.norm(place[:, None] - centres, axis=-1).min(1).max())

    found = far_apart(place, before, count).tolist()
    assert len(set(found)) == len(found) == min(count, places)
    best = min(furthest(list(some)) for some in combinations(range(places), len(found)))
    assert furthest(found) <= 2 * best + 1e-12


@given(st.integers(8, 40), st.integers(0, 99))
def test_diverse_questions_are_of_the_most_telling_and_lie_apart(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_EQA = answer_shares("comparison", apart(rng.normal(size=(3, 10 * count))), 0.1)
    place, draws = rng.normal(size=(10 * count, 4)), [np.random.default_rng(seed) for _ in range(3)]
    plain, arms = choose("variance", p_EQA, count, 0.25, draws[0])
    apart_from, also = choose("variance", p_EQA, count, 0.25, draws[1], place, 3)
    chance, active = arms.count("random"), arms.count("active")
    assert arms == also
    assert plain[:chance].tolist() == apart_from[:chance].tolist()
    assert len(set(apart_from.tolist())) == count
    worth = value("variance", p_EQA)
    worth[plain[:chance]] = -np.inf
    top = np.argsort(-worth, kind="stable")[: 3 * active]
    assert set(apart_from[chance:].tolist()) <= set(top.tolist())

    def nearest(from_: np.ndarray, others: np.ndarray) -> np.ndarray:
        gaps = np.linalg.norm(place[from_, None] - place[others], axis=-1)
        return np.where(from_[:, None] == others, np.inf, gaps).min(1)

    from_chance = nearest(top, plain[:chance])
    assert nearest(apart_from[chance : chance + 1], plain[:chance])[0] == from_chance.max()
    # no set of as many lies more than twice as far apart
    assert (
        2 * nearest(apart_from[chance:], apart_from).min() >= nearest(plain[chance:], plain).min()
    )
    once, _ = choose("variance", p_EQA, count, 0.25, draws[2], place, 1)
    assert once.tolist() == plain.tolist()


@given(st.integers(4, 9), st.integers(1, 4), st.integers(0, 99))
def test_sets_hold_different_clips_and_every_clip_comes_anywhere(
    clips: int, size: int, seed: int
) -> None:
    sets = sets_of(clips, 600, size, np.random.default_rng(seed))
    assert all(len(set(row)) == size for row in sets.tolist())
    for place in range(size):
        assert set(sets[:, place].tolist()) == set(range(clips))
    kept = [tuple(sorted(row)) for row in distinct(sets).tolist()]
    assert len(set(kept)) == len(kept) == len({tuple(sorted(row)) for row in sets.tolist()})


def test_no_random_arm_is_refused() -> None:
    with pytest.raises(ConfigError, match="the random arm is 0%"):
        choose("variance", np.full((3, 10, 2), 0.5), 2, 0.0, np.random.default_rng(0))
