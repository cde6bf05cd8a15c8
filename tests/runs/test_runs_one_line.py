"""The recipes of one line: `accord run sft|dpo|kto|reward|grpo|rloo|ppo model=... data=...`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.runs.checks import check
from accord.runs.context import StageContext
from accord.runs.session import InterruptFlag
from accord.runs.stages.lengths import AUTO_KEEPS, found_limits
from accord.runs.stages.settings import LengthConfig
from accord.text.dropping import Need

Rows = list[dict[str, Any]]
PAIRS: Rows = [
    {
        "prompt": f"This {'very ' * (n % 7)}old film {n}",
        "chosen": " is good.",
        "rejected": " is bad.",
    }
    for n in range(24)
]
IMPLICIT: Rows = [
    {name: row["prompt"] + row[name] for name in ("chosen", "rejected")} for row in PAIRS
]
SHOWN: Rows = [{"prompt": r["prompt"], "completion": r["chosen"]} for r in PAIRS]
QUESTIONS: Rows = [{"prompt": r["prompt"], "answer": str(n)} for n, r in enumerate(PAIRS)]
THUMBS: Rows = [
    {"prompt": r["prompt"], "completion": r["chosen"], "label": n % 2 == 0}
    for n, r in enumerate(PAIRS)
]
RL = ["grpo", "rloo", "ppo"]
CASES = [
    ("sft", SHOWN), ("dpo", PAIRS), ("kto", THUMBS), ("kto", PAIRS), ("reward", PAIRS),
    *((kind, rows) for kind in RL for rows in (QUESTIONS, PAIRS, SHOWN, THUMBS)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows"), CASES)
def test_a_line_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: Rows
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given_texts = ["model=accord:nano-base", "data=rows.jsonl", "threads=1"]
    if name in RL:
        verifier = "accord:exact" if "answer" in rows[0] else "accord:format"
        given_texts.append(f"functions={{{verifier}: 1}}")
    recipe = recipes.load(name, given_texts)
    plans = check(recipe, tmp_path / "run", start=True)
    stage = plans[name]
    assert stage.steps
    if name in RL:
        assert plans["prompts"].rows == len(rows)
        files = [json.loads(line) for line in (_file(recipe, tmp_path)).read_text().splitlines()]
        assert ("answer" in files[0]) == (rows in (QUESTIONS, SHOWN))
    else:
        assert not stage.cut
        assert sum((stage.dropped or {}).values()) <= 1 + len(rows) // 100


@pytest.mark.parametrize("name", ["sft", "dpo", "kto", "reward"])
def test_a_short_try_is_asked_for_by_plain_words(name: str) -> None:
    given_texts = ["model=accord:nano-base", "data=rows.jsonl", "limit=40", "max_steps=3"]
    _, config = recipes.load(name, given_texts).stages[name]
    assert (config.limit, config.max_steps) == (40, 3)  # type: ignore[attr-defined]


def test_a_weight_without_its_space_is_told(tmp_path: Path) -> None:
    given_texts = ["model=accord:nano-base", "data=rows.jsonl", "functions={accord:math:1}"]
    with pytest.raises(ConfigError, match=r"a space belongs before the weight: \{accord:math: 1\}"):
        recipes.load("grpo", given_texts)


def _file(recipe: recipes.Recipe, folder: Path) -> Path:
    """The prompts as the stage writes them."""
    stage, config = recipe.stages["prompts"]
    place = folder / "stage"
    place.mkdir()
    context = StageContext(folder, place, "prompts", 1, "cpu", {}, InterruptFlag())
    return stage.run(config, context).artefacts["prompts"]


@given(
    st.lists(st.builds(Need, st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=200),
    st.sampled_from(["drop", "error"]),
    st.sampled_from(["auto", 50]),
    st.integers(200, 3000),
)
def test_limits_from_the_data_keep_what_they_say(
    needs: list[Need], too_long: str, response: Any, context: int
) -> None:
    config = LengthConfig.model_validate(
        {"max_prompt_tokens": "auto", "max_response_tokens": response, "too_long": too_long}
    )
    here = StageContext(Path(), Path(), "x", 1, "cpu", {}, InterruptFlag())
    prompt, answer = found_limits(config, needs, context, here)
    assert prompt >= 1
    assert answer == 50 or answer >= 1
    share = AUTO_KEEPS if too_long == "drop" else 1
    kept = sum(need.prompt <= prompt for need in needs)
    if prompt + answer < context:  # the context does not bind
        assert kept >= share * len(needs)
        assert sum(need.prompt < prompt for need in needs) < share * len(needs)
    assert prompt + answer <= context or prompt == 1
