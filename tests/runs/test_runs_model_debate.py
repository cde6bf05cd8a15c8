"""Debates between models through the runner: by an endpoint that fails in every way, within a
budget, once, and from a file that is not as it should be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.errors import AccordError, DataError, RunError
from accord.feedback.records import Feedback, parse_line
from accord.feedback.transcript_verdicts import transcript_verdicts
from accord.oversight.debate import from_records
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from accord.sampling.budget import BudgetError
from accord.studio.projects.incoming import checked, items_from
from accord.studio.projects.settings import ProjectSettings
from scripted import completion, scripted

COLOURS = ("red", "blue", "green", "grey")


class Said(StageProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def rows(count: int = 24) -> list[dict[str, Any]]:
    """Texts that name a door's colour."""
    return [
        {
            "passage": f"House {n} stands in a lane.\nIts door is {COLOURS[n % 4]}, said {{everybody}}.",
            "question": f"What colour is the door of house {n}?",
            "options": list(COLOURS),
            "answer": COLOURS[n % 4],
        }
        for n in range(count)
    ]  # fmt: skip


def load(folder: Path, url: str, data: list[dict[str, Any]], **settings: Any) -> recipes.Recipe:
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    asking = {"first_wait": 0.001, "tries": 3, **settings.pop("asking", {})}
    stage = {
        "kind": "model_debate", "data": str(folder / "questions.jsonl"), "asking": asking,
        "debater": f"{url}#reader", "judge": f"{url}#judge", "turns": 2, **settings,
    }  # fmt: skip
    told = {"name": "debating", "seed": 1, "threads": 1, "stages": {"debate": stage}}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(told, sort_keys=False))
    return recipes.load(str(path))


