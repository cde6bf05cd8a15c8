"""The demonstrations that a preferences stage makes of comparisons and rankings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accord.feedback.records import Feedback
from accord.files import read_jsonl
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageContext, StageProgress
from accord.runs.session import InterruptFlag
from accord.runs.stages.kto import read_thumbs
from accord.runs.stages.settings import LengthConfig
from accord.runs.stages.sft import read_demonstrations
from tiny import tiny_llama


def judged(
    number: int, kind: str, choice: dict[str, Any], texts: dict[str, str], **meta: Any
) -> Feedback:
    options = [
        {"id": o, "content": text, "shown_at": i} for i, (o, text) in enumerate(texts.items())
    ]
    return Feedback.model_validate(
        {
            "id": str(number),
            "kind": kind,
            "prompt": f"say {number}",
            "options": options,
            "choice": choice,
            "annotator": "one",
            "meta": meta,
        }
    )


RECORDS = [
    judged(0, "comparison", {"preferred": "b"}, {"a": " no", "b": " yes and"}, finished={"a": True, "b": False}),
    judged(1, "comparison", {"preferred": "a"}, {"a": " ended", "b": " no"}, finished={"a": True, "b": False}),
    judged(2, "comparison", {"preferred": "a"}, {"a": " unknown", "b": " no"}),
    judged(3, "comparison", {"preferred": None, "tie": True}, {"a": " tied", "b": " no"}),
    judged(4, "comparison", {"preferred": "b"}, {"a": " no", "b": " "}),
    judged(5, "ranking", {"order": [["c"], ["a"], ["b"]]}, {"a": " second", "b": " third", "c": " first"},
           finished={"a": False, "b": True, "c": True}),
    judged(6, "skip", {"reason": "unsure"}, {"a": " one", "b": " two"}),
    judged(7, "flags", {"flags": {"rude": True}}, {"a": " one"}),
    judged(8, "flags", {"flags": {"rude": False}}, {"a": " one"}),
]  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a preferences stage that read the records above, but for two that it kept
    aside."""
    rows = [r.model_dump(mode="json") for r in RECORDS]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "toy.yaml").write_text(
        f"name: toy\nseed: 16\nthreads: 1\nstages:\n  data: {{kind: preferences, data: {tmp_path / 'data.jsonl'}, evaluation: 2}}\n"
    )
    runner.execute(
        recipes.load(str(tmp_path / "toy.yaml")), tmp_path / "run", False, StageProgress(), {}
    )
    return tmp_path / "run" / "stages" / "01-data"


def test_an_unfinished_answer_is_not_taught_to_end(made: Path) -> None:
    assert {row["prompt"] for row in read_jsonl(made / "prompts.jsonl")} == {
        "say 0",
        "say 1",
        "say 4",
        "say 5",
    }
    context = StageContext(made, made, "sft", 0, "cpu", {}, InterruptFlag())
    model = tiny_llama()
    found = read_demonstrations(str(made / "sft.jsonl"), model, LengthConfig(), context)
    texts = [
        (model.tokenizer.decode(e.group.responses[0], skip_special_tokens=True), e.finished)
        for e in found
    ]
    first = (" first", True)  # better than two others
    assert sorted(texts) == sorted(
        [(" yes and", False), (" ended", True), first, first, (" second", False)]
    )
    eos = model.tokenizer.eos_token_id
    assert all((e.group.responses[0][-1] == eos) == e.finished for e in found)


def test_the_stage_counts_what_it_made(made: Path) -> None:
    values = json.loads((made / "result.json").read_text())["values"]
    assert {
        name: values[name] for name in ("records", "demonstrations", "blank", "unfinished")
    } == {
        "records": 4,
        "demonstrations": 5,
        "blank": 1,
        "unfinished": 2,
    }
    assert values["other_kinds"] == "2 flags, 1 skip"


def test_fine_tuning_counts_what_is_no_demonstration(made: Path, tmp_path: Path) -> None:
    shown = json.loads((made / "sft.jsonl").read_text().splitlines()[0])
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(
        "".join(
            json.dumps(row) + "\n" for row in [shown, *(r.model_dump(mode="json") for r in RECORDS)]
        )
    )
    context = StageContext(made, made, "sft", 0, "cpu", {}, InterruptFlag())
    assert len(read_demonstrations(str(mixed), tiny_llama(), LengthConfig(), context)) == 1
    table = json.loads((made / "lengths.json").read_text())
    assert table["dropped"] == {
        "comparison: no demonstration": 5,
        "ranking: no demonstration": 1,
        "skip: no demonstration": 1,
        "flags: no demonstration": 2,
    }


def test_kto_learns_that_none_would_do(made: Path, tmp_path: Path) -> None:
    bad = judged(
        9,
        "ranking",
        {"order": [["a"], ["b", "c"]], "all_bad": True},
        {"a": " one", "b": " two", "c": " six"},
    )
    (tmp_path / "bad.jsonl").write_text(json.dumps(bad.model_dump(mode="json")) + "\n")
    context = StageContext(made, made, "kto", 0, "cpu", {}, InterruptFlag())
    thumbs = read_thumbs(str(tmp_path / "bad.jsonl"), tiny_llama(), LengthConfig(), context)
    assert [(t.row, t.desirable) for t in thumbs] == [
        ("9/a", False),
        ("9/b", False),
        ("9/c", False),
    ]
