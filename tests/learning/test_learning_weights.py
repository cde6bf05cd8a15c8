"""What a weight and a soft label mean, in every loop that learns from records."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from objectives import EFFECTS, EXAMPLES, JUDGED, PAIRS, THUMBS, Outcome, gradients
from torch import Tensor

from accord.errors import DataError
from accord.learning.annotators import JudgementParameters
from accord.learning.calibration import fit_temperature
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    Judgement,
    RatingScale,
    pairs_said,
    strict_pairs,
)
from accord.learning.kinds import BETAS, REFERENCE_FREE, PreferenceLoss
from accord.learning.preference import (
    Pair,
    PreferenceSettings,
    preference_step,
    reference_logprobs,
    train_preference,
)
from accord.learning.reward import evaluate, team_step, train_reward
from accord.learning.settings import RewardSettings
from accord.learning.supervised import (
    SupervisedSettings,
    heldout_loss,
    supervised_step,
    train_supervised,
)
from accord.learning.team import Team
from accord.learning.unpaired import ThumbExample, UnpairedSettings, train_unpaired, unpaired_step
from accord.models.causal_lm import CausalLM
from accord.models.heads import HeadForm, HeadOutput
from accord.models.loading import freeze
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarHead, ScalarModel
from accord.text.packing import PromptGroup
from tiny import tiny_llama

SCALES = (
    RatingScale("overall", (0.0, 1.0, 2.0), (0.2, 0.5, 0.3)),
    RatingScale("step", (-1.0, 1.0), (0.5, 0.5), anchored=True),
)
KINDS = (
    Judgement((2, 0, 1), (0, 1, 2)), Judgement((2, 0, 1), (0, 2, 1), tied=(1, 2)), Judgement((1, 2), (1, 0), 1, doubt=0.2),
    Judgement((0, 2), (0, 1), 1, "tie"), Judgement((1, 0), None, doubt=0.5), Judgement((2, 0), None), Judgement((0, 1, 2), None, 1, "choice"),
    Judgement((1, 0, 2), (0, 1, 2), 0, "best_worst"), Judgement((0, 1), (0, 1), margin=0.4), Judgement((1,), None, 1, "rating", level=2),
    Judgement((2,), None, 0, "steps", scale=1, ends=(0, 2), levels=(0, 1)), Judgement((0,), None, 0, "rating", level=0),
)  # fmt: skip
SAID = [
    JudgedGroup(g.group, tuple(j for place, j in enumerate(KINDS) if (place + i) % 3 or i == 0))
    for i, g in enumerate(JUDGED)
]


def sft(rows: Sequence[PromptGroup]) -> Outcome:
    model = tiny_llama(3)
    loss, _ = supervised_step(model, rows, 40)
    return {"loss": loss, "heldout": heldout_loss(model, rows, 40)}, gradients(model.parameters())


def preference(kind: PreferenceLoss) -> Callable[[Sequence[Pair]], Outcome]:
    def run(rows: Sequence[Pair]) -> Outcome:
        policy = tiny_llama(3)
        settings = PreferenceSettings(
            loss=kind,
            beta=BETAS[kind],
            gamma=0.5 * (kind == "simpo"),
            micro_batch_tokens=40,
            nll_weight=0.2,
            learning_rate=1e-5,
        )
        cached = reference_logprobs(policy, freeze(tiny_llama(4)), rows, 40)
        values, _ = preference_step(
            policy, rows, cached * 0 if kind in REFERENCE_FREE else cached, settings
        )
        return {"loss": values["loss"]}, gradients(policy.parameters())

    return run


def kto(rows: Sequence[ThumbExample]) -> Outcome:
    """The reference point is fixed: it is an estimate over rows, not a loss."""
    policy = tiny_llama(3)
    settings = UnpairedSettings(micro_batch_tokens=40, undesirable_weight=1.3, learning_rate=5e-6)
    values, _ = unpaired_step(
        policy, rows, -2.0 * torch.ones(len(rows)), torch.tensor(0.3), settings
    )
    return {"loss": values["loss"]}, gradients(policy.parameters())


def reward(**changes: Any) -> Callable[[Sequence[JudgedGroup]], Outcome]:
    def run(rows: Sequence[JudgedGroup]) -> Outcome:
        member = ScalarModel(tiny_llama(3), ScalarHead(32, seed=1))
        learned = JudgementParameters(EFFECTS, SCALES, joint=True)
        settings = RewardSettings(micro_batch_tokens=60, learning_rate=3e-4, **changes)
        team = Team([member], [learned])
        loss, _ = team_step(team, JudgedBatch.of(rows), settings)
        grads = gradients([*member.parameters(), *learned.parameters()])
        return {"loss": loss, "heldout": evaluate([team], rows, settings)[0]}, grads

    return run


def weighted_rows(rows: Sequence[Any], rng: random.Random) -> list[Any]:
    return [replace(row, weight=float(rng.randint(0, 3))) for row in rows]


def weighted_groups(groups: Sequence[JudgedGroup], rng: random.Random) -> list[JudgedGroup]:
    return [replace(g, judgements=tuple(weighted_rows(g.judgements, rng))) for g in groups]


def repeated_rows(rows: Sequence[Any]) -> list[Any]:
    return [replace(row, weight=1.0) for row in rows for _ in range(int(row.weight))]


def repeated_groups(groups: Sequence[JudgedGroup]) -> list[JudgedGroup]:
    return [replace(g, judgements=tuple(repeated_rows(g.judgements))) for g in groups]


def scaled_rows(rows: Sequence[Any], by: float) -> list[Any]:
    return [replace(row, weight=row.weight * by) for row in rows]


def scaled_groups(groups: Sequence[JudgedGroup], by: float) -> list[JudgedGroup]:
    return [replace(g, judgements=tuple(scaled_rows(g.judgements, by))) for g in groups]


LOOPS: dict[str, tuple[Callable[[Any], Outcome], Sequence[Any]]] = {
    "sft": (sft, EXAMPLES), "kto": (kto, THUMBS), "reward": (reward(), SAID),
    "reward_smoothed": (reward(label_smoothing=0.1, centring=0.1, ties="rao_kupper", rankings="all_pairs"), SAID),
    **{kind: (preference(kind), PAIRS) for kind in get_args(PreferenceLoss)},
}  # fmt: skip


def same(one: Outcome, other: Outcome) -> None:
    assert one[0] == pytest.approx(other[0], rel=1e-4)
    for a, b in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
    assert max(float(g.abs().max()) for g in one[1] if g.numel()) > 1e-3, (
        "there is no gradient to compare"
    )


@pytest.mark.parametrize("name", LOOPS)
def test_a_weight_is_how_often_the_row_is_there(name: str) -> None:
    """Weight 0: not at all. Only ratios matter."""
    run, rows = LOOPS[name]
    groups = name.startswith("reward")
    weigh, repeat, scale = (
        (weighted_groups, repeated_groups, scaled_groups)
        if groups
        else (weighted_rows, repeated_rows, scaled_rows)
    )
    weighted = weigh(rows, random.Random(name))
    found = run(weighted)
    same(found, run(repeat(weighted)))
    same(found, run(scale(weighted, 0.37)))
    assert found[0] != pytest.approx(run(rows)[0], rel=1e-3), "the weights did nothing"


# --- whole loops: rows of weight 0 ----------------------------------------------------------------
FAST = {"learning_rate": 3e-3, "warmup": 0.0}


def fit_sft(rows: Any, model: CausalLM) -> Any:
    return train_supervised(model, rows, SupervisedSettings(batch=3, **FAST), heldout=rows)


def fit_preference(rows: Any, model: CausalLM) -> Any:
    return train_preference(model, freeze(tiny_llama(4)), rows, PreferenceSettings(batch=3, **FAST))


def fit_kto(rows: Any, model: CausalLM) -> Any:
    return train_unpaired(model, freeze(tiny_llama(4)), rows, UnpairedSettings(batch=3, **FAST))


def fit_reward(rows: Any, model: CausalLM) -> Any:
    settings = RewardSettings(batch=2, effects="joint", **FAST, bootstrap=True)
    members = RewardModel.untrained([ScalarModel(model, ScalarHead(32, seed=1))])
    return train_reward(members, rows, settings, EFFECTS, heldout=rows, scales=SCALES)


SILENT = JudgedGroup(
    PromptGroup([0, 7], [[9, 1], [8, 1]]), (Judgement((0, 1), (0, 1), weight=0.0),)
)
WHOLE: dict[str, tuple[Callable[[Any, CausalLM], Any], list[Any], Any]] = {
    "sft": (fit_sft, EXAMPLES, PromptGroup([0, 7], [[9, 1]], weight=0.0)),
    "preference": (fit_preference, PAIRS, Pair([0, 7], [9, 1], [8, 1], weight=0.0)),
    "kto": (fit_kto, THUMBS, ThumbExample([0, 7], [9, 1], False, weight=0.0)),
    "reward": (fit_reward, SAID, SILENT),
}


@pytest.mark.parametrize("name", WHOLE)
def test_rows_of_weight_zero_leave_no_trace(name: str) -> None:
    fit, rows, nothing = WHOLE[name]
    with_it, without = tiny_llama(3), tiny_llama(3)
    assert fit([*rows[:2], nothing, *rows[2:]], with_it) == fit(rows, without)
    for a, b in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(DataError, match="nothing to"):
        fit([nothing], tiny_llama(3))


def test_a_judgement_of_weight_zero_beside_others() -> None:
    group = replace(
        SAID[0], judgements=(*SAID[0].judgements, Judgement((1, 0), (0, 1), weight=0.0))
    )
    one, other = tiny_llama(3), tiny_llama(3)
    assert fit_reward([group, *SAID[1:]], one) == fit_reward(SAID, other)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert strict_pairs([group]) == strict_pairs(SAID[:1])


def test_the_prior_on_annotators_follows_ratios_alone() -> None:
    one, other = tiny_llama(3), tiny_llama(3)
    weighted = weighted_groups(SAID, random.Random(1))
    assert fit_reward(scaled_groups(weighted, 0.5), one) == fit_reward(weighted, other)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# --- against numbers worked out by hand -----------------------------------------------------------
def test_every_term_has_its_own_judgements_weight() -> None:
    """Whatever the order in which judgements of several groups are computed."""
    rng = random.Random(5)
    groups = [
        replace(g, judgements=tuple(replace(j, weight=rng.random()) for j in g.judgements))
        for g in SAID
    ]
    learned = JudgementParameters(EFFECTS, SCALES).effects()

    def total(groups: Sequence[JudgedGroup], scores_R: Tensor, points_P: Tensor) -> float:
        return log_likelihood(
            HeadOutput(scores_R, points_P), JudgedBatch.of(groups), learned
        ).sum.item()

    sizes = [len(g.group.responses) for g in groups]
    scores, points = torch.randn(sum(sizes)).split(sizes), torch.randn(len(groups), 2)
    alone = sum(
        j.weight
        * total(
            [replace(g, judgements=(replace(j, weight=1.0),))],
            scores[i],
            points[i] if j.ends else points[i][:0],
        )
        for i, g in enumerate(groups)
        for j in g.judgements
    )
    labelled = torch.cat(
        [points[i] for i, g in enumerate(groups) if any(j.ends for j in g.judgements)]
    )
    assert total(groups, torch.cat(scores), labelled) == pytest.approx(alone, rel=1e-5)


def test_terms_of_a_distribution_head_are_weighted_and_soft() -> None:
    form, outputs = HeadForm("mean_variance"), torch.tensor([[0.3, 0.0], [-0.4, 1.0], [1.1, -1.0]])
    rows = (
        Judgement((0, 1), (0, 1), weight=2.0, doubt=0.3),
        Judgement((2, 0, 1), (0, 1, 2), weight=0.5),
    )
    plain, turned = Judgement((0, 1), (0, 1)), Judgement((1, 0), (0, 1))
    group = JudgedGroup(PromptGroup([0], [[4, 1], [5, 1], [6, 1]]), (*rows, plain, turned))
    found = log_likelihood(
        HeadOutput(form.moments(outputs)[0], None, outputs, form),
        JudgedBatch.of([group]),
        AnnotatorEffects.none(),
    )
    assert found.weight_M.tolist() == [1.0, 1.0, 2.0, 0.5]
    first, second, soft, _ = found.logp_M.tolist()
    assert soft == pytest.approx(0.7 * first + 0.3 * second, rel=1e-5)


def test_the_loss_of_pairs_with_weights_and_soft_labels_by_hand() -> None:
    """cDPO's cross-entropy per pair, as in `TRL`'s label smoothing, and the weighted mean over the
    batch."""
    policy, reference = tiny_llama(3), freeze(tiny_llama(4))
    rows = [
        replace(p, weight=w, doubt=e)
        for p, w, e in zip(PAIRS, (0.5, 2.0, 1.0), (0.0, 0.3, 0.5), strict=False)
    ]
    with torch.no_grad():
        h = 0.1 * (
            reference_logprobs(policy, policy, rows, 99)
            - reference_logprobs(policy, reference, rows, 99)
        )
    losses_by_hand = [
        -(1 - p.doubt) * math.log(1 / (1 + math.exp(-x)))
        - p.doubt * math.log(1 / (1 + math.exp(x)))
        for p, x in zip(rows, (h[:, 0] - h[:, 1]).tolist(), strict=True)
    ]
    expected = sum(p.weight * loss for p, loss in zip(rows, losses_by_hand, strict=True)) / 3.5
    values, _ = preference_step(
        policy,
        rows,
        reference_logprobs(policy, reference, rows, 99),
        PreferenceSettings(learning_rate=1e-5),
    )
    assert values["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shown", [None, (0, 1)])
def test_a_soft_label_is_learned_as_that_probability(shown: tuple[int, int] | None) -> None:
    """The cross-entropy is least where the model says what the label says."""
    score = torch.zeros(2, requires_grad=True)
    group = JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), (Judgement((0, 1), shown, doubt=0.2),))
    batch = JudgedBatch.of([group])
    effects = AnnotatorEffects.none(log_nu=-30.0)
    for _ in range(400):
        loss = -log_likelihood(score, batch, effects).sum
        (grad,) = torch.autograd.grad(loss, score)
        score = (score - grad).detach().requires_grad_()
    assert torch.sigmoid(score[0] - score[1]).item() == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("doubt", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("shown", [None, (0, 1)])
def test_smoothing_is_the_least_doubt_of_comparisons_and_corrections(
    shown: tuple[int, int] | None, doubt: float
) -> None:
    def term(told: float, smoothing: float) -> Tensor:
        group = JudgedGroup(
            PromptGroup([0], [[4, 1], [5, 1]]), (Judgement((0, 1), shown, doubt=told),)
        )
        return log_likelihood(
            torch.tensor([0.3, -0.4]),
            JudgedBatch.of([group]),
            AnnotatorEffects.none(log_nu=-1.0),
            smoothing,
        ).logp_M

    torch.testing.assert_close(term(doubt, 0.2), term(max(doubt, 0.2), 0.0))


# --- rankings -------------------------------------------------------------------------------------
def test_an_exported_ranking_counts_once() -> None:
    """Its six pairs with a sixth of its weight each push the reward as the ranking does (the mean
    over its pairs)."""
    ranking = JudgedGroup(
        PromptGroup([0, 5], [[6, 1], [7, 1], [8, 1], [9, 1]]),
        (Judgement((2, 0, 3, 1), None, weight=2.0),),
    )
    comparison = JudgedGroup(PromptGroup([0, 4], [[6, 1], [7, 1]]), (Judgement((1, 0), None),))
    taken_apart = [
        JudgedGroup(
            PromptGroup(
                ranking.group.prompt,
                [ranking.group.responses[p.better], ranking.group.responses[p.worse]],
            ),
            (Judgement((0, 1), None, weight=p.weight),),
        )
        for p in pairs_said([ranking])
    ]
    assert [p.weight for p in pairs_said([ranking])] == pytest.approx([1 / 3] * 6)
    run = reward(rankings="all_pairs")
    one, other = run([ranking, comparison]), run([*taken_apart, comparison])
    same(({"loss": one[0]["loss"]}, one[1]), ({"loss": other[0]["loss"]}, other[1]))


def test_equal_responses_are_no_pair() -> None:
    group = JudgedGroup(
        PromptGroup([0], [[4, 1], [5, 1], [4, 1]]), (Judgement((0, 1, 2), (0, 1, 2)),)
    )
    assert strict_pairs([group]) == [(0, 0, 1), (0, 1, 2)]


# --- calibration ----------------------------------------------------------------------------------
class Scores:
    """A reward model whose scores are given."""

    temperature = 1.0

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores

    def score(self, groups: Sequence[PromptGroup], budget: int) -> Tensor:
        return torch.tensor([[s for g in groups for s in self.scores[: len(g.responses)]]])


def test_the_temperature_is_fitted_to_weights_and_soft_labels() -> None:
    def fit(*judgements: Judgement) -> float:
        group = JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), judgements)
        return fit_temperature(Scores([1.0, 0.0]), [group])  # type: ignore[arg-type]

    right, wrong = Judgement((0, 1), (0, 1)), Judgement((1, 0), (0, 1))
    thrice = fit(right, right, right, wrong)
    assert torch.sigmoid(torch.tensor(1 / thrice)).item() == pytest.approx(0.75, abs=1e-3)
    assert fit(replace(right, weight=6.0), replace(wrong, weight=2.0)) == pytest.approx(
        thrice, rel=1e-3
    )
    assert fit(replace(right, doubt=0.25)) == pytest.approx(thrice, rel=1e-3)


# --- what is refused ------------------------------------------------------------------------------
@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "make",
    [
        lambda w: Pair([0], [1], [2], "row 7", weight=w), lambda w: ThumbExample([0], [1], True, "row 7", weight=w),
        lambda w: Judgement((0, 1), (0, 1), weight=w), lambda w: PromptGroup([0], [[1]], weight=w),
    ],
)  # fmt: skip
def test_what_is_no_weight_is_refused(make: Callable[[float], Any], weight: float) -> None:
    with pytest.raises((DataError, ValueError), match="weight is"):
        make(weight)


def test_doubts_that_are_none() -> None:
    with pytest.raises(DataError, match=r"pair 'row 7': the doubt is 0\.6"):
        Pair([0], [1], [2], "row 7", doubt=0.6)
    with pytest.raises(ValueError, match="doubt belongs to a comparison"):
        Judgement((0, 1), (0, 1), kind="tie", doubt=0.2)
    open_ = [*PAIRS, Pair([0], [1], [2], "row 7", doubt=0.5)]
    with pytest.raises(DataError, match="pair 'row 7': either response may be the better one"):
        train_preference(
            tiny_llama(), None, open_, PreferenceSettings(loss="robust", learning_rate=1e-5)
        )
