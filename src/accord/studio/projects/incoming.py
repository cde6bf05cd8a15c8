"""Items on their way in: rows of files and programs, checked one by one; what cannot be judged is
counted, not lost."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from accord.errors import AccordError, DataError
from accord.feedback.assisting import ClaimGiven, FlawGiven
from accord.feedback.formats import read_feedback
from accord.feedback.formats.columns import RowError, check_consent
from accord.feedback.formats.reading import LOCAL, Bounds, RowsRead, read_rows
from accord.feedback.records import (
    Clip,
    Content,
    Feedback,
    StepLabels,
    asked_fields,
    content_id,
    problem,
    to_json,
)
from accord.studio.projects import studies
from accord.studio.projects.settings import WITH_CLIPS, WITHOUT_GOLD, ProjectSettings
from accord.studio.queue import answers
from accord.studio.storage import plain
from accord.studio.tasks import contents
from accord.studio.tasks.drawings import Drawing


class OptionIn(BaseModel):
    """A response to be judged: text or messages, or a clip of an episode; `id` from its content
    unless given. finished: it ended there, or was cut off; unknown where absent; drawing: what is
    seen of a clip that is no film."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(None, min_length=1, max_length=64)
    content: Content | Clip
    producer: str | None = Field(None, max_length=200)
    steps: list[str] | None = None
    finished: bool | None = None
    drawing: Drawing | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, raw: Any) -> Any:
        """A text, a message or a list of messages is the content itself. Raises ValueError for an
        option that stands for several clips."""
        if isinstance(raw, dict) and "role" in raw:
            return {"content": [raw]}
        content = raw.get("content") if isinstance(raw, dict) else None
        if isinstance(content, dict) and "clips" in content:
            raise ValueError(
                "the option stands for several clips: the studio shows one for each option"
            )
        return {"content": raw} if isinstance(raw, (str, list)) else raw


class ItemIn(BaseModel):
    """An item as a file or a program gives it. gold: the right answer, as the browser would send
    it; options may be named in it by place, 1 for the first. claims, flaws: of a critic, and known
    ones, in a study of assistance. tools, chat_template_kwargs, weight: as in a feedback record."""

    model_config = ConfigDict(extra="forbid")

    prompt: Content = ""
    options: list[OptionIn] = Field(default_factory=list)
    tools: list[dict[str, Any]] = Field(default_factory=list)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    claims: list[ClaimGiven] | None = None
    flaws: list[FlawGiven] | None = None
    gold: dict[str, Any] | None = None
    purpose: Literal["work", "gold", "screening"] | None = None
    categories: list[str] = Field(default_factory=list)
    priority: float = Field(0.0, allow_inf_nan=False)
    meta: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Incoming:
    """What a file holds: items, judgements that were already made, and rows that could not be used,
    by reason."""

    items: list[dict[str, Any]]
    judgements: list[Feedback] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    first_dropped: dict[str, str] = field(default_factory=dict)


class BadItem(DataError):
    """An item that cannot be judged as the project asks."""


def checked(raw: Mapping[str, Any] | ItemIn, settings: ProjectSettings) -> dict[str, Any]:
    """The columns of an `Item` for a row; raises BadItem with the reason."""
    try:
        item = raw if isinstance(raw, ItemIn) else ItemIn.model_validate(dict(raw))
    except ValidationError as error:
        raise BadItem(problem(error)) from None
    keepable(item.model_dump())
    options = [_option(option) for option in item.options]
    low, high = settings.options
    if not low <= len(options) <= high:
        wanted = f"{low}" if low == high else f"{low} to {high}"
        raise BadItem(f"the task {settings.task} needs {wanted} options, here are {len(options)}")
    prompt = to_json(item.prompt)
    if not options and not contents.plain(prompt).strip():
        raise BadItem("the prompt is empty")
    _check_beside(item, settings)
    _check_options(options, settings)
    unknown = [
        name for name in item.categories if name not in {c.name for c in settings.categories}
    ]
    if unknown:
        raise BadItem(f"the category {unknown[0]!r} is none of the project's")
    gold = _gold(item, options, settings, prompt)
    return {
        "key": _key(item, prompt, options, settings),
        "prompt": prompt,
        "options": options,
        "gold": gold,
        "assistance": _assistance(item, options, settings),
        "tools": item.tools,
        "chat_template_kwargs": item.chat_template_kwargs,
        "weight": item.weight,
        "purpose": item.purpose or ("work" if gold is None else "gold"),
        "categories": item.categories,
        "priority": item.priority,
        "meta": item.meta,
    }


