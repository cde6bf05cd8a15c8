"""Every word of a text stands in what is shown of it; nothing that is shown can do anything."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from accord.studio.markup import plain_html, safe_html, visible, words_seen

WORDS = st.sampled_from(
    [
        "Rome",
        "__init__",
        "naïve",
        "東京",
        "x_1",
        "7",
        "42",
        "_",
        "*",
        "a",
        "b",
        "\\",
        "\\\\",
        "&copy;",
        "&amp;",
    ]
)
INLINE = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(" ".join), st.lists(inner, min_size=2, max_size=3).map("".join),
        inner.map(lambda t: f"**{t}**"), inner.map(lambda t: f"_{t}_"), inner.map(lambda t: f"~~{t}~~"), inner.map(lambda t: f"`{t}`"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}](http://e.org/ü{p[1]} \"tïtle {p[1]}\")"), inner.map(lambda t: f"![{t}](http://e.org/p.png)"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}][{p[1]}]"), inner.map(lambda t: f"<b {t}>"), inner.map(lambda t: f"${t}$"),
        inner.map(lambda t: f"\\begin{{align}} {t} \\\\ {t} \\end{{align}}"), inner.map(lambda t: f"<http://e.org/{t}>"),
    ),
    max_leaves=6,
)  # fmt: skip


def prefixed(text: str, first: str, rest: str) -> str:
    """Every line of a block behind a marker."""
    lines = text.split("\n")
    return "\n".join([first + lines[0], *(rest + line for line in lines[1:])])


BLOCKS = st.recursive(
    INLINE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("\n\n".join), st.lists(inner, min_size=1, max_size=3).map("\n".join),
        inner.map(lambda t: prefixed(t, "> ", "> ")), inner.map(lambda t: prefixed(t, "- ", "  ")), inner.map(lambda t: prefixed(t, "007. ", "     ")),
        st.tuples(st.integers(0, 99), inner).map(lambda p: prefixed(p[1], f"{p[0]}) ", "    ")), inner.map(lambda t: f"# {t}"), inner.map(lambda t: f"{t}\n==="),
        st.tuples(INLINE, INLINE).map(lambda p: f"[{p[0]}]: http://e.org/{p[1]} 'titel'"), INLINE.map(lambda t: f"[^1]: {t}"),
        st.tuples(INLINE, inner).map(lambda p: f"```{p[0]} x=\"y\"\n{p[1]}\n```"), inner.map(lambda t: prefixed(t, "    ", "    ")),
        st.lists(INLINE.map(lambda t: t.replace("\n", " ")), min_size=2, max_size=4).map(lambda c: f"| h | i |\n|---|---|\n| {' | '.join(c)} |"),
        inner.map(lambda t: f"<!-- {t} -->"), inner.map(lambda t: f"<details>\n{t}\n</details>"),
    ),
    max_leaves=5,
)  # fmt: skip
WILD = st.text("ab1 \n\t\\`*_{}[]()#+-.!|<>&;:~=$^\"'/0東ü\u202e", max_size=120)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


@given(BLOCKS | WILD)
@limits(max_examples=400, deadline=None)
def test_every_word_is_seen_in_its_place(text: str) -> None:
    for html in (safe_html(text), plain_html(text)):
        seen = iter(words(words_seen(html)))
        missing = [word for word in words(visible(text)) if word not in seen]
        assert not missing, (missing, html)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("See [a].\n\n[a]: http://e.org 'note'", "[a]: http://e.org 'note'"), ("A[^1].\n\n[^1]: the note", "[^1]: the note"),
        ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", "| 1 | 2 | 3 |"), (">" * 30 + " deep", "deep"), (">" * 300 + " deep", "deep"),
        ("call __init__ and __main__(x)", "call __init__ and __main__(x)"), ("\\begin{pmatrix} a & b \\\\ c \\end{pmatrix}", "b \\\\ c"),
        ("&lt;div&gt; &copy;", "&lt;div&gt; &copy;"), ("[a](http://e.org/b \"c\")", "a http://e.org/b c"), ("<http://e.org/b>", "http://e.org/b"),
        ("1. one\n1. two\n5. three", "1 one 1 two 5 three"), ("```python title=x\npass\n```", "python title=x pass"), ("![a](b.png 'c')", "[a] b.png c"),
    ],
)  # fmt: skip
def test_what_used_to_vanish(text: str, seen: str) -> None:
    assert seen in " ".join(words_seen(safe_html(text)).split())


def test_emphasis_code_and_tables_are_still_what_they_are() -> None:
    html = safe_html("**a** _b_ `c`\n\n| h | i |\n|---|---|\n| 1 | 2 |\n\n> q\n\n7. s")
    assert all(
        part in html
        for part in (
            "<strong>a</strong>",
            "<em>b</em>",
            "<code>c</code>",
            "<td>1</td>",
            "<blockquote>",
            '<li value="7">',
        )
    )
    assert "source" not in html


def test_long_and_nested_texts_take_little_time() -> None:
    began = time.process_time()
    for text in (
        "word " * 20_000,
        "> " * 5_000 + "x",
        "- " * 5_000 + "x",
        "[" * 20_000,
        "*a " * 10_000,
        "| a " * 5_000 + "\n" + "|-" * 5_000,
    ):
        assert words(words_seen(safe_html(text))) == words(text)
    assert time.process_time() - began < 10
