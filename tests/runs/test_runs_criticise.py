"""Feedback in words from responses to refinements: critiques by functions, fillers left out, and a
model that learns from it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError
from accord.feedback.records import parse_line
from accord.oversight.constitution import read_constitution
from accord.oversight.critics import RuleCritic, marking, words
from accord.oversight.refining import WordedFeedback, worded
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.stages.criticise import critiques
from accord.runs.stages.filler_task import FillerTaskConfig
from accord.seeds import generator
from accord.text.word_removal import (
    FILLERS,
    VERDICTS,
    answer,
    cases,
    has_none,
    leave_out,
)

PARTS = ("demonstrations", "prompts", "evaluation")


@cache
def critic() -> RuleCritic:
    function = marking(lambda prompt, text: words(prompt, text, FILLERS), "fillers")
    return RuleCritic(read_constitution("accord:no-fillers"), {"no-filler": function})


@given(
    st.sampled_from(VERDICTS),
    st.lists(st.sampled_from(FILLERS), max_size=3),
    st.booleans(),
)
def test_what_is_said_in_words_is_enough_to_refine_by(
    verdict: str, said: list[str], finished: bool
) -> None:
    """A response with fillers gets one critique that quotes each of them, and without them it is
    the right answer; one without gets none."""
    text = answer(verdict, " ".join(said))
    row = {"prompt": "p", "responses": [text], "finished": [finished], "scores": []}
    found = critiques(row, 3, critic(), "model")  # type: ignore[arg-type]
    assert len(found) == bool(said)
    for record in found:
        record = parse_line(record.model_dump_json())
        feedback = worded(record, 0)
        assert isinstance(feedback, WordedFeedback)
        assert feedback.draft.response.finished == finished
        assert record.choice.principle == "no-filler"
        assert [text[s.start : s.end] for s in record.choice.spans] == said
        refined = leave_out("p", text, feedback.words)
        assert refined == answer(verdict)
        assert has_none(["p"], [refined, text]) == [0.0, -len(said)]


def test_no_question_stands_in_two_parts() -> None:
    drawn = list(cases(generator(1, "fillers")))
    assert len({(film, verdict) for film, verdict, _ in drawn}) == len(drawn) == 144
    assert {filler for _, _, filler in drawn} == set(FILLERS)
    with pytest.raises(ValueError, match="there are 144 questions"):
        FillerTaskConfig(kind="filler_task", prompts=144)


def test_critics_are_checked_before_anything_runs(tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text(json.dumps({"prompt": "a"}) + "\n")
    path = tmp_path / "toy.yaml"
    path.write_text(
        f"name: toy\nstages:\n  say: {{kind: criticise, model: 'accord:nano-base', prompts: {prompts}, "
        "constitution: accord:no-fillers, critics: {no-filer: 'accord:words'}}\n"
    )
    from accord.runs.checks import check

    with pytest.raises(AccordError, match="no-filer"):
        check(recipes.load(str(path), []), tmp_path / "run")


@pytest.mark.slow
def test_a_model_learns_what_it_was_told(tmp_path: Path) -> None:
    """The packaged recipe at a small size: exact match of refinements over its own answers."""
    asked = ["threads=1", "seeds=[1]", "epochs=8", *(f"data.{one}=32" for one in PARTS)]
    recipe = recipes.load("language-feedback", asked).with_seed(1)
    runner.execute(recipe, tmp_path / "run", False, StageProgress(), {})
    values = {
        path.parent.name[3:]: json.loads(path.read_text())["values"]
        for path in (tmp_path / "run" / "stages").glob("*/result.json")
    }
    assert values["refine"]["chosen"] == values["say"]["critiques"]
    assert values["exact_refined"]["score"] > values["exact_control"]["score"] + 0.2
