"""Instructions that a program checks: each rule on a response that keeps it and on others."""

from __future__ import annotations

from collections import Counter

import pytest

from accord.examine.behaviour import instructions
from accord.seeds import generator

KEPT = {
    "Use at most": "Two words.",
    "Use at least": "word " * 40,
    "Write exactly": "One. Two! Three?",
    "bullet points": "- a\n- b\n- c\n- d",
    "two paragraphs": "One.\n\nTwo.",
    "JSON": '```json\n{"a": 1}\n```',
    "lower case": "all small.",
    "CAPITAL": "ALL LARGE.",
    "title": "<<a title>>\nText",
    "twice": "seven Seven",
    "“the”": "A cat sat.",
    "commas": "One and two.",
    "That is all": "So it is. That is all.",
}
BROKEN = {
    "Use at most": "word " * 60,
    "Use at least": "word",
    "bullet points": "-a",
    "two paragraphs": "One. Two.",
    "JSON": "[1]",
    "lower case": "All small.",
    "CAPITAL": "ALL large.",
    "title": "a <<title>>",
    "“the”": "Then The cat sat.",
    "commas": "One, two.",
    "That is all": "That is all. Nearly.",
}


def every_rule() -> list[instructions.Instruction]:
    return [rule for seed in range(40) for rule in instructions.rules(generator(seed, "rules"))]


@pytest.mark.parametrize("said", [*KEPT, *BROKEN])
def test_each_rule_knows_what_keeps_it(said: str) -> None:
    own = [rule for rule in every_rule() if said in rule.wording]
    assert own
    kept = [rule.kept(KEPT[said]) for rule in own if said in KEPT]
    assert any(kept)  # those with a number drawn are kept where it is that one
    if said not in ("Write exactly", "bullet points", "twice"):
        assert all(kept)
    assert not any(rule.kept(BROKEN[said]) for rule in own if said in BROKEN)


def test_nothing_is_followed_by_an_empty_response() -> None:
    assert not any(rule.kept("") for rule in every_rule())


def test_rules_come_equally_often_and_pairs_can_be_kept() -> None:
    asked = instructions.prompts(280, 3)
    firsts = Counter(one.instructions[0].wording[:12] for one in asked)
    assert len(asked) == 280
    assert max(firsts.values()) <= 2.2 * 280 / 14
    assert {len(one.instructions) for one in asked} == {1, 2}
    for one in asked:
        assert len({rule.kind for rule in one.instructions}) == len(one.instructions)
    clash = {"JSON", "CAPITAL"}
    assert not any(all(word in one.text for word in clash) for one in asked)
