"""Reward stages at toy size: every kind of feedback from a file to a saved model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from accord.errors import AccordError, DataError
from accord.feedback.records import Feedback
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import Progress

WORDS = ("great", "fine", "slow", "loud", "odd", "new")
GRADES = {"joy": 4, "film": 2, "bore": 0}


def record(number: str, kind: str, prompt: str, texts: Iterable[str], choice: dict, annotator: str = "one") -> dict:
    options = [{"id": chr(97 + i), "content": text, "shown_at": i} for i, text in enumerate(texts)]
    made = {"id": number, "kind": kind, "prompt": prompt, "options": options, "choice": choice, "annotator": annotator}
    return json.loads(Feedback.model_validate(made).model_dump_json())


def write(path: Path, records: Iterable[dict]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


class Spoken(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def run(tmp_path: Path, feedback: Path, more: str = "", after: str = "") -> tuple[dict[str, Any], str, Path]:
    """(result of the reward stage, what was said, its folder)."""
    reward = "kind: reward, model: 'accord:nano-base', learning_rate: 1.0e-3, heldout_share: 0.2"
    defaults = {"members": 1, "epochs": 6, "batch": 3}
    given = "".join(f", {k}: {v}" for k, v in defaults.items() if f"{k}:" not in more)
    path = tmp_path / "toy.yaml"
    path.write_text(
        f"name: toy\nthreads: 1\nstages:\n  reward: {{{reward}{given}, feedback: {feedback}{more}}}\n{after}"
    )
    spoken = Spoken()
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, spoken, {})
    folder = tmp_path / "run/stages/01-reward"
    return json.loads((folder / "result.json").read_text()), "\n".join(spoken.lines), folder


def rated(kind: str = "both") -> list[dict]:
    """Ratings by a strict and a kind annotator, and thumbs by a third, of the same three words."""
    found = []
    for i, a in enumerate(WORDS):
        for j, b in enumerate(WORDS):
            for word, grade in GRADES.items():
                text, prompt = f" is a {b} {word}.", f"This {a} film"
                who, level = ("kind", min(4, grade + 1)) if j % 2 else ("strict", max(0, grade - 1))
                if kind != "thumbs":
                    choice = {"scores": {"overall": level}, "low": 0, "high": 4}
                    found.append(record(f"r{i}{j}{word}", "rating", prompt, [text], choice, who))
                if kind != "ratings" and word != "film":
                    found.append(record(f"t{i}{j}{word}", "thumb", prompt, [text], {"up": grade > 2}, "thumbs"))
    return found


@pytest.mark.slow
def test_ratings_thumbs_and_comparisons_in_one_run(tmp_path: Path) -> None:
    mix = rated()
    for i, a in enumerate(WORDS):
        texts = [f" is a {a} joy.", f" is a {a} bore."]
        mix.append(record(f"c{i}", "comparison", f"This {a} film", texts, {"preferred": "a"}, "four"))
    result, said, folder = run(tmp_path, write(tmp_path / "mix.jsonl", mix), ", effects: joint, annotator_rate: 0.1")
    assert "186 judgements on 6 prompts; left out: 0" in said
    assert result["values"]["heldout_accuracy"] > 0.9
    told = json.loads((folder / "annotators.json").read_text())
    assert [s["name"] for s in told["scales"]] == ["overall 0 to 4", "thumb"]
    offsets = {a["annotator"]: a["offset"] for a in told["annotators"]}
    assert offsets["kind"] > offsets["strict"] + 0.5
    assert told["scales"][0]["thresholds"] == sorted(told["scales"][0]["thresholds"])


@pytest.mark.slow
def test_thumbs_alone(tmp_path: Path) -> None:
    result, _, folder = run(tmp_path, write(tmp_path / "thumbs.jsonl", rated("thumbs")), ", members: 2")
    assert result["values"]["heldout_accuracy"] > 0.9
    assert "model" in result["artefacts"]
    assert (folder / "model" / "reward.json").is_file()


def test_ratings_that_cannot_be_used(tmp_path: Path) -> None:
    def rating(number: str, scores: dict[str, float], high: float = 100.0) -> dict:
        return record(number, "rating", "p", [f"text {number}"], {"scores": scores, "low": 0, "high": high})

    cases = {
        "several attributes: clear, short": [rating("1", {"clear": 1, "short": 2})],
        "overall have 40 different values": [rating(str(i), {"overall": i}) for i in range(40)],
        r"all are 3': 2": [rating("1", {"overall": 3}), rating("2", {"overall": 3})],
    }
    for number, (message, rows) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(DataError, match=message):
            run(folder, write(folder / "ratings.jsonl", rows))


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AccordError, match="effects"):
        run(tmp_path, tmp_path / "none.jsonl", ", effects: guess")
