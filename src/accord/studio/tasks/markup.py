"""Text from models, datasets and people as HTML that can do nothing, in which every word can be
seen.

Such text is hostile: Markdown without raw HTML, then an allow-list (nh3); no pictures from
elsewhere, links open apart and show where they lead; characters that reorder or hide text are shown
as what they are. Markdown also hides: definitions of links, surplus cells of tables, what is nested
too deeply. A block of which more is missing than the marks that its structure stands for (see
marks.py) is shown as it was written.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape, unescape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLinkText
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from accord.studio.tasks.marks import ESCAPABLE, conserved, marks_of

_ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}")
_ENDED = re.compile(r"\\end\{\w+\*?\}")
_IN_DOLLARS = re.compile(r"\$(?=[^\s$])[^$\n]*?[^\s$\\]\$(?!\d)")
_MATHS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_DUNDER = re.compile(r"__[^\W_]\w*__(?!\w)")
_NUMBERED = re.compile(r'<li value="(\d+)">')
_TAG = re.compile(r"<[^>]*>")
_EMOJI = "\u2190-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff"
_JOINING = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
"""Letters that join, or do not, by a character of no width between them."""
_HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b"
    "\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    f"|(?<![{_JOINING}{_EMOJI}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}{_EMOJI}])"
    "|(?<![#*0-9\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u27bf\u2900-\u2bff\u3030-\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]"
)
_TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5",
    "h6", "hr", "a", "span",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_CLASSES = {"span": {"math", "code-point", "picture", "address", "info"}, "pre": {"source"}}
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_DEEPEST = 50
_MATHS_LINES = 100
LONGEST, BRACKETS, CELLS = 80_000, 10_000, 40_000
"""Most characters of a text, opening brackets in it, and bars of its widest row times its lines
(the cells that Markdown makes up in short rows), that are read as Markdown or spread as JSON;
beyond, it is shown as it was written: reading would take seconds."""


@lru_cache(maxsize=1 << 14)
def _code_point(character: str) -> str:
    return f"⟦U+{ord(character):04X}⟧"


def visible(text: str) -> str:
    """Text whose control, direction and invisible characters are spelled out (⟦U+202E⟧); line
    breaks and tabs stay."""
    return _HIDING.sub(
        lambda match: _code_point(match[0]), text.replace("\r\n", "\n").replace("\r", "\n")
    )


def safe_html(text: str) -> str:
    """Markdown from anybody as HTML that can do nothing: no scripts, styles, pictures, frames or
    forms."""
    source, parser = visible(text), _markdown()
    lines, env = source.split("\n"), dict[str, Any]()
    cells = max(line.count("|") for line in lines) * len(lines)
    if len(source) > LONGEST or source.count("[") > BRACKETS or cells > CELLS:
        return _as_written(source)
    shown: list[str] = []
    at = 0
    for tokens in _blocks(parser.parse(source, env)):
        start, end = tokens[0].map or [at, at]
        html = _clean(parser.renderer.render(tokens, parser.options, env))
        written = "\n".join(lines[start:end])
        whole = conserved(written, seen(html), marks_of(tokens, lines))
        shown += [_as_written("\n".join(lines[at:start])), html if whole else _as_written(written)]
        at = end
    return "".join([*shown, _as_written("\n".join(lines[at:]))])


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The blocks that a text consists of, each as its tokens."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _as_written(source: str) -> str:
    """A part of a text letter by letter; nothing where there is nothing. Escaped text needs no
    cleaning, which takes ten seconds for a million ampersands."""
    if not source.strip():
        return ""
    return f'<pre class="source" tabindex="0"><code>{escape(source)}</code></pre>\n'


def seen(html: str) -> str:
    """What can be read in HTML, numbers of lists too."""
    return unescape(_TAG.sub(" ", _NUMBERED.sub(r"\1 ", html)))


def _clean(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "li": {"value"}},
        allowed_classes=_CLASSES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}, "pre": {"tabindex": "0"}},
    )


def plain_html(text: str) -> str:
    """Text of a project whose texts are no Markdown: letter by letter, lines broken where they
    are."""
    return f'<p class="plain-text">{escape(visible(text))}</p>'


def verbatim_html(text: str) -> str:
    """Text that is no Markdown, letter by letter."""
    return f'<pre tabindex="0"><code>{escape(visible(text))}</code></pre>'


def json_html(value: Any) -> str:
    """JSON (a value, or text that may be JSON) over several lines; text that is none as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return verbatim_html(spread_json(text) or text)


