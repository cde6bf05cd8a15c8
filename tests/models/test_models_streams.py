"""A sequence means the same in every stream: whatever is packed beside it, of whatever lengths."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.models.attention import plan_attention
from accord.text.packing import PromptGroup, pack
from tiny import tiny_llama

MODEL = tiny_llama()
GROUP = st.tuples(st.integers(1, 12), st.lists(st.integers(1, 12), min_size=1, max_size=3))


def build(shapes: list[tuple[int, list[int]]]) -> list[PromptGroup]:
    """Groups of these lengths (prompt, responses), their tokens numbered on."""
    numbers = iter(range(10_000))

    def tokens(n: int) -> list[int]:
        return [4 + next(numbers) * 7 % 60 for _ in range(n)]

    return [
        PromptGroup(tokens(prompt), [tokens(n) for n in responses]) for prompt, responses in shapes
    ]


def check(shapes: list[tuple[int, list[int]]]) -> None:
    groups = build(shapes)
    with torch.no_grad():
        together = MODEL.logprobs(pack(groups))
        alone = torch.cat(
            [
                MODEL.logprobs(pack([PromptGroup(g.prompt, [r])]))
                for g in groups
                for r in g.responses
            ]
        )
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(GROUP, min_size=1, max_size=7))
def test_streams_of_any_lengths(shapes: list[tuple[int, list[int]]]) -> None:
    check(shapes)


def test_only_a_bucket_that_is_the_stream_is_taken_for_it() -> None:
    """Thousands of plans: a bucket marked whole reads rows 0, 1, 2, ... in order, or it would read
    other sequences."""
    generator, found = torch.Generator().manual_seed(0), 0
    for _ in range(4000):
        lengths = torch.randint(
            1, 10, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator
        ).tolist()
        stream = pack([PromptGroup([4], [[5] * n]) for n in lengths])
        for bucket in plan_attention(stream).buckets:
            if bucket.whole:
                found += 1
                assert torch.equal(bucket.query_at_bL.flatten(), torch.arange(stream.tokens)), (
                    lengths
                )
    assert found > 100


@pytest.mark.parametrize("shapes", [[(6, [8]), (3, [8]), (4, [1]), (4, [8])], [(6, [8]), (6, [8])]])
def test_padding_that_makes_a_bucket_as_large_as_the_stream(
    shapes: list[tuple[int, list[int]]],
) -> None:
    """Sequences of 14, 11 and 12 tokens fill 3 x 14 = 42 places beside one of 5: as many as the
    stream has."""
    check(shapes)


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ((10, 80), [(1, 11), (1, 81)]),
        ((80, 10), [(1, 11), (1, 81)]),
        ((10, 80, 10, 81, 9), [(3, 11), (2, 82)]),
        ((10, 10, 10), [(3, 11)]),
    ],
)
def test_sequences_of_unlike_length_share_no_bucket(
    lengths: tuple[int, ...], shapes: list[tuple[int, int]]
) -> None:
    plan = plan_attention(pack([PromptGroup([4], [[5] * n]) for n in lengths]))
    assert [tuple(bucket.key_at_bL.shape) for bucket in plan.buckets] == shapes