def _key(
    item: ItemIn, prompt: Any, options: list[dict[str, Any]], settings: ProjectSettings
) -> str:
    """Equal content, equal key, in whatever order the options come."""
    parts = [settings.task, prompt, sorted(content_id(option["content"]) for option in options)]
    return content_id(
        *parts, *(beside for beside in (item.tools, item.chat_template_kwargs) if beside)
    )


def _assistance(
    item: ItemIn, options: list[dict[str, Any]], settings: ProjectSettings
) -> dict[str, Any] | None:
    """The item's part in a study. Raises BadItem where a claim does not stand in its text."""
    if item.claims is None and item.flaws is None:
        return None
    if any(isinstance(option["content"], dict) for option in options):
        raise BadItem("claims and flaws are about texts, the options are clips of episodes")
    if settings.assistance is None:
        raise BadItem("claims and flaws are for projects with the setting `assistance`")
    try:
        return studies.part_of(item.claims or [], item.flaws, options)
    except DataError as error:
        raise BadItem(f"{error.message} ({error.fix})") from None


def _option(option: OptionIn) -> dict[str, Any]:
    content = to_json(option.content)
    option_row = {
        "id": option.id or content_id(content),
        "content": content,
        "producer": option.producer,
    }
    option_row |= {} if option.finished is None else {"finished": option.finished}
    if option.drawing is not None:
        option_row["drawing"] = option.drawing.model_dump(mode="json", exclude_none=True)
    return option_row | ({"steps": option.steps} if option.steps else {})


def _check_beside(item: ItemIn, settings: ProjectSettings) -> None:
    """What stands beside the prompt must have a use."""
    for name in _BESIDE:
        if not getattr(item, name):
            continue
        if isinstance(item.prompt, str):
            raise BadItem(f"{name} go with a prompt of messages, this prompt is a text")
        if settings.task == "chat":
            raise BadItem(
                f"{name}: the model that raters chat with is not given any; leave them out"
            )


def _check_options(options: list[dict[str, Any]], settings: ProjectSettings) -> None:
    clips = any(isinstance(option["content"], dict) for option in options)
    for place, option in enumerate(options, 1):
        content = option["content"]
        if option.get("drawing") and settings.task not in WITH_CLIPS:
            raise BadItem(
                f"option {place} has a drawing: those are for the tasks {', '.join(WITH_CLIPS)},"
                f" this project's is {settings.task}"
            )
        if isinstance(content, dict):
            _check_clip(place, option, settings)
            continue
        if settings.task != "clips" and (clips or option.get("drawing")):
            raise BadItem(
                f"option {place} is a text"
                f"{' beside clips' if clips else ', and has a drawing'}: give clips of episodes"
                " alone, {episode, start, stop}, or texts alone"
            )
        if settings.task == "clips" and not isinstance(content, str):
            raise BadItem(f"option {place} is a conversation, a clip is the name of a film")
        if not contents.plain(content).strip():
            raise BadItem(f"option {place} is empty")
        if settings.task == "correction" and not contents.editable(content).strip():
            raise BadItem("a correction edits text, and the response's last message has none")
    for what, values in (
        ("text", [content_id(o["content"]) for o in options]),
        ("id", [o["id"] for o in options]),
    ):
        if len(set(values)) < len(values):
            raise BadItem(f"two options have the same {what}")


