"""Which characters of a Markdown source are marks: those that what is shown stands for, and no
others.

A mark is consumed only where its structure is drawn: the stars of an emphasis, the number signs of
a heading, the bullet of a list item, the bars of a table's row, the backslash before a mark that is
meant as itself. Blanks and line ends count for nothing. `conserved` is the rule: what is seen are
the characters of the source in their order, and what is missing are marks, counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from markdown_it.token import Token

ESCAPABLE = "`*_~#$"
"""A backslash before one of these is a mark; before anything else (`\\\\`, `\\[`, `\\%`) it is
text."""
_BAR = re.compile(r"\\?\|")


def conserved(source: str, seen: str, marks: Counter[str]) -> bool:
    """Whether `seen` is `source` without some of its marks, in the same order; blanks aside."""
    wanted, shown = "".join(source.split()), "".join(seen.split())
    rest = iter(wanted)
    if not all(character in rest for character in shown):
        return False
    missing = Counter(wanted)
    missing.subtract(shown)
    return all(count <= marks[character] for character, count in missing.items())


def marks_of(tokens: Sequence[Token], lines: Sequence[str]) -> Counter[str]:
    """The marks in the lines of a text that these tokens of markdown-it stand for."""
    marks: Counter[str] = Counter()
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            marks.update(_heading(token, tokens[at + 1].content, lines))
        elif token.type == "inline":
            marks.update(_inline(token.children or []))
        else:
            marks.update(_block(token, lines))
    return marks


def _block(token: Token, lines: Sequence[str]) -> str:
    """The marks of a block that is no heading."""
    first, end = token.map or (0, 0)
    if token.type == "blockquote_open":
        return ">" * (end - first)
    if token.type == "list_item_open":
        return token.markup
    if token.type == "hr":
        return _all(lines[first], token.markup[0])
    if token.type == "fence":
        closing = lines[end - 1].lstrip("> \t").rstrip() if end - first > 1 else ""
        closes = len(closing) >= len(token.markup) and not closing.strip(token.markup[0])
        return token.markup + (closing if closes else "")
    if token.type == "table_open":
        return _all(lines[first + 1], "|:-")
    if token.type == "tr_open":
        return "".join(bar[0] for bar in _BAR.findall(lines[first]))
    return ""


def _heading(token: Token, content: str, lines: Sequence[str]) -> str:
    """Number signs before and after; or the line below."""
    first, end = token.map or (0, 1)
    if token.markup[0] == "#":
        return "#" * (lines[first].count("#") - content.count("#"))
    return _all(lines[end - 1], token.markup)


def _all(line: str, characters: str) -> str:
    return "".join(character for character in line if character in characters)


def _inline(children: Iterable[Token]) -> Iterator[str]:
    """One by one."""
    for token in children:
        if token.type in (
            "em_open",
            "em_close",
            "strong_open",
            "strong_close",
            "s_open",
            "s_close",
        ):
            yield from token.markup
        elif token.type == "code_inline":
            yield from token.markup * 2
        elif token.type == "escaped":
            yield "\\"
        elif token.type == "image":
            yield from "!" + _link(token)
        elif token.type == "link_open":
            yield from "<>" if token.markup == "autolink" else "[]" + _link(token)


def _link(token: Token) -> str:
    """Around an address and its title."""
    return "()<>" + ("\"\"''()" if token.attrs.get("title") else "")
