"""Instructions whose keeping a program can check: length, format, words (the idea of IFEval, Zhou
et al. 2023; wording and rules are our own). English."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from accord.seeds import generator

TOPICS = (
    "a walk by the sea", "how bread is made", "the first day at a new job", "why leaves turn brown",
    "a bicycle that will not brake", "moving to another town", "what a library is good for",
    "the noise of a city", "growing tomatoes on a balcony", "a letter that came too late",
    "learning to swim as an adult", "the history of the clock", "how to choose a pair of shoes",
    "a meal for six friends", "looking after a cat", "a night train", "saving water at home",
    "the use of umbrellas", "planning a school garden", "why people keep diaries",
)  # fmt: skip
ASKS = ("Write about {}.", "Tell me something about {}.", "Give me a short text on {}.")
KEYWORDS = ("morning", "quiet", "paper", "river", "careful", "window", "seven", "copper")
KINDS = ("length", "format", "words")


@dataclass(frozen=True)
class Instruction:
    """What is asked, in words, and whether a response keeps it; kind: of `KINDS`."""

    kind: str
    wording: str
    kept: Callable[[str], bool]


@dataclass(frozen=True)
class InstructedPrompt:
    """A topic with one or two instructions."""

    text: str
    instructions: tuple[Instruction, ...]


def words_of(text: str) -> list[str]:
    """Words, without marks."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)


def sentences_of(text: str) -> int:
    """Ends of sentences."""
    return len(re.findall(r"[.!?…]+(?=\s|$)", text.strip()))


def _json(text: str) -> bool:
    body = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip())
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def _bullets(text: str) -> int:
    return len(re.findall(r"^\s*[-*•]\s+\S", text, re.M))


def _paragraphs(text: str) -> int:
    return sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text.strip()))


def _says(word: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.I))


def rules(rng: np.random.Generator) -> list[Instruction]:
    """One instruction of every rule, with numbers and words drawn."""
    most, least = int(rng.choice([20, 30, 50])), int(rng.choice([15, 25, 40]))
    sentences, points = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    one, other = (str(word) for word in rng.choice(KEYWORDS, 2, replace=False))
    return [
        Instruction("length", f"Use at most {most} words.", lambda t: 0 < len(words_of(t)) <= most),
        Instruction("length", f"Use at least {least} words.", lambda t: len(words_of(t)) >= least),
        Instruction(
            "length",
            f"Write exactly {sentences} sentences.",
            lambda t: sentences_of(t) == sentences,
        ),
        Instruction(
            "format",
            f"Answer with exactly {points} bullet points, each on a line that starts with “-”.",
            lambda t: _bullets(t) == points,
        ),
        Instruction(
            "format",
            "Divide it into exactly two paragraphs with an empty line between them.",
            lambda t: _paragraphs(t) == 2,
        ),
        Instruction("format", "Answer with one JSON object and nothing else.", _json),
        Instruction(
            "format",
            "Write everything in lower case.",
            lambda t: bool(words_of(t)) and t == t.lower(),
        ),
        Instruction(
            "format",
            "WRITE EVERYTHING IN CAPITAL LETTERS.",
            lambda t: bool(words_of(t)) and t == t.upper(),
        ),
        Instruction(
            "format",
            "Put a title in double angle brackets at the top, like <<this>>.",
            lambda t: re.match(r"\s*<<[^<>\n]+>>", t) is not None,
        ),
        Instruction("words", f"Use the word “{one}”.", lambda t: _says(one, t) > 0),
        Instruction("words", f"Use the word “{other}” twice.", lambda t: _says(other, t) == 2),
        Instruction(
            "words",
            "Do not use the word “the”.",
            lambda t: bool(words_of(t)) and not _says("the", t),
        ),
        Instruction(
            "words", "Do not use any commas.", lambda t: bool(words_of(t)) and "," not in t
        ),
        Instruction(
            "words",
            "End with the words “That is all.” and nothing after them.",
            lambda t: t.strip().endswith("That is all."),
        ),
    ]


def prompts(count: int, seed: int) -> list[InstructedPrompt]:
    """`count` prompts, drawn by seed: every rule comes as often as any other, first alone, and in
    every second prompt with one of another kind."""
    rng, found = generator(seed, "instructions"), list[InstructedPrompt]()
    order: list[int] = []
    while len(found) < count:
        every = rules(rng)
        order = order or list(map(int, rng.permutation(len(every))))
        first = every[order.pop()]
        chosen = [first]
        if len(found) % 2:
            others = [one for one in every if one.kind != first.kind and _fit(one, first)]
            chosen.append(others[int(rng.integers(len(others)))])
        ask = ASKS[int(rng.integers(len(ASKS)))].format(TOPICS[int(rng.integers(len(TOPICS)))])
        text = " ".join([ask, *(one.wording for one in chosen)])
        found.append(InstructedPrompt(text, tuple(chosen)))
    return found


UNFIT = (
    "JSON",
    "CAPITAL",
    "lower case",
    "That is all",
    "bullet",
    "paragraphs",
    "commas",
    "exactly",
)
"""Words of rules that cannot all be kept beside another one of these."""


def _fit(one: Instruction, other: Instruction) -> bool:
    return not all(any(word in rule.wording for word in UNFIT) for rule in (one, other))
