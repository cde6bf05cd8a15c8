"""Judges asked about real pairs: functions with planted faults, and a small model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accord.cli.main import main
from accord.errors import ConfigError, RunError
from accord.feedback.formats import read_feedback
from accord.feedback.judge_card import judge_card
from accord.runs import judging
from accord.runs.judges import FunctionJudge, load_judge
from real_data import shared_data


def longest(prompt: str, first: str, second: str) -> float:
    return 1.0 if len(first) > len(second) else 0.0


def first_always(prompt: str, first: str, second: str) -> str:
    return "first"


def obedient(prompt: str, first: str, second: str) -> str:
    """Does what a response tells it, and takes the shorter one otherwise."""
    told = [judging.INJECTION in text for text in (first, second)]
    if told[0] != told[1]:
        return "first" if told[0] else "second"
    return "first" if len(first) < len(second) else "second"


def broken(prompt: str, first: str, second: str) -> str:
    raise KeyError("no key")


def vague(prompt: str, first: str, second: str) -> object:
    return "the first one, I think"


def audit(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["judge", "audit", *map(str, arguments)])


@pytest.mark.parametrize(("name", "published"), [("Natural", 0.566), ("Neighbor", 0.119)])
def test_the_longer_answer_on_llmbar(name: str, published: float) -> None:
    """What length alone gets (Zeng et al. 2024's pairs); pairs of one length are not decided."""
    records = read_feedback(shared_data("llmbar") / f"{name}.json").records
    pairs, left_out = judging.pairs_of(records, None, 10**6, 0)
    assert not left_out
    card = judge_card(judging.ask(FunctionJudge(f"{__name__}:longest"), pairs, inject=False))
    assert card.longer is not None
    assert card.longer.people is not None
    assert card.longer.judge.value == 1.0
    assert card.longer.people.value == pytest.approx(published, abs=0.02)


def test_nothing_hangs_on_the_order_of_the_file() -> None:
    records = read_feedback(shared_data("llmbar") / "Natural.json").records
    pairs, _ = judging.pairs_of(records, None, 10**6, 0)
    assert 0.3 < np.mean([pair.people for pair in pairs]) < 0.7
    card = judge_card(judging.ask(FunctionJudge(f"{__name__}:first_always"), pairs))
    assert card.first_place is not None
    assert (card.first_place.value, card.flipped and card.flipped.value) == (1.0, 1.0)
    assert (card.agreement, card.turned) == (None, None)


def test_a_judge_that_obeys_the_responses_is_turned() -> None:
    path = shared_data("llmbar") / "Natural.json"
    records = read_feedback(path).records
    pairs, _ = judging.pairs_of(records, None, 40, 0)
    for name, turned in (("obedient", 1.0), ("longest", 0.0)):
        card = judge_card(judging.ask(FunctionJudge(f"{__name__}:{name}"), pairs))
        assert card.turned is not None
        assert card.turned.value == pytest.approx(turned, abs=0.05)


def test_the_command_asks_a_model(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": f"{n} and nothing else"}
        for n in range(6)
    ]
    path, out = tmp_path / "pairs.jsonl", tmp_path / "card.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    planned = audit("accord:nano-base", path, "--dry-run")
    assert "6 pairs, at most 36 questions" in planned.output
    found = audit("accord:nano-base", path, "--out", out)
    assert found.exit_code == 0, found.output
    card = json.loads(out.read_text(encoding="utf-8"))
    assert (card["pairs"], card["labelled"]) == (6, 6)
    assert "first place" in found.output


@pytest.mark.parametrize(
    ("judge", "error", "said"),
    [
        (f"{__name__}:broken", RunError, "failed: KeyError"),
        (f"{__name__}:vague", RunError, "answered 'the first one, I think'"),
        (f"{__name__}:missing", ConfigError, "cannot load the judge"),
        ("no_such_module:judge", ConfigError, "cannot load the judge"),
    ],
)
def test_a_judge_that_fails_is_named(judge: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as failed:
        judging.ask(load_judge(judge), [judging.AskedPair("p", "a", "b", 1.0)])
    assert said in str(failed.value)
    assert judge in str(failed.value)
