"""The parts an answer can have: one function per kind, (normal form, what becomes a record)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from accord.studio.errors import AnswerError
from accord.studio.projects.settings import Attribute, ProjectSettings
from accord.studio.storage.plain import keeps
from accord.studio.tasks import contents

LONGEST = 100_000
"""Most characters of a text that somebody writes."""
RESTORED = 20 * LONGEST
"""And of one in which hidden names were put back: no bound that somebody meets by writing, who
could measure names by it."""


@dataclass(frozen=True)
class RecordPart:
    """What becomes one record. prompt, order: where they differ from the item's."""

    name: str
    kind: str
    choice: dict[str, Any]
    options: list[dict[str, Any]]
    prompt: Any = None
    order: list[str] | None = None
    meta: dict[str, Any] = field(default_factory=dict)


class AnswerFields:
    """An answer's fields, taken one by one; `done` refuses what nobody asked for."""

    def __init__(
        self,
        raw: dict[str, Any],
        settings: ProjectSettings,
        options: list[dict[str, Any]],
        where: str = "",
        order: Sequence[str] | None = None,
    ) -> None:
        """order: option ids as shown, where what is wrong must not name them."""
        self._places = {name: str(place) for place, name in enumerate(order or (), 1)}
        self.raw, self.settings, self.options = dict(raw), settings, options
        self.ids = [option["id"] for option in options]
        self.shown = [name for name in order or () if name in self.ids] or self.ids
        self.where = f"{where}." if where else ""

    def wrong(self, name: str, message: str) -> AnswerError:
        return AnswerError(f"{self.where}{name}", message)

    def called(self, option_id: str) -> str:
        """What an option is called when something is wrong: its place, if it was shown."""
        return self._places.get(option_id, option_id)

    def take(self, name: str) -> Any:
        return self.raw.pop(name, None)

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value not in (None, True, False) or (value is not None and not isinstance(value, bool)):
            raise self.wrong(name, f"{value!r} is neither true nor false")
        return bool(value)

    def option(self, name: str) -> str | None:
        """An option's id, or None where it is not given."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, str) or value not in self.ids:
            raise self.wrong(name, f"there is no option {value!r} here")
        return value

    def text(self, name: str, empty: str, longest: int = LONGEST) -> str:
        """What somebody wrote; `empty` is said when that is nothing."""
        return self.written(self.take(name), name, empty, longest)

    def written(self, value: Any, name: str, empty: str, longest: int = LONGEST) -> str:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.wrong(name, empty)
        if not isinstance(value, str):
            raise self.wrong(name, f"this is text, not {type(value).__name__}")
        if len(value) > longest:
            raise self.wrong(name, too_long(value, longest))
        if not keeps(value):
            raise self.wrong(
                name,
                "the text holds characters that cannot be stored (NUL, or an unpaired surrogate)",
            )
        return value

    def names(self, name: str, known: list[str]) -> list[str]:
        """Some of the known names, in the project's order."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.wrong(name, "this is a list of names")
        unknown = [entry for entry in value if entry not in known]
        if unknown:
            raise self.wrong(name, f"{unknown[0]!r} is not one of {', '.join(known)}")
        return [entry for entry in known if entry in value]

    def done(self) -> None:
        """Nothing may be left."""
        left = [name for name, value in self.raw.items() if value not in (None, [], {}, "")]
        if left:
            raise self.wrong(left[0], f"this project does not ask for {left[0]!r}")


