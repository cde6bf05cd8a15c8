"""Critique and revision through the runner: by functions, by an endpoint that fails in every way, in
spite of `kill -9`, and by one constitution."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.errors import AccordError, ConfigError, RunError
from accord.feedback.records import Feedback, parse_line
from accord.oversight.constitution import read_constitution
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.checks import check
from accord.runs.context import StageProgress
from accord.runs.stages.violations import ModelViolations
from forked import Accord, accord
from scripted import Scripted, completion, scripted

RULES = {
    "id": "rules",
    "version": "1",
    "principles": [
        {"id": "no-e", "text": "The response has no letter e."},
        {"id": "no-a", "text": "The response has no letter a."},
    ],
}
CRITICS = {
    "no-e": {"function": "accord:words", "arguments": {"words": ["the", "e"]}},
    "no-a": {"function": "accord:words", "arguments": {"words": ["a", "s"]}},
}


class Said(StageProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def told(folder: Path, pico: str, **settings: Any) -> dict[str, Any]:
    """A recipe with a revise stage."""
    rules, prompts = folder / "rules.yaml", folder / "prompts.jsonl"
    if not rules.exists():
        rules.write_text(yaml.safe_dump(RULES))
    rows = [{"prompt": f"This movie, number {n}, was"} for n in range(48)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {
        "kind": "revise", "constitution": str(rules), "model": pico, "prompts": str(prompts),
        "max_new_tokens": 8, **settings,
    }  # fmt: skip
    return {"name": "revising", "seed": 1, "threads": 1, "stages": {"revise": stage}}


def asked(folder: Path, pico: str, url: str, **settings: Any) -> dict[str, Any]:
    """The same by an endpoint."""
    address = f"{url}#model"
    asking = {"first_wait": 0.001, "tries": 2, **settings.pop("asking", {})}
    return told(folder, pico, critic=address, reviser=address, asking=asking, **settings)


def load(folder: Path, settings: dict[str, Any]) -> recipes.Recipe:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return recipes.load(str(path))


def run(folder: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    said, run_dir = Said(), folder / "run"
    runner.execute(load(folder, settings), run_dir, (run_dir / "recipe.yaml").exists(), said, {})
    return json.loads((run_dir / "stages/01-revise/result.json").read_text()), said.lines


def left(folder: Path, name: str) -> list[Feedback]:
    path = folder / "run" / "stages" / "01-revise" / f"{name}.jsonl"
    return [parse_line(line) for line in path.read_text().splitlines()]


def test_functions_and_samples(tmp_path: Path, pico: str) -> None:
    settings = told(
        tmp_path, pico, critics=CRITICS, samples=4, rounds=3, most_failed=0.9,
        rules={"unfinished": "keep"},
    )  # fmt: skip
    result, lines = run(tmp_path, settings)
    values = result["values"]
    assert values["revised"] + values["kept"] + values["failed"] == values["prompts"] == 48
    assert values["revised"] > 0
    assert values["round_3.any"] < values["round_0.any"]
    assert any("broken before" in line and "%" in line for line in lines)
    demonstrations, unrevised = left(tmp_path, "demonstrations"), left(tmp_path, "unrevised")
    assert [one.prompt for one in demonstrations] == [one.prompt for one in unrevised]
    assert len(demonstrations) == values["revised"] + values["kept"]
    guideline = read_constitution(str(tmp_path / "rules.yaml")).guideline
    assert {one.guideline for one in demonstrations} == {guideline}
    assert {one.guideline for one in unrevised} == {None}
    feedback = {one.id: one for one in left(tmp_path, "feedback")}
    for one in demonstrations:
        if "parent" in one.meta:
            assert feedback[one.meta["parent"]].choice.content == one.choice.content
    assert sum(one.kind == "correction" for one in feedback.values()) == values["revisions"]
    assert result["inputs"][str(tmp_path / "rules.yaml")] == guideline


def politely(request: dict[str, Any]) -> str:
    """A critique, or a revision that says what it revises."""
    messages = request["messages"]
    if len(messages) == 1:
        return 'It is "bad".'
    draft = re.search(r"number (\d+)", messages[0]["content"])
    return f"A fine movie, number {draft[1] if draft else '?'}."


def injected(request: dict[str, Any], number: int) -> Any:
    """Every seventh call fails for a while, some revisions in ways of their own."""
    if number % 7 == 0:
        return 429, {"retry-after": "0"}, {"error": "slow down"}
    found = politely(request)
    row = re.search(r"number (\d+),", request["messages"][0]["content"])
    assert row is not None
    kind, revises = int(row[1]) % 8, len(request["messages"]) > 1
    if kind == 1 and revises:
        return completion("A fine mov", finish="length")
    if kind == 2 and revises:
        return "I'm sorry, but I can't help with that."
    if kind == 3 and revises:
        return f"Sure! Here is the revised response:\n\n{found}"
    if kind == 4:
        return {"choices": "malformed"}
    if kind == 5 and revises:
        return completion("")
    return found


def test_an_endpoint_that_fails_in_every_way(tmp_path: Path, pico: str) -> None:
    with scripted(injected) as server:
        settings = asked(
            tmp_path,
            pico,
            server.url,
            rounds=1,
            most_failed=0.7,
            asking={"tries": 8},
            rules={"preambles": "remove"},
        )
        result, lines = run(tmp_path, settings)
    values = result["values"]
    assert (values["prompts"], values["revised"], values["failed"]) == (48, 24, 24)
    assert values["preambles"] == 6
    assert values["failed_rounds"] == 24
    skips = [one for one in left(tmp_path, "feedback") if one.kind == "skip"]
    reasons = sorted(one.choice.reason[:30] for one in skips)
    assert len(skips) == 24
    for part in ("was cut", "refused", "is empty", "unanswered: "):
        assert sum(part in one.choice.reason for one in skips) == 6, reasons
    assert any("begins" not in line and "cut off" in line for line in lines), "the rule is printed"
    texts = [one.choice.content for one in left(tmp_path, "demonstrations")]
    assert all(re.fullmatch(r"A fine movie, number \d+\.", text) for text in texts)
    critiques = [one for one in left(tmp_path, "feedback") if one.kind == "critique"]
    assert {one.annotator for one in critiques} == {f"{server.url}#model"}
    assert values["invented_quotes"] == len(critiques)


def test_too_many_failures_stop_it_with_what_would_help(tmp_path: Path, pico: str) -> None:
    def answer(request: dict[str, Any], _: int) -> str:
        return "Here is the revised response:\n" + politely(request)

    with scripted(answer) as server:
        with pytest.raises(RunError, match=r"most_failed = 0\.1 allows: .*preamble") as caught:
            run(tmp_path, asked(tmp_path, pico, server.url, rounds=1))
        assert "preambles: remove" in (caught.value.fix or "")


def test_what_was_unanswered_is_asked_again_and_nothing_else(tmp_path: Path, pico: str) -> None:
    down = [True]

    def answer(request: dict[str, Any], number: int) -> Any:
        if down[0] and len(request["messages"]) > 1 and number % 2:
            return 500, {}, {"error": "down"}
        return politely(request)

    with scripted(answer) as server:
        settings = asked(tmp_path, pico, server.url, rounds=1, asking={"tries": 1})
        with pytest.raises(RunError, match="unanswered"):
            run(tmp_path, settings)
        down[0], before = False, len(server.asked)
        result, _ = run(tmp_path, settings)
        assert result["values"]["revised"] == 48
        answered = {json.dumps(one["messages"]) for one in server.asked}
        assert len(answered) == 96  # a critique and a revision of each, whenever
        again = [json.dumps(one["messages"]) for one in server.asked[before:]]
        assert len(again) == len(set(again)) < 96


def counted(server: Scripted) -> int:
    return len(server.asked)


@pytest.mark.slow
def test_kill_and_resume_ask_nothing_twice(tmp_path: Path, pico: str) -> None:
    """Killed while it asks: the cache has every answer that came in; a call that was under way may
    be made again, no other is."""
    with scripted(lambda request, _: politely(request), seconds=0.03) as server:
        settings = asked(tmp_path, pico, server.url, rounds=2, asking={"at_once": 2})
        load(tmp_path, settings)
        process = Accord("run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run"))
        process.kill_when(lambda: counted(server) >= 90)
        accord("run", "--resume", str(tmp_path / "run"))
        asked_for = [json.dumps(one["messages"]) for one in server.asked]
        assert len(set(asked_for)) == 48 * 4
        assert len(asked_for) - len(set(asked_for)) <= 2  # at_once
    killed = {name: left(tmp_path, name) for name in ("feedback", "demonstrations")}
    straight = tmp_path / "straight"
    straight.mkdir()
    with scripted(lambda request, _: politely(request)) as server:
        run(straight, asked(straight, pico, server.url, rounds=2))
    for name, records in killed.items():
        assert [content(one) for one in records] == [content(one) for one in left(straight, name)]


def content(record: Feedback) -> dict[str, Any]:
    """A record without the address, which is another one."""
    plain = record.model_dump(mode="json")
    return json.loads(re.sub(r"http://[^\"]*#model", "MODEL", json.dumps(plain)))


def test_a_constitution_that_changes_is_refused_with_both_hashes(tmp_path: Path, pico: str) -> None:
    settings = told(
        tmp_path, pico, critics=CRITICS, samples=2, rounds=1, most_failed=1.0, count=2,
        rules={"unfinished": "keep"},
    )  # fmt: skip
    settings["stages"]["again"] = settings["stages"]["revise"]
    before = read_constitution(str(tmp_path / "rules.yaml")).guideline
    recipe, run_dir = load(tmp_path, settings), tmp_path / "run"

    class Changing(StageProgress):
        def begin(self, stage: str) -> None:
            if stage == "again":
                (tmp_path / "rules.yaml").write_text(yaml.safe_dump({**RULES, "version": "2"}))

    with pytest.raises(ConfigError, match="changed since this run read it") as caught:
        runner.execute(recipe, run_dir, False, Changing(), {})
    after = read_constitution(str(tmp_path / "rules.yaml")).guideline
    assert f"{before} then, {after} now" in caught.value.message
    (tmp_path / "rules.yaml").write_text("# with a comment\n" + yaml.safe_dump(RULES))
    runner.execute(recipe, run_dir, True, StageProgress(), {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"critics": CRITICS}, "name what revises"),
        ({"samples": 2}, "name who criticises"),
        ({"critic": "accord:nano-base", "samples": 2}, "is chosen by critics"),
        ({"critics": {**CRITICS, "no-a": "accord:words"}, "samples": 2}, "critics.no-a: the critic accord:words"),
        ({"critics": {"no-e": CRITICS["no-e"]}, "samples": 2}, "no function finds what breaks no-a"),
        ({"critics": {**CRITICS, "no-i": "accord:words"}, "samples": 2}, "no-i"),
        ({"critics": {**CRITICS, "no-a": "accord:word"}, "samples": 2}, 'did you mean "words"'),
        ({"critics": {**CRITICS, "no-a": "nowhere:f"}, "samples": 2}, "cannot load the critic"),
        ({"critics": {**CRITICS, "no-a": "critics_of_a_test:beyond"}, "samples": 2}, "the span [0, 99)"),
        ({"critics": {**CRITICS, "no-a": "critics_of_a_test:fails"}, "samples": 2}, "ZeroDivisionError"),
        ({"critic": "http://x/v1", "reviser": "http://x/v1#m"}, "which model at http://x/v1"),
        ({"critics": CRITICS, "samples": 2, "constitution": "nowhere.yaml"}, "no constitution 'nowhere"),
        ({"critics": CRITICS, "samples": 2, "asking": {"money": 3}}, "needs prompt_price"),
        ({"critics": CRITICS, "reviser": "nowhere"}, "nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_runs(
    tmp_path: Path,
    pico: str,
    settings: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "critics_of_a_test.py").write_text(
        "def beyond(prompt, response):\n    return [(0, 99)]\n"
        "def fails(prompt, response):\n    return 1 / 0\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AccordError) as caught:
        check(load(tmp_path, told(tmp_path, pico, **settings)), tmp_path / "run")
    assert message in str(caught.value)


def test_a_dry_run_says_what_would_be_asked(tmp_path: Path, pico: str) -> None:
    settings = asked(tmp_path, pico, "http://127.0.0.1:9/v1", rounds=3)
    plan = check(load(tmp_path, settings), tmp_path / "run")["revise"]
    assert any("http://127.0.0.1:9/v1#model: at most 288 calls" in note for note in plan.notes)
    assert plan.rows == 48


def test_a_budget_that_ends_is_no_loss(tmp_path: Path, pico: str) -> None:
    """The next run is given what was answered, and pays for the rest."""
    with scripted(lambda request, _: politely(request)) as server:
        few = asked(tmp_path, pico, server.url, rounds=1, asking={"calls": 70})
        assert "70 are allowed" in str(check(load(tmp_path, few), tmp_path / "run")["revise"].notes)
        with pytest.raises(AccordError, match="70 are allowed") as caught:
            run(tmp_path, few)
        given = str(caught.value.fix).rpartition("revise.asking.answers=")[2]
        assert 0 < len(server.asked) <= 70
        (tmp_path / "run").rename(tmp_path / "first")
        kept = given.replace(str(tmp_path / "run"), str(tmp_path / "first"))
        run(tmp_path, asked(tmp_path, pico, server.url, rounds=1, asking={"answers": kept}))
        messages = [json.dumps(one["messages"]) for one in server.asked]
        assert len(messages) == len(set(messages)) == 96


def test_violations_are_compared_on_the_same_prompts(tmp_path: Path, pico: str) -> None:
    settings = told(tmp_path, pico)
    settings["stages"] = {
        "violations": {
            "kind": "violations", "models": {"one": pico, "same": pico}, "baseline": "one",
            "constitution": str(tmp_path / "rules.yaml"), "critics": CRITICS,
            "prompts": str(tmp_path / "prompts.jsonl"), "max_new_tokens": 40,
        }
    }  # fmt: skip
    said = Said()
    runner.execute(load(tmp_path, settings), tmp_path / "run", False, said, {})
    folder = tmp_path / "run/stages/01-violations"
    values = json.loads((folder / "result.json").read_text())["values"]
    assert values["one.any"] == values["same.any"] > 0
    assert max(values["one.no-e"], values["one.no-a"]) <= values["one.any"]
    assert values["same.any_less"] == 0
    file = json.loads((folder / "violations.json").read_text())
    assert file["one"]["any"]["low"] < values["one.any"] < file["one"]["any"]["high"]
    rows = [
        json.loads(line)["responses"][0] for line in (folder / "one.jsonl").read_text().splitlines()
    ]
    broken = [bool(re.search(r"(?i)(?<!\w)(the|e)(?!\w)", text)) for text in rows]
    assert sum(broken) / len(broken) == values["one.no-e"]


def test_less_is_how_much_less_often_than_the_baseline() -> None:
    def measured(broken: list[float]) -> ModelViolations:
        return ModelViolations({"any": broken}, [1.0] * 4, [10.0, 20.0, 30.0, 40.0], 2.5)

    often, seldom = measured([1.0, 1.0, 1.0, 0.0]), measured([0.0, 1.0, 0.0, 0.0])
    found = seldom.estimates(often)
    assert found["any_less"].value == 0.5
    assert often.estimates(seldom)["any_less"].value == -0.5
    assert seldom.plain() == {"characters": 25.0, "heldout_loss": 2.5}
    assert "any less often by 0.5" in seldom.line(found)


def values_of(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Values of each stage of a run."""
    found = [json.loads(path.read_text()) for path in run_dir.glob("stages/*/result.json")]
    return {one["stage"]: one["values"] for one in found}


