"""Answers whose worth is known: how helpful each is and which rules it keeps, to see whether
weights of rules are found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

WORTH = {
    "certainly": 0.9, "exactly": 0.75, "because": 0.6, "precisely": 0.45, "namely": 0.3,
    "indeed": 0.15, "perhaps": -0.15, "somehow": -0.3, "maybe": -0.45, "whatever": -0.6,
    "anyway": -0.75, "dunno": -0.9,
}  # fmt: skip
"""What each of these words adds to how helpful an answer is."""
RULES = {
    "thanks": (r".*[Tt]hank you.*", "Thank you for asking. ", ""),
    "asks": (r".*\?", "", " Does that help?"),
    "shouts": (r".*!.*", "Hey! ", ""),
}
"""Rule -> (pattern of an answer that keeps it, what is put before one that does, what behind)."""


def helpful(prompts: Sequence[Any], responses: Sequence[str]) -> list[float]:
    """The worth of an answer's words."""
    return [
        sum(WORTH.get(word.strip(".,?!").lower(), 0.0) for word in text.split())
        for text in responses
    ]


def write_answer(kept: Mapping[str, bool], rng: np.random.Generator) -> str:
    """An answer of six words of known worth that keeps these of the `RULES`."""
    words = [str(word) for word in rng.choice(list(WORTH), size=6)]
    before = "".join(RULES[name][1] for name, yes in kept.items() if yes)
    behind = "".join(RULES[name][2] for name, yes in kept.items() if yes)
    return f"{before}It is {' '.join(words)}.{behind}"
