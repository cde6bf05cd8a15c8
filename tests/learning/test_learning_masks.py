"""Responses of which only some tokens are scored: every objective gives the numbers computed by
hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.learning import losses
from accord.learning.preference import Pair, PreferenceSettings, preference_step, reference_logprobs
from accord.learning.rows import logprob_sums
from accord.learning.supervised import heldout_loss, supervised_step
from accord.learning.unpaired import ThumbExample, UnpairedSettings, unpaired_step
from accord.text.packing import PromptGroup, cut_groups, join, pack
from tiny import tiny_llama

MODEL = tiny_llama()
tokens = st.lists(st.integers(3, 9), min_size=1, max_size=6)


@st.composite
def masked(draw: st.DrawFn, most: int = 3) -> PromptGroup:
    """A prompt with responses of which at least one token each is scored."""
    responses = draw(st.lists(tokens, min_size=1, max_size=most))
    masks: list[Any] = []
    for response in responses:
        mask = [draw(st.booleans()) for _ in response]
        mask[draw(st.integers(0, len(mask) - 1))] = True
        masks.append(draw(st.sampled_from([mask, None])))
    return PromptGroup(draw(tokens), responses, masks)


def by_hand(group: PromptGroup, response: int) -> list[float]:
    """Log-probability of each scored token, from the whole sequence by itself."""
    prompt, own = list(group.prompt), list(group.responses[response])
    logp = MODEL.logprobs(pack([PromptGroup(prompt, [own])])).tolist()
    mask = group.mask(response) or [True] * len(own)
    return [value for value, scored in zip(logp, mask, strict=True) if scored]


@settings(max_examples=25, deadline=None)
@given(groups=st.lists(masked(), min_size=1, max_size=3), share=st.booleans())
@torch.no_grad()
def test_a_masked_stream_scores_what_is_scored_by_hand(
    groups: list[PromptGroup], share: bool
) -> None:
    stream = pack(groups, share)
    hand = [by_hand(group, i) for group in groups for i in range(len(group.responses))]
    assert MODEL.logprobs(stream).tolist() == pytest.approx(
        [value for row in hand for value in row], abs=1e-5
    )
    assert (
        stream.scored_R.tolist()
        == [len(row) for row in hand]
        == [n for g in groups for n in g.scored]
    )
    assert stream.lengths_R.tolist() == [len(r) for g in groups for r in g.responses]
    assert torch.equal(stream.token_ids_N[stream.token_at_S], stream.targets_S)
    last = [r[-1] for g in groups for r in g.responses]
    assert stream.token_ids_N[stream.last_R].tolist() == last
    for most in (1, 9, 30):  # where a pass is cut changes nothing
        cut = cut_groups(groups, most)
        assert [n for g in cut for n in g.scored] == stream.scored_R.tolist()
    mean = -sum(map(sum, hand)) / sum(map(len, hand))
    assert heldout_loss(MODEL, groups) == pytest.approx(mean, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(shared=tokens, groups=st.lists(masked(), min_size=1, max_size=3))
@torch.no_grad()
def test_joined_groups_score_as_they_did_apart(
    shared: list[int], groups: list[PromptGroup]
) -> None:
    apart = [PromptGroup([*shared, *g.prompt], g.responses, g.masks) for g in groups]
    one = join(apart)
    assert MODEL.logprobs(pack([one])).tolist() == pytest.approx(
        [value for g in apart for i in range(len(g.responses)) for value in by_hand(g, i)], abs=1e-5
    )
    assert [[*one.prompt, *r] for r in one.responses] == [
        [*g.prompt, *r] for g in apart for r in g.responses
    ]


KINDS: list[Any] = ["sigmoid", "sigmoid_norm", "ipo", "simpo", "orpo", "hinge"]


@settings(max_examples=20, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_preferences_count_scored_tokens_alone(data: st.DataObject, kind: Any) -> None:
    groups = [data.draw(masked().filter(lambda g: len(g.responses) > 1)) for _ in range(2)]
    pairs = [
        Pair(g.prompt, g.responses[0], g.responses[1], masks=[g.mask(0), g.mask(1)]) for g in groups
    ]
    setting = PreferenceSettings(
        loss=kind, gamma=0.3 * (kind == "simpo"), nll_weight=0.5, learning_rate=1e-5
    )
    with torch.no_grad():
        hand = [[by_hand(g, i) for i in (0, 1)] for g in groups]
        sums, counts = ([[f(r) for r in pair] for pair in hand] for f in (sum, len))
        reference = reference_logprobs(MODEL, None, pairs, 64)
        assert reference.flatten().tolist() == pytest.approx(
            [x for row in sums for x in row], abs=1e-5
        )
    reference = reference - 0.1
    columns = [torch.tensor(sums), reference, torch.tensor(counts, dtype=torch.float)]
    numbers = losses.PairLogprobs(*(column[:, i] for column in columns for i in (0, 1)))
    loss = losses.preference(numbers, kind, setting.strength, 0.0, setting.gamma).mean()
    loss = loss - 0.5 * sum(pair[0] for pair in sums) / sum(pair[0] for pair in counts)
    found, _ = preference_step(MODEL, pairs, reference, setting)
    assert found["loss"] == pytest.approx(float(loss), abs=1e-4)
    MODEL.hf.zero_grad()


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_thumbs_and_demonstrations_count_scored_tokens_alone(data: st.DataObject) -> None:
    groups = [data.draw(masked(most=1)) for _ in range(3)]
    with torch.no_grad():
        sums = [sum(by_hand(g, 0)) for g in groups]
    thumbs = [
        ThumbExample(g.prompt, g.responses[0], i != 1, mask=g.mask(0)) for i, g in enumerate(groups)
    ]
    reference = torch.tensor(sums) - 0.2
    found, _ = unpaired_step(
        MODEL, thumbs, reference, torch.tensor(0.1), UnpairedSettings(learning_rate=5e-6)
    )
    hand = losses.kto(
        torch.full((3,), 0.2), torch.tensor([True, False, True]), torch.tensor(0.1), 0.1
    ).mean()
    assert found["loss"] == pytest.approx(float(hand), abs=1e-5)
    assert logprob_sums(MODEL, groups, 16)[:, 0].tolist() == pytest.approx(sums, abs=1e-5)
    loss, _ = supervised_step(MODEL, groups, 16)
    assert loss == pytest.approx(-sum(sums) / sum(n for g in groups for n in g.scored), abs=1e-5)
    MODEL.hf.zero_grad()


def test_masks_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"masks of \[1\] do not fit responses of \[2\] tokens"):
        PromptGroup([1], [[2, 3]], [[True]])
    for make in (
        lambda m: Pair([1], [2], [3], masks=[m, None]),
        lambda m: ThumbExample([1], [2], True, mask=m),
    ):
        with pytest.raises(DataError, match=r"no token of (a|the) response is scored"):
            make([False])
