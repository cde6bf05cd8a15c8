"""A task with one right answer: say of a film what is asked for, without a filler word. To see what
feedback in words teaches (Scheurer et al. 2023 remove words from sentences)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

FILMS = (
    "Storm", "Harbor", "Winter", "Garden", "Mirror", "Island", "Shadow", "Bridge", "Letter",
    "Desert", "River", "Tower",
)  # fmt: skip
VERDICTS = (
    "good", "bad", "long", "short", "funny", "sad", "slow", "dull", "great", "strange", "dark",
    "simple",
)  # fmt: skip
FILLERS = ("really", "very", "quite", "so")
"""Words that the task's first model learned to say and people want left out."""
_QUOTED = re.compile(r'"([^"]+)"')


def question(film: str, verdict: str) -> str:
    """What the model is asked."""
    return f"Film: {film}. Verdict: {verdict}. Say it."


def answer(verdict: str, filler: str = "") -> str:
    """What is to be said; with a filler, what is not."""
    return f" It is {filler + ' ' if filler else ''}{verdict}."


def cases(rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """(film, verdict, filler) of all films and verdicts, once each, in an order that is drawn."""
    every = list(product(FILMS, VERDICTS))
    for place in rng.permutation(len(every)):
        yield (*every[place], str(rng.choice(FILLERS)))


def leave_out(prompt: Any, response: str, feedback: str) -> str:
    """A refiner: the response without the words that the feedback quotes, whole and in whatever
    case."""
    for word in _QUOTED.findall(feedback):
        response = re.sub(rf"(?<!\w){re.escape(word)}(?!\w) ?", "", response, flags=re.IGNORECASE)
    return response


def has_none(prompts: Any, responses: list[str]) -> list[float]:
    """A scorer of refinements: minus the number of fillers that are left."""
    pattern = re.compile(rf"\b(?:{'|'.join(FILLERS)})\b", re.IGNORECASE)
    return [-float(len(pattern.findall(text))) for text in responses]
