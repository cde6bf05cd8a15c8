"""What a stage that asks endpoints says of their costs, and how its judges answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accord.runs.stages.asking import AskingConfig
from accord.sampling.budget import Cost

PRICED = {"prompt_price": 2.0, "response_price": 4.0}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"calls": 12}, []),
        ({"calls": 11}, ["it may stop before its end: 12 calls, 11 are allowed"]),
        ({"tokens": 1_000_000}, ["it may stop before its end: 1,250,000 tokens, 1,000,000 are allowed"]),
    ],
)  # fmt: skip
def test_a_plan_tells_what_each_endpoint_costs_and_what_all_of_them_may(
    given: dict[str, Any], told: list[str]
) -> None:
    most = {"one": Cost(5, 1_000_000, 50_000), "other": Cost(7, 100_000, 100_000)}
    lines = [
        "one: at most 5 calls, about 1,050,000 tokens",
        "other: at most 7 calls, about 200,000 tokens",
    ]
    assert AskingConfig(**given).notes(most) == [*lines, *told]
    priced = AskingConfig(**given, **PRICED).notes(most)
    assert priced[:2] == [f"{lines[0]}, 2.20 of money", f"{lines[1]}, 0.60 of money"]


def test_judges_of_a_stage_reason_as_long_as_they_are_told(tmp_path: Path) -> None:
    asking = AskingConfig()
    context: Any = SimpleNamespace(
        seed=3, folder=tmp_path, name="debate", resolve=str, say=lambda text: None
    )
    name = "http://127.0.0.1:9/v1#judge"
    shared = asking.settings(context)
    by_tokens = {n: asking.judges([name], context, shared, n)[name] for n in (0, 7)}
    assert [one.reasoning_tokens for one in by_tokens.values()] == [0, 7]  # type: ignore[attr-defined]
    other: Any = SimpleNamespace(**{**vars(context), "seed": 4})
    seeds = {asking.judges([name], one, shared)[name].seed for one in (context, other)}  # type: ignore[attr-defined]
    assert len(seeds) == 2
    assert all(0 <= seed < 2**31 for seed in seeds)
