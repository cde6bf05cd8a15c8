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


@dataclass(frozen=True)
class Part:
    """What becomes one record. prompt, order: where they differ from the item's."""

    name: str
    kind: str
    choice: dict[str, Any]
    options: list[dict[str, Any]]
    prompt: Any = None
    order: list[str] | None = None
    meta: dict[str, Any] = field(default_factory=dict)


class Given:
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

    def text(self, name: str, empty: str) -> str:
        """What somebody wrote; `empty` is said when that is nothing."""
        return self.written(self.take(name), name, empty)

    def written(self, value: Any, name: str, empty: str) -> str:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.wrong(name, empty)
        if not isinstance(value, str):
            raise self.wrong(name, f"this is text, not {type(value).__name__}")
        if len(value) > LONGEST:
            raise self.wrong(
                name, f"the text has {len(value):,} characters, at most {LONGEST:,} are kept"
            )
        if not keeps(value):
            raise self.wrong(
                name, "the text holds characters that cannot be stored (NUL, or half a character)"
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
            raise self.wrong(name, f"{unknown[0]!r} is none of {', '.join(known)}")
        return [entry for entry in known if entry in value]

    def done(self) -> None:
        """Nothing may be left."""
        left = [name for name, value in self.raw.items() if value not in (None, [], {}, "")]
        if left:
            raise self.wrong(left[0], f"this project does not ask for {left[0]!r}")


# --- choices between options ----------------------------------------------------------------------
def comparison(given: Given) -> tuple[dict[str, Any], Part]:
    """{preferred, tie, both_bad, strength}."""
    preferred = given.option("preferred")
    tie, both_bad, strength = given.flag("tie"), given.flag("both_bad"), given.take("strength")
    said = [
        name
        for name, value in (("preferred", preferred), ("tie", tie), ("both_bad", both_bad))
        if value
    ]
    if not said:
        raise given.wrong("preferred", "nothing was chosen yet")
    if len(said) > 1:
        raise given.wrong(said[1], f"{said[0]} and {said[1]} cannot both hold: choose one")
    if (tie and not given.settings.tie) or (both_bad and not given.settings.both_bad):
        raise given.wrong(said[0], f"this project does not offer {said[0]}")
    normal: dict[str, Any] = {
        "preferred": preferred,
        "tie": tie,
        "both_bad": both_bad,
        "strength": None,
    }
    if strength is not None:
        if not given.settings.strength:
            raise given.wrong("strength", "this project does not ask how much better")
        if preferred is None:
            raise given.wrong("strength", "how much better can be said of a preferred option only")
        if strength not in (1, 2, 3) or isinstance(strength, bool):
            raise given.wrong("strength", f"{strength!r} is not 1, 2 or 3")
        normal["strength"] = int(strength)
    elif given.settings.strength and preferred is not None:
        raise given.wrong("strength", "say how much better: 1, 2 or 3")
    return normal, Part("main", "comparison", normal, given.options)


def ranking(given: Given) -> tuple[dict[str, Any], Part]:
    """{order: [[id, ...], ...], all_bad}, best first; ids in one group are tied. All bad may go
    without an order: all are tied then."""
    order, all_bad = given.take("order"), given.flag("all_bad")
    if all_bad and not given.settings.both_bad:
        raise given.wrong("all_bad", "this project does not offer all_bad")
    if all_bad and order in (None, []):
        order = [list(given.ids)]
    if not isinstance(order, list) or not order:
        raise given.wrong("order", "nothing was ranked yet")
    if not all(
        isinstance(group, list) and group and all(isinstance(i, str) for i in group)
        for group in order
    ):
        raise given.wrong(
            "order", "a ranking is a list of groups of option ids, none of them empty"
        )
    named = [i for group in order for i in group]
    unknown = [i for i in named if i not in given.ids]
    if unknown:
        raise given.wrong("order", f"there is no option {unknown[0]!r} here")
    if len(set(named)) < len(named):
        raise given.wrong("order", "an option was ranked twice")
    missing = len(given.ids) - len(named)
    if missing:
        raise given.wrong("order", f"{missing} of {len(given.ids)} options are not ranked yet")
    if len(order) < len(named) and not given.settings.tie and not (all_bad and len(order) == 1):
        raise given.wrong(
            "order", "this project does not offer ties: every option has a place of its own"
        )
    groups = [sorted(group, key=given.ids.index) for group in order]
    normal = {"order": groups, "all_bad": all_bad}
    return normal, Part("main", "ranking", normal, given.options)


def best_worst(given: Given) -> tuple[dict[str, Any], Part]:
    """{best, worst}."""
    best, worst = given.option("best"), given.option("worst")
    for name, value in (("best", best), ("worst", worst)):
        if value is None:
            raise given.wrong(name, f"the {name} option was not chosen yet")
    if best == worst:
        raise given.wrong("worst", "best and worst cannot be the same option")
    normal = {"best": best, "worst": worst}
    return normal, Part("main", "best_worst", normal, given.options)


def thumb(given: Given) -> tuple[dict[str, Any], Part]:
    """{up}."""
    if given.raw.get("up") is None:
        raise given.wrong("up", "nothing was chosen yet")
    normal = {"up": given.flag("up")}
    return normal, Part("main", "thumb", normal, given.options)


# --- scores ---------------------------------------------------------------------------------------
def single_scores(given: Given) -> tuple[dict[str, Any], list[Part]]:
    """{scores: {attribute: number}} for the one option; every attribute is asked for. A part per
    scale."""
    raw = given.raw.get("scores")
    missing = [
        a.name
        for a in given.settings.attributes
        if not isinstance(raw, dict) or raw.get(a.name) is None
    ]
    if missing:
        raise given.wrong("scores", f"{missing[0]!r} was not rated yet")
    found = _scored(given, given.take("scores"), "scores")
    choices = _by_scale(given.settings.attributes, found)
    return {"scores": found}, [
        Part(f"rating{n}", "rating", choice, given.options) for n, choice in enumerate(choices, 1)
    ]


def scores(given: Given) -> tuple[dict[str, Any], list[Part]]:
    """Ratings beside another task: {attribute: number} for one option, {option id: {attribute:
    number}} for several."""
    raw = given.take("scores")
    if raw is None:
        return {}, []
    if not isinstance(raw, dict):
        raise given.wrong("scores", "scores are numbers by attribute")
    per_option = {given.ids[0]: raw} if len(given.ids) == 1 else raw
    normal, parts = {}, []
    for option_id, said in per_option.items():
        if option_id not in given.ids:
            raise given.wrong("scores", f"there is no option {option_id!r} here")
        normal[option_id] = found = _scored(given, said, f"scores.{given.called(option_id)}")
        option = given.options[given.ids.index(option_id)]
        for number, choice in enumerate(_by_scale(given.settings.attributes, found)):
            name = f"rating.{option_id}" if number == 0 else f"rating{number + 1}.{option_id}"
            parts.append(Part(name, "rating", choice, [option]))
    return (normal[given.ids[0]] if len(given.ids) == 1 else normal), parts


def _scored(given: Given, raw: Any, where: str) -> dict[str, int | float]:
    if not isinstance(raw, dict):
        raise given.wrong(where, "scores are numbers by attribute")
    known = {attribute.name: attribute for attribute in given.settings.attributes}
    found: dict[str, int | float] = {}
    for name, score in raw.items():
        if name not in known:
            raise given.wrong(
                f"{where}.{name}", f"there is no attribute {name!r}: {', '.join(known)}"
            )
        if score is None:
            continue
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise given.wrong(f"{where}.{name}", f"{score!r} is not a number")
        low, high = known[name].low, known[name].high
        if not low <= score <= high or score != int(score):
            raise given.wrong(f"{where}.{name}", f"{score} is none of the scores {low} to {high}")
        found[name] = int(score)
    return {name: found[name] for name in known if name in found}


def _by_scale(attributes: list[Attribute], found: dict[str, int | float]) -> list[dict[str, Any]]:
    """Rating choices, one per scale: a record has one `low` and `high`."""
    scales: dict[tuple[int, int], dict[str, int | float]] = {}
    for attribute in attributes:
        if attribute.name in found:
            scales.setdefault((attribute.low, attribute.high), {})[attribute.name] = found[
                attribute.name
            ]
    return [{"scores": scored, "low": low, "high": high} for (low, high), scored in scales.items()]


# --- words ----------------------------------------------------------------------------------------
def critique(given: Given) -> tuple[dict[str, Any], Part]:
    """{text}."""
    normal = {"text": given.text("text", "nothing was written yet")}
    return normal, Part("main", "critique", normal, given.options)


def words(given: Given, required: bool) -> str | dict[str, str] | None:
    """A critique beside another task: a text about the whole, or {option id: text}."""
    raw = given.take("critique")
    if isinstance(raw, dict):
        unknown = [i for i in raw if i not in given.ids]
        if unknown:
            raise given.wrong("critique", f"there is no option {unknown[0]!r} here")
        found = {
            i: given.written(raw[i], f"critique.{given.called(i)}", "")
            for i in given.ids
            if str(raw.get(i) or "").strip()
        }
        if found:
            return found
    elif raw is not None and str(raw).strip():
        return given.written(raw, "critique", "")
    if required:
        raise given.wrong("critique", "say in a few words why")
    return None


def texts_per_option(given: Given, found: str | dict[str, str]) -> list[Part]:
    """A critique record per option that was written about."""
    per_option = {given.ids[0]: found} if isinstance(found, str) else found
    by_id = dict(zip(given.ids, given.options, strict=True))
    return [
        Part(f"critique.{i}", "critique", {"text": text}, [by_id[i]])
        for i, text in per_option.items()
    ]


def correction(given: Given) -> tuple[dict[str, Any], Part]:
    """{content}: the edited response."""
    content = given.text(
        "content", "the corrected response is empty: skip the item if there is nothing to keep"
    )
    original = given.options[0]["content"]
    if content.strip() == contents.editable(original).strip():
        raise given.wrong("content", "nothing was changed")
    choice = {"content": contents.edited(original, content)}
    return {"content": content}, Part("main", "correction", choice, given.options)


def demonstration(given: Given) -> tuple[dict[str, Any], Part]:
    """{content}: a response written from nothing."""
    normal = {"content": given.text("content", "nothing was written yet")}
    return normal, Part("main", "demonstration", normal, [])


def flags_of(given: Given) -> tuple[dict[str, Any], Part]:
    """{flags: [name, ...]}; an empty list says that nothing is wrong. The record has yes or no for
    every flag."""
    if not isinstance(given.raw.get("flags"), list):
        raise given.wrong("flags", "raise a flag, or say that none applies")
    known = given.settings.flags
    raised = given.names("flags", known)
    return {"flags": raised}, Part(
        "main", "flags", {"flags": {n: n in raised for n in known}}, given.options
    )


# --- inside a response ----------------------------------------------------------------------------
def steps_of(option: dict[str, Any]) -> list[str]:
    """The steps of an option: as given with it, else its paragraphs, else its lines."""
    if option.get("steps"):
        return list(option["steps"])
    text = contents.plain(option["content"])
    for separator in ("\n\n", "\n"):
        found = [piece.strip() for piece in text.split(separator) if piece.strip()]
        if len(found) > 1:
            return found
    return [text]


def steps(given: Given) -> tuple[dict[str, Any], Part]:
    """{labels: [-1 | 0 | 1, ...], first_error: number | null}: every step, or up to the first wrong
    one (PRM800K)."""
    texts, labels, first_error = (
        steps_of(given.options[0]),
        given.take("labels"),
        given.take("first_error"),
    )
    if not isinstance(labels, list) or not labels:
        raise given.wrong("labels", "no step was labelled yet")
    while labels and labels[-1] is None:
        labels = labels[:-1]
    for number, label in enumerate(labels, 1):
        if label is None:
            raise given.wrong("labels", f"step {number} was not labelled yet")
        if label not in (-1, 0, 1) or isinstance(label, bool):
            raise given.wrong("labels", f"step {number}: {label!r} is not -1, 0 or 1")
    if len(labels) > len(texts):
        raise given.wrong("labels", f"{len(labels)} labels for {len(texts)} steps")
    wrong = next((place for place, label in enumerate(labels) if label == -1), None)
    if len(labels) < len(texts) and (wrong is None or wrong != len(labels) - 1):
        raise given.wrong("labels", f"step {len(labels) + 1} was not labelled yet")
    if first_error is not None and first_error != wrong:
        said = (
            "no step is labelled wrong"
            if wrong is None
            else f"step {wrong + 1} is the first labelled wrong"
        )
        raise given.wrong(
            "first_error", f"{said}, but first_error is {first_error!r} (counted from 0)"
        )
    normal = {"labels": [int(label) for label in labels], "first_error": wrong}
    choice = {"steps": texts[: len(labels)], "labels": normal["labels"]}
    return normal, Part("main", "step_labels", choice, given.options)


def spans(given: Given) -> tuple[dict[str, Any], Part]:
    """{spans: [{option, start, end, label}]}, in characters (code points); an empty list says there
    is nothing to mark."""
    raw = given.take("spans")
    if not isinstance(raw, list):
        raise given.wrong("spans", "mark a passage, or say that there is none")
    text = contents.plain(given.options[0]["content"])
    found = [_span(given, number, span, text) for number, span in enumerate(raw, 1)]
    normal = sorted(found, key=lambda span: (span["start"], span["end"], span["label"]))
    if any(a == b for a, b in pairwise(normal)):
        raise given.wrong("spans", "a passage is marked twice with the same label")
    marked = [{name: span[name] for name in ("start", "end", "label")} for span in normal]
    return {"spans": normal}, Part("main", "spans", {"spans": marked}, given.options)


def _span(given: Given, number: int, span: Any, text: str) -> dict[str, Any]:
    where = f"spans.{number}"
    if not isinstance(span, dict) or set(span) - {"option", "start", "end", "label"}:
        raise given.wrong(where, "a span has option, start, end and label")
    option, start, end, label = (span.get(name) for name in ("option", "start", "end", "label"))
    if option not in (None, given.ids[0]):
        raise given.wrong(where, f"there is no option {option!r} here")
    if label not in given.settings.spans:
        raise given.wrong(
            where, f"the label {label!r} is none of {', '.join(given.settings.spans)}"
        )
    if not (type(start) is int and type(end) is int and 0 <= start < end <= len(text)):
        raise given.wrong(
            where, f"{start!r} to {end!r} is no passage of a text of {len(text)} characters"
        )
    return {"option": given.ids[0], "start": start, "end": end, "label": label}