def spread_json(text: str) -> str | None:
    """JSON with a line per value, nothing else changed but escapes of readable characters; None for
    what is none, and for single values, nesting beyond 50 and more than LONGEST characters, which
    lines would not help."""
    if len(text) > LONGEST:
        return None
    try:
        if not isinstance(json.loads(text), (dict, list)):
            return None
    except (ValueError, RecursionError):
        return None
    out: list[str] = []
    depth, empty = 0, False
    tokens = _JSON_TOKEN.findall(text)
    for at, token in enumerate(tokens):
        if token in "{[":
            depth += 1
            if depth > _DEEPEST:
                return None
            empty = tokens[at + 1] in "}]"
            out += [token] if empty else [token, "\n", "  " * depth]
        elif token in "}]":
            depth -= 1
            out += [token] if empty else ["\n", "  " * depth, token]
            empty = False
        elif token == ",":
            out += [",", "\n", "  " * depth]
        elif token == ":":
            out.append(": ")
        else:
            out.append(
                json.dumps(json.loads(token), ensure_ascii=False) if token[0] == '"' else token
            )
    return "".join(out)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    """Without definitions of links and without entities: both are words of the text."""
    parser = MarkdownIt(
        "commonmark", {"html": False, "breaks": True, "linkify": False, "maxNesting": 60}
    )
    parser.enable(["table", "strikethrough"]).disable(["reference", "entity"])
    parser.block.ruler.before(
        "fence", "maths_block", _maths_block, {"alt": ["paragraph", "blockquote", "list"]}
    )
    parser.inline.ruler.before("escape", "maths", _maths)
    parser.inline.ruler.at("escape", _escape)
    parser.inline.ruler.before("escape", "dunder", _dunder)
    parser.add_render_rule("maths", _render_maths)
    parser.add_render_rule("maths_block", _render_maths_block)
    parser.add_render_rule("escaped", _render_escaped)
    parser.add_render_rule("address", _render_address)
    parser.add_render_rule("image", _render_picture)
    parser.add_render_rule("fence", _render_fence)
    parser.core.ruler.push("lower_headings", _lower_headings)
    parser.core.ruler.push("show_numbers_and_addresses", _show_numbers_and_addresses)
    return parser


def _dunder(state: StateInline, silent: bool) -> bool:
    """`__init__` is a name, not an emphasis."""
    if state.src[state.pos] != "_" or (
        state.pos and (state.src[state.pos - 1].isalnum() or state.src[state.pos - 1] == "_")
    ):
        return False
    match = _DUNDER.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.pending += match[0]
    state.pos = match.end()
    return True


def _escape(state: StateInline, silent: bool) -> bool:
    """A backslash is text, but before a mark that is meant as itself; what it stands before is no
    mark either way."""
    if state.src[state.pos] != "\\":
        return False
    following = state.src[state.pos + 1 : state.pos + 2]
    if following and following in ESCAPABLE:
        if not silent:
            state.push("escaped", "", 0).content = following
    else:
        following = following if following in string.punctuation else ""
        if not silent:
            state.pending += "\\" + following
    state.pos += 1 + len(following)
    return True


