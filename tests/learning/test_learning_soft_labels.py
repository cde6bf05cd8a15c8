"""Soft labels are cross-entropies: in the reward likelihood, in numpy's choice model, and in DPO."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from accord.feedback.choice_model import decided_log_p, place_of, utility
from accord.feedback.records import Feedback
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
from accord.learning.losses import PairLogprobs, preference
from accord.learning.said import choice_of
from accord.models.heads import HeadOutput
from accord.text.packing import PromptGroup

GROUP = PromptGroup([0], [[4, 1], [5, 1]])
NUMBERS = st.floats(-8, 8, allow_nan=False, width=32)


def term(
    scores: Tensor | HeadOutput, judgement: Judgement, effects: AnnotatorEffects | None = None
) -> Tensor:
    batch = JudgedBatch.of([JudgedGroup(GROUP, (judgement,))])
    return log_likelihood(scores, batch, effects or AnnotatorEffects.none()).logp_M[0]


def record(
    probability: float | None, preferred: str = "a", shown: tuple[int, int] = (0, 1)
) -> Feedback:
    options = [{"id": i, "content": i, "shown_at": at} for i, at in zip("ab", shown, strict=True)]
    choice = {"preferred": preferred, "probability": probability}
    return Feedback.model_validate(
        {
            "id": "r",
            "kind": "comparison",
            "prompt": "?",
            "options": options,
            "choice": choice,
            "annotator": "judge",
        }
    )


def test_a_soft_label_is_binary_cross_entropy() -> None:
    """On fixed tensors, to 1e-7, whatever ties are thought to be."""
    gaps = torch.linspace(-6, 6, 25, dtype=torch.float64)
    shares = torch.tensor([0.5, 0.6, 0.75, 0.9, 0.999, 1.0], dtype=torch.float64)
    for gap in gaps:
        for q in shares:
            scores = torch.stack([gap / 2, -gap / 2])
            said = Judgement((0, 1), (0, 1), doubt=1 - q.item())
            wanted = -F.binary_cross_entropy_with_logits(gap, q)
            torch.testing.assert_close(term(scores, said), wanted, rtol=0, atol=1e-7)


@given(
    NUMBERS, NUMBERS, st.floats(0.5, 1), st.floats(-2, 3), st.floats(-2, 2), st.permutations([0, 1])
)
def test_under_annotator_effects_it_is_numpys_choice_model(
    a: float, b: float, q: float, beta: float, gamma: float, shown: list[int]
) -> None:
    effects = AnnotatorEffects(
        torch.tensor([beta], dtype=torch.float64), torch.tensor([gamma], dtype=torch.float64)
    )
    scores = torch.tensor([a, b], dtype=torch.float64)
    said = Judgement((0, 1), (shown[0], shown[1]), doubt=1 - q)
    u = utility(np.array([a, b]), place_of(np.array(shown), 2), beta, gamma)
    doubt = 1 - q  # as the judgement holds it
    wanted = (1 - doubt) * decided_log_p(u[0] - u[1]) + doubt * decided_log_p(u[1] - u[0])
    assert float(term(scores, said, effects)) == pytest.approx(float(wanted), abs=1e-7)


@given(NUMBERS, NUMBERS, st.floats(0.5, 1), st.permutations([0, 1]))
def test_a_certain_one_is_the_hard_label_and_the_other_option_mirrors_it(
    a: float, b: float, q: float, shown: list[int]
) -> None:
    """q = 1 is a hard label among people who do not tie; q of one option is 1 - q of the other."""
    scores, places = torch.tensor([a, b], dtype=torch.float64), (shown[0], shown[1])
    never = AnnotatorEffects.none(log_nu=-60.0)
    certain, hard = (
        term(scores, choice_of(record(p, shown=places), {"a": 0, "b": 1}, 0), never)
        for p in (1.0, None)
    )
    torch.testing.assert_close(certain, hard, rtol=0, atol=1e-7)
    one = choice_of(record(q, "a", places), {"a": 0, "b": 1}, 0)
    other = choice_of(record(q, "b", (places[1], places[0])), {"a": 0, "b": 1}, 0)
    biased = AnnotatorEffects(torch.tensor([1.3]), torch.tensor([0.7]))
    mirrored = term(scores.flip(0), other, biased)
    torch.testing.assert_close(term(scores, one, biased), mirrored, rtol=0, atol=1e-7)


def test_its_slope_is_what_is_said_less_what_is_expected() -> None:
    scores = torch.tensor([0.4, -0.3], dtype=torch.float64, requires_grad=True)
    said = Judgement((0, 1), (1, 0), doubt=0.2)
    assert torch.autograd.gradcheck(lambda s: term(s, said), (scores,))
    (slope,) = torch.autograd.grad(term(scores, said), scores)
    expected = 0.8 - torch.sigmoid(scores[0] - scores[1]).item()
    assert slope.tolist() == pytest.approx([expected, -expected], abs=1e-12)


@given(NUMBERS, st.floats(0.5, 1))
def test_dpo_means_the_same_by_a_pair_s_doubt(gap: float, q: float) -> None:
    one = torch.ones(1, dtype=torch.float64)
    pairs = PairLogprobs(gap * one, 0 * one, 0 * one, 0 * one, one, one)
    loss = preference(pairs, "sigmoid", beta=1.0, label_smoothing=(1 - q) * one)
    scores = torch.tensor([gap, 0.0], dtype=torch.float64)
    said = term(scores, Judgement((0, 1), None, doubt=1 - q))
    assert float(loss[0]) == pytest.approx(-float(said), abs=1e-7)


def test_an_attribute_is_compared_by_its_own_output() -> None:
    outputs = torch.tensor([[0.1, 2.0], [0.7, -1.0]], dtype=torch.float64)
    reading = HeadOutput(outputs[:, 0], outputs_RO=outputs)
    whole, part = Judgement((0, 1), None, doubt=0.1), Judgement((0, 1), None, doubt=0.1, facet=1)
    assert float(term(reading, whole)) == pytest.approx(float(term(outputs[:, 0], whole)))
    assert float(term(reading, part)) == pytest.approx(float(term(outputs[:, 1], whole)))
    assert (whole.pairs, part.pairs) == ([(0, 1)], [])
    with pytest.raises(Exception, match="of output 1, the head has 0"):
        term(outputs[:, 0], part)
