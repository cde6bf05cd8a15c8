"""Text from models, datasets and people as HTML that can do nothing.

Such text is hostile: Markdown without raw HTML, then an allow-list (nh3); no pictures from elsewhere, links open apart;
characters that reorder or hide text are shown as what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_MATHS = re.compile(r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\$(?=[^\s$])[^$\n]*?[^\s$\\]\$(?!\d)", re.DOTALL)
_HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
_TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "hr", "a", "span",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_CLASSES = {"span": {"math", "code-point", "picture"}}
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_DEEPEST = 50


def visible(text: str) -> str:
    """Text whose control, direction and invisible characters are spelled out (⟦U+202E⟧); line breaks and tabs stay."""
    return _HIDING.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", text.replace("\r\n", "\n").replace("\r", "\n"))


def safe_html(text: str) -> str:
    """Markdown from anybody as HTML that can do nothing: no scripts, styles, pictures, frames or forms."""
    return nh3.clean(
        _markdown().render(visible(text)),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        allowed_classes=_CLASSES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}, "pre": {"tabindex": "0"}},
    )


def verbatim_html(text: str) -> str:
    """Text that is no Markdown, letter by letter."""
    return f'<pre tabindex="0"><code>{escape(visible(text))}</code></pre>'


def json_html(value: Any) -> str:
    """JSON (a value, or text that may be JSON) over several lines; text that is none as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return verbatim_html(spread_json(text) or text)


def spread_json(text: str) -> str | None:
    """JSON with a line per value, nothing else changed but escapes of readable characters; None for what is none, and for
    single values and nesting beyond 50, which lines would not help."""
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
            out.append(json.dumps(json.loads(token), ensure_ascii=False) if token[0] == '"' else token)
    return "".join(out)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False}).enable(
        ["table", "strikethrough"]
    )
    parser.inline.ruler.before("escape", "maths", _maths)
    parser.add_render_rule("maths", _render_maths)
    parser.add_render_rule("image", _render_picture)
    parser.core.ruler.push("lower_headings", _lower_headings)
    return parser


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


def _render_maths(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<span class="math">{escape(tokens[index].content)}</span>'


def _render_picture(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A picture would tell its server who looks: its description and address are shown instead."""
    token = tokens[index]
    described = f"[{token.content}] {token.attrs.get('src', '')}"
    return f'<span class="picture">{escape(described)}</span>'


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
