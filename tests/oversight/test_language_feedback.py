"""Real feedback in words on programs (Chen et al. 2023)."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.language_feedback import results

from real_data import shared_data


def rows_of(limit: int) -> list[dict[str, Any]]:
    file = shared_data("language-feedback/surge_annotations.jsonl")
    lines = file.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line][:limit]


def test_programs_fail_before_the_feedback_and_pass_after_it() -> None:
    rows = rows_of(16)
    assert not any(one.passed for one in results(rows, "original_model_completion"))
    assert all(one.passed for one in results(rows, "unedited_annotator_completion"))
