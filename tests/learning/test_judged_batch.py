"""Judgements as tensors: cut out of a whole they are what is built of the part."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_learning_weights import SAID, SCALES

from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
from accord.models.heads import HeadOutput
from accord.text.packing import PromptGroup, pack

WHOLE = JudgedBatch.of([*SAID, replace(SAID[0], judgements=())])


def same(one: JudgedBatch, other: JudgedBatch) -> bool:
    """Whether all tables are equal, row by row."""
    for a, b in zip((*one.choices, *one.answers), (*other.choices, *other.answers), strict=True):
        for field in fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if not (torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y):
                return False
    return one.groups == other.groups


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAID)), st.integers(0, 2)), max_size=8))
def test_a_selection_is_what_is_built_of_the_same_prompts(visits: list[tuple[int, int]]) -> None:
    groups = [*SAID, replace(SAID[0], judgements=())]
    prompts, times = [p for p, _ in visits], [n for _, n in visits]
    chosen = [groups[p] for p in prompts]
    assert same(WHOLE.select(prompts), JudgedBatch.of(chosen))
    repeated = [replace(g, judgements=g.judgements * n) for g, n in zip(chosen, times, strict=True)]
    assert same(WHOLE.select(prompts, times), JudgedBatch.of(repeated))
    assert same(WHOLE.select(prompts).repeated(times), JudgedBatch.of(repeated))


def test_a_likelihood_is_the_sum_over_its_prompts() -> None:
    """Whatever the batch, each judgement keeps its responses, steps, level and annotator."""
    start = AnnotatorEffects(torch.tensor([1.0, 0.4]), torch.tensor([0.2, -0.3]))
    effects = JudgementParameters(start, SCALES).effects()

    def total(prompts: list[int]) -> float:
        batch = WHOLE.select(prompts)
        stream = pack(batch.groups)
        at_P = batch.step_ends(stream)
        tokens_R = stream.token_ids_N[stream.last_R - stream.lengths_R + 1]
        points = None if at_P is None else torch.sin(stream.token_ids_N[at_P].float())
        return float(
            log_likelihood(HeadOutput(torch.cos(tokens_R.float()), points), batch, effects).sum
        )

    prompts = list(range(len(SAID)))
    assert total(prompts[::-1]) == pytest.approx(sum(total([p]) for p in prompts), rel=1e-5)


def test_weights_add_up_terms_and_choices() -> None:
    rows = (
        Judgement((0, 1), (0, 1), weight=0.5),
        Judgement((0,), None, 0, "rating", weight=2.0),
        Judgement((1,), None, 0, "steps", scale=1, ends=(0, 1), levels=(0, 1), weight=0.25),
    )
    batch = JudgedBatch.of([JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), rows)])
    assert (batch.weight, batch.compared_weight) == (0.5 + 2.0 + 2 * 0.25, 0.5)
    assert not JudgedBatch.of([JudgedGroup(PromptGroup([0], [[4, 1]]), ())])


def test_a_tie_of_two_that_were_not_shown_together_favours_neither() -> None:
    """It is the tie shown side by side, but that no place acts on it."""

    def logp(shown_at: tuple[int, int] | None, side_bias: float, gap: float) -> float:
        tie = Judgement((0, 1), shown_at, kind="tie")
        batch = JudgedBatch.of([JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), (tie,))])
        effects = AnnotatorEffects(torch.ones(1), torch.tensor([side_bias]), log_nu=-1.0)
        reading = HeadOutput(torch.tensor([gap, 0.0]), None)
        return float(log_likelihood(reading, batch, effects).sum)

    for gap in (0.0, 0.7):
        assert logp(None, 0.5, gap) == pytest.approx(logp((0, 1), 0.0, gap))
        assert logp(None, 0.5, gap) == pytest.approx(logp(None, 0.5, -gap))


def test_nothing_said_has_no_term() -> None:
    nothing = JudgedBatch((), (), ())
    assert not nothing
    assert nothing.weight_M.shape == (0,)
