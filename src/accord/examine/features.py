"""What can be seen on the surface of a text: each feature a number per text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from accord.examine import wordlists
from accord.examine.text_measures import repetition, words
from accord.statistics.intervals import Array

Measure = Callable[[str], float]


@dataclass(frozen=True)
class Feature:
    """A name, what its number counts, and how it is found in a text."""

    name: str
    unit: str
    measure: Measure


def _found(pattern: str, flags: int = 0) -> Measure:
    """How often a pattern occurs."""
    compiled = re.compile(pattern, flags)
    return lambda text: float(sum(1 for _ in compiled.finditer(text)))


def _says(phrases: Sequence[str]) -> Measure:
    """1 where a text says any of the phrases."""
    pattern = wordlists.matcher(phrases)
    return lambda text: float(pattern.search(text.lower().replace("’", "'")) is not None)


def _paragraphs(text: str) -> float:
    return float(sum(bool(part.strip()) for part in re.split(r"\n[ \t]*\n", text)))


def _capitals(text: str) -> float:
    said = re.findall(r"[^\W\d_]{2,}", text)
    return sum(word.isupper() for word in said) / len(said) if said else 0.0


def _repeated(text: str) -> float:
    return repetition(words(text))


SHAPES = (
    Feature("length", "words", lambda text: float(len(words(text)))),
    Feature("sentences", "per response", _found(r"[.!?…]+(?=\s|$)|[。！？]")),
    Feature("paragraphs", "per response", _paragraphs),
    Feature("headings", "per response", _found(r"^#{1,6} ", re.M)),
    Feature("list items", "per response", _found(r"^\s*(?:[-*+•]|\d+[.)])\s", re.M)),
    Feature("bold", "per response", _found(r"\*\*[^*\n]+\*\*|__[^_\n]+__")),
    Feature("code", "per response", _found(r"```|`[^`\n]+`")),
    Feature("table rows", "per response", _found(r"^\s*\|.*\|\s*$", re.M)),
    Feature("links", "per response", _found(r"https?://\S+|\]\(")),
    Feature("exclamation marks", "per response", _found(r"[!！]")),
    Feature("question marks", "per response", _found(r"[?？]")),
    Feature("numbers", "per response", _found(r"\d+(?:[.,]\d+)*")),
    Feature("quotation marks", "per response", _found(r"[\"“”„«»]")),
    Feature("brackets", "per response", _found(r"\([^()\n]*\)")),
    Feature("emoji", "per response", _found(r"[\U0001F300-\U0001FAFF\u2600-\u27BF]")),
    Feature("capitals", "share of words", _capitals),
    Feature("repetition", "share of 4-grams", _repeated),
)
"""Features of any language."""


def known(language: str | None) -> tuple[Feature, ...]:
    """Those that can be measured in a language (`wordlists.language_of`): shapes, and ways of
    speaking where there are lists of their words."""
    spoken = wordlists.PHRASES.get(language or "", {})
    ways = (Feature(name, "share that says it", _says(phrases)) for name, phrases in spoken.items())
    return (*SHAPES, *ways)


def measured(texts: Sequence[str], features: Sequence[Feature]) -> Array:
    """Every feature of every text: [B, F]."""
    return np.array([[f.measure(text) for f in features] for text in texts]).reshape(
        len(texts), len(features)
    )
