"""Judgements of people and of AI judges, learned from together: what each source counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runs_reward import WORDS, Spoken, record, run, write

from accord.errors import AccordError, ConfigError
from accord.learning.judged_pairs import preference_pairs
from accord.learning.judgements import JudgedGroup, Judgement
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.stages.blending import blended, sources_of
from accord.text.packing import PromptGroup

pytestmark = pytest.mark.usefixtures("pico_here")


def both() -> list[dict[str, Any]]:
    """People prefer a joy, the judge a bore: about each film one of either."""
    found = []
    for i, a in enumerate(WORDS):
        for j, b in enumerate(WORDS[:3]):
            texts, prompt = [f" is a {b} joy.", f" is a {b} bore."], f"This {a} film"
            for who, choice in (
                ("ann", {"preferred": "a"}),
                ("judge-1", {"preferred": "b", "probability": 0.9}),
            ):
                found.append(record(f"{who}{i}{j}", "comparison", prompt, texts, choice, who))
    return found


BLEND = ', blend: {"judge*": 0.25, "*": 1}'


def test_a_blend_goes_by_the_weights_of_its_sources(tmp_path: Path) -> None:
    result, said, _ = run(tmp_path, write(tmp_path / "both.jsonl", both()), f", epochs: 8{BLEND}")
    values = result["values"]
    assert "source judge*: 15 judgements, 20.0% of the weight" in said
    assert "source *: 15 judgements, 80.0% of the weight" in said
    assert (values["share.judge*"], values["share.*"]) == pytest.approx((0.2, 0.8))
    assert values["accuracy.*"] > 0.9
    assert values["accuracy.judge*"] == pytest.approx(1 - values["accuracy.*"])
    assert values["loss_share.*"] + values["loss_share.judge*"] == pytest.approx(1)


@pytest.mark.parametrize("evaluation", [0.2, None], ids=["a share", "people alone"])
def test_dpo_blends_its_pairs(tmp_path: Path, evaluation: float | None) -> None:
    feedback, path = write(tmp_path / "both.jsonl", both()), tmp_path / "toy.yaml"
    people = write(tmp_path / "people.jsonl", [r for r in both() if r["annotator"] == "ann"][:3])
    settings_ = f"learning_rate: 1.0e-3, epochs: 4, batch: 4, evaluation: {evaluation or people}"
    settings_ += ", samples: 0"
    path.write_text(
        "name: toy\nthreads: 1\nstages:\n  dpo: {kind: dpo, model: ./pico,"
        f" {settings_}, feedback: {feedback}{BLEND}}}\n"
    )
    spoken = Spoken()
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, spoken, {})
    result = json.loads((tmp_path / "run/stages/01-dpo/result.json").read_text())["values"]
    assert result["shares"] == pytest.approx({"*": 0.8, "judge*": 0.2})
    assert result["accuracy.*"] > 0.5
    assert ("held out, source judge*: " in "\n".join(spoken.lines)) == (evaluation is not None)
    assert evaluation is None or result["accuracy.judge*"] < result["accuracy.*"]


@pytest.mark.parametrize(
    ("blend", "why"),
    [
        ('{"judge*": 1}', "blend says nothing of the annotator 'ann'"),
        ('{"*": 1, "judge*": 0.5}', "no annotator fits 'judge\\*', or one before it"),
        ('{"*": -1}', "the weight of '\\*' is -1"),
        ('{"*": 0}', "no source counts"),
    ],
)
def test_a_blend_that_cannot_be_meant_is_refused(tmp_path: Path, blend: str, why: str) -> None:
    feedback = write(tmp_path / "both.jsonl", both())
    with pytest.raises(AccordError, match=why):
        run(tmp_path, feedback, f", blend: {blend}")


NAMES = st.lists(st.sampled_from(("ann", "bob", "judge-1", "judge-2")), min_size=1, unique=True)


@settings(max_examples=60)
@given(NAMES, st.floats(0, 4), st.floats(0.1, 4), st.lists(st.integers(0, 3), min_size=1))
def test_weights_are_multiplied_and_nothing_is_lost(
    names: list[str], ai: float, people: float, who: list[int]
) -> None:
    blend = {"judge*": ai, "*": people}
    annotators = sorted({*names, "ann", "judge-1"})
    sources = sources_of(annotators, blend)
    said = tuple(Judgement((0, 1), (0, 1), a % len(annotators), weight=0.5 + a) for a in who)
    group = JudgedGroup(PromptGroup([0], [[4, 1], [5, 1]]), said)
    (found,) = blended([group], sources, blend)
    for before, after in zip(said, found.judgements, strict=True):
        name = annotators[before.annotator]
        assert after.weight == before.weight * (ai if name.startswith("judge") else people)
    assert blended([group], [], {}) == [group]
    for pair, one in zip(preference_pairs([group], sources), said, strict=True):
        assert pair.source == sources[one.annotator]
    assert sources_of(["ann"], blend, every=False) == ["*"]
    with pytest.raises(ConfigError, match="blend says nothing"):
        sources_of(annotators, {"judge*": 1.0})
