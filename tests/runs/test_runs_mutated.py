"""Recipes that somebody got wrong, 500 of them: each is valid or refused with a message."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.errors import AccordError
from accord.runs import recipe as recipes

JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2.5, 10**400, float("inf"), float("nan"), "", " ", "x", "stage:", "stage:data",
    "stage:data/sft", "stage:/", "accord:", "1e-3", "null", "[", "{{", "\x00", "é" * 300, [], [1], [None], ["a", "a"],
    {}, {"a": 1}, {"path": "x"}, {"kind": "sft"}, {1: 2}, {"": ""}, [[[[]]]], {"a": {"b": {"c": {}}}}, __import__("datetime").date(2026, 1, 2),
    b"bytes", {"min": 1, "max": 0}, "dpo", "auto", {"path": "x", "split": "y"}, ["a.jsonl", {"path": "b", "share": 0.3}],
]  # fmt: skip
GIVEN = {
    "functions": "functions={accord:math: 1}",
    "model": "model=some",
    "data": "data=some.jsonl",
    **{name: f"{name}=models/some" for name in ("debater", "judge", "writer", "endpoint")},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a recipe."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, one in inside:
        yield (*path, key)
        yield from places(one, (*path, key))


def mutate(recipe: Any, chance: random.Random) -> None:
    """Get one thing wrong."""
    everywhere = list(places(recipe))
    if not everywhere:
        return
    *path, last = chance.choice(everywhere)
    place = recipe
    for part in path:
        place = place[part]
    how = chance.randrange(6)
    if how == 0:
        del place[last]
    elif how == 1 and isinstance(place, dict):
        name = str(last)
        place[chance.choice([name + "s", name[:-1], name.upper(), "", 3, None, "kind", True])] = (
            place.pop(last)
        )
    elif how == 2 and isinstance(place, dict):
        place[chance.choice(["extra", "kind", "lengths", "evaluation", 7])] = chance.choice(JUNK)
    elif how == 3:
        *other, end = chance.choice(everywhere)
        source = recipe
        try:
            for part in other:
                source = source[part]
            place[last] = copy.deepcopy(source[end])
        except (KeyError, IndexError, TypeError):
            place[last] = None
    else:
        place[last] = copy.deepcopy(chance.choice(JUNK))


@pytest.mark.parametrize("part", range(5))
def test_500_mutated_recipes_are_valid_or_refused(tmp_path: Path, part: int) -> None:
    packaged, valid = recipes.packaged(), 0
    for number in range(part * 100, part * 100 + 100):
        chance = random.Random(number)
        name = chance.choice(sorted(packaged))
        raw = yaml.safe_load(packaged[name])
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            mutate(raw["stages"] if chance.random() < 0.7 and raw.get("stages") else raw, chance)
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(
            yaml.safe_dump(raw, allow_unicode=True, sort_keys=False).encode(
                "utf-8", "surrogatepass"
            )
        )
        declared = raw.get("parameters") if isinstance(raw, dict) else None
        given = [text for key, text in GIVEN.items() if isinstance(declared, dict) and key in declared]  # fmt: skip
        if chance.random() < 0.3:
            given.append(chance.choice(["seed=x", "sft.epochs=-1", "threads=0", "a.b.c=1", "=", "stages=3", "x=[", "name={}"]))  # fmt: skip
        refused: AccordError | None = None
        try:
            recipe = recipes.load(str(path), given)
        except AccordError as error:
            refused = error
        if refused is not None:
            assert refused.exit_code == 2
            assert refused.message.strip(), number
            continue
        again = tmp_path / "again.yaml"
        again.write_text(recipe.dump(), encoding="utf-8")
        assert recipes.load(str(again)).fingerprint() == recipe.fingerprint(), number
        valid += 1
    assert 0 < valid < 100
