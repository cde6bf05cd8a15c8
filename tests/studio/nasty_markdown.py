"""Markdown that hides things, made by hypothesis; and what may be missing from what is shown of it,
said from the page alone, without the parser that made it."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

from hypothesis import strategies as st

WORDS = st.sampled_from(
    [
        "Rome", "__init__", "naïve", "東京", "x_1", "7", "42", "_", "*", "a", "b", "\\", "\\\\", "\\*", "\\_", "\\|", "\\[", "\\(", "\\$",
        "\\{", "\\%", "&copy;", "&amp;", "&#65;", "$$", "$", "\\]", "\\)", "`", "~~", "***", "# h", "-", "|", "||", "!", "[^1]", "[x]",
        "a\u202eb", "\u200b", "z\u200dz", "می\u200cخواهم", "👩\u200d💻", "❤\ufe0f", "a\ufe0f", "\u2066c\u2069", "\u3164", "שלום", "\u00ad",
        "\\\n", "  \n", "<br>", "<script>x</script>", "<!--c-->", "http://e.org/a_b_c", "www.e.org", "e@e.org", "w" * 300, "\t", "\x07",
    ]
)  # fmt: skip
INLINE = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(" ".join), st.lists(inner, min_size=2, max_size=3).map("".join),
        inner.map(lambda t: f"**{t}**"), inner.map(lambda t: f"_{t}_"), inner.map(lambda t: f"~~{t}~~"), inner.map(lambda t: f"`{t}`"),
        inner.map(lambda t: f"`` {t} ``"), inner.map(lambda t: f"***{t}***"), inner.map(lambda t: f"<{t}>"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}](http://e.org/ü{p[1]} \"tïtle {p[1]}\")"), inner.map(lambda t: f"![{t}](http://e.org/p.png)"),
        inner.map(lambda t: f"[{t}](<http://e.org/a b> 't')"), inner.map(lambda t: f"[http://e.org](http://e.org){t}"), inner.map(lambda t: f"[{t}]()"),
        inner.map(lambda t: f"![{t}](javascript:x (t))"), inner.map(lambda t: f"[{t}](javascript:alert)"), inner.map(lambda t: f"[{t}](a\\(b \"\\\"\")"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}][{p[1]}]"), inner.map(lambda t: f"<b {t}>"), inner.map(lambda t: f"${t}$"), inner.map(lambda t: f"$${t}$$"),
        inner.map(lambda t: f"\\({t}\\)"), inner.map(lambda t: f"\\[{t}\\]"),
        inner.map(lambda t: f"\\begin{{align}} {t} \\\\ {t} \\end{{align}}"), inner.map(lambda t: f"<http://e.org/{t}>"),
    ),
    max_leaves=6,
)  # fmt: skip


def prefixed(text: str, first: str, rest: str) -> str:
    """Every line of a block behind a marker."""
    lines = text.split("\n")
    return "\n".join([first + lines[0], *(rest + line for line in lines[1:])])


def row(cells: list[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(cell.replace(chr(10), ' ') for cell in cells)} |"


CELLS = st.lists(INLINE, min_size=1, max_size=4)
BLOCKS = st.recursive(
    INLINE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("\n\n".join), st.lists(inner, min_size=1, max_size=3).map("\n".join),
        inner.map(lambda t: prefixed(t, "> ", "> ")), inner.map(lambda t: prefixed(t, ">", "")), inner.map(lambda t: prefixed(t, "- ", "  ")),
        inner.map(lambda t: prefixed(t, "* ", "  ")), inner.map(lambda t: prefixed(t, "007. ", "     ")), inner.map(lambda t: prefixed(t, "0) ", "   ")),
        st.tuples(st.integers(0, 99), inner).map(lambda p: prefixed(p[1], f"{p[0]}) ", "    ")), inner.map(lambda t: f"# {t} ##"), inner.map(lambda t: f"###### {t}"),
        inner.map(lambda t: f"{t}\n==="), inner.map(lambda t: f"{t}\n-----"), inner.map(lambda t: f"{t}\n\n* * *\n"), inner.map(lambda t: f"$$\n{t}\n=\n- {t}\n$$"),
        inner.map(lambda t: f"\\[\n{t}\n\\]"), inner.map(lambda t: f"\\begin{{cases}}\n{t}\n- {t}\n\\end{{cases}} "),
        st.tuples(INLINE, INLINE).map(lambda p: f"[{p[0]}]: http://e.org/{p[1]} 'titel'"), INLINE.map(lambda t: f"[^1]: {t}"),
        st.tuples(INLINE, inner).map(lambda p: f"```{p[0]} x=\"y\"\n{p[1]}\n```"), inner.map(lambda t: f"```\n{t}"), inner.map(lambda t: f"~~~~ a\\*b\n{t}\n~~~~~"),
        inner.map(lambda t: prefixed(t, "    ", "    ")), inner.map(lambda t: prefixed(f"```\n> {t}\n", "> ", "> ")),
        st.tuples(CELLS, CELLS).map(lambda c: f"| h | i |\n|---|:-:|\n{row(c[0])}\n{row(c[1])}"), st.tuples(CELLS, CELLS).map(lambda c: f"{row(c[0])}\n{'|-' * len(c[0])}|\n{row(c[1])}"),
        inner.map(lambda t: f"<!-- {t} -->"), inner.map(lambda t: f"<details>\n{t}\n</details>"), inner.map(lambda t: prefixed(t, ">" * 12 + " ", "> ")),
    ),
    max_leaves=5,
)  # fmt: skip
WILD = st.text("ab1 \n\t\\`*_{}[]()#+-.!|<>&;:~=$^\"'/0東ü\u202e\u200d\ufe0f", max_size=120)
NASTY = BLOCKS | WILD


class Page(HTMLParser):
    """What a browser shows of HTML: its texts, and the numbers of list items."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shown: list[str] = []
        self.found: Counter[str] = Counter()
        self.within: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "li" and given.get("value"):
            self.shown.append(str(int(given["value"] or "0")))
        self.found[
            given.get("class") or ("block" if tag == "code" and "pre" in self.within else tag)
        ] += 1
        if tag not in ("br", "hr"):
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.within:
            self.within.remove(tag)

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def lost(source: str, shown: str, found: Counter[str]) -> str:
    """What should be seen and is not: nothing where all is well. found: how often each element
    stands on the page. Only marks of what stands there may be missing."""
    wanted, seen = "".join(source.split()), "".join(shown.split())
    rest = iter(wanted)
    if not all(character in rest for character in seen):
        return f"out of order: {seen}"
    missing = Counter(wanted)
    missing.subtract(seen)
    may = allowed(source, found)
    return "".join(
        character * (count - may[character])
        for character, count in missing.items()
        if count > may[character]
    )


