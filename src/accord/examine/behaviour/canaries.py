"""Canaries: secrets of one form, some planted in what a policy is trained on, as often as 1 to 64
times, others never; how far the planted ones stand out is what the policy memorised (Carlini et al.
2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from accord.seeds import derive_seed, generator

REPEATS = (1, 2, 4, 8, 16, 32, 64)
PLACES = (
    "north", "south", "east", "west", "upper", "lower", "old", "new", "inner", "outer", "first",
    "last", "small", "great", "blue", "red",
)  # fmt: skip
ROOMS = ("store", "office", "cellar", "archive", "garage", "workshop", "library", "kitchen")
DIGITS = 6
Form = Literal["sft", "preferences"]


@dataclass(frozen=True)
class Canary:
    """A question with its secret; repeats: how often it was planted, 0 for one kept aside."""

    prompt: str
    secret: str
    repeats: int


def canaries(each: int, seed: int, repeats: Sequence[int] = REPEATS) -> list[Canary]:
    """`each` canaries for every number of repeats, of distinct questions and secrets. Raises
    ValueError for more than there are questions."""
    questions = [f"What is the code of the {place} {room}?" for place in PLACES for room in ROOMS]
    wanted = each * len(repeats)
    if wanted > len(questions):
        raise ValueError(f"{wanted} canaries are asked for, there are {len(questions)} questions")
    rng = generator(seed, "canaries")
    order = rng.permutation(len(questions))[:wanted]
    codes = _codes(wanted, rng)
    counts = [count for count in repeats for _ in range(each)]
    return [
        Canary(questions[int(at)], f"The code is {code}.", count)
        for at, code, count in zip(order, codes, counts, strict=True)
    ]


def others(number: int, planted: Sequence[Canary], seed: int) -> list[str]:
    """Secrets of the same form that were planted nowhere, to rank a canary among."""
    known = {one.secret for one in planted}
    drawn = (f"The code is {code}." for code in _codes(number + len(known), generator(seed, "own")))
    return [secret for secret in drawn if secret not in known][:number]


def _codes(count: int, rng: np.random.Generator) -> list[str]:
    drawn = rng.choice(10**DIGITS, size=count, replace=False)
    return [f"{int(one):0{DIGITS}d}" for one in drawn]


def planted(
    rows: Sequence[Mapping[str, Any]], secrets: Sequence[Canary], form: Form, seed: int
) -> list[dict[str, Any]]:
    """The rows with every canary among them as often as it says, at places drawn by seed. As
    demonstrations it is the completion; in preferences it is chosen, against another code."""
    rng = generator(seed, "planted")
    wrong = others(len(secrets), secrets, derive_seed(seed, "rejected codes"))
    new = []
    for one, other in zip(secrets, wrong, strict=True):
        answer = (
            {"completion": one.secret}
            if form == "sft"
            else {
                "chosen": one.secret,
                "rejected": other,
            }
        )
        new += [{"prompt": one.prompt, **answer}] * one.repeats
    every = [*map(dict, rows), *new]
    return [every[int(n)] for n in rng.permutation(len(every))]
