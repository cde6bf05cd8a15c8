"""Two processes train as one: the same losses, metrics and weights as a single process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from on_policy_toys import make
from parallel_worker import LOOPS, main

from accord.errors import ConfigError
from accord.learning.parallel import ALONE, World
from forked import forked


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 5))
def test_shares_are_a_partition_with_balanced_tokens(costs: list[int], size: int) -> None:
    shares = [World(rank, size).share(costs) for rank in range(size)]
    assert sorted(row for share in shares for row in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in shares)
    loads = [sum(costs[row] for row in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs)
    assert min(map(len, shares)) >= 1 or len(costs) < size


def test_a_single_process_sends_nothing() -> None:
    def refuse(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a message to nobody")

    quiet, x = World(sum=refuse), torch.tensor([1.0, 2.0])
    assert quiet.gather(x) is x
    assert quiet.place([0, 1], x, 2) is x
    assert quiet.total(3.0) == 3.0
    assert quiet.totals({"a": 1.0}) == {"a": 1.0}
    assert ALONE.sum(x) is x


def test_more_processes_than_prompts_are_refused() -> None:
    with pytest.raises(ConfigError, match="9 processes share 8 prompts"):
        make(world=World(0, 9))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    processes = [forked(main, rank, 2, str(folder)) for rank in range(2)]
    for process in processes:
        process.join(300)
        process.kill()  # one waits for ever for another that has failed
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(Path(folder) / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_two_processes_give_the_numbers_of_one(name: str, two: list[dict[str, Any]]) -> None:
    result, history, weights = LOOPS[name](ALONE)
    for found in two:
        their_result, their_history, their_weights = found[name]
        assert len(their_history) == len(history)
        for ours, theirs in zip(history, their_history, strict=True):
            assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-9, nan_ok=True)
        numbers = {
            key: value for key, value in vars(result).items() if isinstance(value, int | float)
        }
        assert {key: their_result[key] for key in numbers} == pytest.approx(
            numbers, rel=1e-6, abs=1e-9
        )
        for p, q in zip(weights, their_weights, strict=True):
            torch.testing.assert_close(q, p.detach(), atol=1e-8, rtol=1e-6)
    for p, q in zip(two[0][name][2], two[1][name][2], strict=True):
        assert torch.equal(p, q), "the processes drifted apart"
    assert all(math.isfinite(v) for row in history for v in row.values())


@pytest.mark.slow
def test_processes_that_start_apart_are_told(two: list[dict[str, Any]]) -> None:
    assert "starts from other weights" in two[0]["other weights"] + two[1]["other weights"]
    for found in two:
        assert found["gathered"] == [0, 1, 10, 11, 12]
        assert found["placed"] == [0, 1.5, 3, 4.5, 6]
