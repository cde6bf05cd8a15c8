"""Words in the reader's language: JSON catalogues, one flat mapping of key to text per language.

A text may hold {names}. Keys are checked by the tests: every language has the same ones, every key
that is used exists.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

LANGUAGES = {"en": "English", "de": "Deutsch"}
PSEUDO = "ar-XB"
"""A language nobody speaks: English between marks, written from right to left, to find what is not
translated."""
RTL = ("ar", "fa", "he", "ur", "yi", "dv", "ps")


@dataclass(frozen=True)
class Words:
    """The texts of one language."""

    language: str
    texts: dict[str, str]

    @property
    def direction(self) -> str:
        """ltr or rtl."""
        return "rtl" if self.language.split("-")[0] in RTL else "ltr"

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key with its {names} filled in; raises KeyError for a key that does not
        exist."""
        text = self.texts[key]
        return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), text) if values else text

    def starting(self, *prefixes: str) -> dict[str, str]:
        """The texts whose keys start so: what a script needs."""
        return {key: text for key, text in self.texts.items() if key.startswith(prefixes)}


@lru_cache(maxsize=8)
def words(language: str) -> Words:
    """The catalogue of a language; English for one that does not exist."""
    if language == PSEUDO:
        return Words(
            PSEUDO, {key: f"\u2067[{text}]\u2069" for key, text in words("en").texts.items()}
        )
    known = language if language in LANGUAGES else "en"
    file = resources.files("accord.studio") / "locale" / f"{known}.json"
    return Words(known, json.loads(file.read_text(encoding="utf-8")))


def preferred(header: str) -> str:
    """The best known language of an Accept-Language header."""
    wanted = []
    for part in header.split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.split("-")[0].lower()))
        except ValueError:
            continue
    return next(
        (name for _, name in sorted(wanted, key=lambda pair: pair[0]) if name in LANGUAGES), "en"
    )
