"""What is kept aside: how many, which share, data of their own; measured, and never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.report.charts import metric_name
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.stages.aside import drawn, left_to_train, set_aside


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.one_of(st.integers(1, 40), st.floats(0.01, 0.99)),
    st.booleans(),
)
def test_a_key_is_on_one_side_and_no_row_is_lost(
    keys: list[int], evaluation: float, together: bool
) -> None:
    rows = list(enumerate(keys))
    try:
        train, held = set_aside(rows, evaluation, (lambda row: row[1]) if together else None)
    except DataError:
        wanted = (
            evaluation if isinstance(evaluation, int) else max(1, round(evaluation * len(rows)))
        )
        last = {key for _, key in rows[-wanted:]}
        assert wanted >= len(rows) or (together and set(keys) == last)
        return
    assert sorted([*train, *held]) == rows
    assert train
    assert len(held) >= len(rows) - left_to_train(len(rows), evaluation)
    assert rows[-1] in held
    if together:
        assert not {key for _, key in train} & {key for _, key in held}
    else:
        assert len(train) == left_to_train(len(rows), evaluation)


@given(st.integers(0, 30), st.one_of(st.none(), st.integers(1, 40)), st.integers(0, 9))
def test_a_limit_draws_without_repeating(rows: int, limit: int | None, seed: int) -> None:
    found = drawn(range(rows), limit, seed)
    assert len(found) == (rows if limit is None else min(rows, limit))
    assert found == sorted(set(found))


PAIRS = [
    {"prompt": f"This film {n}", "chosen": " is good and warm.", "rejected": " is bad."}
    for n in range(12)
]
THUMBS = [
    {"prompt": f"This film {n}", "completion": " is good." if n % 2 else " is bad.", "label": n % 2 == 1}
    for n in range(12)
]  # fmt: skip
SHOWN = [{"prompt": f"This film {n}", "completion": " is good."} for n in range(12)]
STAGES = {"dpo": ("feedback", PAIRS), "kto": ("feedback", THUMBS), "sft": ("data", SHOWN)}


@pytest.mark.parametrize("evaluation", [4, 0.25, "own.jsonl", {"path": "own.jsonl", "limit": 3}])
@pytest.mark.parametrize("kind", STAGES)
def test_every_trainer_measures_what_is_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, evaluation: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    setting, rows = STAGES[kind]
    for name, some in (("rows.jsonl", rows), ("own.jsonl", rows[:4])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    stage = {
        "kind": kind,
        "model": "accord:nano-base",
        setting: "rows.jsonl",
        "evaluation": evaluation,
        "learning_rate": 1e-3,
        "batch": 4,
        "epochs": 2,
        "evaluate_every": 1,
        "keep_best": True,
        "samples": 2,
        "checkpoints": {"every_steps": 1, "keep": 3},
    }
    (tmp_path / "r.yaml").write_text(
        json.dumps({"name": "r", "threads": 1, "stages": {"it": stage}})
    )
    runner.execute(recipes.load("r.yaml"), tmp_path / "run", False, StageProgress(), {})
    folder = tmp_path / "run/stages/01-it"
    values = json.loads((folder / "result.json").read_text())["values"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    name = "heldout_loss_tok" if kind == "sft" else "heldout_loss"
    assert values["heldout_loss"] == min(row[name] for row in metrics)
    if kind != "sft":
        assert 0 <= values["heldout_agreement"] <= 1
    apart = evaluation if isinstance(evaluation, int) else 3 if isinstance(evaluation, float) else 0
    assert len(metrics) == 2 * -(-(12 - apart) // 4)
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert [set(row) for row in samples] == [{"prompt", "before", "after"}] * 2
    kept = rows[-apart] if apart else rows[0]
    assert kept["prompt"] in samples[0]["prompt"]
    assert any(row["before"] != row["after"] for row in samples)
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Before and after" in page
    assert metric_name(name) in page
    assert len(list((folder / "checkpoints").glob("step-*"))) == 3
    assert f"kind: {kind}" in (folder / "model/README.md").read_text()