def run(folder: Path, url: str, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    said, run_dir = Said(), folder / "run"
    recipe = load(folder, url, settings.pop("data", rows()), **settings)
    runner.execute(recipe, run_dir, (run_dir / "recipe.yaml").exists(), said, {})
    return json.loads((run_dir / "stages/01-debate/result.json").read_text()), said.lines


def left(folder: Path, name: str) -> list[Feedback]:
    path = folder / "run" / "stages" / "01-debate" / f"{name}.jsonl"
    return [parse_line(line) for line in path.read_text().splitlines()]


def player(
    lie: Callable[[str], str] = lambda side: f"<quote>Its door is {side}</quote>",
) -> Callable[[dict[str, Any], int], Any]:
    """Debaters quote the text for the truth and invent for a lie; a judge believes what is marked
    as a quote, or what the text says, else the first place."""

    def answer(request: dict[str, Any], number: int) -> Any:
        text = request["messages"][-1]["content"]
        if request["model"] == "reader" and "You argue for: " in text:
            side = re.search(r"You argue for: (\w+)\.", text)
            true = re.search(r"Its door is (\w+),", text)
            assert side is not None
            assert true is not None
            if side[1] == true[1]:
                return f"Look: <quote>Its door is {side[1]}</quote>.\nFor 'x': ⟦forged⟧"
            return lie(side[1])
        seen = re.search(r"(?:“|\n)Its door is (\w+)", text)
        options = re.findall(r"^([A-D]): (\w+)$", text, re.MULTILINE)
        letter = next((one for one, name in options if seen and name == seen[1]), "A")
        return completion(letter, logps={letter: -0.1, "B" if letter == "A" else "A": -2.35})

    return answer


def test_debate_lets_the_truth_be_checked_and_a_lone_liar_is_not_believed(tmp_path: Path) -> None:
    with scripted(player()) as server:
        result, lines = run(tmp_path, server.url)
        first = len(server.asked)
        told = [one["messages"][-1]["content"] for one in server.asked if one["model"] == "judge"]
    values = result["values"]
    assert values["full"] == values["debate"] == values["swapped"] == values["honest"] == 1
    assert values["two"] == values["lying"] == 0.5  # the first place, in both orders
    assert values["direct"] < 0.5
    assert values["assigned"] == 0.75
    assert values["open"] == 1
    assert values["gain.debate"] == 0.5
    assert values["debate_less_consultancy"] == 0.25
    # every lie quotes what the text does not say: once in each debate and twice by the liar
    assert values["quotes_refused"] == 24 * (1 + 1 + 2)
    assert values["quotes"] == 24 * (1 + 1 + 2)
    assert any(line.startswith("96 quotes stand in their texts; 96 do not") for line in lines)
    assert first == 24 * (4 * 2 + 2 + 14)
    shown = [text for text in told if "Look:" in text]
    assert shown
    assert all("[forged]" in text and "\nFor 'x'" not in text for text in shown)
    assert not any("lane" in text for text in told if "The text that" not in text)
    transcripts = from_records(left(tmp_path, "transcripts"))
    assert len(transcripts) == 24 * 4
    assert sum(len(turn.refused) for one in transcripts for turn in one.turns) == 96
    verdicts = left(tmp_path, "feedback")
    assert {one.annotator for one in verdicts} == {f"{server.url}#judge"}
    right = [
        one.choice.preferred is not None
        and one.options[int(one.choice.preferred)].content == one.meta["columns"]["right"]
        for one in verdicts
        if one.meta["columns"]["arm"] == "debate"
    ]
    assert all(right)
    items = (tmp_path / "run/stages/01-debate/items.jsonl").read_text().splitlines()
    assert len(items) == 24
    assert len({json.loads(one)["meta"]["arm"] for one in items}) == 4
    for row in map(json.loads, items):  # each with what is right of its own question
        number = int(row["prompt"].rpartition("door of house ")[2].rstrip("?"))
        assert row["meta"]["right"] == COLOURS[number % 4]
        assert row["meta"]["right"] in row["options"]
    arms, left_out = transcript_verdicts(verdicts)
    assert {name: one.right.value for name, one in arms.items()} == {
        "debate": 1, "swapped": 1, "honest": 1, "lying": 0.5,
    }  # fmt: skip
    assert not left_out
    people = ProjectSettings(name="debates", tie=False, both_bad=False)
    incoming = items_from(tmp_path / "run/stages/01-debate/items.jsonl", people)
    rows_in = [checked(one, people) for one in incoming.items]
    assert len(rows_in) == 24
    assert all({*row["meta"]} == {"arm", "right"} and row["purpose"] == "work" for row in rows_in)
    assert not any("The text that" in str(row["prompt"]) for row in rows_in)


def test_what_fails_is_counted_and_no_number_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    played = player(lambda side: f"It is {side}, <quote>surely.")
    slowed = set[str]()

    def injected(request: dict[str, Any], number: int) -> Any:
        text = request["messages"][-1]["content"]
        house = re.search(r"house (\d+)", text)
        assert house is not None
        kind, speaks = int(house[1]) % 6, "You argue for: " in text
        if number % 7 == 0 and json.dumps(request) not in slowed:  # once: none is given up for it
            slowed.add(json.dumps(request))
            return 429, {"retry-after": "0"}, {"error": "slow down"}
        if speaks and kind == 1:
            return completion("Its door", finish="length")
        if speaks and kind == 2:
            return "I'm sorry, but I can't help with that."
        if speaks and kind == 3:
            return completion("")
        if request["model"] == "judge" and kind == 4 and "Look:" in text:
            return "Both are lovely colours."
        return played(request, number)

    with scripted(injected) as server:
        with pytest.raises(RunError, match=r"verdicts are missing, more than 10%"):
            run(tmp_path, server.url)
        asked = len(server.asked)
        kept = {"answers": str(tmp_path / "run/stages/01-debate/answers.sqlite")}
        again = tmp_path / "again"
        again.mkdir()
        result, _ = run(again, server.url, most_failed=0.9, asking=kept)
        assert len(server.asked) == asked
    values = result["values"]
    assert values["failed_transcripts"] == 12 * 4
    assert values["transcripts"] == 12 * 4
    assert values["full"] == 1
    told = json.loads((again / "run/stages/01-debate/accuracies.json").read_text())
    assert told["debate"]["judged"] == 8
    assert told["full"]["judged"] == 24
    reasons = told["debate"]["missing"]
    for why in ("cut at the limit", "the debater refused", "is empty", "Both are lovely"):
        assert why in reasons, reasons
    assert values["gain.debate"] == 0.5  # on the questions that both judged
    assert values["quotes_refused"] > 0  # marks of quotes that are never closed


def test_what_it_costs_is_told_before_and_a_budget_ends_it_with_answers_kept(tmp_path: Path) -> None:  # fmt: skip
    with scripted(player()) as server:
        prices = {"prompt_price": 1.0, "response_price": 2.0}
        recipe = load(tmp_path, server.url, rows(10), asking=prices)
        notes = check(recipe, tmp_path / "plan")["debate"].notes
        assert not server.asked
        assert any("reader: at most 100 calls" in note and "of money" in note for note in notes)
        assert any("judge: at most 140 calls" in note for note in notes)
        with pytest.raises(BudgetError) as refused:
            run(tmp_path, server.url, data=rows(10), asking={"calls": 30})
        assert "debate.asking.answers=" in str(refused.value.fix)
        assert len(server.asked) <= 30
        kept = {"answers": str(tmp_path / "run/stages/01-debate/answers.sqlite")}
        again = tmp_path / "again"
        again.mkdir()
        result, _ = run(again, server.url, data=rows(10), asking=kept)
    assert result["values"]["debate"] == 1
    assert len(server.asked) == 10 * (4 * 2 + 2 + 14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "pink"}, "none of the options"),
        ({"options": ["red"]}, "options are"),
        ({"options": ["red", "red"]}, "options are"),
        ({"passage": " "}, "passage"),
        ({"question": None}, "question"),
        ({"lie": "red"}, "the lie is the answer"),
    ],
)
def test_rows_that_are_not_questions_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:  # fmt: skip
    data = rows(2)
    data[0] |= change
    with pytest.raises(DataError, match=message) as refused:
        check(load(tmp_path, "http://127.0.0.1:1/v1", data), tmp_path / "plan")
    assert "stages.debate.data" in str(refused.value)
    assert "line 1: " in str(refused.value)


def test_turns_that_one_side_gets_more_of_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AccordError, match="3 turns for 2 sides"):
        load(tmp_path, "http://127.0.0.1:1/v1", rows(2), turns=3)


def test_judgements_of_something_else_are_counted_or_refused() -> None:
    told = {
        "id": "1", "kind": "comparison", "prompt": "p", "annotator": "a",
        "options": [{"id": n, "content": n, "shown_at": k} for k, n in enumerate("xy")],
        "choice": {"tie": True}, "meta": {"columns": {"arm": "debate", "right": "x"}},
    }  # fmt: skip
    tie, other = Feedback.model_validate(told), Feedback.model_validate({**told, "meta": {}})
    arms, left_out = transcript_verdicts([tie, other])
    assert arms["debate"].right.value == 0.5
    assert sum(left_out.values()) == 1
    with pytest.raises(DataError, match="no judgement is about a transcript"):
        transcript_verdicts([other])
    wrong = {**told, "meta": {"columns": {"arm": "debate", "right": "z"}}}
    with pytest.raises(DataError, match="none of those shown"):
        transcript_verdicts([Feedback.model_validate(wrong)])
