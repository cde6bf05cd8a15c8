"""A refused value is named as it stands in the recipe, once, with all that it may be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from accord.errors import ConfigError
from accord.runs import registry
from accord.runs.stages.reward import RewardConfig
from accord.validation import validated

GIVEN = {"kind": "reward", "model": "m", "feedback": "f", "learning_rate": 1e-4}
ODD = (-(10**9), 1e300, "zzz", [], [1], {}, {"zzz": 1}, True)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"lengths": {"max_prompt_tokens": 0}},
            "s.lengths.max_prompt_tokens = 0: Input should be greater than or equal to 1, or: Input"
            " should be 'auto'",
        ),
        ({"members": "a"}, "s.members = 'a': Input should be a valid integer, unable to parse"),
        ({"feedback": {"pth": "f"}}, "s.feedback.path is missing\n *s.feedback.pth is not a setting"),
        ({"lora": {"rnk": 3}}, "s.lora.rnk is not a setting"),
        ({"evaluation": -1}, "s.evaluation = -1: .*, or: write a path or Hub id"),
    ],
)  # fmt: skip
def test_a_value_is_named_as_it_was_written(more: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        validated(RewardConfig, GIVEN | more, "s")
    assert "\n\n" not in str(error.value)


def _refusal(config: type[BaseModel], raw: dict[str, Any]) -> str:
    try:
        validated(config, raw, "s")
    except ConfigError as error:
        return error.message
    return ""


def test_no_refusal_speaks_of_the_kinds_that_pydantic_tries() -> None:
    odd = re.compile(r"constrained-|literal\[|function-|tagged-union|lax-or-strict|nullable")
    refused = 0
    for kind in registry._BUILTIN:
        config = registry.find(kind).Config
        for name in config.model_fields:
            for message in (_refusal(config, {"kind": kind, name: value}) for value in ODD):
                refused += bool(message)
                assert not odd.search(message), message
                assert len(message.splitlines()) == len({*message.splitlines()}), message
    assert refused > 1000
