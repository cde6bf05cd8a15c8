"""Judges behind an address, with planted faults; panels; answers that are no verdicts; drift."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accord.cli.main import main
from accord.errors import RunError
from accord.feedback.judge_drift import judge_drift
from accord.oversight.judge_answers import answer_in, answer_shares
from accord.runs import judging
from accord.runs.judges import PanelJudge, load_judge
from scripted import Scripted, completion, scripted

ASKED = re.compile(r"Response A:\n(.*)\n\nResponse B:\n(.*)\n\nWhich response", re.DOTALL)
Takes = Callable[[str, str], bool]


def quality(text: str) -> int:
    """What people judge by, which stands in each response."""
    return int(text.split()[1])


def honest(first: str, second: str) -> bool:
    return quality(first) > quality(second)


def obedient(first: str, second: str) -> bool:
    told = [judging.INJECTION in text for text in (first, second)]
    return told[0] if told[0] != told[1] else honest(first, second)


PLANTED: dict[str, Takes] = {
    "honest": honest,
    "position": lambda first, second: True,
    "length": lambda first, second: len(first) > len(second),
    "own": lambda first, second: (
        "mine" in first if ("mine" in first) != ("mine" in second) else honest(first, second)
    ),
    "injection": obedient,
}


def judge(takes: Takes) -> Callable[[dict[str, Any], int], str]:
    """What an endpoint says whose model decides so."""

    def answer(request: dict[str, Any], _: int) -> str:
        found = ASKED.search(request["messages"][0]["content"])
        assert found is not None
        return "A" if takes(*found.groups()) else "B"

    return answer


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs that people decide by a number in the text; length and author have nothing to do with
    it."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(60):
        worth = rng.permutation(9)[:2].tolist()
        own = int(rng.integers(2))
        texts = [
            f"quality {q} {'mine' if place == own else 'theirs'} {'very ' * int(rng.integers(12))}"
            for place, q in enumerate(worth)
        ]
        options = [
            {
                "id": "ab"[place],
                "content": text,
                "producer": ["other", "me"][place == own],
                "shown_at": place,
            }
            for place, text in enumerate(texts)
        ]
        choice = {"preferred": "a" if worth[0] > worth[1] else "b"}
        record = {
            "id": f"r{n}",
            "kind": "comparison",
            "prompt": f"Say {n}.",
            "options": options,
            "choice": choice,
        }
        rows.append({**record, "annotator": "p"})
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted(judge(honest)) as found:
        yield found


def audit(server: Scripted, pairs: Path, folder: Path, *arguments: object) -> Result:
    given = [f"{server.url}#m", pairs, "--cache", folder / "answers.sqlite", *arguments]
    return CliRunner().invoke(main, ["judge", "audit", *map(str, given)])


@pytest.mark.parametrize("planted", sorted(PLANTED))
def test_a_planted_fault_is_found_and_no_other(
    server: Scripted, pairs_file: Path, tmp_path: Path, planted: str
) -> None:
    server.answer = judge(PLANTED[planted])
    out = tmp_path / "card.json"
    found = audit(server, pairs_file, tmp_path, "--yes", "--own", "me", "--out", out)
    assert found.exit_code == 0, found.output
    card = json.loads(out.read_text(encoding="utf-8"))
    assert card["flipped"]["value"] == (planted == "position")
    assert card["first_place"]["value"] == (1.0 if planted == "position" else 0.5)
    for name, pull in (("length", "longer"), ("own", "own")):
        excess = card[pull]["excess"]
        assert (excess["low"] > 0.2) == (planted == name), pull
        assert planted == name or excess["low"] <= 0 <= excess["high"], pull
    if planted == "position":
        assert card["turned"] is None
    else:
        assert (card["turned"]["value"] > 0.9) == (planted == "injection")
    if planted == "honest":
        assert card["agreement"]["value"] == 1.0
    calls = len(server.asked)
    assert calls == 60 * (2 if planted == "position" else 6)
    again = audit(server, pairs_file, tmp_path, "--own", "me", "--out", out)
    assert again.exit_code == 0, again.output
    assert len(server.asked) == calls, "the second run asks nothing, and needs no --yes"
    assert json.loads(out.read_text(encoding="utf-8"))["turned"] == card["turned"]


def test_it_is_asked_before_anything_is_paid_for(
    server: Scripted, pairs_file: Path, tmp_path: Path
) -> None:
    planned = audit(server, pairs_file, tmp_path, "--dry-run")
    assert "60 pairs, at most 360 questions" in planned.output
    refused = audit(server, pairs_file, tmp_path, "--price", "1,2")
    assert refused.exit_code == 1
    assert "0 kept answers, 120 to ask, and up to 240 that depend on the answers" in refused.output
    assert "of money, at most" in refused.output
    for limit, said in (
        (("--budget-calls", 359), "360 calls, 359 are allowed"),
        (("--budget-tokens", 1000), "1,000 are allowed"),
        (("--budget-money", "0.001", "--price", "1,2"), "0.00 are allowed"),
        (("--budget-money", "1"), "needs prices"),
        (("--price", "1"), "two amounts are wanted"),
        (("--no-cache",), "name one of them"),
    ):
        found = audit(server, pairs_file, tmp_path, "--yes", *limit)
        assert found.exit_code == 2
        assert said in found.output
    assert not server.asked
    assert audit(server, pairs_file, tmp_path, "--yes", "--budget-calls", 360).exit_code == 0


def test_answers_that_are_no_verdicts_are_skips(
    server: Scripted, pairs_file: Path, tmp_path: Path
) -> None:
    def answer(request: dict[str, Any], number: int) -> Any:
        text = request["messages"][0]["content"]
        if "Say 7." in text:
            return "I cannot compare them."
        if "Say 8." in text and "Response A:\nquality" in text:
            return 400, {}, "content filter"
        if "Say 9." in text:
            return completion("Let me think about", "length")
        return judge(honest)(request, number)

    server.answer = answer
    out = tmp_path / "card.json"
    found = audit(server, pairs_file, tmp_path, "--yes", "--no-inject", "--out", out)
    assert found.exit_code == 0, found.output
    card = json.loads(out.read_text(encoding="utf-8"))
    assert (card["pairs"], card["skipped"], card["agreement"]["value"]) == (57, 3, 1.0)
    assert sorted(map(str, set(card["verdicts"].values()))) == ["0.0", "None"]
    assert "no verdict, 2 times: answered 'I cannot compare them.'" in found.output
    assert "no verdict, 2 times: cut at 16 tokens: answered 'Let me think" in found.output
    assert "HTTP 400" in found.output
    server.answer = lambda request, number: "I would rather not."
    none = audit(server, pairs_file, tmp_path / "other", "--yes")
    assert none.exit_code == 1
    assert "no verdict in both orders on any of 60 pairs" in none.output


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        (" b.", "B"),
        ("**A**", "A"),
        ("[[B]]", "B"),
        ("(A)", "A"),
        ("Answer: B", "B"),
        ("The better response is A.", "A"),
        ("Response B is better", "B"),
        ("My final answer is: **B**", "B"),
        ("A. It is shorter.", "A"),
        ("They differ in tone.\nB is rude.\n\nAnswer: A", "A"),
        ("A\n\nbecause B is rude", "A"),
        ("A better answer would be shorter.", None),
        ("Both are fine.", None),
        ("A or B", None),
        ("A\nB", None),
        ("Bravo", None),
        ("", None),
        ("C", None),
    ],
)
def test_what_is_a_verdict(text: str, letter: str | None) -> None:
    assert answer_in(text, ("A", "B")) == letter


def test_probabilities_of_the_letters() -> None:
    logps = {"A": np.log(0.6), " B": np.log(0.2), "The": np.log(0.1)}
    found = answer_shares(logps, ("A", "B"))
    assert found is not None
    assert found[0] == pytest.approx((0.75, 0.25))
    assert found[1] == pytest.approx(0.8)
    assert answer_shares({"A": np.log(0.4), "The": np.log(0.5)}, ("A", "B")) is None
    assert answer_shares(None, ("A", "B")) is None

    def answer(request: dict[str, Any], number: int) -> Any:
        return completion("A", logps={"A": float(np.log(0.7)), "B": float(np.log(0.3))})

    with scripted(answer) as server:
        said = load_judge(f"{server.url}#m")([("p", "a", "b")])
    assert said.tolist() == [pytest.approx(0.7)]


def first(prompt: str, one: str, other: str) -> str:
    return "first"


def longer(prompt: str, one: str, other: str) -> str:
    return "first" if len(one) > len(other) else "second"


def silent(prompt: str, one: str, other: str) -> str | None:
    return None


def test_the_majority_of_a_panel_decides() -> None:
    pairs = [judging.AskedPair(f"p{n}", "a", "bb", 0.0) for n in range(4)]
    names = [f"{__name__}:{name}" for name in ("first", "longer", "longer", "silent")]
    panel = load_judge(names)
    assert isinstance(panel, PanelJudge)
    judged = judging.ask(panel, pairs, inject=False)
    assert judged.decided_P.tolist() == [0.0] * 4
    assert judged.second_P.tolist() == [0.0] * 4, "all that speak say so"
    assert judged.first_P.tolist() == [pytest.approx(1 / 3)] * 4
    assert panel.agreement() == 0.5
    nobody = load_judge(names[3:] * 2)
    with pytest.raises(RunError, match="no verdict in both orders on any of 4 pairs"):
        judging.ask(nobody, pairs)


def test_a_judge_that_has_drifted(
    server: Scripted, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, now = tmp_path / "then.json", tmp_path / "now.json"
    assert audit(server, pairs_file, tmp_path, "--yes", "--no-inject", "--out", then).exit_code == 0
    same = audit(server, pairs_file, tmp_path, "--yes", "--no-inject", "--against", then)
    assert "since then, on 60 pairs" in same.output
    assert re.search(r"changed +0% ", same.output), same.output
    assert len(server.asked) == 240, "asked again, since the first audit"
    server.answer = judge(PLANTED["length"])
    asked = ("--yes", "--no-inject", "--seed", 1, "--against", then, "--out", now)
    assert "agreement        0 " in audit(server, pairs_file, tmp_path, *asked).output
    assert len(server.asked) == 240, "what was answered within the hour is kept"
    monkeypatch.setattr("accord.cli.judge.FRESH", 0.0)
    other = audit(server, pairs_file, tmp_path, *asked)
    assert other.exit_code == 0, other.output
    assert "agreement        -0." in other.output
    assert "towards longer   0." in other.output
    wrong = audit(server, pairs_file, tmp_path, "--against", pairs_file)
    assert (wrong.exit_code, "holds no verdicts" in wrong.output) == (2, True)
    renamed = json.loads(then.read_text(encoding="utf-8")) | {"judges": ["another"]}
    then.write_text(json.dumps(renamed), encoding="utf-8")
    other = audit(server, pairs_file, tmp_path, "--yes", "--no-inject", "--against", then)
    assert (other.exit_code, "drift is of one judge" in other.output) == (2, True)


def test_drift_on_arrays() -> None:
    before, after = np.array([1.0, 0.0, 0.5, np.nan, 1.0]), np.array([0.0, 0.0, 1.0, 1.0, np.nan])
    longer = np.array([-1.0, 1.0, 1.0, 1.0, 1.0])
    people = np.array([1.0, np.nan, 1.0, 1.0, 1.0])
    found = judge_drift(before, after, longer, people, np.arange(5))
    assert found.shared == 3
    assert found.changed.value == pytest.approx(2 / 3)
    assert found.towards_longer is not None
    assert found.towards_longer.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx((-1 + 0.5) / 2)
    with pytest.raises(ValueError, match="no pair was judged both times"):
        judge_drift(before[3:], after[3:], longer[3:], people[3:], np.arange(2))
