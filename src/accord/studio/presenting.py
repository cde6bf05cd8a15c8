"""What a rater sees of an item: options in the stored order, without names or ids that tell who wrote them, harmless.

Text from models and datasets is hostile: Markdown without raw HTML, then an allow-list (nh3); no pictures from elsewhere,
links open apart; characters that reorder or hide text are shown as what they are. The browser knows options by their
place ("1", "2", ...), never by id, since ids often name the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from accord.studio.masking import Masked, mask_names
from accord.studio.parts import steps_of
from accord.studio.queue import Served
from accord.studio.settings import ProjectSettings

_MATHS = re.compile(r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\$(?=[^\s$])[^$\n]*?[^\s$\\]\$(?!\d)", re.DOTALL)
_HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
_TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "hr", "a", "span",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_CLASSES = {"span": {"math", "code-point", "picture"}}


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


# --- masking ---------------------------------------------------------------------------------------------------------
def plain(content: Any) -> str:
    """The words of a text or of messages."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(message.get("content", "")) for message in content if isinstance(message, Mapping))
    return str(content)


def mask_content(content: Any, prompt: Any, names: Sequence[str]) -> tuple[Any, list[Masked]]:
    """Text or messages with self-naming hidden; one `Masked` per text, in order."""
    topic = plain(prompt)
    if isinstance(content, str):
        masked = mask_names(content, topic, names)
        return masked.text, [masked]
    done = [mask_names(str(message["content"]), topic, names) for message in content]
    return [{**message, "content": m.text} for message, m in zip(content, done, strict=True)], done


def note_masks(prompt: Any, options: list[dict[str, Any]], settings: ProjectSettings) -> dict[str, Any]:
    """What is stored with a view: per option the spans hidden, as [text number, start, end, placeholder number]."""
    if settings.task == "clips":
        return {"masked": {}}
    rows: dict[str, list[list[int]]] = {}
    for option in options:
        _, texts = mask_content(option["content"], prompt, settings.mask)
        found = [[number, *mask.row()] for number, masked in enumerate(texts) for mask in masked.masks]
        if found:
            rows[str(option["id"])] = found
    return {"masked": rows}


# --- places for ids --------------------------------------------------------------------------------------------------
def to_ids(answer: Any, order: Sequence[str], task: str) -> Any:
    """An answer from the browser with option ids where it names places "1", "2", ... Unknown places stay, for
    the check that follows to refuse."""
    places = {str(place): name for place, name in enumerate(order, 1)}
    return _rename(answer, task, lambda place: places.get(place, place) if isinstance(place, str) else place)


def to_places(answer: Any, order: Sequence[str], task: str) -> Any:
    """The other way: for an answer that was taken back."""
    places = {name: str(place) for place, name in enumerate(order, 1)}
    return _rename(answer, task, lambda name: places.get(name, name) if isinstance(name, str) else name)


def _rename(answer: Any, task: str, name: Callable[[Any], Any]) -> Any:
    if not isinstance(answer, dict) or task == "chat":  # a chat's options have no other names
        return answer
    renamed = dict(answer)
    for key in ("preferred",) if task in ("comparison", "clips") else ("best", "worst") if task == "best_worst" else ():
        if key in renamed:
            renamed[key] = name(renamed[key])
    if task == "ranking" and isinstance(renamed.get("order"), list):
        renamed["order"] = [
            [name(i) for i in group] if isinstance(group, list) else group for group in renamed["order"]
        ]
    if task in ("comparison", "clips", "ranking", "best_worst"):  # beside them, ratings and words are per option
        for key in ("scores", "critique"):
            if isinstance(renamed.get(key), dict):
                renamed[key] = {name(i): said for i, said in renamed[key].items()}
    return renamed


def to_original(answer: Any, served: Served, settings: ProjectSettings) -> Any:
    """An answer about masked text as one about the original: places of spans moved, hidden names of an edit put back."""
    if not isinstance(answer, dict) or settings.task not in ("spans", "correction") or not served.options:
        return answer
    _, texts = mask_content(served.options[0]["content"], served.prompt, settings.mask)
    if settings.task == "correction" and isinstance(answer.get("content"), str):
        return {**answer, "content": texts[-1].restore(answer["content"])}
    if settings.task == "spans" and isinstance(answer.get("spans"), list):
        return {**answer, "spans": [_moved(span, texts[-1]) for span in answer["spans"]]}
    return answer


