"""Text from models, datasets and people as HTML that can do nothing, in which every word can be
seen.

Such text is hostile: Markdown without raw HTML, then an allow-list (nh3); no pictures from
elsewhere, links open apart and show where they lead; characters that reorder or hide text are shown
as what they are. Markdown also hides: definitions of links, surplus cells of tables, what is nested
too deeply. A block of which a word does not stand in what is shown is shown as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape, unescape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLinkText
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_MATHS = re.compile(
    r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\\begin\{(\w+\*?)\}.+?\\end\{\1\}|\$(?=[^\s$])[^$\n]*?[^\s$\\]\$(?!\d)",
    re.DOTALL,
)
_DUNDER = re.compile(r"__[^\W_]\w*__(?!\w)")
_WORD = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r'<li value="(\d+)">')
_TAG = re.compile(r"<[^>]*>")
_HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
_TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "hr", "a", "span",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_CLASSES = {"span": {"math", "code-point", "picture", "address", "info"}, "pre": {"source"}}
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_DEEPEST = 50


def visible(text: str) -> str:
    """Text whose control, direction and invisible characters are spelled out (⟦U+202E⟧); line
    breaks and tabs stay."""
    return _HIDING.sub(
        lambda found: f"⟦U+{ord(found[0]):04X}⟧", text.replace("\r\n", "\n").replace("\r", "\n")
    )


def safe_html(text: str) -> str:
    """Markdown from anybody as HTML that can do nothing: no scripts, styles, pictures, frames or
    forms."""
    source, parser = visible(text), _markdown()
    lines, env = source.split("\n"), dict[str, Any]()
    shown: list[str] = []
    at = 0
    for tokens in _blocks(parser.parse(source, env)):
        start, end = tokens[0].map or [at, at]
        shown.append(_whole("", lines[at:start]))
        shown.append(
            _whole(_clean(parser.renderer.render(tokens, parser.options, env)), lines[start:end])
        )
        at = end
    return "".join([*shown, _whole("", lines[at:])])


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The blocks that a text consists of, each as its tokens."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _whole(html: str, lines: Sequence[str]) -> str:
    """The HTML of these lines, if all their words can be seen in it, else the lines as they are."""
    source = "\n".join(lines)
    seen = iter(_WORD.findall(words_seen(html)))
    if all(word in seen for word in _WORD.findall(source)):
        return html
    return _clean(f'<pre class="source"><code>{escape(source)}</code></pre>\n')


def words_seen(html: str) -> str:
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
    what is none, and for single values and nesting beyond 50, which lines would not help."""
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
    parser.inline.ruler.before("escape", "maths", _maths)
    parser.inline.ruler.before("escape", "dunder", _dunder)
    parser.add_render_rule("maths", _render_maths)
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
    found = _DUNDER.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.pending += found[0]
    state.pos = found.end()
    return True


def _maths(state: StateInline, silent: bool) -> bool:
    """Formulas stay as they were written: their stars and underscores are no emphasis."""
    if state.src[state.pos] not in "$\\":
        return False
    found = _MATHS.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("maths", "span", 0).content = found[0]
    state.pos = found.end()
    return True


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
    said = [normalizeLinkText(str(token.attrs.get(name, ""))), str(token.attrs.get("title", ""))]
    return [text for text in said if text]


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"


def _show_numbers_and_addresses(state: Any) -> None:
    """Items of lists keep the numbers they were given; links say where they lead, unless that is
    what they say anyhow."""
    for token in state.tokens:
        if token.type == "list_item_open" and token.info.isdecimal():
            token.attrs = {"value": token.info}
        if token.type == "inline" and token.children:
            token.children = list(_with_addresses(token.children))


def _with_addresses(children: Sequence[Token]) -> Iterator[Token]:
    opened: list[tuple[Token, list[str]]] = []
    for child in children:
        if opened:
            opened[-1][1].append(child.content)
        if child.type == "link_open":
            opened.append((child, []))
        yield child
        if child.type == "link_close" and opened:
            link, said = opened.pop()
            address = " ".join(_leads_to(link, "href"))
            if address and address != "".join(said):
                shown = Token("address", "span", 0)
                shown.content = address
                yield shown
