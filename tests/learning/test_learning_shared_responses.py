"""A response that stands in several pairs is computed once, and nothing else changes."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.learning import preference
from accord.learning.order import EpochOrder
from accord.learning.preference import (
    Pair,
    PreferenceSettings,
    preference_evaluation,
    preference_step,
    reference_logprobs,
    train_preference,
)
from accord.learning.rows import rows_visited
from accord.learning.session import LocalSession
from accord.learning.settings import UnpairedSettings
from accord.learning.shared_responses import rows_of, share_responses, values_by_row
from accord.learning.unpaired import ThumbExample, train_unpaired
from tiny import tiny_llama

MODEL = tiny_llama()
BIG, NOTHING_SHARED = 4096, 1
tokens = st.lists(st.integers(3, 6), min_size=1, max_size=4)


@st.composite
def one_pair(draw: st.DrawFn) -> Pair:
    """Few prompts and responses, so that many pairs have them in common."""
    responses = draw(st.lists(tokens, min_size=2, max_size=2))
    masks = []
    for response in responses:
        mask = [draw(st.booleans()) for _ in response]
        mask[0] = True
        masks.append(draw(st.sampled_from([None, mask])))
    prompt = draw(st.sampled_from([[1], [1, 4], [7, 7, 7]]))
    doubt, weight = draw(st.floats(0, 0.4)), draw(st.floats(0.1, 3))
    return Pair(prompt, *responses, doubt=doubt, weight=weight, masks=masks)


many_pairs = st.lists(one_pair(), min_size=1, max_size=8)


@given(pairs=many_pairs, most=st.integers(1, 60))
def test_every_row_finds_its_own_responses_and_none_is_there_twice(
    pairs: list[Pair], most: int
) -> None:
    groups = [pair.group for pair in pairs]
    shared = share_responses(groups, most)
    assert sorted(rows_of(shared)) == list(range(len(pairs)))
    for one in shared:
        alike = list(zip(map(tuple, one.group.responses), map(str, one.group.masks), strict=False))
        assert len(set(alike)) == len(alike)
        assert one.group.tokens <= max(most, *(groups[row].tokens for row in one.rows))
        for row, places in zip(one.rows, one.places, strict=True):
            assert one.group.prompt == groups[row].prompt
            assert one.group.only(*places).responses == groups[row].responses
            assert [one.group.mask(p) for p in places] == [groups[row].mask(i) for i in (0, 1)]
    numbered = torch.arange(sum(len(one.group.responses) for one in shared))
    assert values_by_row(shared, numbered).shape == (len(pairs), 2)


def gradients(
    pairs: list[Pair], reference_P2: torch.Tensor, chosen: PreferenceSettings
) -> list[torch.Tensor]:
    MODEL.hf.zero_grad()
    preference_step(MODEL, pairs, reference_P2, chosen)
    return [p.grad.clone() for p in MODEL.parameters() if p.grad is not None]


@settings(max_examples=15)
@given(pairs=many_pairs, loss=st.sampled_from(["sigmoid", "ipo", "simpo", "orpo", "robust"]))
def test_gradient_and_measures_are_those_of_pairs_computed_apart(
    pairs: list[Pair], loss: str
) -> None:
    given_ = {"loss": loss, "learning_rate": 1e-3, "nll_weight": 0.1}
    together, apart = (
        PreferenceSettings.model_validate({**given_, "micro_batch_tokens": tokens})
        for tokens in (BIG, NOTHING_SHARED)
    )
    reference = [reference_logprobs(MODEL, MODEL, pairs, most) for most in (BIG, NOTHING_SHARED)]
    torch.testing.assert_close(*reference, atol=1e-5, rtol=1e-5)
    reference_P2 = reference[0] - 0.3 * torch.rand(len(pairs), 2)
    one, other = gradients(pairs, reference_P2, together), gradients(pairs, reference_P2, apart)
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)
    first, second = (
        preference_evaluation(MODEL, pairs, reference_P2, chosen) for chosen in (together, apart)
    )
    assert first == pytest.approx(second, abs=1e-5)


def all_pairs(prompts: int = 6, responses: int = 4) -> list[Pair]:
    return [
        Pair([1, 3 + p], [3 + i, 4, 2], [3 + j, 4, 2], f"{p}.{i}.{j}")
        for p in range(prompts)
        for i, j in combinations(range(responses), 2)
    ]


def test_pairs_by_prompt_cost_less_than_half_and_learn_the_same_rows() -> None:
    used = {}
    for by_prompt in (False, True):
        chosen = PreferenceSettings(learning_rate=1e-3, batch=6, by_prompt=by_prompt)
        used[by_prompt] = train_preference(tiny_llama(), MODEL, all_pairs(), chosen).tokens
    assert used[True] == 6 * (2 + 4 * 3)  # a prompt once, four responses once
    assert used[True] < used[False] / 2


def test_the_reference_is_asked_only_about_rows_that_are_come_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def counting(*given_: Any, **more: Any) -> torch.Tensor:
        asked.append(len(given_[2]))
        return reference_logprobs(*given_, **more)

    monkeypatch.setattr(preference, "reference_logprobs", counting)
    for most, pairs in ((None, 36), (2, 12), (9, 36)):
        chosen = PreferenceSettings(learning_rate=1e-3, batch=6, max_steps=most)
        result = train_preference(tiny_llama(), MODEL, all_pairs(), chosen, seed=3)
        whole = PreferenceSettings(learning_rate=1e-3, batch=6)
        if most == 2:
            assert rows_visited(36, chosen, 3) == sorted(
                row for step in range(2) for row in EpochOrder(36, 6, 1, 3).rows(step)
            )
        assert (asked.pop(), result.steps) == (pairs, most or 6)
    assert rows_visited(36, whole, 3) == list(range(36))


@pytest.mark.parametrize("seed", range(3))
def test_what_the_reference_says_stands_at_the_rows_that_are_come_to(seed: int) -> None:
    """Before its first update a policy is its reference, so that every loss is known."""
    one = {"learning_rate": 1e-3, "batch": 6, "max_steps": 1}
    pairs = all_pairs()
    chosen = PreferenceSettings.model_validate(one)
    found = train_preference(tiny_llama(), MODEL, pairs, chosen, seed=seed)
    assert found.loss == pytest.approx(math.log(2), abs=1e-5)
    thumbs = [ThumbExample(p.prompt, p.chosen, n % 2 == 0) for n, p in enumerate(pairs)]
    session = LocalSession()
    settings_ = UnpairedSettings.model_validate(one)
    train_unpaired(tiny_llama(), MODEL, thumbs, settings_, session, seed=seed)
    (values,) = session.history
    assert values["desirable_shift"] == pytest.approx(0, abs=1e-5)
    assert values["undesirable_shift"] == pytest.approx(0, abs=1e-5)


@given(
    blocks=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    batch=st.integers(1, 7),
    seed=st.integers(0, 9),
)
def test_blocks_stay_together_and_every_row_is_visited_once(
    blocks: list[int], batch: int, seed: int
) -> None:
    order = EpochOrder(len(blocks), batch, 1, seed, blocks)
    rows = [row for step in range(order.steps) for row in order.rows(step)]
    assert sorted(rows) == list(range(len(blocks)))
    changes = sum(blocks[a] != blocks[b] for a, b in pairwise(rows))
    assert changes == len(set(blocks)) - 1
    alone = EpochOrder(len(blocks), batch, 1, seed)
    single = EpochOrder(len(blocks), batch, 1, seed, list(range(len(blocks))))
    assert all(alone.rows(step) == single.rows(step) for step in range(alone.steps))
