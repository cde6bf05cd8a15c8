"""`accord feedback audit`, `select` and `agreement` on small stores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from accord.cli.main import main
from accord.feedback.records import Feedback, dump_line
from accord.feedback.simulate import Offered, SimulatedAnnotator, judge_best_worst, judge_comparison, judge_rating


def write(path: Path, records: list[Feedback]) -> Path:
    path.write_text("\n".join(map(dump_line, records)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Twelve annotators on six models: one prefers the left, one gives gold wrong answers, sides and arms are mixed."""
    rng, records = np.random.default_rng(0), []
    scores = np.array([2.0, 1.2, 0.4, -0.4, -1.2, -2.0])
    for number in range(900):
        a, b = rng.choice(6, size=2, replace=False)
        who = number % 12
        won = rng.random() < 1 / (1 + np.exp(scores[b] - scores[a]))
        won = bool(rng.random() < 0.9) if who == 0 else bool(won)
        meta: dict = {"selected_by": "random" if number % 3 == 0 else "ranking"}
        if number % 10 == who % 10:
            right = bool(rng.random() < (0.4 if who == 1 else 0.95))
            meta["gold"] = {"preferred": f"o{(a if won else b) if right else (b if won else a)}"}
        options = [
            {"id": f"o{m}", "content": f"by {m}", "producer": f"m{m}", "shown_at": k} for k, m in enumerate((a, b))
        ]
        records.append(Feedback.model_validate({
            "id": str(number), "kind": "comparison", "prompt": f"p{number % 20}", "options": options,
            "choice": {"preferred": f"o{a if won else b}"}, "annotator": f"a{who:02d}", "meta": meta,
        }))  # fmt: skip
    return write(tmp_path / "votes.jsonl", records)


def test_audit_prints_one_page_and_one_object(store: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    page = run(main, ["feedback", "audit", str(store)])
    assert page.exit_code == 0, page.output
    for word in ("alarms", "agreement", "position", "drift", "poisoning", "gold", "groups", "not caught"):
        assert word in page.output
    described = {f"a{k:02d}": {"region": "north" if k < 6 else "south"} for k in range(12)}
    (tmp_path / "who.json").write_text(json.dumps(described))
    options = ["--json", "--trusted", "a05", "--trusted", "a06", "--attributes", str(tmp_path / "who.json")]
    done = run(main, ["feedback", "audit", str(store), *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["objects"] == "producer"
    assert found["position"]["alarm"]
    assert {a["subject"] for a in found["alarms"] if a["area"] == "position"} == {"everybody", "a00"}
    assert found["poisoning"]["reference"].endswith("2 trusted annotators")
    assert [g["annotators"] for g in found["representation"][0]["groups"]] == [6, 6]
    assert len(found["gold"]) > 0


def test_audit_of_single_answers_and_of_one_policy(tmp_path: Path) -> None:
    rng, records = np.random.default_rng(1), []
    crowd = [SimulatedAnnotator(f"a{k}", 1.5, offset=0.5 * k) for k in range(4)]
    for item in range(40):
        offered = Offered(f"p{item}", [f"{item}.{k}" for k in range(4)], rng.normal(size=4).tolist(), "m", [True] * 4)
        for k, annotator in enumerate(crowd):
            records.append(judge_rating(offered, 0, annotator, (item, k), "g"))
            records.append(judge_comparison(offered, (0, 1), annotator, (item, k, 1), "g"))
            records.append(judge_best_worst(offered, annotator, (item, k, 2), "g"))
    path = write(tmp_path / "r.jsonl", records)
    done = CliRunner().invoke(main, ["feedback", "audit", str(path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["objects"] == "option"
    assert {a["subject"] for a in found["alarms"]} <= {f"a{k}" for k in range(4)} | {"everybody"}
    assert len(found["annotators"]["annotators"]) == 4
    assert found["scales"][0]["attribute"] == "overall"
    shown = CliRunner().invoke(main, ["feedback", "agreement", str(path)])
    assert "rating overall (ordinal)" in shown.output
    assert "best_worst alone" in shown.output


def test_select_writes_tasks_and_says_the_saving(store: Path, tmp_path: Path) -> None:
    run, out = CliRunner().invoke, tmp_path / "next.jsonl"
    done = run(main, ["feedback", "select", str(store), "--count", "40", "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 40
    assert sum(row["meta"]["selected_by"] == "random" for row in rows) == 10
    assert {len({o["producer"] for o in row["options"]}) for row in rows} == {2}
    assert "saving of the active arm" in done.output
    assert "active, 300 random votes" in done.output
    again = run(main, ["feedback", "select", str(store), "--count", "40", "--out", str(out)])
    assert again.exit_code == 2
    best = run(main, ["feedback", "select", str(store), "--count", "12", "--goal", "best"])
    assert "and 2 more" in best.output
    few = run(main, ["feedback", "select", str(store), "--count", "12", "--random-share", "0.1"])
    assert few.exit_code == 2
    assert "20%" in few.output + (few.stderr or "")


def test_what_cannot_be_read_is_said(store: Path, tmp_path: Path) -> None:
    (tmp_path / "who.json").write_text('{"a": "north"}')
    done = CliRunner().invoke(main, ["feedback", "audit", str(store), "--attributes", str(tmp_path / "who.json")])
    assert done.exit_code == 2
    assert "does not map annotators" in done.output + (done.stderr or "")
