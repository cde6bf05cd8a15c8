"""What would tell a rater who wrote a response is hidden: ids, producers, names in the text, ids of
calls.

The browser and programs know options by their place ("1", "2", ...), never by id, since ids often
name the model; a call of a tool is known by its number, since makers of models spell such ids each
in their own way ("toolu_…").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accord.studio.errors import AnswerError
from accord.studio.projects.settings import WITH_CLIPS, ProjectSettings
from accord.studio.queue.assigning import Served
from accord.studio.tasks import contents
from accord.studio.tasks.masking import Mask, Masked, mask_names, put_placeholders
from accord.studio.tasks.parts import LONGEST, RESTORED, UNCHANGED, no_passage, too_long

Hide = Callable[[str], Masked]


# --- names in the text ----------------------------------------------------------------------------
def mask_content(content: Any, topic: str, names: Sequence[str]) -> tuple[Any, list[Masked]]:
    """Text or messages with self-naming hidden; one `Masked` per text, in order: of a message its
    reasoning, its content (a text per part), name and arguments of each call, its name."""
    texts: list[Masked] = []

    def hide(text: str) -> Masked:
        texts.append(mask_names(text, topic, names))
        return texts[-1]

    if isinstance(content, str):
        return hide(content).text, texts
    return [_masked_message(message, hide) for message in content], texts


def _masked_message(message: Mapping[str, Any], hide: Hide) -> dict[str, Any]:
    masked = dict(message)
    if masked.get("reasoning_content"):
        masked["reasoning_content"] = hide(masked["reasoning_content"]).text
    if isinstance(masked["content"], str):
        masked["content"] = hide(masked["content"]).text
    elif masked["content"] is not None:
        masked["content"] = [
            {**part, "text": hide(part["text"]).text} for part in masked["content"]
        ]
    if masked.get("tool_calls"):
        masked["tool_calls"] = [_masked_call(call, hide) for call in masked["tool_calls"]]
    if masked.get("name"):
        masked["name"] = hide(masked["name"]).text
    return masked


def _masked_call(call: Mapping[str, Any], hide: Hide) -> dict[str, Any]:
    """Arguments in which something was hidden become a text: names of fields could otherwise fall
    together."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    shown_name = hide(name).text
    masked = hide(
        arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    )
    return {
        **call,
        "function": {"name": shown_name, "arguments": masked.text if masked.masks else arguments},
    }


def mask_whole(content: Any, topic: str, names: Sequence[str]) -> Masked:
    """All that a content says as one text, in which passages are marked; ids of calls are hidden as
    names are."""
    return mask_names(contents.plain(content), topic, [*names, *contents.call_ids(content)])


def mask_editable(content: Any, topic: str, names: Sequence[str]) -> Masked:
    """The text that a correction edits."""
    return mask_names(contents.editable(content), topic, names)


def mask_steps(steps: Sequence[str], content: Any, topic: str, names: Sequence[str]) -> list[str]:
    """The steps of a response, masked one by one."""
    hidden = [*names, *contents.call_ids(content)]
    return [mask_names(step, topic, hidden).text for step in steps]


def note_masks(
    prompt: Any, options: list[dict[str, Any]], settings: ProjectSettings, tools: Sequence[Any] = ()
) -> dict[str, Any]:
    """What is stored with a view: per option the spans hidden, as [text number, start, end,
    placeholder number]."""
    if settings.task == "clips":
        return {"masked": {}}
    topic, rows = contents.topic(prompt, tools), dict[str, list[list[int]]]()
    for option in options:
        content = option["content"]
        if isinstance(content, dict):  # a clip, of which nothing is written
            continue
        if settings.task == "spans":
            texts = [mask_whole(content, topic, settings.mask)]
        else:
            texts = mask_content(content, topic, settings.mask)[1]
        masked_names = [
            [number, *mask.row()] for number, masked in enumerate(texts) for mask in masked.masks
        ]
        if masked_names:
            rows[str(option["id"])] = masked_names
    return {"masked": rows}


