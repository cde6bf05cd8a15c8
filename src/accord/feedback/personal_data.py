"""Personal data and keys in texts: found and counted before texts leave the machine, and replaced
by rules.

What is found has a form of its own (an address, a number with check digits, a key's prefix). Names,
places and stories have none: that nothing is found does not say that nothing is there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal, get_args

from accord.feedback.messages import Behaviour, Content
from accord.feedback.records import Comparison, Feedback

Kind = Literal["key", "email", "iban", "card", "ip", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are looked for: what is one is not looked at again."""
NAMES: dict[str, tuple[str, str]] = {
    "key": ("key or token", "keys or tokens"),
    "email": ("e-mail address", "e-mail addresses"),
    "iban": ("IBAN", "IBANs"),
    "card": ("card number", "card numbers"),
    "ip": ("IP address", "IP addresses"),
    "phone": ("phone number", "phone numbers"),
}


def _luhn(text: str) -> bool:
    """Whether the digits end in their check digit (Luhn 1960), and are not all the same."""
    digits = [int(c) for c in text if c.isdecimal()]
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits[::-1])]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _iban(text: str) -> bool:
    """Whether the account number's remainder by 97 is 1 (ISO 13616)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _ip(text: str) -> bool:
    if ":" in text and sum(map(bool, text.split(":"))) < 2:
        return False  # :: alone is what programs write between names
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _phone(text: str) -> bool:
    return 8 <= sum(c.isdecimal() for c in text) <= 15


def _always(text: str) -> bool:
    del text
    return True


_FORMS: dict[Kind, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "key": (
        re.compile(
            r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
            r"|gh[pousr]_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}"
            r"|[Bb]earer\s{1,3}[A-Za-z0-9._~+/-]{16,}={0,2})"
            r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[A-Za-z0-9+/=\s]{0,8000}"
        ),
        _always,
    ),
    "email": (
        re.compile(
            r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}"
            r"[A-Za-z]{2,24}(?![\w-])"
        ),
        _always,
    ),
    "iban": (
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"),
        _iban,
    ),
    "card": (re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?!\w)"), _luhn),
    "ip": (
        re.compile(
            r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})"
            r"(?![\w:]|\.\d)"
        ),
        _ip,
    ),
    "phone": (
        re.compile(
            r"(?<![\w.+])(?:(?:\+|00)[1-9]\d{0,2}(?:[ ./-]{0,2}(?:\(\d{1,5}\)|\d{1,5})){2,6}"
            r"|(?:\(\d{3}\)|\d{3})[ .-]{1,2}\d{3}[ .-]\d{4})(?![\w])"
        ),
        _phone,
    ),
}


_KEY_SIGNS = {
    "-": ("sk-",),
    "A": ("AKIA", "ASIA"),
    "_": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "hf_"),
    "x": ("xox",),
    "earer": ("earer",),
    "K": ("PRIVATE KEY",),
}
"""What every key or token has, by a part that most texts lack."""
_DIGITS = "0123456789"
_ANY_DIGIT = re.compile(r"\d")


def _possible(text: str) -> Iterator[Kind]:
    """The kinds that a text can hold: most texts lack the signs that a form cannot do without, and
    looking for those costs a tenth of looking for the forms."""
    for part, signs in _KEY_SIGNS.items():
        if part in text and any(sign in text for sign in signs):
            yield "key"
            break
    if "@" in text:
        yield "email"
    digits = sum(map(text.count, _DIGITS)) if text.isascii() else len(_ANY_DIGIT.findall(text))
    if digits > 1:
        yield "iban"
    if digits > 12:
        yield "card"
    if text.count(":") > 1 or text.count(".") > 2:
        yield "ip"
    if digits > 7:
        yield "phone"


@dataclass(frozen=True, order=True)
class PersonalDatum:
    """The characters [start, end) of a text, and what they are."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[PersonalDatum]:
    """What stands in a text, in its order, without overlaps."""
    found: list[PersonalDatum] = []
    for kind in _possible(text):
        form, holds = _FORMS[kind]
        for match in form.finditer(text):
            start, end = match.span()
            apart = all(end <= one.start or one.end <= start for one in found)
            if apart and holds(match.group()):
                found.append(PersonalDatum(start, end, kind))
    return sorted(found)


@dataclass
class PersonalData:
    """Counts over texts: by kind; texts in which something is, and all."""

    by_kind: Counter[str]
    holding: int = 0
    texts: int = 0

    @classmethod
    def of(cls, texts: Iterable[str]) -> PersonalData:
        """Equal texts are counted each time."""
        counts = cls(Counter())
        for text in texts:
            counts.texts += 1
            if found := find(text):
                counts.by_kind.update(one.kind for one in found)
                counts.holding += 1
        return counts

    def __str__(self) -> str:
        """2 e-mail addresses, 1 IBAN in 3 of 40 texts; nothing found in 40 texts."""
        if not self.by_kind:
            return f"nothing of a known form in {self.texts:,} texts"
        parts = [
            f"{self.by_kind[kind]:,} {NAMES[kind][self.by_kind[kind] != 1]}"
            for kind in KINDS
            if self.by_kind[kind]
        ]
        return f"{', '.join(parts)} in {self.holding:,} of {self.texts:,} texts"


def texts_of(record: Feedback) -> Iterator[str]:
    """What people and models wrote in a record: prompt, responses, what was chosen in words, and
    texts in meta."""
    yield from content_texts(record.prompt)
    for option in record.options:
        yield from content_texts(option.content)
    if not isinstance(record.choice, Comparison):  # which says nothing in words
        yield from _choice_texts(record.choice.model_dump(mode="json"))
    yield from _choice_texts(record.meta.get("assist"))
    for name, value in record.meta.items():
        if name not in UNREAD_META:
            yield from strings_in(value)


WORDS = ("content", "text", "steps", "note", "quotes")
"""Fields of choices that hold what somebody wrote; the others hold ids, labels and numbers."""
UNREAD_META = ("judge", "parent", "critique", "finished", "shown", "assist")
"""Keys of meta that hold ids, settings and names of our own; words of critics in `assist` aside."""


def content_texts(content: Content | Behaviour) -> Iterator[str]:
    """The texts of a prompt or response, tool calls and reasoning included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for message in content:
            yield from strings_in(message.model_dump(mode="json", exclude={"role"}))


def _choice_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings_in(inner) if key in WORDS else _choice_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _choice_texts(inner)


def strings_in(value: Any) -> Iterator[str]:
    """All texts of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)
