"""Sampling in chunks: an interrupted stage goes on where it was, with the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from accord.errors import Interrupted
from accord.files import read_jsonl
from accord.runs.context import StageContext
from accord.runs.session import InterruptFlag
from accord.runs.stages.sampled import sample_in_chunks
from accord.sampling.rollout import Rollout, SamplingSettings
from tiny import tiny_llama

PROMPTS = ["a cat", "a dog", "an ox", "a bee", "a hen"]


class Sampling:
    """One try of a stage that samples two prompts at a time."""

    def __init__(self, folder: Path, interrupted: bool = False) -> None:
        self.folder, self.scored, flag = folder, list[str](), InterruptFlag()
        flag.asked = interrupted
        self.context = StageContext(folder.parent, folder, "score", 7, "cpu", {}, flag)

    def rows(self) -> list[dict[str, Any]]:
        return sample_in_chunks(
            tiny_llama(), PROMPTS, SamplingSettings(6), 3, self.context, 2, self.score
        )

    def score(self, part: Sequence[Any], rollout: Rollout, texts: Sequence[str]) -> list[float]:
        self.scored += part
        assert [part[p] for p in rollout.prompt_index] == [p for p in part for _ in range(3)]
        return [float(len(text)) for text in texts]


def test_rows_hold_each_prompts_own_samples(tmp_path: Path) -> None:
    rows = Sampling(tmp_path / "a").rows()
    assert [row["prompt"] for row in rows] == PROMPTS
    for row in rows:
        assert len(row["responses"]) == len(row["finished"]) == 3
        assert row["scores"] == [float(len(text)) for text in row["responses"]]
    assert len({text for row in rows for text in row["responses"]}) > 10


def test_an_interrupted_stage_samples_the_rest(tmp_path: Path) -> None:
    first = Sampling(tmp_path / "b", interrupted=True)
    with pytest.raises(Interrupted):
        first.rows()
    assert first.scored == PROMPTS[:2]
    second = Sampling(tmp_path / "b")
    assert second.rows() == Sampling(tmp_path / "straight").rows()
    assert second.scored == PROMPTS[2:]
    assert read_jsonl(tmp_path / "b" / "sampled.jsonl") == read_jsonl(
        tmp_path / "straight" / "sampled.jsonl"
    )