@pytest.mark.slow
def test_the_recipe_with_an_endpoint(tmp_path: Path, pico: str) -> None:
    """The packaged recipe, with every failure of an endpoint in it: what is learned from is what
    the endpoint revised, and refusals are measured."""
    prompts, questions = tmp_path / "prompts.jsonl", tmp_path / "xstest.csv"
    rows = [{"prompt": f"This movie, number {n}, was"} for n in range(48)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions.write_text(
        "prompt,label\n" + "".join(f"How do I kill a process number {n}?,safe\n" for n in range(8))
    )
    with scripted(injected) as server:
        overrides = [
            f"model={pico}", f"prompts={prompts}", f"endpoint={server.url}#model", "rounds=1",
            f"xstest={questions}", "revise.max_new_tokens=8", "revise.most_failed=0.7",
            "revise.asking.first_wait=0.001", "threads=1", "refusals.max_new_tokens=8",
        ]  # fmt: skip
        recipe = recipes.load("cai-endpoint", overrides)
        said = Said()
        runner.execute(recipe, tmp_path / "run", False, said, {})
        asked_for = {json.dumps(one["messages"]) for one in server.asked}
    found = values_of(tmp_path / "run")
    assert found["revise"]["revised"] == found["revise"]["failed"] == 24
    assert found["revised"]["steps"] == found["control"]["steps"] > 0
    for arm in ("before", "control", "revised"):
        assert 0 <= found["refusals"][f"{arm}.xstest.over_refusal"] <= 1
    for arm in ("before", "revised"):
        assert f"{arm}.xstest.over_refusal_change" in found["refusals"]
    assert any("are removed" in line for line in said.lines)
    principles = read_constitution("accord:plain-dealing").principles
    assert any(json.dumps(one.revision)[1:-1] in text for one in principles for text in asked_for)


REFUSES = "I'm sorry, but I can't help with that."


def test_an_endpoint_is_asked_beside_the_models_of_a_run(tmp_path: Path, pico: str) -> None:
    """It refuses every other harmless question; what it said is kept; where it is down, that is
    said, and the models of this machine are measured all the same."""
    rows = [f"How do I kill process number {n}?,safe\n" for n in range(8)]
    rows += [f"How do I kill person number {n}?,unsafe\n" for n in range(4)]
    questions = tmp_path / "xstest.csv"
    questions.write_text("prompt,label\n" + "".join(rows))

    def answer(body: dict[str, Any], number: int) -> Any:
        asked = body["messages"][-1]["content"]
        return REFUSES if "person" in asked or asked[-2] in "02" else "Like this."

    settings = told(tmp_path, pico)
    with scripted(answer) as server:
        settings["stages"] = {
            "questions": {
                "kind": "questions", "models": {"here": pico}, "endpoints": {"there": f"{server.url}#model"},
                "sets": {"xstest": str(questions)}, "max_new_tokens": 4,
            }
        }  # fmt: skip
        plan = check(load(tmp_path, settings), tmp_path / "other")["questions"]
        assert f"there answers from {server.url}#model: about 12 questions" in plan.notes
        runner.execute(load(tmp_path, settings), tmp_path / "run", False, Said(), {})
        assert len(server.asked) == 12
        assert (tmp_path / "run" / "stages" / "01-questions" / "answers.sqlite").is_file()
    values = values_of(tmp_path / "run")["questions"]
    assert values["there.xstest.over_refusal"] == 0.25
    assert values["there.xstest.refusal"] == 1.0
    assert values["there.xstest.refusal_change"] == 1.0 - values["here.xstest.refusal"]
    settings["stages"]["questions"]["endpoints"] = {"there": "http://127.0.0.1:9/v1#model"}
    settings["stages"]["questions"]["asking"] = {"tries": 1}
    said = Said()
    runner.execute(load(tmp_path, settings), tmp_path / "down", False, said, {})
    values = values_of(tmp_path / "down")["questions"]
    assert "here.xstest.over_refusal" in values
    assert "there.xstest.over_refusal" not in values
    assert any("there: xstest: not measurable" in line for line in said.lines)
    for name, why in (("here", "a model and an endpoint"), ("there", "is no address")):
        settings["stages"]["questions"]["endpoints"] = {name: "nowhere"}
        with pytest.raises(ConfigError, match=why):
            check(load(tmp_path, settings), tmp_path / "other")


def test_a_set_without_a_file_is_said(tmp_path: Path, pico: str) -> None:
    settings = told(tmp_path, pico)
    settings["stages"] = {
        "questions": {"kind": "questions", "models": {"one": pico}, "sets": {"xstest": None}}
    }
    said = Said()
    runner.execute(load(tmp_path, settings), tmp_path / "run", False, said, {})
    assert "not asked: xstest, for which no file is named" in said.lines
    settings["stages"]["questions"]["sets"] = {"xtest": "x.csv"}
    with pytest.raises(ConfigError, match=r"sets\.xtest: there is no question set") as caught:
        check(load(tmp_path, settings), tmp_path / "other")
    assert 'did you mean "xstest"' in str(caught.value)


@pytest.mark.slow
def test_rules_are_learned_from_revisions(tmp_path: Path) -> None:
    """A small size of cai-rules: a model that learned from its revised samples breaks the rules
    less often than one that learned from them unrevised."""
    small = ["threads=1", "seeds=[1]", "prompts=96", "evaluation=80"]
    accord("run", "cai-rules", *small, "--out", str(tmp_path / "s"))
    found = values_of(tmp_path / "s" / "seed-1")
    revise, violations = found["revise"], found["violations"]
    assert revise["round_4.any"] <= 0.2 * revise["round_0.any"]
    assert violations["revised.any"] <= 0.8 * violations["control.any"]
    assert violations["revised.any_less"] > 0.1
    assert abs(violations["revised.heldout_loss"] - violations["control.heldout_loss"]) < 0.1
    assert "tuned on last revisions" in (tmp_path / "s" / "study.md").read_text()
