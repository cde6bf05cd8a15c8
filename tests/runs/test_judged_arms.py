"""Arms compared by a judge, with and without people's labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accord.cli.main import main
from accord.errors import DataError
from accord.runs import judged_arms
from accord.runs.judged_arms import ComparedPair, compare_arms, judged_win_rate, pair_arms
from accord.runs.judges import load_judge
from accord.runs.judging import AskedPair


def longest(prompt: str, first: str, second: str) -> str:
    return "first" if len(first) > len(second) else "second"


def best(prompt: str, first: str, second: str) -> str:
    return "first" if first.count("good") > second.count("good") else "second"


def shy(prompt: str, first: str, second: str) -> str | None:
    return None if prompt.endswith("3") else best(prompt, first, second)


def mute(prompt: str, first: str, second: str) -> None:
    return None


def judge(name: str) -> str:
    return f"{__name__}:{name}"


def arm_rows(seed: int, goods: float, words: float, prompts: int = 40) -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "prompt": f"p{n}",
            "response": f"{seed} " + "good " * rng.poisson(goods) + "word " * rng.poisson(words),
        }
        for n in range(prompts)
    ]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A base, one that only writes more, and one that is better."""
    arms = {"base": (1, 2.0, 5.0), "padded": (2, 2.0, 15.0), "better": (3, 6.0, 5.0)}
    found = {}
    for name, (seed, goods, words) in arms.items():
        found[name] = tmp_path / f"{name}.jsonl"
        rows = arm_rows(seed, goods, words)
        found[name].write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return found


def compare(judges: list[str], files: dict[str, Path], *arguments: object) -> Result:
    arms = [f"--arm={name}={path}" for name, path in files.items()]
    given = [*map(judge, judges), *arms, *map(str, arguments)]
    return CliRunner().invoke(main, ["judge", "compare", *given])


def test_win_rates_ratings_and_people(files: dict[str, Path], tmp_path: Path) -> None:
    out, labels = tmp_path / "wins.json", tmp_path / "labels.jsonl"
    texts = {name: dict(judged_arms.read_arm(path)) for name, path in files.items()}
    rows = [
        {
            "prompt": prompt,
            "chosen": max(padded, base, key=lambda text: text.count("good")),
            "rejected": min(padded, base, key=lambda text: text.count("good")),
        }
        for prompt, padded, base in (
            (p, texts["padded"][p], texts["base"][p]) for p in list(texts["base"])[:25]
        )
        if padded.count("good") != base.count("good")
    ]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    planned = compare(["longest"], files, "--all-pairs", "--dry-run")
    assert "120 comparisons, at most 240 questions" in planned.output
    found = compare(["longest"], files, "--all-pairs", "--people", labels, "--out", out)
    assert found.exit_code == 0, found.output
    said = json.loads(out.read_text(encoding="utf-8"))
    wins = {(one["arm"], one["against"]): one for one in said["wins"]}
    assert set(wins) == {("padded", "base"), ("better", "base"), ("better", "padded")}
    padded = wins["padded", "base"]
    assert padded["win_rate"]["low"] > 0.8
    assert padded["labelled"] == len(rows)
    assert padded["corrected"]["low"] < 0.5 < padded["corrected"]["high"], "people see no gain"
    assert abs(padded["corrected"]["value"] - padded["people"]["value"]) < 0.1
    assert wins["better", "base"]["corrected"] is None
    assert said["ratings"]["base"]["value"] == 0
    assert said["ratings"]["padded"]["low"] > said["ratings"]["better"]["value"] > 0
    assert "Elo" in found.output


def test_a_panel_and_pairs_without_a_verdict(files: dict[str, Path]) -> None:
    found = compare(["shy"], files)
    assert found.exit_code == 0, found.output
    assert "36 comparisons, 4 without a verdict" in found.output
    assert "no verdict, 16 times: it answered None" in found.output
    panel = compare(["shy", "best", "longest"], files)
    assert "the panel is unanimous in" in panel.output
    nothing = compare(["mute"], files)
    assert (nothing.exit_code, "gave no verdict on any of 40" in nothing.output) == (2, True)


def test_the_same_response_is_a_tie_that_nobody_is_asked_about() -> None:
    found = judged_win_rate(load_judge(judge("best")), ["p", "q"], ["a", "good"], ["a", "b"])
    assert (found.comparisons, found.win_rate.value, found.flipped.value) == (2, 0.75, 0.0)
    only = ComparedPair("x", "y", [AskedPair("p", "a", "a", None)], np.array([0]))
    assert compare_arms(load_judge(judge("mute")), [only]).wins[0].win_rate.value == 0.5


def test_arms_are_paired_by_prompt() -> None:
    arms = {
        "a": [("p", "a1"), ("p", "a2"), ("q", "a3"), ("only a", "a4")],
        "b": [("q", "b3"), ("p", "b1")],
    }
    (found,), left_out = pair_arms(arms, False, 10, 0)
    assert {(p.prompt, p.a, p.b) for p in found.pairs} == {("p", "b1", "a1"), ("q", "b3", "a3")}
    assert left_out == {"a": 2}
    with pytest.raises(DataError, match="share no prompt"):
        pair_arms({"a": [("p", "x")], "b": [("q", "x")]}, False, 10, 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "is empty"),
        ([{"prompt": "p", "text": "r"}], "has no response: its columns are prompt, text"),
        ([{"query": "p", "response": "r"}], "has no prompt"),
        ([{"prompt": "p", "response": None}], "has no response"),
    ],
)
def test_files_that_hold_no_arm(rows: list[dict[str, str]], said: str, tmp_path: Path) -> None:
    path = tmp_path / "arm.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        judged_arms.read_arm(path)


def test_arms_are_named(files: dict[str, Path]) -> None:
    for one in ({"base": files["base"]}, {"a": files["base"], "b": Path("missing")}):
        found = compare(["best"], one)
        assert found.exit_code == 2
        assert "--arm NAME=FILE" in found.output
