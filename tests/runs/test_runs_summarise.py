"""Summaries as trees through the runner, by a scripted endpoint that fails in every way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.errors import DataError, RunError
from accord.feedback.records import Feedback, parse_line
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from scripted import completion, scripted

DOCUMENTS = [
    {"text": " ".join(f"d{n}w{k}{'.' if k % 5 == 4 else ''}" for k in range(30 + 20 * n))}
    for n in range(4)
]


def load(folder: Path, url: str, data: list[dict[str, Any]], **settings: Any) -> recipes.Recipe:
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    asking = {"first_wait": 0.001, "tries": 3, **settings.pop("asking", {})}
    stage = {
        "kind": "summarise", "data": str(folder / "documents.jsonl"), "asking": asking,
        "writer": f"{url}#writer", "judge": f"{url}#judge", "chunk_words": 10, "branches": 3,
        "summary_words": 4, **settings,
    }  # fmt: skip
    told = {"name": "summing", "seed": 1, "threads": 1, "stages": {"summarise": stage}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    return recipes.load(str(folder / "recipe.yaml"))


def run(folder: Path, url: str, **settings: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    recipe = load(folder, url, settings.pop("data", DOCUMENTS), **settings)
    runner.execute(recipe, folder / "run", False, StageProgress(), {})
    found: dict[str, Any] = json.loads(
        (folder / "run/stages/01-summarise/result.json").read_text()
    )["values"]
    return found


def left(folder: Path, name: str) -> list[Feedback]:
    path = folder / "run/stages/01-summarise" / f"{name}.jsonl"
    return [parse_line(line) for line in path.read_text().splitlines()]


def answer(request: dict[str, Any], number: int) -> Any:
    text = request["messages"][-1]["content"]
    if request["model"] == "judge":
        first, second = re.findall(r"Response [AB]:\n(.*)", text)[:2]
        return "A" if first > second else "B"
    words = re.findall(r"d\dw\d+", text)
    return f"{words[0]} to {words[-1]} in words {request['seed'] % 1000}"


refused = set[str]()


def failing(request: dict[str, Any], number: int) -> Any:
    text, asked = request["messages"][-1]["content"], json.dumps(request)
    if number % 6 == 0 and asked not in refused:  # once: no question is given up for it
        refused.add(asked)
        return 429, {"retry-after": "0"}, {"error": "slow down"}
    if request["model"] == "judge" and "d1w" in text:
        return "I cannot choose."
    if request["model"] == "writer" and "d2w0" in text:
        return completion("cut", finish="length")
    if request["model"] == "writer" and "d3w0" in text:
        return completion("")
    return answer(request, number)


def test_nodes_are_records_with_children_and_levels_are_apart(tmp_path: Path) -> None:
    with scripted(answer) as server:
        plan = check(load(tmp_path, server.url, DOCUMENTS), tmp_path / "plan")["summarise"]
        assert not server.asked
        values = run(tmp_path, server.url)
        asked = len(server.asked)
    assert any(f"judge: at most {2 * values['nodes']}" in note for note in plan.notes)
    assert any(f"writer: at most {2 * values['nodes']}" in note for note in plan.notes)
    assert asked == 4 * values["nodes"]
    assert values["documents"] == values["summaries"] == 4
    assert values["leaves_compared"] + values["inner_compared"] == values["nodes"]
    nodes = left(tmp_path, "nodes")
    by_id = {(n.meta["node"]["document"], n.meta["node"]["id"]): n for n in nodes}
    for (document, _), one in by_id.items():
        for child in one.meta["node"]["children"]:
            assert by_id[document, child].choice.content in one.prompt  # type: ignore[union-attr]
    levels = {name: {r.meta["node"]["level"] for r in left(tmp_path, name)} for name in ("leaves", "inner")}  # fmt: skip
    assert levels["leaves"] == {0}
    assert levels["inner"] == set(range(1, values["levels"]))
    better = left(tmp_path, "leaves")[0]
    key = (better.meta["node"]["document"], better.meta["node"]["id"])
    preferred = {option.id: option.content for option in better.options}[better.choice.preferred]  # type: ignore[union-attr]
    assert by_id[key].choice.content == preferred  # type: ignore[union-attr]
    items = (tmp_path / "run/stages/01-summarise/audit.jsonl").read_text().splitlines()
    audited = [json.loads(line)["meta"]["node"] for line in items]
    assert {one["document"] for one in audited} == {0, 1, 2, 3}  # as many paths as documents
    assert sum(one["level"] == 0 for one in audited) == 4


def test_what_fails_is_counted_and_asked_once(tmp_path: Path) -> None:
    with scripted(failing) as server:
        with pytest.raises(RunError, match="nodes have no summary"):
            run(tmp_path, server.url)
        asked = len(server.asked)
        kept = {"answers": str(tmp_path / "run/stages/01-summarise/answers.sqlite")}
        values = run(tmp_path / "again", server.url, asking=kept, most_failed=1)
        assert len(server.asked) == asked
    assert values["summaries"] == 2
    assert values["failed"] > 2  # two chunks, and all above them
    skipped = [r for name in ("leaves", "inner") for r in left(tmp_path / "again", name) if r.kind == "skip"]  # fmt: skip
    assert {one.meta["node"]["document"] for one in skipped} == {1}


def test_rows_without_a_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: text is None"):
        check(load(tmp_path, "http://127.0.0.1:1/v1", [DOCUMENTS[0], {"t": "x"}]), tmp_path / "p")
