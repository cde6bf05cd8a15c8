"""Pretraining with feedback: its losses equal the reference formulas, and its loop resumes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_learning_loops import EXAMPLES, FAST, assert_resume_is_exact, lm_weights
from torch.nn import functional as F

from accord.errors import ConfigError, DataError
from accord.learning import losses
from accord.learning.scored_text import VALUE_HEAD, scored_step, text_losses, train_scored
from accord.learning.settings import PretrainingSettings, TextFeedbackSettings
from accord.learning.supervised import heldout_loss, supervised_step
from accord.text.scored import ScoredWindow
from tiny import tiny_llama

WINDOWS = [
    ScoredWindow(group, [(-1.0) ** i * 0.1 * j for j in range(len(group.responses[0]))], i)
    for i, group in enumerate(EXAMPLES)
]


def feedback(objective: str, **more: float) -> TextFeedbackSettings:
    return TextFeedbackSettings(objective=objective, threshold=0.05, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fixed() -> dict[str, torch.Tensor]:
    """Fixed logits, labels, scores (the reference's: the higher the worse) and values."""
    rng = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    return {
        "logits": 3 * draw(50, 17),
        "labels": torch.randint(0, 17, (50,), generator=rng),
        "scores": draw(50).abs(),
        "values": draw(50),
    }


def logp(fixed: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.log_softmax(fixed["logits"], -1).gather(1, fixed["labels"][:, None])[:, 0]


def test_unlikelihood_is_the_references(fixed: dict[str, torch.Tensor]) -> None:
    """Written from the formula of Welleck et al. as the paper's code has it, from the logits."""
    aligned = (fixed["scores"] <= 0.6).double()
    likelihoods = -F.cross_entropy(fixed["logits"], fixed["labels"], reduction="none")
    against = torch.clamp(1.0 - likelihoods.exp(), min=1e-20).log()
    theirs = (-(aligned * likelihoods) - 0.3 * (1 - aligned) * against).mean()
    ours = losses.unlikelihood(logp(fixed), -fixed["scores"] >= -0.6, 0.3).mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_regressions_are_the_references(fixed: dict[str, torch.Tensor]) -> None:
    reward, nll = (
        -fixed["scores"],
        F.cross_entropy(fixed["logits"], fixed["labels"], reduction="none"),
    )
    weight = torch.clamp(torch.exp(reward / 0.2), max=0.9)
    ours = (losses.regression_weight(reward, 0.2, 0.9) * -logp(fixed)).mean()
    assert ours.item() == pytest.approx((weight * nll).mean().item(), abs=1e-6)
    advantage = reward - fixed["values"]
    weight = torch.clamp(torch.exp(advantage / 0.4), max=2.0)
    theirs = 0.3 * (nll * weight).mean() + 0.7 * F.mse_loss(fixed["values"], reward)
    ours = losses.advantage_regression(logp(fixed), fixed["values"], reward, 0.4, 0.3, 2.0).mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_the_weight_of_an_advantage_teaches_the_value_nothing() -> None:
    value_S = torch.tensor([0.3, -0.2], requires_grad=True)
    reward_S, logp_S = torch.tensor([0.0, 1.0]), torch.tensor([-1.0, -2.0])
    losses.advantage_regression(logp_S, value_S, reward_S, 0.5, 0.5, 10.0).sum().backward()
    torch.testing.assert_close(value_S.grad, -(reward_S - value_S.detach()))


@given(st.lists(st.floats(-60, 0), min_size=1, max_size=20), st.floats(0.01, 5))
def test_unlikelihood_is_finite_and_falls_where_it_should(logps: list[float], alpha: float) -> None:
    """Of a token that is certain, too; it pulls good tokens up and bad ones down."""
    for good in (True, False):
        logp_S = torch.tensor(logps, requires_grad=True)
        loss_S = losses.unlikelihood(logp_S, torch.full((len(logps),), good), alpha)
        loss_S.sum().backward()
        assert logp_S.grad is not None
        assert loss_S.isfinite().all()
        assert logp_S.grad.isfinite().all()
        assert (logp_S.grad <= 0 if good else logp_S.grad >= 0).all()


def test_mle_is_the_supervised_step() -> None:
    one, other = tiny_llama(2), tiny_llama(2)
    values, used = scored_step(one, WINDOWS, feedback("mle"), 30)
    loss, tokens = supervised_step(other, EXAMPLES, 30)
    assert (values["loss"], values["loss_tok"], used) == pytest.approx(
        (loss, loss, tokens), rel=1e-6
    )
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


@pytest.mark.parametrize("objective", ["mle", "unlikelihood", "rwr", "awr"])
def test_it_resumes_exactly(objective: str) -> None:
    settings = PretrainingSettings(epochs=2, batch=5, evaluate_every=3, **FAST)
    assert_resume_is_exact(
        tiny_llama,
        lambda m, s: train_scored(
            m, WINDOWS, settings, feedback(objective, beta=0.5), s, WINDOWS[:4], seed=3
        ),
        lm_weights,
    )


def test_the_value_head_goes_with_the_training() -> None:
    model = tiny_llama()
    names = [name for name, _ in model.hf.named_parameters()]
    train_scored(model, WINDOWS, PretrainingSettings(batch=8, **FAST), feedback("awr"))
    assert [name for name, _ in model.hf.named_parameters()] == names
    assert not hasattr(model.hf, VALUE_HEAD)


def test_each_objective_moves_bad_text_as_it_should() -> None:
    """Bad windows get less likely than under mle; good ones are learned all the same."""
    good, bad = WINDOWS[:12], WINDOWS[12:]
    scored = [
        ScoredWindow(w.group, [score] * len(w.rewards), w.document)
        for part, score in ((good, 0.5), (bad, -0.5))
        for w in part
    ]
    settings = PretrainingSettings(epochs=6, batch=8, **FAST)
    found = {}
    for objective in ("mle", "unlikelihood", "rwr", "awr"):
        model = tiny_llama(1)
        before = heldout_loss(model, [w.group for w in good])
        train_scored(model, scored, settings, feedback(objective, beta=0.2), seed=1)
        losses_of = [text_losses(model, part, None).mean for part in (good, bad)]
        assert losses_of[0] < before - 0.1
        found[objective] = losses_of[1]
    assert all(found[name] > found["mle"] + 0.1 for name in ("unlikelihood", "rwr", "awr"))


def test_losses_of_good_text_are_of_its_tokens() -> None:
    model = tiny_llama()
    all_of_it = text_losses(model, WINDOWS, 0.05, 40)
    assert all_of_it.mean == pytest.approx(heldout_loss(model, EXAMPLES), rel=1e-6)
    assert all_of_it.good_tokens_W.sum() == sum(r > 0.05 for w in WINDOWS for r in w.rewards)
    assert text_losses(model, WINDOWS, 99.0).good_mean is None


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match="has to know which segments are good"):
        TextFeedbackSettings(objective="unlikelihood")
    with pytest.raises(DataError, match="0 windows"):
        train_scored(tiny_llama(), [], PretrainingSettings(**FAST), feedback("rwr"))
