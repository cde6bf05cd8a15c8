"""Every character of a text but marks of its structure stands in what is shown of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from nasty_markdown import NASTY, Page, lost

from accord.studio.tasks.markup import CELLS, plain_html, safe_html, seen, visible


@given(NASTY)
@limits(max_examples=800, deadline=None)
def test_all_but_marks_is_seen_in_its_place(text: str) -> None:
    page = Page(safe_html(text))
    assert not lost(visible(text), "".join(page.shown), page.found)


@given(st.text(max_size=80) | NASTY)
@limits(max_examples=200, deadline=None)
def test_plain_text_is_seen_letter_by_letter(text: str) -> None:
    assert "".join(Page(plain_html(text)).shown).split() == visible(text).split()


def test_the_check_itself_finds_what_is_lost() -> None:
    for source, html in (
        ("a \\\\ b", "<p>a \\ b</p>"),
        ("a *b*", "<p>a b</p>"),
        ("a. b", "<p>a b</p>"),
        ("| a | b | c |", "<table><td>a<td>b</table>"),
        ("007. a", '<ol><li value="007">a</li></ol>'),
        ("a b", "<p>b a</p>"),
    ):
        page = Page(html)
        assert lost(source, "".join(page.shown), page.found), source


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See [a].\n\n[a]: http://e.org 'note'", "[a]: http://e.org 'note'"), ("A[^1].\n\n[^1]: the note", "[^1]: the note"),
        ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", "| 1 | 2 | 3 |"), (">" * 30 + " deep", "deep"), (">" * 300 + " deep", "deep"),
        ("call __init__ and __main__(x)", "call __init__ and __main__(x)"), ("\\begin{pmatrix} a & b \\\\ c \\end{pmatrix}", "b \\\\ c"),
        ("&lt;div&gt; &copy;", "&lt;div&gt; &copy;"), ("[a](http://e.org/b \"c\")", "a http://e.org/b c"), ("<http://e.org/b>", "http://e.org/b"),
        ("1. one\n1. two\n5. three", "1 one 1 two 5 three"), ("```python title=x\npass\n```", "python title=x pass"), ("![a](b.png 'c')", "[a] b.png c"),
        ("a \\\\ b \\[1] \\{x\\} 5\\% C:\\dir", "a \\\\ b \\[1] \\{x\\} 5\\% C:\\dir"), ("end \\\\\nof \\\nline", "end \\\\ of \\ line"),
        ("snake\\_case 5 \\* 3 \\$5", "snake_case 5 * 3 $5"), ("$$\na\n=\n- b\n$$", "$$ a = - b $$"), ("\\[\na \\\\\n\n- b", "\\[ a \\\\"),
        ("007. agent", "007. agent"), ("3) three", "3 three"), ("## a ##", "a"), ("| a \\| b |\n|---|", "a | b"), ("a [b] c: d", "a [b] c: d"),
        ("a\u200bb", "a⟦U+200B⟧b"), ("a\u200db", "a⟦U+200D⟧b"), ("a\ufe0fb", "a⟦U+FE0F⟧b"), ("می\u200cخواهم 👩🏽\u200d💻 ❤\ufe0f 1\ufe0f\u20e3", "می\u200cخواهم 👩🏽\u200d💻 ❤\ufe0f 1\ufe0f\u20e3"),
        ("x" * 9000, "x" * 9000), ("```\nnever closed\n> *a*", "never closed > *a*"), ("<!-- a --> <b>c</b>", "<!-- a --> <b>c</b>"),
    ],
)  # fmt: skip
def test_what_used_to_vanish(text: str, shown: str) -> None:
    assert shown in " ".join(seen(safe_html(text)).split())


def test_a_table_is_spread_up_to_its_most_cells() -> None:
    """Bars of the widest row times lines: Markdown fills up the short rows."""
    head, lines = "|a" * 100 + "\n" + "|-" * 100, CELLS // 100
    most = head + "\n|b" * (lines - 2)
    assert "<td>b</td>" in safe_html(most)
    assert safe_html(f"{most}\n|b").startswith('<pre class="source" tabindex="0"><code>|a|a')


def test_emphasis_code_and_tables_are_still_what_they_are() -> None:
    html = safe_html(
        "**a** _b_ `c`\n\n| h | i |\n|---|---|\n| 1 | 2 |\n\n> q\n\n7. s\n\n```py\nd\n```"
    )
    assert all(
        part in html
        for part in (
            "<strong>a</strong>",
            "<em>b</em>",
            "<code>c</code>",
            "<td>1</td>",
            "<blockquote>",
            '<li value="7">',
            '<span class="info">py</span><code>d\n</code>',
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
        page = Page(safe_html(text))
        assert not lost(text, "".join(page.shown), page.found)
    assert time.process_time() - began < 10