def _check_clip(place: int, option: dict[str, Any], settings: ProjectSettings) -> None:
    """A clip of an episode is shown by its drawing alone."""
    episode = str(option["content"]["episode"])[:80]
    if settings.task not in WITH_CLIPS:
        raise BadItem(
            f"option {place} is a clip of the episode {episode!r}: use one of the tasks"
            f" {', '.join(WITH_CLIPS)}"
        )
    if not option.get("drawing"):
        raise BadItem(
            f"option {place} is a clip of the episode {episode!r}, which the studio cannot play:"
            " give its drawing, or, in the task clips, the name of a film in its media folder"
        )


def keepable(value: Any) -> None:
    """Raises BadItem where a text cannot be stored."""
    try:
        plain.check_text(value)
    except DataError as error:
        raise BadItem(error.message) from None


def _gold(
    item: ItemIn, options: list[dict[str, Any]], settings: ProjectSettings, prompt: Any
) -> dict[str, Any] | None:
    """The right answer in its normal form: only what the task's main part asks for."""
    if item.gold is None:
        if item.purpose in ("gold", "screening"):
            raise BadItem(f"an item for {item.purpose} needs the right answer (gold)")
        return None
    if settings.task in WITHOUT_GOLD:
        raise BadItem(
            f"the task {settings.task} is answered in words: no answer can be the right one"
        )
    if item.purpose == "work":
        raise BadItem("an item with a known answer is for gold or screening, not for work")
    by_place = {place: option["id"] for place, option in enumerate(options, 1)}
    gold = _named(item.gold, by_place)
    within = gold.pop("within", None)
    bare = settings.model_copy(update={"critique": "off", "strength": False, "stops": False})
    if settings.task != "flags":
        bare = bare.model_copy(update={"flags": []})
    if settings.task != "rating":
        bare = bare.model_copy(update={"attributes": []})
    elif isinstance(gold.get("scores"), dict):
        bare = bare.model_copy(
            update={"attributes": [a for a in bare.attributes if a.name in gold["scores"]]}
        )
        unknown = set(gold["scores"]) - {a.name for a in bare.attributes}
        if unknown:
            raise BadItem(f"gold: there is no attribute {min(unknown)!r}")
    try:
        normal = answers.judge(bare, options, gold, None, prompt).answer
    except answers.AnswerError as error:
        raise BadItem(f"gold.{error.field}: {error.message}") from None
    return normal | ({} if within is None else {"within": float(within)})


def _named(gold: dict[str, Any], by_place: dict[int, str]) -> dict[str, Any]:
    """Places of options turned into their ids."""

    def name(value: Any) -> Any:
        return (
            by_place.get(value, value)
            if isinstance(value, int) and not isinstance(value, bool)
            else value
        )

    named = {k: name(v) if k in ("preferred", "best", "worst") else v for k, v in gold.items()}
    if isinstance(gold.get("order"), list):
        groups = [group if isinstance(group, list) else [group] for group in gold["order"]]
        named["order"] = [[name(entry) for entry in group] for group in groups]
    return named


# --- files ----------------------------------------------------------------------------------------
def items_from(source: str | Path, settings: ProjectSettings, bounds: Bounds = LOCAL) -> Incoming:
    """Items in a file: rows of our own ({prompt, options | responses, gold, categories, priority,
    meta}; in CSV the columns option_1, option_2, ... or response_1, ...), or any format of
    feedback, whose judgements come along.

    Raises DataError when the file cannot be read, goes beyond `bounds`, or its columns are not
    known.
    """
    rows = read_rows(source, bounds)
    if _own(rows.rows[0][1]):
        return _own_rows(rows)
    read = read_feedback(source, bounds)
    items: dict[str, dict[str, Any]] = {}
    judgements: list[Feedback] = []
    for record in read.records:
        from_this = from_record(record, settings)
        for item in from_this:
            named = sorted(o["id"] for o in item["options"])
            items.setdefault(
                content_id(item["prompt"], item["tools"], item["chat_template_kwargs"], named), item
            )
        if len(from_this) == 1 and _fits(record, settings):
            judgements.append(record)
    for prompt in read.prompts:
        items.setdefault(content_id(prompt), {**asked_fields(prompt), "options": []})
    return Incoming(list(items.values()), judgements, read.dropped, read.first_dropped)