# --- ids of calls ---------------------------------------------------------------------------------
def call_numbers(*stored: Any) -> dict[str, str]:
    """Id of each call in these contents -> "call_1", "call_2", ... as they come."""
    ids = dict.fromkeys(name for content in stored for name in contents.call_ids(content))
    return {name: f"call_{number}" for number, name in enumerate(ids, 1)}


def with_numbers(content: Any, numbers: Mapping[str, str]) -> Any:
    """Messages whose calls have numbers instead of ids."""
    if isinstance(content, str):
        return content
    return [_numbered(message, numbers) for message in content]


def _numbered(message: Mapping[str, Any], numbers: Mapping[str, str]) -> dict[str, Any]:
    numbered = dict(message)
    if numbered.get("tool_calls"):
        numbered["tool_calls"] = [
            {**call, "id": numbers[call["id"]]} if call.get("id") else dict(call)
            for call in numbered["tool_calls"]
        ]
    if numbered.get("tool_call_id"):
        numbered["tool_call_id"] = numbers[numbered["tool_call_id"]]
    return numbered


# --- places for ids -------------------------------------------------------------------------------
_CHOSEN = {"comparison": ("preferred",), "clips": ("preferred",), "best_worst": ("best", "worst")}
"""Task -> fields that name one option."""
_PER_OPTION = ("comparison", "clips", "ranking", "best_worst")
"""Tasks beside which ratings and words are per option."""


def received(answer: Any, served: Served, settings: ProjectSettings) -> Any:
    """An answer as a rater sends it, about places and masked text, as one about ids and the
    original text. Raises AnswerError for a place that is none, an id too: who tries ids learns
    nothing."""
    return to_original(to_ids(answer, served.order, settings.task), served, settings)


def answer_as_shown(
    answer: dict[str, Any], served: Served, settings: ProjectSettings
) -> dict[str, Any]:
    """The way back, for whatever a rater gets to see of an answer that was stored."""
    return to_masked(to_places(answer, served.order, settings.task), served, settings)


def to_ids(answer: Any, order: Sequence[str], task: str) -> Any:
    """An answer from the browser with option ids where it names places "1", "2", ..."""
    places = {str(place): name for place, name in enumerate(order, 1)}

    def named(place: Any, field: str) -> Any:
        if isinstance(place, str) and place not in places:
            raise AnswerError(
                field,
                f"there is no option {place[:40]!r} here: options are called by place, 1 to "
                f"{len(order)}",
            )
        return places[place] if isinstance(place, str) else place

    return _rename(answer, task, named)


def to_places(answer: Any, order: Sequence[str], task: str) -> Any:
    """The other way: for an answer that was taken back. What has no order of its own comes in that
    of the places, since the stored one is that of the file, where the first may always be the same
    model's."""
    places = {name: str(place) for place, name in enumerate(order, 1)}
    renamed = _rename(answer, task, lambda name, _: places[name] if isinstance(name, str) else name)
    if isinstance(renamed, dict) and task == "ranking":
        renamed["order"] = [sorted(group, key=int) for group in renamed["order"]]
    listed = ("scores", "critique") if task in _PER_OPTION else ()
    for name in (*listed, "stops") if isinstance(renamed, dict) else ():
        if isinstance(renamed.get(name), dict):
            renamed[name] = dict(sorted(renamed[name].items(), key=lambda entry: int(entry[0])))
    return renamed