# --- choices between options ----------------------------------------------------------------------
def comparison(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{preferred, tie, both_bad, strength}."""
    preferred = fields.option("preferred")
    tie, both_bad, strength = fields.flag("tie"), fields.flag("both_bad"), fields.take("strength")
    chosen = [
        name
        for name, value in (("preferred", preferred), ("tie", tie), ("both_bad", both_bad))
        if value
    ]
    if not chosen:
        raise fields.wrong("preferred", "nothing was chosen yet")
    if len(chosen) > 1:
        raise fields.wrong(chosen[1], f"{chosen[0]} and {chosen[1]} cannot both hold: choose one")
    if (tie and not fields.settings.tie) or (both_bad and not fields.settings.both_bad):
        raise fields.wrong(chosen[0], f"this project does not offer {chosen[0]}")
    normal: dict[str, Any] = {
        "preferred": preferred,
        "tie": tie,
        "both_bad": both_bad,
        "strength": None,
    }
    if strength is not None:
        if not fields.settings.strength:
            raise fields.wrong("strength", "this project does not ask how much better")
        if preferred is None:
            raise fields.wrong("strength", "how much better can be said of a preferred option only")
        if strength not in (1, 2, 3) or isinstance(strength, bool):
            raise fields.wrong("strength", f"{strength!r} is not 1, 2 or 3")
        normal["strength"] = int(strength)
    elif fields.settings.strength and preferred is not None:
        raise fields.wrong("strength", "say how much better: 1, 2 or 3")
    return normal, RecordPart("main", "comparison", normal, fields.options)


def ranking(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{order: [[id, ...], ...], all_bad}, best first; ids in one group are tied. All bad may go
    without an order: all are tied then."""
    order, all_bad = fields.take("order"), fields.flag("all_bad")
    if all_bad and not fields.settings.both_bad:
        raise fields.wrong("all_bad", "this project does not offer all_bad")
    if all_bad and order in (None, []):
        order = [list(fields.ids)]
    if not isinstance(order, list) or not order:
        raise fields.wrong("order", "nothing was ranked yet")
    if not all(
        isinstance(group, list) and group and all(isinstance(i, str) for i in group)
        for group in order
    ):
        raise fields.wrong(
            "order", "a ranking is a list of groups of option ids, none of them empty"
        )
    named = [i for group in order for i in group]
    unknown = [i for i in named if i not in fields.ids]
    if unknown:
        raise fields.wrong("order", f"there is no option {unknown[0]!r} here")
    if len(set(named)) < len(named):
        raise fields.wrong("order", "an option was ranked twice")
    missing = len(fields.ids) - len(named)
    if missing:
        raise fields.wrong("order", f"{missing} of {len(fields.ids)} options are not ranked yet")
    if len(order) < len(named) and not fields.settings.tie and not (all_bad and len(order) == 1):
        raise fields.wrong(
            "order", "this project does not offer ties: every option has a place of its own"
        )
    groups = [sorted(group, key=fields.ids.index) for group in order]
    normal = {"order": groups, "all_bad": all_bad}
    return normal, RecordPart("main", "ranking", normal, fields.options)


def best_worst(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{best, worst}."""
    best, worst = fields.option("best"), fields.option("worst")
    for name, value in (("best", best), ("worst", worst)):
        if value is None:
            raise fields.wrong(name, f"the {name} option was not chosen yet")
    if best == worst:
        raise fields.wrong("worst", "best and worst cannot be the same option")
    normal = {"best": best, "worst": worst}
    return normal, RecordPart("main", "best_worst", normal, fields.options)


def thumb(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{up}."""
    if fields.raw.get("up") is None:
        raise fields.wrong("up", "nothing was chosen yet")
    normal = {"up": fields.flag("up")}
    return normal, RecordPart("main", "thumb", normal, fields.options)


# --- scores ---------------------------------------------------------------------------------------
def single_scores(fields: AnswerFields) -> tuple[dict[str, Any], list[RecordPart]]:
    """{scores: {attribute: number}} for the one option; every attribute is asked for. A part per
    scale."""
    raw = fields.raw.get("scores")
    missing = [
        a.name
        for a in fields.settings.attributes
        if not isinstance(raw, dict) or raw.get(a.name) is None
    ]
    if missing:
        raise fields.wrong("scores", f"{missing[0]!r} was not rated yet")
    scored = _scored(fields, fields.take("scores"), "scores")
    choices = _by_scale(fields.settings.attributes, scored)
    return {"scores": scored}, [
        RecordPart(f"rating{n}", "rating", choice, fields.options)
        for n, choice in enumerate(choices, 1)
    ]


def scores(fields: AnswerFields) -> tuple[dict[str, Any], list[RecordPart]]:
    """Ratings beside another task: {attribute: number} for one option, {option id: {attribute:
    number}} for several."""
    raw = fields.take("scores")
    if raw is None:
        return {}, []
    if not isinstance(raw, dict):
        raise fields.wrong("scores", "scores are numbers by attribute")
    per_option = {fields.ids[0]: raw} if len(fields.ids) == 1 else raw
    normal, parts = {}, []
    for option_id, raw_scores in per_option.items():
        if option_id not in fields.ids:
            raise fields.wrong("scores", f"there is no option {option_id!r} here")
        normal[option_id] = scored = _scored(
            fields, raw_scores, f"scores.{fields.called(option_id)}"
        )
        option = fields.options[fields.ids.index(option_id)]
        for number, choice in enumerate(_by_scale(fields.settings.attributes, scored)):
            name = f"rating.{option_id}" if number == 0 else f"rating{number + 1}.{option_id}"
            parts.append(RecordPart(name, "rating", choice, [option]))
    return (normal[fields.ids[0]] if len(fields.ids) == 1 else normal), parts


def _scored(fields: AnswerFields, raw: Any, where: str) -> dict[str, int | float]:
    if not isinstance(raw, dict):
        raise fields.wrong(where, "scores are numbers by attribute")
    known = {attribute.name: attribute for attribute in fields.settings.attributes}
    scored: dict[str, int | float] = {}
    for name, score in raw.items():
        if name not in known:
            raise fields.wrong(
                f"{where}.{name}", f"there is no attribute {name!r}: {', '.join(known)}"
            )
        if score is None:
            continue
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise fields.wrong(f"{where}.{name}", f"{score!r} is not a number")
        low, high = known[name].low, known[name].high
        if not low <= score <= high or score != int(score):
            raise fields.wrong(
                f"{where}.{name}", f"{score} is not one of the scores {low} to {high}"
            )
        scored[name] = int(score)
    return {name: scored[name] for name in known if name in scored}


def _by_scale(
    attributes: list[Attribute], by_attribute: dict[str, int | float]
) -> list[dict[str, Any]]:
    """Rating choices, one per scale: a record has one `low` and `high`."""
    scales: dict[tuple[int, int], dict[str, int | float]] = {}
    for attribute in attributes:
        if attribute.name in by_attribute:
            scales.setdefault((attribute.low, attribute.high), {})[attribute.name] = by_attribute[
                attribute.name
            ]
    return [{"scores": scored, "low": low, "high": high} for (low, high), scored in scales.items()]


# --- moments --------------------------------------------------------------------------------------
def stops(fields: AnswerFields) -> tuple[dict[str, int], list[RecordPart]]:
    """{option id: steps of the clip before it goes wrong} beside another task. A stop prefers what
    was done until then, and nothing after it, to the whole (Jeon, Milli, Dragan 2020)."""
    raw = fields.take("stops")
    if raw in (None, {}):
        return {}, []
    if not fields.settings.stops:
        raise fields.wrong("stops", "this project does not ask where clips go wrong")
    if not isinstance(raw, dict):
        raise fields.wrong("stops", "stops are numbers of steps by option")
    unknown = [name for name in raw if name not in fields.ids]
    if unknown:
        raise fields.wrong("stops", f"there is no option {unknown[0]!r} here")
    parts = []
    for option in fields.options:
        if option["id"] not in raw:
            continue
        done, where = raw[option["id"]], f"stops.{fields.called(option['id'])}"
        clip = option["content"]
        if not isinstance(clip, dict):
            raise fields.wrong(where, "a clip of an episode can be stopped, this is a film")
        steps = clip["stop"] - clip["start"]
        if type(done) is not int or not 0 < done < steps:
            raise fields.wrong(where, f"{done!r} is not a step from 1 to {steps - 1} of the clip")
        until = option | {"id": "until", "content": clip | {"stop": clip["start"] + done}}
        shown = [until, option | {"id": "whole"}]
        choice, about = {"preferred": "until"}, {"grounds": "stop"}
        name = f"stop.{option['id']}"
        parts.append(RecordPart(name, "comparison", choice, shown, None, ["until", "whole"], about))
    return {name: raw[name] for name in fields.ids if name in raw}, parts


# --- words ----------------------------------------------------------------------------------------
def critique(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{text}."""
    normal = {"text": fields.text("text", "nothing was written yet")}
    return normal, RecordPart("main", "critique", normal, fields.options)


def words(fields: AnswerFields, required: bool) -> str | dict[str, str] | None:
    """A critique beside another task: a text about the whole, or {option id: text}."""
    raw = fields.take("critique")
    if isinstance(raw, dict):
        unknown = [i for i in raw if i not in fields.ids]
        if unknown:
            raise fields.wrong("critique", f"there is no option {unknown[0]!r} here")
        texts = {
            i: fields.written(raw[i], f"critique.{fields.called(i)}", "")
            for i in fields.shown  # what is wrong first is so by place: the file's order may tell
            if str(raw.get(i) or "").strip()
        }
        if texts:
            return {i: texts[i] for i in fields.ids if i in texts}
    elif raw is not None and str(raw).strip():
        return fields.written(raw, "critique", "")
    if required:
        raise fields.wrong("critique", "say in a few words why")
    return None


def texts_per_option(fields: AnswerFields, written: str | dict[str, str]) -> list[RecordPart]:
    """A critique record per option that was written about."""
    per_option = {fields.ids[0]: written} if isinstance(written, str) else written
    by_id = dict(zip(fields.ids, fields.options, strict=True))
    return [
        RecordPart(f"critique.{i}", "critique", {"text": text}, [by_id[i]])
        for i, text in per_option.items()
    ]


def correction(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{content, names}: the edited response; names: where hidden ones were put back ([start, end,
    number]), of a text that was compared as it was shown."""
    content = fields.text(
        "content",
        "the corrected response is empty: skip the item if there is nothing to keep",
        RESTORED,
    )
    original, names = fields.options[0]["content"], fields.take("names")
    if names is None and content.strip() == contents.editable(original).strip():
        raise fields.wrong("content", UNCHANGED)
    choice = {"content": contents.edited(original, content)}
    normal = {"content": content} | ({"names": names} if names else {})
    return normal, RecordPart("main", "correction", choice, fields.options)


UNCHANGED = "nothing was changed"


def too_long(text: str, longest: int = LONGEST) -> str:
    """What is said of such a text."""
    return f"the text has {len(text):,} characters, at most {longest:,} are kept"


def demonstration(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{content}: a response written from nothing."""
    normal = {"content": fields.text("content", "nothing was written yet")}
    return normal, RecordPart("main", "demonstration", normal, [])


def flags_of(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{flags: [name, ...]}; an empty list says that nothing is wrong. The record has yes or no for
    every flag."""
    if not isinstance(fields.raw.get("flags"), list):
        raise fields.wrong("flags", "raise a flag, or say that none applies")
    known = fields.settings.flags
    raised = fields.names("flags", known)
    return {"flags": raised}, RecordPart(
        "main", "flags", {"flags": {n: n in raised for n in known}}, fields.options
    )


# --- inside a response ----------------------------------------------------------------------------
def steps_of(option: dict[str, Any]) -> list[str]:
    """The steps of an option: as given with it, else its paragraphs, else its lines."""
    if option.get("steps"):
        return list(option["steps"])
    text = contents.plain(option["content"])
    for separator in ("\n\n", "\n"):
        pieces = [piece.strip() for piece in text.split(separator) if piece.strip()]
        if len(pieces) > 1:
            return pieces
    return [text]


def steps(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{labels: [-1 | 0 | 1, ...], first_error: number | null}: every step, or up to the first wrong
    one (PRM800K)."""
    texts, labels, first_error = (
        steps_of(fields.options[0]),
        fields.take("labels"),
        fields.take("first_error"),
    )
    if not isinstance(labels, list) or not labels:
        raise fields.wrong("labels", "no step was labelled yet")
    while labels and labels[-1] is None:
        labels = labels[:-1]
    for number, label in enumerate(labels, 1):
        if label is None:
            raise fields.wrong("labels", f"step {number} was not labelled yet")
        if label not in (-1, 0, 1) or isinstance(label, bool):
            raise fields.wrong("labels", f"step {number}: {label!r} is not -1, 0 or 1")
    if len(labels) > len(texts):
        raise fields.wrong("labels", f"{len(labels)} labels for {len(texts)} steps")
    wrong = next((place for place, label in enumerate(labels) if label == -1), None)
    if len(labels) < len(texts) and (wrong is None or wrong != len(labels) - 1):
        raise fields.wrong("labels", f"step {len(labels) + 1} was not labelled yet")
    if first_error is not None and first_error != wrong:
        problem = (
            "no step is labelled wrong"
            if wrong is None
            else f"step {wrong + 1} is the first labelled wrong"
        )
        raise fields.wrong(
            "first_error", f"{problem}, but first_error is {first_error!r} (counted from 0)"
        )
    normal = {"labels": [int(label) for label in labels], "first_error": wrong}
    choice = {"steps": texts[: len(labels)], "labels": normal["labels"]}
    return normal, RecordPart("main", "step_labels", choice, fields.options)


def spans(fields: AnswerFields) -> tuple[dict[str, Any], RecordPart]:
    """{spans: [{option, start, end, label}]}, in characters (code points); an empty list says there
    is nothing to mark."""
    raw = fields.take("spans")
    if not isinstance(raw, list):
        raise fields.wrong("spans", "mark a passage, or say that there is none")
    text = contents.plain(fields.options[0]["content"])
    checked = [_span(fields, number, span, text) for number, span in enumerate(raw, 1)]
    normal = sorted(checked, key=lambda span: (span["start"], span["end"], span["label"]))
    if any(a == b for a, b in pairwise(normal)):
        raise fields.wrong("spans", "a passage is marked twice with the same label")
    marked = [{name: span[name] for name in ("start", "end", "label")} for span in normal]
    return {"spans": normal}, RecordPart("main", "spans", {"spans": marked}, fields.options)


def _span(fields: AnswerFields, number: int, span: Any, text: str) -> dict[str, Any]:
    where = f"spans.{number}"
    if not isinstance(span, dict) or set(span) - {"option", "start", "end", "label"}:
        raise fields.wrong(where, "a span has option, start, end and label")
    option, start, end, label = (span.get(name) for name in ("option", "start", "end", "label"))
    if option not in (None, fields.ids[0]):
        raise fields.wrong(where, f"there is no option {option!r} here")
    if label not in fields.settings.spans:
        raise fields.wrong(
            where, f"the label {label!r} is not one of {', '.join(fields.settings.spans)}"
        )
    if wrong := no_passage(start, end, len(text)):
        raise fields.wrong(where, wrong)
    return {"option": fields.ids[0], "start": start, "end": end, "label": label}


def no_passage(start: Any, end: Any, length: int) -> str | None:
    """Why these are no places in a text of so many characters; None where they are."""
    if type(start) is int and type(end) is int and 0 <= start < end <= length:
        return None
    return f"{start!r} to {end!r} is not a passage of a text of {length} characters"