KINDS = {"clips": "comparison", "steps": "step_labels"}
"""Tasks whose records are of a kind with another name."""


def _fits(record: Feedback, settings: ProjectSettings) -> bool:
    """The record answers what the project asks."""
    return record.kind == KINDS.get(settings.task, settings.task)


def from_record(record: Feedback, settings: ProjectSettings) -> list[dict[str, Any]]:
    """The items a record holds for this task: its options together, each alone, or the prompt
    alone."""
    marked = record.meta.get("finished")
    finished = (
        marked
        if isinstance(marked, dict)
        else {o.id: marked for o in record.options if isinstance(marked, bool)}
    )
    options = [
        {
            "id": o.id,
            "content": to_json(o.content),
            "producer": o.producer,
            "finished": finished.get(o.id),
        }
        for o in record.options
    ]
    low = settings.options[0]
    about = {
        "prompt": to_json(record.prompt),
        "tools": record.tools,
        "chat_template_kwargs": record.chat_template_kwargs,
        "weight": record.weight,
        "meta": dict(record.meta.get("columns", {})),
    }
    if isinstance(record.choice, StepLabels):
        options[0]["steps"] = record.choice.steps
    if low == 0:
        return [{**about, "options": []}]
    if low == 1:
        return [{**about, "options": [option]} for option in options]
    return [{**about, "options": options}]


_BESIDE = ("tools", "chat_template_kwargs")
_NUMBERED = re.compile(r"(option|response)_\d+$")


def _own(row: Mapping[str, Any]) -> bool:
    lists = any(isinstance(row.get(name), list) for name in ("options", "responses"))
    columns = any(name in row for name in ("option_1", "response_1"))
    beside = (
        "prompt" in row
        and any(name in row for name in _BESIDE)
        and row.keys() <= ItemIn.model_fields.keys()
    )
    return "choice" not in row and (lists or columns or beside)


def _own_rows(read: RowsRead) -> Incoming:
    items: list[dict[str, Any]] = []
    dropped, first = Counter(read.dropped), dict(read.first_dropped)
    for where, row in read.rows:
        try:
            items.append(_own_row(row))
        except AccordError as error:
            dropped[error.message] += 1
            first.setdefault(error.message, where)
    return Incoming(items, [], dict(dropped), first)


def _own_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as an `ItemIn` takes it. What we do not know stays with the item, in `meta`. Raises
    BadItem for one without consent."""
    try:
        check_consent(row)
    except RowError as error:
        raise BadItem(str(error)) from None
    item_row = {name: value for name, value in row.items() if value not in (None, "")}
    numbered = sorted(
        (name for name in item_row if _NUMBERED.match(name)),
        key=lambda name: int(name.rpartition("_")[2]),
    )
    if numbered:
        item_row["options"] = [item_row.pop(name) for name in numbered]
    if "responses" in item_row:
        item_row["options"] = item_row.pop("responses")
    if isinstance(item_row.get("categories"), str):
        item_row["categories"] = [
            name.strip() for name in item_row["categories"].split(";") if name.strip()
        ]
    for name in ("priority", "weight"):
        if isinstance(item_row.get(name), str):
            item_row[name] = _number(name, item_row[name])
    for name in (*_BESIDE, "meta", "claims", "flaws"):
        if isinstance(item_row.get(name), str):
            item_row[name] = _json(name, item_row[name])
    unknown = {
        name: item_row.pop(name) for name in list(item_row) if name not in ItemIn.model_fields
    }
    if unknown:
        item_row["meta"] = {**unknown, **item_row.get("meta", {})}
    return item_row


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadItem(f"{name}: {text[:40]!r} is not a number") from None


def _json(name: str, text: str) -> Any:
    """What stands in a table's cell, or in a text, as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadItem(f"{name}: {text[:40]!r} is not JSON") from None