def _moved(span: Any, masked: Masked) -> Any:
    if not isinstance(span, dict) or not (type(span.get("start")) is int and type(span.get("end")) is int):
        return span
    return {
        **{key: value for key, value in span.items() if key != "option"},
        "start": masked.original_offset(span["start"]),
        "end": masked.original_offset(span["end"], end=True),
    }


# --- the whole screen ------------------------------------------------------------------------------------------------
def screen(served: Served, settings: ProjectSettings, media: str) -> dict[str, Any]:
    """A served view as the browser gets it: no ids, no producers, no names; text as safe HTML. media: address of clips."""
    by_id = {option["id"]: option for option in served.options}
    options = [
        _option(place, by_id[name], served.prompt, settings, media) for place, name in enumerate(served.order, 1)
    ]
    return {
        "view": served.view_id,
        "lease": served.lease,
        "expires_at": served.expires_at,
        "prompt": messages_html(served.prompt, "system" if settings.task == "chat" else "user"),
        "options": options,
        "turns": [turn_html(turn, settings) for turn in served.shown.get("turns", [])],
        "categories": served.categories,
        "guideline": served.guideline,
        "draft": _draft_for_browser(served, settings),
        "active_seconds": served.active_seconds,
        "resumed": served.resumed,
    }


def _draft_for_browser(served: Served, settings: ProjectSettings) -> dict[str, Any] | None:
    """{state}: the screen as the browser left it; {answer}: an answer that was taken back, in the browser's words."""
    if served.draft is None or "state" in served.draft:
        return served.draft
    answer = to_places(served.draft, served.order, settings.task)
    if settings.task in ("spans", "correction"):
        masked = mask_content(served.options[0]["content"], served.prompt, settings.mask)[1][-1]
        if settings.task == "correction":
            answer = {**answer, "content": masked.hide(answer["content"])}
        else:
            places = [
                {**span, "start": masked.masked_offset(span["start"]), "end": masked.masked_offset(span["end"])}
                for span in answer["spans"]
            ]
            answer = {**answer, "spans": places}
    return {"answer": answer}


def _option(place: int, option: dict[str, Any], prompt: Any, settings: ProjectSettings, media: str) -> dict[str, Any]:
    if settings.task == "clips":
        return {"id": str(place), "src": clip_address(option["content"], media), "messages": []}
    content, texts = mask_content(option["content"], prompt, settings.mask)
    shown: dict[str, Any] = {"id": str(place), "messages": messages_html(content, "assistant")}
    if settings.task in ("correction", "spans"):
        shown["text"] = texts[-1].text
    if settings.task == "steps":
        shown["steps"] = [safe_html(mask_names(step, plain(prompt), settings.mask).text) for step in steps_of(option)]
    return shown


def turn_html(turn: dict[str, Any], settings: ProjectSettings) -> dict[str, Any]:
    """One turn of a live chat: what was written, and the two answers."""
    shown = [
        {
            "id": o["id"],
            "messages": messages_html(mask_names(o["content"], turn["user"], settings.mask).text, "assistant"),
        }
        for o in turn["options"]
    ]
    return {"user": messages_html(turn["user"], "user"), "options": shown}


def messages_html(content: Any, role: str) -> list[dict[str, str]]:
    """Text or messages as [{role, html}]; nothing for an empty text."""
    if isinstance(content, list):
        return [{"role": str(m.get("role", role)), "html": safe_html(str(m.get("content", "")))} for m in content]
    text = content if isinstance(content, str) else "" if content is None else str(content)
    return [{"role": role, "html": safe_html(text)}] if text.strip() else []


def clip_address(content: Any, media: str) -> str:
    """Where the browser finds a clip: a file of the studio's media folder. Other places would learn who looks."""
    name = str(content.get("clip", "")) if isinstance(content, Mapping) else str(content)
    return f"{media}/{quote(name.lstrip('/'))}"
