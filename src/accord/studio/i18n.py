"""Words in the reader's language: JSON catalogues, one flat mapping of key to text per language.

A text may hold {names}; whole numbers filled in, and what `Words` writes of numbers, shares and
times, are written as CLDR says of the language. A text that depends on {count} is a mapping from
CLDR's plural categories of its language (English and German: one, other) to texts. Keys and
categories are checked by the tests: every language has the same keys and its own categories, every
key that is used exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from math import isnan
from numbers import Integral
from typing import Any

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit

from accord.statistics.intervals import Interval

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
        if not values:
            return text
        return re.sub(r"\{(\w+)\}", lambda found: self._filled(values[found[1]]), text)

    def _filled(self, value: Any) -> str:
        return self.number(value) if isinstance(value, Integral) else str(value)

    def number(self, value: Any, digits: int = 0, signed: bool = False) -> str:
        """A number with `digits` decimals as the reader's language writes it; signed: "+" too."""
        form = _decimals(digits)
        return format_decimal(value, f"+{form};-{form}" if signed else form, self.locale)

    def rough(self, value: float) -> str:
        """A number with up to three digits that say something."""
        short = float(f"{value:.3g}")
        return format_decimal(short, locale=self.locale, decimal_quantization=False)

    def percent(self, share: float) -> str:
        """A share (0 to 1) as a whole percentage."""
        return format_percent(round(share, 2) + 0.0, locale=self.locale)  # never "-0%"

    def unit(self, value: float, unit: str, digits: int = 0) -> str:
        """A time with its unit: "second", "minute" or "hour"."""
        return format_unit(value, f"duration-{unit}", "short", _decimals(digits), self.locale)

    def money(self, value: float, currency: str) -> str:
        """An amount; currency: its ISO code."""
        return format_currency(value, currency, locale=self.locale)

    def interval(self, value: Interval | None, digits: int = 2) -> str:
        """An estimate with its 95 % interval: 1.20 (0.80 to 1.61)."""
        return self._interval(value, lambda number: self.number(number, digits))

    def percent_interval(self, value: Interval | None) -> str:
        """A share (0 to 1) with its 95 % interval: 87% (81% to 92%)."""
        return self._interval(value, self.percent)

    def _interval(self, value: Interval | None, write: Callable[[float], str]) -> str:
        if value is None or isnan(value.value):
            return "–"
        if isnan(value.low):
            return write(value.value)
        ends = self("quality.range", low=write(value.low), high=write(value.high))
        return f"{write(value.value)} ({ends})"

    def day(self, at: float) -> str:
        """The day of a time (seconds since 1970), in UTC."""
        return format_date(datetime.fromtimestamp(at, UTC), locale=self.locale)

    def moment(self, at: float, seconds: bool = False) -> str:
        """A time (seconds since 1970), in UTC, to the minute or the second."""
        skeleton, when = "Hms" if seconds else "Hm", datetime.fromtimestamp(at, UTC)
        clock = format_skeleton(skeleton, when, locale=self.locale)
        return f"{self.locale.datetime_formats['medium'].format(clock, self.day(at))} UTC"

    def starting(self, *prefixes: str) -> dict[str, Text]:
        """The texts whose keys start so: what a script needs."""
        return {key: text for key, text in self.texts.items() if key.startswith(prefixes)}


def _decimals(digits: int) -> str:
    return f"#,##0.{'0' * digits}" if digits else "#,##0"


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
