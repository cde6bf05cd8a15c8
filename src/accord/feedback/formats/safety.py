"""Answers judged for safety. An answer that is marked safe or unsafe is neither good nor bad as a
whole, and never a
demonstration: it gets flags; of two answers the more helpful and the safer one are two attributes
of one comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accord.feedback.formats.columns import Parsed, RowError, build, content_of, name_in, named
from accord.feedback.formats.making import answer, turns
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import empty, number, truth, unpacked, whole

_ATTRIBUTES = {"helpful": "better_response_id", "safe": "safer_response_id"}
PKU_COLUMNS = (
    *_ATTRIBUTES.values(),
    *(name.format(side) for side in (0, 1) for name in ("response_{}_source", "is_response_{}_safe", "response_{}_harm_category", "response_{}_severity_level")),  # noqa: E501
)  # fmt: skip
HARM_COLUMNS = ("is_safe", "category", "harm_category", "severity_level", "response_source")
MOST_SUCCESSFUL = 4


def is_pku(row: Row) -> bool:
    """Two answers and which is the better or the safer one."""
    return {"prompt", "response_0", "response_1"} <= row.keys() and any(
        name in row for name in _ATTRIBUTES.values()
    )


def pku(row: Row) -> Iterator[Parsed]:
    """PKU-SafeRLHF: which answer is more helpful, which is safer; and of each, whether it is safe
    and how it harms."""
    prompt, answers = (
        content_of(row["prompt"]),
        [answer(row, f"response_{side}") for side in (0, 1)],
    )
    if answers[0] == answers[1]:
        raise RowError("response_0 and response_1 are the same")
    wrote = [name_in(row, f"response_{side}_source") for side in (0, 1)]
    better = {
        name: _place(row[column], column)
        for name, column in _ATTRIBUTES.items()
        if not empty(row.get(column))
    }
    if better:
        yield build(
            "attribute_comparison",
            prompt,
            answers,
            lambda ids: {
                "attributes": {name: {"preferred": ids[place]} for name, place in better.items()}
            },
            row,
            producers=wrote,
        )
    for side in (0, 1):
        flags = _flags(
            row.get(f"is_response_{side}_safe"),
            row.get(f"response_{side}_harm_category"),
            row.get(f"response_{side}_severity_level"),
        )
        if flags:
            yield build(
                "flags", prompt, [answers[side]], {"flags": flags}, row, producers=[wrote[side]]
            )
    if not better and all(empty(row.get(f"is_response_{side}_safe")) for side in (0, 1)):
        raise RowError("neither a better nor a safer response is named")


def _place(value: Any, column: str) -> int:
    place = whole(value, column)
    if place not in (0, 1):
        raise RowError(f"the column {column!r} is {place}, not 0 or 1")
    return place


def harm(row: Row) -> Iterator[Parsed]:
    """BeaverTails and PKU-SafeRLHF-QA: whether an answer is safe, and which harms it does."""
    harms = row.get("harm_category") if empty(row.get("category")) else row["category"]
    flags = _flags(row["is_safe"], harms, row.get("severity_level"))
    if "safe" not in flags:
        raise RowError("is_safe is missing")
    wrote = [name_in(row, "response_source")]
    yield build(
        "flags",
        content_of(row["prompt"]),
        [answer(row, "response")],
        {"flags": flags},
        row,
        producers=wrote,
    )


def _flags(safe: Any, harms: Any, severity: Any) -> dict[str, Any]:
    """Flags of one answer: safe or not, the harms that apply, how severe they are."""
    flags: dict[str, Any] = {} if empty(safe) else {"safe": truth(safe, "is_safe")}
    if not empty(harms):
        categories = unpacked(harms, "category")
        if not isinstance(categories, Mapping):
            raise RowError("the column 'category' is not an object of harms")
        if named := [
            name
            for name, applies in categories.items()
            if not empty(applies) and truth(applies, name)
        ]:
            flags["harms"] = named
    if not empty(severity):
        flags["severity"] = f"{number(severity, 'severity_level'):g}"
    return flags


def red_team(row: Row) -> Iterator[Parsed]:
    """Anthropic's red-team attempts: how well the attack succeeded, 0 to 4, as the attacker said.
    The more the worse, so that it is a label of the conversation and no rating."""
    if empty(row.get("rating")):
        raise RowError("the rating is empty")
    rating = number(row["rating"], "rating")
    if not 0 <= rating <= MOST_SUCCESSFUL:
        raise RowError(f"the rating is {rating:g}, outside 0 to {MOST_SUCCESSFUL}")
    messages = turns(row["transcript"])
    if len(messages) < 2:
        raise RowError("the transcript has no answer")
    flags: dict[str, Any] = {"attack success": f"{rating:g} of {MOST_SUCCESSFUL}"}
    if not empty(row.get("tags")):
        flags["tags"] = [named(tag, "tags") for tag in unpacked(row["tags"], "tags")]
    model = " ".join(filter(None, (name_in(row, name) for name in ("model_type", "num_params"))))
    yield build(
        "flags",
        messages[:1],
        [messages[1:]],
        {"flags": flags},
        row,
        producers=[model or None],
        annotator=name_in(row, "red_team_member_id"),
    )