def allowed(source: str, found: Counter[str]) -> Counter[str]:
    """Marks that the elements of a page stand for, at most."""
    longest = {mark: max(map(len, re.findall(rf"{re.escape(mark)}+", source)), default=0) for mark in "`~#=-*_"}  # fmt: skip
    headings = sum(found[f"h{n}"] for n in range(3, 7))
    links, pictures = found["a"] + found["address"], found["picture"]
    may: Counter[str] = Counter()
    for mark in "*_":
        may[mark] = 2 * found["em"] + 4 * found["strong"] + found["hr"] * source.count(mark)
    may["~"] = 4 * found["s"] + 2 * found["pre"] * longest["~"]
    may["`"] = 2 * (found["code"] + found["pre"]) * longest["`"]
    may["#"] = headings * (6 + longest["#"])
    may["="] = headings * longest["="]
    may["-"] = (found["hr"] + headings + found["table"]) * source.count("-") + found["li"]
    for mark in "*+.)":
        may[mark] += found["li"]
    may[">"] = found["blockquote"] * (source.count("\n") + 1) + links + pictures
    may["<"] = links + pictures
    for mark in "|:":
        may[mark] = source.count(mark) if found["table"] else 0
    for mark in "()":
        may[mark] += 2 * (links + pictures)
    for mark in "[]":
        may[mark] = links
    for mark in "\"'":
        may[mark] = 2 * (links + pictures)
    may["!"] = pictures
    may["\\"] = len(re.findall(r"\\[`*_~#$]", source)) + (source.count("\\|") if found["table"] else 0)  # fmt: skip
    return may
