"""Ratings, thumbs and what is learned about annotators: likelihoods, recovery of known parameters,
resume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_learning_loops import JUDGED, assert_resume_is_exact, reward_model

from accord.errors import DataError, RunError
from accord.feedback import choice_model
from accord.feedback.simulate import SimulatedAnnotator
from accord.learning import likelihoods
from accord.learning.annotators import JudgementParameters, describe_annotators, starting_thresholds
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    Judgement,
    RatingScale,
    strict_pairs,
)
from accord.learning.reward import train_reward
from accord.learning.settings import RewardSettings
from accord.models.reward_model import RewardModel
from accord.text.packing import PromptGroup


# --- the likelihood of an answer on a scale -------------------------------------------------------
@given(st.floats(-6, 6), st.lists(st.floats(-5, 5), min_size=1, max_size=6, unique=True))
def test_levels_of_a_scale_have_probabilities_that_sum_to_one(
    u: float, thresholds: list[float]
) -> None:
    tau = torch.tensor(sorted(thresholds), dtype=torch.double)
    levels = torch.arange(len(tau) + 1)
    logp = likelihoods.graded(torch.full((len(levels),), u, dtype=torch.double), levels, tau)
    assert logp.exp().sum().item() == pytest.approx(1)
    below = torch.sigmoid(tau - u)
    torch.testing.assert_close(logp.exp().cumsum(0)[:-1], below, atol=1e-9, rtol=1e-9)


def test_graded_gradients_and_far_tails() -> None:
    tau = torch.tensor([-1.0, 0.4, 2.0], dtype=torch.double, requires_grad=True)
    u = torch.tensor([0.3, -1.2, 2.5, 0.0], dtype=torch.double, requires_grad=True)
    level = torch.tensor([0, 1, 2, 3])
    assert torch.autograd.gradcheck(lambda a, b: likelihoods.graded(a, level, b), (u, tau))
    far = torch.tensor([300.0, -300.0], requires_grad=True)
    logp = likelihoods.graded(far, torch.tensor([1, 1]), torch.tensor([0.0, 1e-3]))
    logp.sum().backward()
    assert logp.isfinite().all()
    torch.testing.assert_close(far.grad, torch.tensor([-1.0, 1.0]))


def test_a_thumb_is_a_scale_of_two() -> None:
    u = torch.tensor([0.7, -0.2])
    down, up = (likelihoods.graded(u, torch.full((2,), k), torch.tensor([0.5])) for k in (0, 1))
    torch.testing.assert_close(up, torch.nn.functional.logsigmoid(u - 0.5))
    torch.testing.assert_close(down, torch.nn.functional.logsigmoid(0.5 - u))


# --- recovery -------------------------------------------------------------------------------------
def fitted(
    parameters: JudgementParameters, scores_R: torch.Tensor, groups: Sequence[JudgedGroup]
) -> torch.Tensor:
    """Minimise the loss over the parameters for known rewards; returns the inverse information
    matrix."""
    weights, batch = list(parameters.parameters()), JudgedBatch.of(groups)

    def loss() -> torch.Tensor:
        return (
            parameters.penalty()
            - log_likelihood(scores_R, batch, parameters.effects()).logp_M.sum()
        )

    optimizer = torch.optim.LBFGS(
        weights, max_iter=300, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    slopes = torch.cat(
        [g.reshape(-1) for g in torch.autograd.grad(loss(), weights, create_graph=True)]
    )
    assert slopes.abs().max() < 0.05
    return torch.linalg.inv(jacobian(slopes, weights).double())


def jacobian(values: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    rows = []
    for value in values:
        found = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    w.new_zeros(w.numel()) if g is None else g.reshape(-1)
                    for g, w in zip(found, weights, strict=True)
                ]
            )
        )
    return torch.stack(rows)


def z_values(
    values: torch.Tensor, truth: Sequence[float], weights: list, covariance: torch.Tensor
) -> torch.Tensor:
    slope = jacobian(values, weights).double()
    return (values.detach().double() - torch.tensor(truth)) / (
        slope @ covariance @ slope.T
    ).diagonal().sqrt()


CROWD = [
    SimulatedAnnotator("strict", 1.0, sharpness=1.4, offset=-1.0), SimulatedAnnotator("kind", 1.0, sharpness=0.8, offset=1.2),
    SimulatedAnnotator("vague", 1.0, sharpness=0.4, offset=-0.2), SimulatedAnnotator("upside down", 1.0, sharpness=-1.0),
]  # fmt: skip
TAU = (-2.0, -0.6, 0.5, 1.8)


def test_thresholds_offsets_and_sharpness_are_recovered_within_their_intervals() -> None:
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=500)
    groups = []
    for item, reward in enumerate(rewards):
        said = [
            Judgement((0,), None, a, "rating", level=who.rate(reward, TAU, rng))
            for a, who in enumerate(CROWD)
        ]
        said += [
            Judgement((0,), None, a, "rating", level=int(who.thumb(reward, 0.3, rng)), scale=1)
            for a, who in enumerate(CROWD)
        ]
        groups.append(JudgedGroup(PromptGroup([0], [[4, 1]]), tuple(said), str(item)))
    levels = [j.level for g in groups for j in g.judgements if j.scale == 0]
    scales = (
        RatingScale(
            "overall",
            tuple(map(float, range(5))),
            tuple(levels.count(k) / len(levels) for k in range(5)),
        ),
        RatingScale("thumb", (0.0, 1.0), (0.5, 0.5)),
    )
    parameters = JudgementParameters(AnnotatorEffects.none(len(CROWD)), scales).double()
    covariance = fitted(parameters, torch.tensor(rewards, dtype=torch.double), groups)
    effects, weights = parameters.effects(), list(parameters.parameters())
    shift = effects.offset_A.mean()
    values = torch.cat(
        [effects.sharpness_A, effects.offset_A - shift, *(t - shift for t in effects.thresholds)]
    )
    truth = [*(a.sharpness for a in CROWD), *(a.offset for a in CROWD), *TAU, 0.3]
    z = z_values(values, truth, weights, covariance)
    assert z.abs().max() < 3.5
    assert (z.abs() < 1.96).double().mean() >= 0.75
    told = describe_annotators(
        [parameters.values()], torch.zeros(1), 1.0, [a.id for a in CROWD], scales
    )
    assert told["annotators"][3]["sharpness"] < 0 < told["annotators"][0]["sharpness"]
    assert told["scales"][0]["thresholds"] == pytest.approx(TAU, abs=0.25)
    again = describe_annotators(
        [parameters.values()], torch.tensor([0.7]), 2.0, [a.id for a in CROWD], scales
    )
    for before, after, who in zip(told["annotators"], again["annotators"], CROWD, strict=True):
        # r = 2 score + 0.7: the same utility, relative to the same thresholds, in the new unit
        for score in (-1.0, 0.5):
            old = (
                before["sharpness"] * (2 * score + 0.7)
                + before["offset"]
                - told["scales"][0]["thresholds"][1]
            )
            new = after["sharpness"] * score + after["offset"] - again["scales"][0]["thresholds"][1]
            assert new == pytest.approx(old, abs=1e-5), who.id


def test_rationality_side_bias_and_ties_are_recovered_jointly() -> None:
    rng = np.random.default_rng(1)
    truth = [(2.0, 0.0), (0.7, 0.8), (-1.2, 0.0), (0.0, 2.0)]
    nu, groups, rewards = 0.5, [], []
    for item in range(700):
        pair = rng.normal(size=2)
        rewards += pair.tolist()
        said = []
        for a, (beta, gamma) in enumerate(truth):
            places = rng.permutation(2)
            u = beta * pair + gamma * (0.5 - places)
            drawn = int(rng.choice(3, p=choice_model.comparison(u[0] - u[1], 0, np.log(nu)).p))
            order = (1, 0) if drawn == 1 else (0, 1)
            shown = tuple(int(places[i]) for i in order)
            said.append(Judgement(order, shown, a, "tie" if drawn == 2 else "order"))
        groups.append(JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), tuple(said), str(item)))
    parameters = JudgementParameters(AnnotatorEffects.none(4), joint=True).double()
    covariance = fitted(parameters, torch.tensor(rewards, dtype=torch.double), groups)
    effects, weights = parameters.effects(), list(parameters.parameters())
    values = torch.cat(
        [effects.rationality_A, effects.side_bias_A, torch.as_tensor(effects.log_nu).reshape(1)]
    )
    z = z_values(
        values,
        [*(b for b, _ in truth), *(g for _, g in truth), float(np.log(nu))],
        weights,
        covariance,
    )
    assert z.abs().max() < 3.5
    assert (z.abs() < 1.96).double().mean() >= 0.7


def test_thresholds_start_where_the_shares_put_them() -> None:
    scale = RatingScale("s", (0.0, 1.0, 2.0), (0.25, 0.5, 0.25))
    assert starting_thresholds(scale).tolist() == pytest.approx([-np.log(3), np.log(3)], abs=0.01)
    start = JudgementParameters(AnnotatorEffects.none(), [scale]).effects().thresholds[0]
    assert start.tolist() == pytest.approx([-np.log(3), np.log(3)], abs=0.01)
    close = RatingScale("s", (0.0, 1.0, 2.0), (0.4, 0.2, 0.4))
    start = JudgementParameters(AnnotatorEffects.none(), [close]).effects().thresholds[0]
    assert start.tolist() == pytest.approx([-np.log(1.5), np.log(1.5)], abs=0.02)
    unseen = JudgementParameters(
        AnnotatorEffects.none(), [RatingScale("s", (0.0, 1.0, 2.0), (0.5, 0.0, 0.5))]
    )
    assert (unseen.effects().thresholds[0].diff() > 0).all()


def test_the_priors_settle_the_scale_that_the_likelihood_leaves_open() -> None:
    parameters = JudgementParameters(
        AnnotatorEffects.none(3), [RatingScale("thumb", (0.0, 1.0), (0.5, 0.5))], joint=True
    )
    assert parameters.penalty().item() == 0
    with torch.no_grad():
        parameters.rationality_A.mul_(2)
    assert parameters.penalty().item() == pytest.approx(3 / 2)
    fixed = JudgementParameters(AnnotatorEffects.none(3))
    assert not list(fixed.parameters())


# --- the loop -------------------------------------------------------------------------------------
SCALES = (
    RatingScale("overall", (0.0, 1.0, 2.0), (0.3, 0.4, 0.3)),
    RatingScale("thumb", (0.0, 1.0), (0.5, 0.5)),
)
RATED = [
    JudgedGroup(
        g.group,
        (
            *g.judgements, Judgement((0,), None, 0, "rating", level=i % 3), Judgement((3,), None, 1, "rating", level=2),
            Judgement((1,), None, 1, "rating", level=i % 2, scale=1),
        ),
    )
    for i, g in enumerate(JUDGED)
]  # fmt: skip
START = AnnotatorEffects(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.3]))


@pytest.mark.parametrize("how", ["fixed", "joint"])
def test_a_mix_with_ratings_resumes_exactly(how: str) -> None:
    settings = RewardSettings(
        epochs=2,
        batch=4,
        learning_rate=3e-3,
        effects=how,
        annotator_rate=0.03,  # type: ignore[arg-type]
        warmup=0.0,
    )
    assert_resume_is_exact(
        reward_model,
        lambda m, s: train_reward(m, RATED, settings, START, s, RATED, SCALES),
        lambda m: [p for member in m.members for p in member.parameters()],
    )
    result = train_reward(reward_model(), RATED, settings, START, heldout=RATED, scales=SCALES)
    first, second = result.learned
    assert first["thresholds"] != second["thresholds"]  # each member has its own
    assert (first["rationality"] == [1.0, 0.5]) == (how == "fixed")
    assert first["sharpness"] != [1.0, 1.0]


def test_ratings_alone_teach_an_order_and_an_offset_is_not_a_worse_answer() -> None:
    generator = torch.Generator().manual_seed(5)
    groups = []
    for i in range(80):
        responses = [
            [t, *torch.randint(7, 40, (3,), generator=generator).tolist(), 1] for t in (4, 5, 6)
        ]
        # Annotator 1 is two levels kinder. The token decides; the responses an annotator saw do not
        # matter.
        kind = i % 2
        said = tuple(Judgement((k,), None, kind, "rating", level=k + 2 * kind) for k in range(3))
        groups.append(JudgedGroup(PromptGroup([0, 9], responses), said))
    scales = [
        RatingScale("overall", (0.0, 1.0, 2.0, 3.0, 4.0), (1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6))
    ]
    model = reward_model()
    settings = RewardSettings(
        epochs=6, batch=8, learning_rate=3e-3, annotator_rate=0.05, warmup=0.0
    )
    result = train_reward(
        model, groups[:60], settings, AnnotatorEffects.none(2), heldout=groups[60:], scales=scales
    )
    assert result.heldout_agreement > 0.97
    assert all(v["offset"][1] - v["offset"][0] > 1 for v in result.learned)
    base = float(-(torch.tensor(scales[0].shares).log() * torch.tensor(scales[0].shares)).sum())
    assert result.heldout_nll < base - 0.4


@pytest.mark.slow
def test_a_reward_is_learned_together_with_who_judged_it() -> None:
    truth = [(2.0, 0.0), (1.0, 0.0), (-1.5, 0.0), (0.0, 3.0)]
    rng, generator = np.random.default_rng(3), torch.Generator().manual_seed(3)
    groups = []
    for _ in range(150):
        responses = [
            [t, *torch.randint(7, 40, (2,), generator=generator).tolist(), 1] for t in (4, 5, 6)
        ]
        said = []
        for a, (beta, gamma) in enumerate(truth):
            i, j = (
                int(x) for x in rng.permutation(3)[:2]
            )  # token 6 is worth 1, token 4 is worth -1
            u = beta * np.array([i - 1.0, j - 1.0]) + gamma * np.array([0.5, -0.5])
            said.append(
                Judgement((i, j) if u[0] - u[1] + rng.logistic() > 0 else (j, i), (0, 1), a)
            )
            if said[-1].options == (j, i):
                said[-1] = Judgement((j, i), (1, 0), a)
        groups.append(JudgedGroup(PromptGroup([0, 9], responses), tuple(said)))
    start = AnnotatorEffects.none(4, log_nu=-4.0)
    model = reward_model()
    settings = RewardSettings(
        epochs=6, batch=10, learning_rate=3e-3, effects="joint", annotator_rate=0.1, warmup=0.0
    )
    result = train_reward(model, groups, settings, start)
    beta = torch.tensor([v["rationality"] for v in result.learned]).mean(0)
    gamma = torch.tensor([v["side_bias"] for v in result.learned]).mean(0)
    assert (beta / beta[0]).tolist() == pytest.approx([1.0, 0.5, -0.75, 0.0], abs=0.25)
    assert gamma[:3].abs().max() < 0.7
    assert gamma[3].item() == pytest.approx(3.0, abs=1.0)
    score_KR = model.score([g.group for g in groups]).mean(0).reshape(-1, 3)
    assert (
        score_KR.diff(dim=1) > 0
    ).float().mean() > 0.98  # the contrarian's votes count the other way


def test_with_one_annotator_the_prior_keeps_the_scale() -> None:
    alone = [
        JudgedGroup(g.group, tuple(j for j in g.judgements if j.annotator == 1)) for g in JUDGED
    ]
    only = [
        JudgedGroup(
            g.group, tuple(Judgement(j.options, j.shown_at, 0, j.kind) for j in g.judgements)
        )
        for g in alone
    ]
    settings = RewardSettings(
        epochs=20, batch=4, learning_rate=3e-3, effects="joint", annotator_rate=0.1, warmup=0.0
    )
    (learned,) = train_reward(
        RewardModel.untrained([reward_model().members[0]]), only, settings, AnnotatorEffects.none()
    ).learned
    assert learned["rationality"][0] == pytest.approx(1.0, abs=0.6)


def test_a_reward_that_comes_out_upside_down_is_refused() -> None:
    contrary = AnnotatorEffects(torch.tensor([-1.0, -1.5]), torch.zeros(2))
    settings = RewardSettings(batch=4, learning_rate=3e-3, effects="joint", warmup=0.0)
    with pytest.raises(RunError, match="rationality of most annotators was learned to be negative"):
        train_reward(reward_model(), JUDGED, settings, contrary)
    train_reward(
        reward_model(), JUDGED, settings.changed(effects="fixed"), contrary
    )  # what is given is believed


def test_pairs_said_by_ratings() -> None:
    def rating(option: int, annotator: int, level: int, scale: int = 0) -> Judgement:
        return Judgement((option,), None, annotator, "rating", level=level, scale=scale)

    said = (
        rating(0, 0, 2),
        rating(1, 0, 3),
        rating(2, 0, 2),
        rating(3, 1, 0),
        rating(3, 0, 1, scale=1),
    )
    group = JudgedGroup(PromptGroup([0], [[4, 1], [5, 1], [6, 1], [7, 1]]), said)
    assert strict_pairs([group]) == [(0, 1, 0), (0, 1, 2)]


def test_ratings_without_scales_and_impossible_ones() -> None:
    with pytest.raises(DataError, match="no thresholds"):
        log_likelihood(torch.zeros(4), JudgedBatch.of(RATED[:1]), AnnotatorEffects.none(2))
    with pytest.raises(ValueError, match="of one option"):
        Judgement((0, 1), None, 0, "rating")
    for below in ({"level": -1}, {"scale": -1}):
        with pytest.raises(ValueError, match="from 0"):
            Judgement((0,), None, 0, "rating", **below)
    with pytest.raises(ValueError, match="at least two levels"):
        RatingScale("flat", (1.0,), (1.0,))
