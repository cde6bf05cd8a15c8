"""Real feedback in words on programs (Chen et al. 2023)."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.language_feedback import correction_of, critique_of, results

from accord.feedback.records import Feedback
from accord.oversight.code_tests import CodeLimits
from accord.oversight.drafts import WrittenText
from accord.oversight.refining import WordedFeedback, WrittenRefiner, worded
from accord.oversight.selecting import ByTests
from real_data import shared_data


def rows_of(limit: int) -> list[dict[str, Any]]:
    file = shared_data("language-feedback/surge_annotations.jsonl")
    lines = file.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line][:limit]


def test_programs_fail_before_the_feedback_and_pass_after_it() -> None:
    rows = rows_of(16)
    assert not any(one.passed for one in results(rows, "original_model_completion"))
    assert all(one.passed for one in results(rows, "unedited_annotator_completion"))


def test_tests_choose_a_passing_refinement_in_every_task_that_has_one() -> None:
    """The people's refinements as the refiner, each behind one that fails."""
    rows = rows_of(12)
    critiques = [Feedback.model_validate(critique_of(row)) for row in rows]
    asked = [worded(record, n) for n, record in enumerate(critiques)]
    people = WrittenRefiner([Feedback.model_validate(correction_of(row)) for row in rows], "people")
    selector = ByTests(CodeLimits(), seed=1)
    for one, row in zip(asked, rows, strict=True):
        assert isinstance(one, WordedFeedback)
        (right,) = people.refine([one], [0])[0]
        assert isinstance(right, WrittenText)
        chosen = selector.choose(one, [row["original_model_completion"], right.text])
        assert chosen.hidden or chosen.place == 0, row["task_id"]
        assert selector.choose(one, [right.text]).hidden
