"""Likelihoods, losses and advantages against references, brute force and their own invariants."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, permutations, product

import choix
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.learning import advantages, likelihoods, losses
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    Judgement,
    contradictions,
)
from accord.learning.kinds import GROUPED, Estimator, PreferenceLoss
from accord.learning.kl_control import KLController
from accord.learning.settings import Form
from accord.text.packing import PromptGroup

utilities = st.lists(st.floats(-4, 4), min_size=2, max_size=5)


@given(utilities)
def test_ranking_probabilities_sum_to_one(u: list[float]) -> None:
    orders = torch.tensor(
        [[u[i] for i in order] for order in permutations(range(len(u)))], dtype=torch.double
    )
    assert likelihoods.plackett_luce(orders).exp().sum().item() == pytest.approx(1)


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(-3, 2))
def test_tie_models_sum_to_one(a: float, b: float, log_nu: float) -> None:
    first, second = torch.full((3,), a, dtype=torch.double), torch.full((3,), b, dtype=torch.double)
    outcome = torch.tensor([likelihoods.FIRST, likelihoods.SECOND, likelihoods.TIE])
    davidson = likelihoods.davidson(
        first, second, outcome, torch.tensor(log_nu, dtype=torch.double)
    )
    rao = likelihoods.rao_kupper(
        first, second, outcome, torch.tensor(abs(log_nu) + 0.01, dtype=torch.double)
    )
    assert davidson.exp().sum().item() == pytest.approx(1)
    assert rao.exp().sum().item() == pytest.approx(1)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_best_worst_sums_to_one_and_ties_are_sums_of_orders(u: list[float]) -> None:
    row = torch.tensor([u], dtype=torch.double)
    pairs = [(b, w) for b in range(4) for w in range(4) if b != w]
    total = sum(
        likelihoods.best_worst(row, torch.tensor([b]), torch.tensor([w])).exp().item()
        for b, w in pairs
    )
    assert total == pytest.approx(1)
    tied = likelihoods.plackett_luce_ties(row[:, [2, 0, 3, 1]], (1, 2, 1)).exp().item()
    strict = [
        likelihoods.plackett_luce(row[:, list(o)]).exp().item()
        for o in ((2, 0, 3, 1), (2, 3, 0, 1))
    ]
    assert tied == pytest.approx(sum(strict))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(-4, 4), min_size=1, max_size=4), min_size=2, max_size=3),
    st.integers(0, 10),
)
def test_tied_rankings_are_sums_over_the_orders_that_agree(
    tied: list[list[float]], seed: int
) -> None:
    u = torch.tensor([[x for group in tied for x in group]], dtype=torch.double)
    places, start = [], 0
    for group in tied:
        places.append(list(range(start, start + len(group))))
        start += len(group)
    orders = [
        [i for part in choice for i in part]
        for choice in product(*(permutations(p) for p in places))
    ]
    brute = torch.logsumexp(likelihoods.plackett_luce(u[0][torch.tensor(orders)]), 0)
    sizes = tuple(map(len, tied))
    several = torch.cat([u, u.flip(-1)])
    torch.testing.assert_close(
        likelihoods.plackett_luce_ties(several, sizes)[0], brute, atol=1e-9, rtol=1e-9
    )


def test_tied_rankings_sum_to_one_have_gradients_and_stay_fast() -> None:
    u = torch.tensor([[0.3, -1.0, 2.0, 0.4]], dtype=torch.double, requires_grad=True)
    total = sum(
        likelihoods.plackett_luce_ties(
            u[:, [*pair, *(i for i in range(4) if i not in pair)]], (2, 2)
        )
        .exp()
        .item()
        for pair in combinations(range(4), 2)
    )
    assert total == pytest.approx(1)
    assert torch.autograd.gradcheck(lambda x: likelihoods.plackett_luce_ties(x, (1, 2, 1)), (u,))
    many = torch.randn(3, 14)
    logp = likelihoods.plackett_luce_ties(many, (12, 2))  # 479 million orders
    torch.testing.assert_close(
        likelihoods.plackett_luce_ties(many + 80, (12, 2)), logp, atol=1e-3, rtol=1e-3
    )
    with pytest.raises(ValueError, match="at most 12 can be tied"):
        likelihoods.plackett_luce_ties(torch.zeros(1, 15), (13, 2))
    everything = likelihoods.all_pairs(u, (1, 2, 1)).item()
    apart = [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]
    by_hand = (
        torch.nn.functional.logsigmoid(torch.stack([u[0, i] - u[0, j] for i, j in apart]))
        .mean()
        .item()
    )
    assert everything == pytest.approx(by_hand)


def test_davidson_without_ties_is_bradley_terry() -> None:
    a, b = torch.randn(5), torch.randn(5)
    zero = torch.zeros(5, dtype=torch.long)
    torch.testing.assert_close(
        likelihoods.davidson(a, b, zero, torch.tensor(-40.0)), likelihoods.bradley_terry(a, b)
    )


def test_padded_rankings_equal_short_ones() -> None:
    u = torch.randn(3, 4)
    present = torch.tensor([[True, True, True, False]] * 3)
    torch.testing.assert_close(
        likelihoods.plackett_luce(u, present), likelihoods.plackett_luce(u[:, :3])
    )


def test_plackett_luce_and_bradley_terry_equal_choix() -> None:
    generator = torch.Generator().manual_seed(0)
    items, rankings = 6, [torch.randperm(6, generator=generator)[:4].tolist() for _ in range(200)]
    theirs = choix.opt_rankings(items, rankings, alpha=1e-6)
    ours = torch.zeros(items, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([ours], max_iter=200, tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (
            -likelihoods.plackett_luce(ours[torch.tensor(rankings)]).sum()
            + 1e-6 * ours.square().sum() / 2
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    centred = ours.detach() - ours.detach().mean()
    torch.testing.assert_close(centred, torch.tensor(theirs - theirs.mean()), atol=1e-3, rtol=1e-3)


def test_bradley_terry_equals_choix() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.tensor([0.0, 0.5, -0.7, 1.2, 0.1])
    pairs = torch.randint(0, 5, (400, 2), generator=generator)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    wins = torch.rand(len(pairs), generator=generator) < torch.sigmoid(
        truth[pairs[:, 0]] - truth[pairs[:, 1]]
    )
    ordered = torch.where(wins[:, None], pairs, pairs.flip(1))
    theirs = choix.opt_pairwise(5, [tuple(p) for p in ordered.tolist()], alpha=1e-6)
    groups = [  # the same through the likelihood of judgements: rewards are the parameters
        JudgedGroup(
            PromptGroup([0], [[4 + k, 1] for k in range(5)]),
            tuple(Judgement((i, j), None) for i, j in ordered.tolist()),
        )
    ]
    batch, ours = JudgedBatch.of(groups), torch.zeros(5, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([ours], max_iter=200, tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (
            -log_likelihood(ours, batch, AnnotatorEffects.none()).sum
            + 1e-6 * ours.square().sum() / 2
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    centred = ours.detach() - ours.detach().mean()
    torch.testing.assert_close(centred, torch.tensor(theirs - theirs.mean()), atol=1e-3, rtol=1e-3)


def test_gradients_of_every_likelihood() -> None:
    generator = torch.Generator().manual_seed(2)
    u = torch.randn(3, 4, dtype=torch.double, generator=generator).requires_grad_()
    scalar = torch.tensor(0.4, dtype=torch.double, requires_grad=True)
    outcome = torch.tensor([likelihoods.FIRST, likelihoods.SECOND, likelihoods.TIE])
    best, worst = torch.tensor([0, 1, 3]), torch.tensor([2, 0, 1])
    for function, inputs in (
        (lambda x, nu: likelihoods.davidson(x[:, 0], x[:, 1], outcome, nu), (u, scalar)),
        (lambda x, nu: likelihoods.rao_kupper(x[:, 0], x[:, 1], outcome, nu), (u, scalar)),
        (likelihoods.plackett_luce, (u,)),
        (lambda x: likelihoods.best_worst(x, best, worst), (u,)),
        (likelihoods.all_pairs, (u,)),
        (lambda x: likelihoods.bradley_terry(x[:, 0], x[:, 1]), (u,)),
    ):
        assert torch.autograd.gradcheck(function, inputs)


def test_side_bias_moves_what_is_shown_first() -> None:
    shown = torch.tensor([0.0, 1.0])
    u = likelihoods.shown_utility(
        torch.tensor([1.0, 1.0]), shown, torch.tensor(2), torch.tensor(2.0), torch.tensor(0.6)
    )
    torch.testing.assert_close(u, torch.tensor([2.3, 1.7]))


PAIRS = losses.PairLogprobs(
    torch.tensor([-10.0, -8.0]), torch.tensor([-9.0, -12.0]), torch.tensor([-11.0, -8.5]), torch.tensor([-9.5, -11.0]),
    torch.tensor([4.0, 2.0]), torch.tensor([5.0, 8.0]),
)  # fmt: skip


def test_direct_preference_losses() -> None:
    h, beta = torch.tensor([0.5, 1.5]), 0.3
    mean_h = torch.tensor([1 / 4 - 0.5 / 5, 0.5 / 2 + 1 / 8])

    def loss(
        kind: PreferenceLoss = "sigmoid", smoothing: float | torch.Tensor = 0.0
    ) -> torch.Tensor:
        return losses.preference(PAIRS, kind, beta, smoothing)

    torch.testing.assert_close(loss(), -torch.log(torch.sigmoid(beta * h)))
    torch.testing.assert_close(loss("sigmoid_norm"), -torch.log(torch.sigmoid(beta * mean_h)))
    torch.testing.assert_close(loss("ipo"), (mean_h - 1 / (2 * beta)) ** 2)
    torch.testing.assert_close(loss("hinge"), torch.relu(1 - beta * h))
    smoothed = loss(smoothing=0.3)
    assert (smoothed - loss()).abs().min() > 0.01  # label smoothing does something
    torch.testing.assert_close(smoothed, 0.7 * loss() - 0.3 * torch.log(torch.sigmoid(-beta * h)))
    per_pair = loss(smoothing=torch.tensor([0.0, 0.3]))
    torch.testing.assert_close(per_pair, torch.stack([loss()[0], smoothed[1]]))
    mixed = 0.75 * (mean_h - 1 / (2 * beta)) ** 2 + 0.25 * (mean_h + 1 / (2 * beta)) ** 2
    torch.testing.assert_close(loss("ipo", 0.25), mixed)
    robust = (
        -0.8 * torch.log(torch.sigmoid(beta * h)) + 0.2 * torch.log(torch.sigmoid(-beta * h))
    ) / 0.6
    torch.testing.assert_close(loss("robust", 0.2), robust)


def test_reference_free_losses() -> None:
    zero = torch.zeros(2)
    pairs = replace(PAIRS, ref_chosen_B=zero, ref_rejected_B=zero)
    chosen, rejected = torch.tensor([-2.5, -4.0]), torch.tensor([-1.8, -1.5])  # per token
    expected = -torch.log(torch.sigmoid(2 * (chosen - rejected) - 0.7))
    torch.testing.assert_close(losses.preference(pairs, "simpo", 2.0, gamma=0.7), expected)
    odds = [torch.log(p.exp() / (1 - p.exp())) for p in (chosen, rejected)]
    expected = -0.2 * torch.log(torch.sigmoid(odds[0] - odds[1]))
    torch.testing.assert_close(losses.preference(pairs, "orpo", 0.2), expected)
    sure = replace(
        pairs, chosen_B=torch.zeros(2, requires_grad=True)
    )  # probability one: finite, not NaN
    losses.preference(sure, "orpo", 0.1).sum().backward()
    assert sure.chosen_B.grad.isfinite().all()


def test_kto() -> None:
    shift, kl = torch.tensor([1.0, 1.0, -2.0]), torch.tensor(0.4)
    got = losses.kto(
        shift, torch.tensor([True, False, False]), kl, 0.5, torch.tensor([1.0, 1.0, 2.0])
    )
    s = torch.sigmoid(torch.tensor([0.3, -0.3, 1.2]))
    torch.testing.assert_close(got, torch.tensor([1.0, 1.0, 2.0]) * (1 - s))


def test_kl_estimators() -> None:
    logp, ref = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])
    torch.testing.assert_close(losses.kl_k1(logp, ref), torch.tensor([0.5, -1.0]))
    r = torch.exp(ref - logp)
    torch.testing.assert_close(losses.kl_k3(logp, ref), r - 1 - torch.log(r))
    assert (losses.kl_k3(torch.randn(100), torch.randn(100)) >= 0).all()


# --- advantages -----------------------------------------------------------------------------------
def brute_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    result = []
    for t in range(len(rewards)):
        total = 0.0
        for k in range(t, len(rewards)):
            following = values[k + 1] if k + 1 < len(values) else 0.0
            total += (gamma * lam) ** (k - t) * (rewards[k] + gamma * following - values[k])
        result.append(total)
    return result


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.floats(0.5, 1),
    st.floats(0, 1),
    st.integers(0, 999),
)
def test_gae_equals_its_definition(lengths: list[int], gamma: float, lam: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    rewards = torch.randn(n, generator=generator, dtype=torch.double)
    values = torch.randn(n, generator=generator, dtype=torch.double)
    got, returns = advantages.gae(rewards, values, torch.tensor(lengths), gamma, lam)
    expected, start = [], 0
    for length in lengths:
        part = slice(start, start + length)
        expected += brute_gae(rewards[part].tolist(), values[part].tolist(), gamma, lam)
        start += length
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.double))
    torch.testing.assert_close(returns, got + values)


def test_score_lands_on_the_last_token_of_each_response() -> None:
    kl = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    rewards = advantages.token_rewards(kl, torch.tensor([2.0, 3.0]), torch.tensor([2, 3]), 0.5)
    torch.testing.assert_close(rewards, torch.tensor([-0.05, 1.9, -0.15, -0.2, 2.75]))


def test_whitening_is_over_the_whole_batch_and_all_processes() -> None:
    x = torch.randn(101) * 3 + 5
    whole = advantages.whiten(x)
    assert whole.mean().abs() < 1e-5
    assert whole.std(unbiased=False).item() == pytest.approx(1, abs=1e-4)
    other = torch.randn(50)

    def reduce(own: torch.Tensor) -> torch.Tensor:
        return own + torch.stack([other.sum(), other.square().sum(), torch.tensor(50.0)])

    together = advantages.whiten(torch.cat([x, other]))[:101]
    torch.testing.assert_close(advantages.whiten(x, reduce), together, atol=1e-5, rtol=1e-5)


def test_leave_one_out() -> None:
    got = advantages.leave_one_out(torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0]), 3)
    torch.testing.assert_close(got, torch.tensor([-3.0, -1.5, 4.5, -1.5, -1.5, 3.0]))
    with pytest.raises(ValueError, match="at least 2"):
        advantages.leave_one_out(torch.zeros(3), 1)


def test_group_estimators_by_hand() -> None:
    lengths = torch.tensor([2, 1, 1, 2])
    rewards = torch.tensor([-0.5, 3.5, 1.0, 2.0, 0.0, 2.0])  # totals 3, 1 and 2, 2

    def got(name: Estimator) -> list[float]:
        return advantages.estimate(name, rewards, torch.zeros(6), lengths, 2)[0].tolist()

    assert got("rloo") == [2.0, 2.0, -2.0, 0.0, 0.0, 0.0]
    assert got("dr_grpo") == [1.0, 1.0, -1.0, 0.0, 0.0, 0.0]
    assert got("grpo") == pytest.approx(
        [0.70706, 0.70706, -0.70706, 0, 0, 0], abs=1e-4
    )  # deviation sqrt(2), not 1
    assert got("reinforce") == [3.0, 3.5, 1.0, 2.0, 2.0, 2.0]
    assert got("reinforce_baseline") == [1.0, 1.5, -1.0, 0.0, 0.0, 0.0]
    for name in GROUPED[:3]:
        with pytest.raises(ValueError, match="at least 2"):
            advantages.estimate(name, rewards, torch.zeros(6), lengths, 1)


def test_clip_higher_whole_ratios_and_weights() -> None:
    ratio, advantage = torch.log(torch.tensor([1.25, 1.25])), torch.tensor([1.0, 1.0])
    torch.testing.assert_close(
        losses.ppo_policy(ratio, advantage, 0.2, 0.28), torch.tensor([-1.25, -1.25])
    )
    torch.testing.assert_close(losses.ppo_policy(ratio, advantage, 0.2), torch.tensor([-1.2, -1.2]))
    lengths, steps = torch.tensor([2, 1]), torch.tensor([0.2, 0.4, -0.3])
    torch.testing.assert_close(
        losses.whole_ratio(steps, lengths, mean=True), torch.tensor([0.3, 0.3, -0.3])
    )
    torch.testing.assert_close(
        losses.whole_ratio(steps, lengths, mean=False), torch.tensor([0.6, 0.6, -0.3])
    )
    torch.testing.assert_close(
        losses.token_weights(lengths, "sequence", 4, 8), torch.tensor([1 / 8, 1 / 8, 1 / 4])
    )
    torch.testing.assert_close(
        losses.token_weights(lengths, "constant", 4, 8), torch.full((3,), 1 / 32)
    )


def test_adaptive_kl_follows_ziegler() -> None:
    controller = KLController(0.1, target=6.0, horizon=10_000)
    controller.update(kl_seq=12.0, episodes=64)
    assert controller.coefficient == pytest.approx(0.1 * (1 + 0.2 * 64 / 10_000))
    controller.update(kl_seq=5.7, episodes=64)
    assert controller.coefficient == pytest.approx(
        0.1 * (1 + 0.2 * 64 / 10_000) * (1 - 0.05 * 64 / 10_000)
    )
    fixed = KLController(0.1)
    fixed.update(1000.0, 64)
    assert fixed.coefficient == 0.1


def test_ppo_losses_by_hand() -> None:
    logp, old, advantage = (
        torch.log(torch.tensor([1.5, 0.5, 1.1])),
        torch.zeros(3),
        torch.tensor([1.0, -1.0, 2.0]),
    )
    torch.testing.assert_close(
        losses.ppo_policy(logp - old, advantage, 0.2), torch.tensor([-1.2, 0.8, -2.2])
    )
    value = losses.ppo_value(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([0.5]), 0.2)
    assert value.item() == pytest.approx(0.5 * max((1 - 0.5) ** 2, (0.2 - 0.5) ** 2))
    assert math.isfinite(value.item())


# --- judgements -----------------------------------------------------------------------------------
def judged(*rows: Judgement) -> list[JudgedGroup]:
    return [JudgedGroup(PromptGroup([0], [[4 + k, 1] for k in range(4)]), rows)]


def batch(*rows: Judgement) -> JudgedBatch:
    return JudgedBatch.of(judged(*rows))


SCORES = torch.tensor([0.3, -0.4, 1.1, 0.0])


def test_every_kind_of_judgement_has_its_likelihood() -> None:
    effects = AnnotatorEffects(torch.tensor([2.0]), torch.tensor([0.6]), log_nu=-1.0)

    def logp(judgement: Judgement, **form: str) -> float:
        return log_likelihood(SCORES, batch(judgement), effects, form=Form(**form)).sum.item()  # type: ignore[arg-type]

    u = (2 * SCORES).double()
    edit = Judgement((0, 1), None)  # not shown side by side: no side bias and no tie
    assert logp(edit) == pytest.approx(math.log(1 / (1 + math.exp(float(u[1] - u[0])))), abs=1e-5)
    chosen = Judgement((2, 0, 1), None, kind="choice")
    assert logp(chosen) == pytest.approx(float(u[2] - torch.logsumexp(u[:3], 0)), abs=1e-5)
    side = 0.3 * torch.tensor([1.0, -1.0])  # left, right
    gap = float((u[0] + side[0]) - (u[1] + side[1]))
    tie = math.exp(-1 - gap / 2)
    assert logp(Judgement((0, 1), (0, 1))) == pytest.approx(
        -math.log(1 + math.exp(-gap) + tie), abs=1e-5
    )
    asked = gap - 0.5
    tie = math.exp(-1 - asked / 2)
    with_margin = Judgement((0, 1), (0, 1), margin=0.5)
    assert logp(with_margin) == pytest.approx(-math.log(1 + math.exp(-asked) + tie), abs=1e-5)
    theta = math.log(1 + math.exp(-1))
    assert logp(Judgement((0, 1), (0, 1)), ties="rao_kupper") == pytest.approx(
        math.log(1 / (1 + math.exp(-(gap - theta)))), abs=1e-5
    )
    total = sum(
        math.exp(logp(Judgement(order, (order[0], order[1]), kind=kind), ties="rao_kupper"))
        for order, kind in (((0, 1), "order"), ((1, 0), "order"), ((0, 1), "tie"))
    )
    assert total == pytest.approx(1, abs=1e-5)


def test_pairs_said_by_each_kind() -> None:
    assert Judgement((2, 0, 1), (0, 1, 2)).pairs == [(2, 0), (2, 1), (0, 1)]
    assert Judgement((2, 0), (0, 1), kind="tie").pairs == []
    assert Judgement((2, 0, 1), (0, 1, 2), tied=(2, 1)).pairs == [(2, 1), (0, 1)]
    assert Judgement((2, 0, 1), None, kind="choice").pairs == [(2, 0), (2, 1)]
    assert sorted(Judgement((3, 0, 2, 1), (0, 1, 2, 3), kind="best_worst").pairs) == [
        (0, 1),
        (2, 1),
        (3, 0),
        (3, 1),
        (3, 2),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": (0, 1), "shown_at": (0, 1), "kind": "best_worst"}, "best and worst of two"),
        ({"options": (0, 1, 2), "shown_at": (0, 1, 2), "kind": "tie"}, "between two options"),
        (
            {"options": (0, 1, 2), "shown_at": (0, 1, 2), "margin": 1.0},
            "margin belongs to a comparison",
        ),
        ({"options": (0, 1, 2), "shown_at": (0, 1, 2), "tied": (3,)}, "all are tied"),
        (
            {"options": (0, 1, 2), "shown_at": (0, 1, 2), "tied": (2, 2)},
            "do not make a ranking of 3",
        ),
        ({"options": (0, 1), "shown_at": (0, 1), "tied": (1, 1)}, "do not make a ranking of 2"),
        ({"options": (0, 0), "shown_at": (0, 1)}, "two different options"),
        ({"options": (0, 1), "shown_at": (0, 2)}, "is not an order"),
    ],
)
def test_impossible_judgements(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Judgement(**fields)


def test_contradictions_are_counted() -> None:
    rows = (
        Judgement((0, 1), (0, 1), 0),
        Judgement((1, 0), (0, 1), 1),
        Judgement((2, 3, 1), (0, 1, 2), 0),
        Judgement((3, 2), (0, 1), 0),
        Judgement((0, 1), (0, 1), 2),
    )
    assert contradictions(judged(*rows)) == (2, 1)
    assert contradictions(judged(*rows[:1])) == (0, 0)


def test_all_kinds_together_equal_their_sum() -> None:
    rows = (
        Judgement((0, 1), (0, 1)),
        Judgement((2, 3), (1, 0), kind="tie"),
        Judgement((3, 1), None),
        Judgement((2, 0, 1), None, kind="choice"),
        Judgement((3, 0, 2, 1), (0, 1, 2, 3), kind="best_worst"),
        Judgement((2, 0, 1, 3), (3, 1, 2, 0)),
        Judgement((2, 0, 1, 3), (3, 1, 2, 0), tied=(1, 2, 1)),
        Judgement((0, 1, 2, 3), (3, 1, 2, 0), tied=(3, 1)),
    )
    effects = AnnotatorEffects.none()
    together = log_likelihood(SCORES, batch(*rows), effects).logp_M
    alone = torch.cat([log_likelihood(SCORES, batch(row), effects).logp_M for row in rows])
    assert together.numel() == len(rows)
    torch.testing.assert_close(together.sort().values, alone.sort().values)