def _maths(state: StateInline, silent: bool) -> bool:
    """Formulas stay as they were written: their stars and underscores are no emphasis."""
    end = _end_of_maths(state.src, state.pos) if state.src[state.pos] in "$\\" else None
    if end is None:
        return False
    if not silent:
        state.push("maths", "span", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _end_of_maths(text: str, at: int) -> int | None:
    """Where the formula that begins at a place of a text ends; None where none does."""
    closing, content = _closing(text, at)
    if closing is None:
        match = _IN_DOLLARS.match(text, at)
        return None if match is None else match.end()
    if _last(text).get(closing, -1) <= content:  # asked first: a search may go through all the text
        return None
    return text.index(closing, content + 1) + len(closing)


def _closing(text: str, at: int) -> tuple[str | None, int]:
    """What ends a formula that begins at a place by more than a dollar, and where its content
    begins."""
    closing = _MATHS.get(text[at : at + 2])
    if closing is not None:
        return closing, at + 2
    environment = _ENVIRONMENT.match(text, at)
    return (f"\\end{{{environment[1]}}}", environment.end()) if environment else (None, at)


@lru_cache(maxsize=4)
def _last(text: str) -> dict[str, int]:
    """Where each thing that can end a formula stands last in a text."""
    places = {match[0]: match.start() for match in _ENDED.finditer(text)}
    return places | {closing: text.rfind(closing) for closing in _MATHS.values()}


def _maths_block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """A formula over several lines, of which none is a list or the line below a heading."""
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    closing, content = _closing(state.src, start)
    if closing in (None, "\\)") or _last(state.src).get(str(closing), -1) <= content:
        return False
    for line in range(first, min(end, first + _MATHS_LINES)):
        text = state.src[content if line == first else state.bMarks[line] : state.eMarks[line]]
        if line > first and text.strip() and state.sCount[line] < state.blkIndent:
            return False
        _, closed, after = text.partition(str(closing))
        if after.strip():  # a formula within a paragraph
            return False
        if closed:
            if not silent:
                token = state.push("maths_block", "p", 0)
                token.content = state.getLines(first, line + 1, state.blkIndent, False).strip()
                token.map = [first, line + 1]
                state.line = line + 1
            return True
    return False


def _render_escaped(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return escape(tokens[index].content)


def _render_maths_block(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return f'<p><span class="math">{escape(tokens[index].content)}</span></p>\n'


def _render_maths(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return f'<span class="math">{escape(tokens[index].content)}</span>'


def _render_address(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return f' <span class="address">{escape(tokens[index].content)}</span>'


def _render_fence(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    token = tokens[index]
    info = f'<span class="info">{escape(token.info.strip())}</span>' if token.info.strip() else ""
    return f"<pre>{info}<code>{escape(token.content)}</code></pre>\n"


def _render_picture(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    """A picture would tell its server who looks: its description and address are shown instead."""
    token = tokens[index]
    described = " ".join([f"[{token.content}]", *_leads_to(token, "src")])
    return f'<span class="picture">{escape(described)}</span>'


def _leads_to(token: Token, name: str) -> list[str]:
    """Where a link or picture leads, as one reads it, and its title."""
    texts = [normalizeLinkText(str(token.attrs.get(name, ""))), str(token.attrs.get("title", ""))]
    return [text for text in texts if text]


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"


def _show_numbers_and_addresses(state: Any) -> None:
    """Items of lists keep the numbers they were given; links say where they lead, those in <> by
    their text."""
    for token in state.tokens:
        if token.type == "list_item_open" and token.info.isdecimal():
            token.attrs = {"value": str(int(token.info))}
        if token.type == "inline" and token.children:
            token.children = list(_with_addresses(token.children))


def _with_addresses(children: Sequence[Token]) -> Iterator[Token]:
    opened: list[Token] = []
    for child in children:
        if child.type == "link_open":
            opened.append(child)
        yield child
        if child.type == "link_close":
            link = opened.pop()
            address = " ".join(_leads_to(link, "href"))
            if address and link.markup != "autolink":
                shown = Token("address", "span", 0)
                shown.content = address
                yield shown
