"""One-line recipes on files as people have them: what each can learn from is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accord.errors import DataError
from accord.runs.context import StageContext
from accord.runs.session import InterruptFlag
from accord.runs.stages.prompts import PromptsConfig, PromptsOfData
from accord.runs.stages.settings import LengthConfig
from accord.runs.stages.sft import read_demonstrations
from tiny import tiny_llama

PAIR = {"prompt": "Name a fruit.", "chosen": "An apple.", "rejected": "Fruit."}
TREE = {
    "message_tree_id": "t",
    "prompt": {
        "message_id": "t",
        "role": "prompter",
        "text": "Name a fruit.",
        "replies": [
            {"message_id": str(n), "role": "assistant", "text": text, "rank": n, "replies": []}
            for n, text in enumerate(("An apple.", "Fruit."))
        ],
    },
}


def written(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def alone(folder: Path) -> StageContext:
    return StageContext(folder, folder, "x", 1, "cpu", {}, InterruptFlag())


def prompts(path: str, folder: Path) -> list[dict[str, Any]]:
    context = alone(folder)
    result = PromptsOfData().run(PromptsConfig(kind="prompts", data=path), context)
    return [json.loads(line) for line in result.artefacts["prompts"].read_text().splitlines()]


def test_fine_tuning_takes_preferred_answers_only_where_asked(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.jsonl", PAIR)
    context = alone(tmp_path)
    with pytest.raises(DataError, match="no demonstrations") as error:
        read_demonstrations(path, tiny_llama(), LengthConfig(), context)
    assert "preferred: true" in error.value.fix
    found = read_demonstrations(path, tiny_llama(), LengthConfig(), context, preferred=True)
    assert len(found) == 1
    tied = {"prompt": "Hi", "response_a": "A.", "response_b": "B.", "winner": "tie"}
    path = written(tmp_path / "ties.jsonl", tied)
    with pytest.raises(DataError, match="name no better answer") as error:
        read_demonstrations(path, tiny_llama(), LengthConfig(), context, preferred=True)
    assert "preferred" not in error.value.fix


def test_a_row_with_two_answers_in_a_row_is_counted_and_ends_no_run(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    said = [{"role": "assistant", "content": "Well?"}]
    bad = {"prompt": asked, "chosen": said, "rejected": [{**said[0], "content": "No."}]}
    path = written(tmp_path / "pairs.jsonl", *[PAIR] * 9, bad)
    context = alone(tmp_path)
    found = read_demonstrations(path, tiny_llama(), LengthConfig(), context, preferred=True)
    assert len(found) == 9
    context.allow_dropped = 0.05
    with pytest.raises(DataError, match="both the assistant's"):
        read_demonstrations(path, tiny_llama(), LengthConfig(), context, preferred=True)


def test_prompts_of_trees_are_messages(tmp_path: Path) -> None:
    (row,) = prompts(written(tmp_path / "trees.jsonl", TREE), tmp_path)
    assert row["prompt"] == [{"role": "user", "content": "Name a fruit."}]


def test_prompts_of_gsm8k_keep_what_a_verifier_compares_with(tmp_path: Path) -> None:
    told = {"question": "Two and two?", "answer": "2 + 2 = 4\n#### 4"}
    (row,) = prompts(written(tmp_path / "maths.jsonl", told), tmp_path)
    assert row["prompt"] == [{"role": "user", "content": "Two and two?"}]
    assert row["answer"].endswith("#### 4")