def _rename(answer: Any, task: str, name: Callable[[Any, str], Any]) -> Any:
    if not isinstance(answer, dict) or task == "chat":  # a chat's options have no other names
        return answer
    renamed = dict(answer)
    for key in _CHOSEN.get(task, ()):
        if key in renamed:
            renamed[key] = name(renamed[key], key)
    if task == "ranking" and isinstance(renamed.get("order"), list):
        renamed["order"] = [
            [name(i, "order") for i in group] if isinstance(group, list) else group
            for group in renamed["order"]
        ]
    if task == "spans" and isinstance(renamed.get("spans"), list):
        renamed["spans"] = [
            {**span, "option": name(span["option"], "spans")}
            if isinstance(span, dict) and "option" in span
            else span
            for span in renamed["spans"]
        ]
    if task in WITH_CLIPS and isinstance(renamed.get("stops"), dict):
        renamed["stops"] = {name(i, "stops"): at for i, at in renamed["stops"].items()}
    if task in _PER_OPTION:
        for key in ("scores", "critique"):
            if isinstance(renamed.get(key), dict):
                renamed[key] = {name(i, key): value for i, value in renamed[key].items()}
    return renamed


# --- answers about masked text --------------------------------------------------------------------
def _masked_text(served: Served, settings: ProjectSettings) -> Masked:
    """The text that a correction edits, or in which passages are marked."""
    mask = mask_editable if settings.task == "correction" else mask_whole
    return mask(
        served.options[0]["content"], contents.topic(served.prompt, served.tools), settings.mask
    )


def to_original(answer: Any, served: Served, settings: ProjectSettings) -> Any:
    """An answer about masked text as one about the original: places of spans moved, hidden names of
    an edit put back."""
    if (
        not isinstance(answer, dict)
        or settings.task not in ("spans", "correction")
        or not served.options
    ):
        return answer
    masked = _masked_text(served, settings)
    if settings.task == "correction" and isinstance(answer.get("content"), str):
        return {**answer, **_restored(answer, masked)}
    if settings.task == "spans" and isinstance(answer.get("spans"), list):
        moved = [_moved(f"spans.{n}", span, masked) for n, span in enumerate(answer["spans"], 1)]
        return {**answer, "spans": moved}
    return answer


def _restored(answer: dict[str, Any], masked: Masked) -> dict[str, Any]:
    """An edit with names put back, and where they are. What is wrong with it is said of what was
    written: whether the original is met, and how long it is, would tell a name by trying."""
    text = answer["content"]
    if answer.get("names") is not None:
        raise AnswerError("names", "this project does not ask for 'names'")
    if len(text) > LONGEST:
        raise AnswerError("content", too_long(text))
    if text.strip() == masked.text.strip():
        raise AnswerError("content", UNCHANGED)
    if masked.restored_length(text) > RESTORED:
        raise AnswerError("content", "what is hidden stands in it too often")
    content, masks = masked.restore(text)
    return {"content": content, "names": [mask.row() for mask in masks]}


def _moved(where: str, span: Any, masked: Masked) -> Any:
    """A passage of the masked text as one of the original; how long that is, is not said."""
    if not isinstance(span, dict):
        return span
    start, end = span.get("start"), span.get("end")
    if wrong := no_passage(start, end, len(masked.text)):
        raise AnswerError(where, wrong)
    assert isinstance(start, int)
    assert isinstance(end, int)
    places = {
        "start": masked.original_offset(start),
        "end": masked.original_offset(end, end=True),
    }
    return {**span, **places}


def to_masked(answer: dict[str, Any], served: Served, settings: ProjectSettings) -> dict[str, Any]:
    """The way back: a stored answer as one about the masked text."""
    if settings.task not in ("spans", "correction"):
        return answer
    masked = _masked_text(served, settings)
    if settings.task == "correction":
        names = [Mask(*row) for row in answer.get("names", [])]
        told = {name: value for name, value in answer.items() if name != "names"}
        return {**told, "content": put_placeholders(answer["content"], names)}
    places = [
        {
            "start": masked.masked_offset(span["start"]),
            "end": masked.masked_offset(span["end"]),
            "label": span["label"],
        }
        for span in answer["spans"]
    ]
    return {**answer, "spans": places}
