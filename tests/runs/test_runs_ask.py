"""The stage that asks AI judges: killed and resumed, and what other stages learn from it."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from test_ai_feedback import rows_file, shares

from accord.errors import AccordError
from accord.feedback.formats import read_feedback
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from forked import Accord
from scripted import Scripted, scripted

NANO = "accord:nano-base"


def recipe_file(folder: Path, stages: str) -> Path:
    path = folder / "r.yaml"
    path.write_text(f"name: r\nabout: d\nstages:\n{stages}", encoding="utf-8")
    return path


def ask_stage(rows: Path, server: Scripted, more: str = "") -> str:
    return f"""
  label:
    kind: ask
    data: {rows}
    judges: ["{server.url}#m"]
    constitution: accord:two-rules
    asking: {{at_once: 1, tries: 1, timeout: 5}}
{more}"""


def run(path: Path, out: Path, resume: bool = False) -> list[str]:
    said: list[str] = []

    class Listening(StageProgress):
        def say(self, text: str) -> None:
            said.append(text)

    loaded = recipes.load(str(path), [])
    runner.execute(loaded, out, resume, Listening(), {})
    return said


@pytest.mark.slow
def test_a_killed_stage_asks_nothing_twice_and_ends_alike(tmp_path: Path) -> None:
    rows = rows_file(tmp_path, 12)
    with scripted(shares, seconds=0.03) as server:
        path = recipe_file(tmp_path, ask_stage(rows, server))
        killed = Accord("run", str(path), "--out", str(tmp_path / "one"))
        until = time.monotonic() + 60
        while len(server.asked) < 15 and time.monotonic() < until:
            time.sleep(0.01)
        killed.kill()
        before = len(server.asked)
        assert 15 <= before < 48
        assert not (tmp_path / "one/stages/01-label/feedback.jsonl").exists()
        server.seconds = 0.0
        said = run(path, tmp_path / "one", resume=True)
        assert any("to ask" in line for line in said)
        answered = {json.dumps(one["messages"]) for one in server.asked}
        assert len(answered) == 48
        assert len(server.asked) <= 48 + 1, "at most the call under way is made again"
        run(path, tmp_path / "two")
    files = [tmp_path / run / "stages/01-label/feedback.jsonl" for run in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_its_records_are_learned_from_and_a_changed_constitution_is_refused(
    tmp_path: Path,
) -> None:
    rows = rows_file(tmp_path, 12)
    mine = tmp_path / "c.yaml"
    mine.write_text(
        "id: c\nversion: 1\nprinciples: [{id: kind, text: Be kind.}]\n", encoding="utf-8"
    )
    with scripted(shares) as server:
        stage = ask_stage(rows, server).replace("accord:two-rules", str(mine))
        path = recipe_file(tmp_path, stage)
        (plan,) = check(recipes.load(str(path), []), tmp_path / "run").values()
        assert plan.rows == 12
        assert any("24 to ask" in note for note in plan.notes)
        assert not server.asked
        run(path, tmp_path / "run")
        again = stage + learners("stage:label")
        both = recipes.load(str(recipe_file(tmp_path, again)), [])
        rows_of = {name: plan.rows for name, plan in check(both, tmp_path / "other").items()}
        assert rows_of["label"] == 12
    file = tmp_path / "run/stages/01-label/feedback.jsonl"
    records = read_feedback(str(file)).records
    assert {record.kind for record in records} == {"comparison"}
    plans = check(recipes.load(str(recipe_file(tmp_path, learners(str(file)))), []), tmp_path / "x")
    assert {name: plan.rows for name, plan in plans.items()} == {"d": 12, "k": 24, "r": 12}
    mine.write_text(mine.read_text().replace("kind.", "short."), encoding="utf-8")
    recipe_file(tmp_path, stage)
    (tmp_path / "run/stages/01-label/result.json").unlink()
    with pytest.raises(AccordError, match="changed since this run read it: sha256:"):
        run(path, tmp_path / "run", resume=True)


def learners(feedback: str) -> str:
    common = f"model: {NANO}, feedback: {feedback}, batch: 4, learning_rate: 1.0e-5"
    return "".join(
        f"\n  {name}: {{kind: {kind}, {common}}}"
        for name, kind in (("d", "dpo"), ("k", "kto"), ("r", "reward"))
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.replace('judges: ["', 'judges: ["x", "'), "'x' is no address"),
        (
            lambda s: s.replace("    judges:", "    models: []\n    panel:").replace("#m", ""),
            "panel",
        ),
        (lambda s: s + "    template: none.txt\n", "none.txt"),
        (lambda s: s + "    form: rubrik\n", "form"),
        (lambda s: s + "    max_failed: 2\n", "max_failed"),
    ],
)
def test_what_cannot_work_is_refused_first(tmp_path: Path, change: Any, said: str) -> None:
    with scripted(shares) as server:
        stage = change(ask_stage(rows_file(tmp_path, 4), server).rstrip() + "\n")
        with pytest.raises(AccordError, match=said):
            check(recipes.load(str(recipe_file(tmp_path, stage)), []), tmp_path / "run")
        assert not server.asked


def test_a_key_stands_in_no_file_of_a_run_though_the_endpoint_says_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-" + uuid.uuid4().hex
    monkeypatch.setenv("ACCORD_ENDPOINT_KEY", key)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def echoing(request: dict[str, Any], number: int) -> Any:
        if number % 5 == 0:
            return 400, {"x-key": key}, {"error": {"message": f"bad key Bearer {key}"}}
        return f"I was sent {key}" if number % 5 == 1 else shares(request)

    with scripted(echoing) as server:
        stage = ask_stage(rows_file(tmp_path, 12), server, "    max_failed: 1.0\n")
        said = run(recipe_file(tmp_path, stage), tmp_path / "run")
    assert server.headers[0]["authorization"] == f"Bearer {key}"
    records = read_feedback(str(tmp_path / "run/stages/01-label/feedback.jsonl")).records
    assert {record.kind for record in records} >= {"skip"}
    holding = [
        place
        for place in tmp_path.rglob("*")
        if place.is_file() and key.encode() in place.read_bytes()
    ]
    assert holding == []
    assert not any(key in line for line in said)
