"""`accord feedback aggregate` and `accord feedback plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from accord.cli.main import main

ROWS = "x,ann,cat\nx,bob,dog\ny,ann,cat\ny,bob,cat\ny,eve,cat\nz,eve,dog\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three items: a draw, a clear one, one of a single annotator."""
    path = tmp_path / "labels.csv"
    path.write_text("item,annotator,label\n" + ROWS)
    return path


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["feedback", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_labels_of_a_plain_table_go_to_a_file_with_all_that_is_known(
    table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    page = run("aggregate", table, "--out", out)
    assert "3 items, 3 annotators, 6 labels; dawid-skene" in page
    assert "1 draw of the majority; 1 item with one annotator" in page
    assert "| label | by majority | by dawid-skene |" in page
    assert "| a draw | 1 |  |" in page
    assert "warning: 2.0 votes per item" in page
    (found,) = json.loads(out.read_text())
    assert found["what"] == "answer label"
    assert found["classes"] == ["cat", "dog"]
    x, y, z = found["items"]
    assert (x["item"], x["majority"], x["draw"], x["votes"]) == ("x", None, True, 2)
    assert (y["majority"], y["label"], y["majority_share"]) == ("cat", "cat", 1.0)
    assert y["probabilities"]["cat"] == y["probability"] > 0.8
    assert z["label"] == "dog"
    ann = found["annotators"][0]
    assert ann["annotator"] == "ann"
    assert ann["quality"]["low"] < ann["quality"]["value"] < ann["quality"]["high"]
    assert [len(row) for row in ann["confusion"]] == [2, 2]
    assert "exists" in run("aggregate", table, "--out", out, code=2)
    assert "end the name in .json" in run("aggregate", table, "--out", tmp_path / "a.csv", code=2)


def test_the_majority_leaves_a_draw_open(table: Path, tmp_path: Path) -> None:
    page = run("aggregate", table, "--method", "majority", "--out", tmp_path / "out.json")
    assert "| label | by majority |\n" in page
    assert "differ" not in page
    (found,) = json.loads((tmp_path / "out.json").read_text())
    assert [row["label"] for row in found["items"]] == [None, "cat", "dog"]
    assert found["annotators"][0]["confusion"] is None


def test_tables_of_crowd_kit_and_of_true_and_false_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("task,worker,label\n" + ROWS)
    assert "answer label" in run("aggregate", tmp_path / "a.csv", "--method", "mace")
    rows = [{"item": i, "annotator": a, "label": i % 2 == 0} for i in range(4) for a in "ab"]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    page = run("aggregate", tmp_path / "b.jsonl", "--method", "glad")
    assert "## flag label" in page
    assert "| true | 2 | 2 |" in page
    rows = [{"item": i, "annotator": a, "label": [a, "c"]} for i in range(4) for a in "ab"]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    page = run("aggregate", tmp_path / "c.jsonl")
    assert "## flag label: c" in page
    assert "only one label occurs" in page
    (tmp_path / "d.csv").write_text("item,annotator,label\nx,ann,cat\nx,,dog\nx,bob,\n")
    page = run("aggregate", tmp_path / "d.csv")
    assert "1 of 3 rows dropped: the column 'annotator' is empty" in page
    assert "1 of 3 rows dropped: the column 'label' is empty" in page


def test_choices_are_labelled_by_the_preferred_option(tmp_path: Path) -> None:
    rows = [
        f"p{i},good {i},bad {i},{'a' if i % 4 or who == 'ann' else 'tie'},{who}"
        for i in range(8)
        for who in ("ann", "bob", "eve")
    ]
    path, out = tmp_path / "pairs.csv", tmp_path / "out.json"
    path.write_text("\n".join(["prompt,response_a,response_b,winner,annotator", *rows]))
    run("aggregate", path, "--out", out)
    (found,) = json.loads(out.read_text())
    labels = {row["item"]: row for row in found["items"]}
    assert labels["p1"]["label"] in labels["p1"]["options"]
    assert labels["p4"]["majority"] == "tie"


def test_steps_are_told_by_their_place(tmp_path: Path) -> None:
    records = [
        {
            "id": f"{who}",
            "kind": "step_labels",
            "prompt": "p",
            "annotator": who,
            "options": [{"id": "o", "content": "one\n\ntwo\n\nthree", "shown_at": 0}],
            "choice": {"steps": ["one", "two", "three"], "labels": [1, 0, -1]},
        }
        for who in ("ann", "bob", "eve")
    ]
    path, out = tmp_path / "steps.jsonl", tmp_path / "out.json"
    path.write_text("\n".join(map(json.dumps, records)))
    run("aggregate", path, "--method", "majority", "--out", out)
    (found,) = json.loads(out.read_text())
    labels = {row["step"]: (row["options"], row["label"]) for row in found["items"]}
    assert labels == {0: (["o"], 1), 1: (["o"], 0), 2: (["o"], -1)}


def test_agreement_on_labels_from_a_list_is_sent_to_aggregate(table: Path, tmp_path: Path) -> None:
    page = run("agreement", table, code=2)
    assert "labels chosen from a list" in page
    assert "aggregate --method majority" in page
    assert "overlap" not in page
    rows = [{"item": item, "annotator": "ann", "label": True} for item in range(3)]
    (tmp_path / "once.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "overlap of 2 or more" in run("agreement", tmp_path / "once.jsonl", code=2)


def test_a_name_cannot_break_the_page(tmp_path: Path) -> None:
    rows = [f'{item},"a|b","x|y"' for item in range(3)]
    (tmp_path / "a.csv").write_text("\n".join(["item,annotator,label", *rows]))
    page = run("aggregate", tmp_path / "a.csv", "--method", "majority")
    assert "| x\\|y | 3 |" in page
    assert "| a\\|b | 3 |" in page


def test_plans_from_assumptions_and_from_a_pilot(tmp_path: Path) -> None:
    page = run("plan", "--win-rate", 0.55, "--agreement", 0.73, "--power", 0.8, "--per-item", 1)
    assert "| 1 | 803 | 803 | ± 0.035 | 83.9% |" in page
    same = run("plan", "--accuracy", 0.8, "--half-width", 0.03, "--json")
    found = json.loads(same)
    assert found["between"] == pytest.approx(0.09)
    by_spread = run("plan", "--spread", 0.3, "--half-width", 0.03, "--json")
    items = [[p["items"] for p in one["plans"]] for one in (json.loads(by_spread), found)]
    assert items[0] == items[1]
    rows = [
        f"{i},{a},{'yes' if (i + (a == 'b' and i % 3 == 0)) % 2 else 'no'}"
        for i in range(60)
        for a in "ab"
    ]
    (tmp_path / "pilot.csv").write_text("\n".join(["item,annotator,label", *rows]))
    page = run("plan", "--pilot", tmp_path / "pilot.csv", "--half-width", 0.05)
    assert "pilot: 120 answers on 60 items, 60 of them answered twice or more" in page
    assert "agreement 0.667" in page


def test_a_plan_needs_one_goal_and_one_assumption(tmp_path: Path) -> None:
    assert "no goal is given" in run("plan", "--agreement", 0.7, code=2)
    both = run("plan", "--agreement", 0.7, "--power", 0.8, "--half-width", 0.1, code=2)
    assert "both --half-width and --power are given" in both
    assert "nothing says how far two annotators agree" in run("plan", "--power", 0.8, code=2)
    assert "one of --pilot" in run("plan", "--power", 0.8, code=2)
    two = run("plan", "--agreement", 0.7, "--spread", 0.1, "--power", 0.8, code=2)
    assert "one of --pilot" in two
    assert "from 0 to 0.500" in run("plan", "--spread", 0.6, "--half-width", 0.1, code=2)
