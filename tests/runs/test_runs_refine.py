"""Feedback in words through the runner: who refines, what chooses, and what is left to learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError
from accord.feedback.records import parse_line
from accord.oversight.selecting import best_of, similarity
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from scripted import scripted

TESTS = "def check(candidate):\n    " + "\n    ".join(
    f"assert candidate({n}) == {2 * n}" for n in (1, 2, 3)
)
RIGHT, WRONG, SPECIAL = "    return 2 * x", "    return x", "    return {1: 2, 2: 4, 3: 7}[x]"


class Said(StageProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def critique(number: int, **meta: Any) -> dict[str, Any]:
    return {
        "id": f"c{number}", "kind": "critique", "prompt": "def double(x):\n", "annotator": "ann",
        "options": [{"id": "a", "content": WRONG, "producer": "model", "shown_at": 0}],
        "choice": {"text": f"Number {number}: it does not double."},
        "meta": {"tests": TESTS, "entry": "double", **meta},
    }  # fmt: skip


def correction(number: int, text: str) -> dict[str, Any]:
    return critique(number) | {
        "id": f"w{number}-{text}", "kind": "correction", "choice": {"content": text},
        "meta": {"critique": f"c{number}"},
    }  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> tuple[dict[str, Any], Said]:
    data, said = write(folder / "critiques.jsonl", rows), Said()
    stage = {"kind": "refine", "data": data, **settings}
    recipe = {"name": "refining", "seed": 1, "threads": 1, "stages": {"refine": stage}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    runner.execute(recipes.load(str(folder / "recipe.yaml")), folder / "run", False, said, {})
    result = json.loads((folder / "run/stages/01-refine/result.json").read_text())
    return result["values"], said


def records(folder: Path, name: str = "feedback") -> list[Any]:
    file = folder / f"run/stages/01-refine/{name}.jsonl"
    return [parse_line(line) for line in file.read_text().splitlines()]


def test_tests_choose_what_passes_and_say_what_is_special_cased(tmp_path: Path) -> None:
    texts = {0: [WRONG, RIGHT], 1: [WRONG], 2: ["    return 1 / 0"], 3: [], 4: [RIGHT]}
    written = [correction(n, text) for n, several in texts.items() for text in several]
    rows = [critique(n) for n in texts]
    rows[4]["meta"]["parent"] = "earlier"
    values, said = run(tmp_path, rows, written=write(tmp_path / "w.jsonl", written), select="tests")
    found = records(tmp_path)
    assert [one.kind for one in found] == ["correction", "skip", "skip", "skip", "correction"]
    assert values["chosen"] == 2
    assert values["copies"] == 2
    assert values["hidden_tests_passed"] == 1
    assert found[0].choice.content == RIGHT
    assert found[0].meta["critique"] == "c0"
    assert found[4].meta["parent"] == "earlier"
    assert "1 error" in found[2].choice.reason
    assert [one.choice.content for one in records(tmp_path, "demonstrations")] == [RIGHT, RIGHT]
    assert [one.choice.content for one in records(tmp_path, "unrefined")] == [WRONG, WRONG]
    assert any("kept back" in line for line in said.lines)


def test_special_casing_shows_in_the_assertion_kept_back(tmp_path: Path) -> None:
    """Wrong on one of three: taken where that one is hidden, and then told."""
    rows = [critique(n) for n in range(12)]
    written = [correction(n, SPECIAL) for n in range(12)] + [correction(0, RIGHT)]
    values, _ = run(tmp_path, rows, written=write(tmp_path / "w.jsonl", written), select="tests")
    taken = [one for one in records(tmp_path) if one.kind == "correction"]
    cased = [one for one in taken if one.choice.content == SPECIAL]
    assert 0 < len(cased) < 12
    assert not any(one.meta["hidden_tests_passed"] for one in cased)
    assert values["hidden_tests_passed"] == pytest.approx(1 - len(cased) / len(taken))


def test_an_endpoint_writes_several_and_a_function_scores_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refine_scores.py").write_text(
        "def longest(prompts, responses):\n    return [float(len(one)) for one in responses]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def reply(request: dict[str, Any], n: int) -> Any:
        assert "does not double" in json.dumps(request)
        return "x" * (1 + n % 3)

    with scripted(reply) as server:
        values, _ = run(
            tmp_path, [critique(0), critique(1)], reviser=f"{server.url}#m", refinements=3,
            select="scorer", scorer_function="refine_scores:longest",
        )  # fmt: skip
    assert values["written"] == 6
    assert len(records(tmp_path)) == 2


def test_a_local_model_says_which_uses_the_feedback(tmp_path: Path, pico: str) -> None:
    written = [correction(0, RIGHT), correction(0, SPECIAL)]
    path = write(tmp_path / "w.jsonl", written)
    run(tmp_path, [critique(0)], written=path, select="choice", chooser=pico)
    assert 0 < records(tmp_path)[0].meta["score"] < 1


def test_a_resumed_stage_refines_the_rest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refine_twice.py").write_text(
        "asked = []\ndef both(prompt, response, feedback):\n    asked.append(feedback)\n"
        "    return [feedback, 'something else']\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = [critique(n) for n in range(20)]
    run(tmp_path, rows, function="refine_twice:both", select="similarity")
    folder = tmp_path / "run/stages/01-refine"
    whole = (folder / "feedback.jsonl").read_bytes()
    assert [one.choice.content for one in records(tmp_path)] == [
        row["choice"]["text"] for row in rows
    ]
    log = folder / "refined.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:16]))
    (folder / "result.json").unlink()
    import refine_twice  # type: ignore[import-not-found]

    refine_twice.asked.clear()
    runner.execute(recipes.load(str(tmp_path / "recipe.yaml")), tmp_path / "run", True, Said(), {})
    assert len(refine_twice.asked) == 4
    assert (folder / "feedback.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"select": "tests"}, "one that refines"),
        ({"select": "scorer", "function": "a:b"}, "one of scorer"),
        ({"select": "choice", "function": "a:b"}, "chooser"),
        ({"select": "tests", "function": "nowhere_at:all"}, "nowhere_at"),
    ],
)
def test_what_cannot_be_is_said_before_it_runs(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(AccordError, match=said):
        run(tmp_path, [critique(0)], **settings)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"tests": "x = 1"}, "assert nothing"),
        ({"tests": 3}, "meta.tests"),
        ({"entry": None}, "entry"),
        ({"tests": None}, "no tests to choose by"),
    ],
)
def test_tests_that_test_nothing_name_their_record(
    tmp_path: Path, meta: dict[str, Any], said: str
) -> None:
    path = write(tmp_path / "w.jsonl", [correction(0, RIGHT)])
    with pytest.raises(AccordError, match=said) as error:
        run(tmp_path, [critique(0, **meta)], written=path, select="tests")
    assert "c0" in str(error.value)


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=6))
def test_the_best_is_the_first_of_the_highest(scores: list[float]) -> None:
    known = [one for one in scores if one == one]
    place = best_of(scores, "it").place
    assert (place is None) == (not known)
    assert place is None or place == scores.index(max(known))


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_symmetric_and_greatest_for_a_repetition(a: str, b: str) -> None:
    assert 0 <= similarity(a, b) == similarity(b, a) <= 1 + 1e-9
    assert similarity(a, b) <= similarity(a, a) + 1e-9 or similarity(a, a) == 0
