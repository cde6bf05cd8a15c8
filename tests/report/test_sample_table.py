"""Samples on a page: all of them, or what was left out is said; labels and tokens as recorded."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.files import write_jsonl
from accord.report.samples import LAST, SampleTable, ship


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def sample(prompt: int, said: str, **more: Any) -> dict[str, Any]:
    known = {"prompt_id": prompt, "prompt": f"prompt {prompt}", "response": said, "finished": True}
    scores = {"response_tokens": 2, "gold": 0.25 * prompt, "proxy": [1.0, 2.0], "kl_exact": 0.5}
    return known | scores | more


def make_stages(folder: Path, prompts: int = 4) -> list[dict[str, Any]]:
    """A run with two points of an arm, a pool, and judged responses."""
    marked = {"token_ends": [1, 3], "token_kl": [0.1234, 2.5]}
    for step in (3, 9):
        rows = [sample(n, "abc", **marked) for n in range(prompts)]
        write_jsonl(folder / f"1/points/step-{step:06d}.jsonl", rows)
    write_jsonl(folder / "2/rows.jsonl", [sample(n // 2, f"pool {n}") for n in range(2 * prompts)])
    judged = [
        {"prompt": "p", "responses": ["good", "bad", "worse"], "finished": [True, True, False]}
    ]
    write_jsonl(folder / "3/sampled.jsonl", judged)
    options = [{"id": name, "content": name} for name in ("good", "bad")]
    choices = [{"preferred": "good"}, {"preferred": "good"}, {"preferred": None, "tie": True}]
    records = [
        {"kind": "comparison", "prompt": "p", "options": options, "choice": c} for c in choices
    ]
    write_jsonl(folder / "3/feedback.jsonl", [*records, {"kind": "rating", "prompt": "p"}])
    write_jsonl(
        folder / "4/baseline.jsonl", [sample(n, "before", gold=0.0) for n in range(prompts)]
    )
    kinds = (("1", "ppo"), ("2", "best_of_n"), ("3", "collect"), ("4", "examine"))
    return [{"stage": kind, "kind": kind, "folder": folder / name} for name, kind in kinds]


def test_every_sample_is_shipped_beside_its_untuned_answer(tmp_path: Path) -> None:
    table = SampleTable()
    table.add_run(make_stages(tmp_path))
    shipped = ship(table)
    assert shipped is not None
    assert shipped.notes == []
    assert shipped.rows == 4 + 8 + 8 + 3
    data, marks = unpacked(shipped.table), unpacked(shipped.marks)
    columns, arms = data["columns"], data["arms"]
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    tuned = [n for n, row in enumerate(rows) if arms[row["arm"]] == "ppo"]
    assert [rows[n]["step"] for n in tuned] == [3] * 4 + [9] * 4
    assert [rows[n]["rank"] == LAST for n in tuned] == [False] * 4 + [True] * 4
    for row in (rows[n] for n in tuned):
        base = rows[row["base"]]
        assert (base["prompt"], base["response"]) == (row["prompt"], "before")
        assert row["proxy"] == 1.5
    assert {marks[n] for n in tuned} == {"1 2|12 250"}
    labels = {row["response"]: row["label"] for row in rows if row["label"]}
    assert labels == {"good": [2, 3], "bad": [0, 3]}
    cut = [row["finished"] for row in rows if row["response"] == "worse"]
    assert cut == [False]


def test_token_places_are_those_of_a_browser(tmp_path: Path) -> None:
    row = sample(0, "a😀b", token_ends=[1, 2, 3], token_kl=[0.0, 0.0, 0.0])
    write_jsonl(tmp_path / "points/step-000001.jsonl", [row])
    table = SampleTable()
    table.add_run([{"stage": "ppo", "kind": "ppo", "folder": tmp_path}])
    assert table.marks == ["1 2 1|0 0 0"]


def test_arms_without_kl_per_token_are_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "points/step-000001.jsonl", [sample(0, "a")])
    table = SampleTable()
    table.add_run([{"stage": "ppo", "kind": "ppo", "folder": tmp_path}], "first")
    assert table.without_marks == {"first · ppo"}


@given(st.integers(1, 30), st.integers(200, 20_000))
def test_a_page_keeps_to_its_budget_and_says_what_it_leaves_out(rows: int, budget: int) -> None:
    rng = np.random.default_rng(rows)
    table = SampleTable()
    for rank, step in ((0, 9), (1, 3), (2, 0)):
        for n in range(rows):
            said = "".join(map(chr, rng.integers(97, 122, 60)))
            marks = " ".join(map(str, rng.integers(0, 400, 30)))
            table._append(
                arm="ppo", rank=rank, prompt=f"prompt {n}", marks=marks if rank < 2 else "", step=step,
                base=-1, response=said, tokens=30, finished=True, gold=None, proxy=None, kl=None, label=None,
            )  # fmt: skip
    shipped = ship(table, budget)
    assert shipped is not None
    kept, marks = unpacked(shipped.table)["columns"], unpacked(shipped.marks)
    assert len(kept["arm"]) == len(marks) == shipped.rows
    assert len(shipped.table) + len(shipped.marks) <= budget or shipped.rows == 1
    whole = shipped.rows == 3 * rows
    assert whole == (not any("samples are on this page" in note for note in shipped.notes))
    all_marked = all(
        bool(mark) == (rank < 2) for mark, rank in zip(marks, kept["rank"], strict=True)
    )
    assert all_marked == (not any("KL per token" in note for note in shipped.notes))
    if not whole:  # an arm's last point goes last
        assert 2 not in kept["rank"]


def test_a_run_without_samples_has_no_table() -> None:
    table = SampleTable()
    table.add_run([])
    assert ship(table) is None


@pytest.mark.parametrize("name", ["points/step-000001.jsonl", "baseline.jsonl"])
def test_a_broken_line_is_named(tmp_path: Path, name: str) -> None:
    from accord.errors import DataError

    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"prompt_id": 0\n')
    with pytest.raises(DataError, match="line 1"):
        SampleTable().add_run([{"stage": "ppo", "kind": "ppo", "folder": tmp_path}])


@given(st.integers(1, 3), st.integers(1, 3), st.permutations(["base", "policy", "sft"]))
def test_what_was_examined_stands_beside_the_baselines_answer(
    prompts: int, samples: int, arms: list[str]
) -> None:
    rows = [
        {"arm": arm, "prompt": [{"role": "user", "content": str(p)}], "response": f"{arm} {p} {k}",
         "finished": True, "proxy": [1.0, 2.0] if k else None}
        for arm in arms for p in range(prompts) for k in range(samples)
    ]  # fmt: skip
    table = SampleTable()
    table.add_examined(rows, "base")
    shipped = ship(table)
    assert shipped is not None
    columns = unpacked(shipped.table)["columns"]
    assert len(columns["response"]) == len(rows)
    for response, base in zip(columns["response"], columns["base"], strict=True):
        arm, said = response.split(" ", 1)
        assert (base < 0) if arm == "base" else columns["response"][base] == f"base {said}"
    assert set(columns["proxy"]) <= {1.5, None}
