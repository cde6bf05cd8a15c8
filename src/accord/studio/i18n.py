"""Words in the reader's language: JSON catalogues, one flat mapping of key to text per language.

A text may hold {names}. One that depends on {count} is a mapping from CLDR's plural categories of
its language (English and German: one, other) to texts. Keys and categories are checked by the
tests: every language has the same keys and its own categories, every key that is used exists.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from babel import Locale

LANGUAGES = {"en": "English", "de": "Deutsch"}
PSEUDO = "ar-XB"
"""A language nobody speaks: English between marks, written from right to left, to find what is not
translated."""
Text = str | dict[str, str]


@dataclass(frozen=True)
class Words:
    """The texts of one language."""

    language: str
    texts: dict[str, Text]

    @property
    def locale(self) -> Locale:
        """What CLDR knows of the language."""
        return Locale(self.language.split("-")[0])

    @property
    def direction(self) -> str:
        """ltr or rtl."""
        return self.locale.text_direction

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key with its {names} filled in; raises KeyError for a key that does not
        exist."""
        text = self.texts[key]
        if not isinstance(text, str):
            form = self.locale.plural_form(values["count"])
            text = text.get(form, text["other"])  # the invented language has English's forms
        return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), text) if values else text

    def starting(self, *prefixes: str) -> dict[str, Text]:
        """The texts whose keys start so: what a script needs."""
        return {key: text for key, text in self.texts.items() if key.startswith(prefixes)}


@lru_cache(maxsize=8)
def words(language: str) -> Words:
    """The catalogue of a language; English for one that does not exist."""
    if language == PSEUDO:
        return Words(PSEUDO, {key: _marked(text) for key, text in words("en").texts.items()})
    known = language if language in LANGUAGES else "en"
    file = resources.files("accord.studio") / "locale" / f"{known}.json"
    return Words(known, json.loads(file.read_text(encoding="utf-8")))


def _marked(text: Text) -> Text:
    if isinstance(text, str):
        return f"\u2067[{text}]\u2069"
    return {form: f"\u2067[{inner}]\u2069" for form, inner in text.items()}


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
