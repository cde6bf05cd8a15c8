"""A log of use: one row per response that a policy gave, with what its user did, which mostly is
nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from accord.feedback.formats.columns import (
    ANNOTATOR_COLUMNS,
    TIME_COLUMNS,
    Left,
    Parsed,
    RowError,
    annotator_of,
    bare_reply,
    build,
    content_of,
    name_in,
    says,
    time_of,
)
from accord.feedback.formats.making import answer, compared
from accord.feedback.formats.values import empty, number, shown, truth
from accord.feedback.records import Content

OPTIONAL = (
    "policy", "propensity", "logprob", "regenerate", "regenerated_from", "regenerated_is", "copy",
    "edit", "user", "time", "id",
)  # fmt: skip
NOTHING = "response of a log of use that nobody judged"
"""Why a row makes no record."""
_OUTCOMES: Mapping[str, int | str] = {"better": 0, "worse": 1, "same": "tie"}


@dataclass(frozen=True)
class Use:
    """A response in use. thumb: up (True), down (False) or none; policy: the version that wrote it;
    log_propensity: of the response being shown, at most 0; regenerate: the user asked for another;
    edit: what the user made of it; before, outcome: the response that it replaced, and its place
    beside it (0 better, 1 worse, "tie") where the user said so."""

    prompt: Content
    response: Content
    thumb: bool | None
    policy: str | None = None
    log_propensity: float | None = None
    regenerate: bool | None = None
    copy: bool | None = None
    edit: Content | None = None
    before: Content | None = None
    outcome: int | str | None = None
    user: str | None = None
    time: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Use:
        """Of a row whose thumb is 1, 0 (neutral), -1 or None. Raises RowError naming a column that
        says what it must not."""
        before = answer(row, "regenerated_from") if says(row, "regenerated_from") else None
        return cls(
            content_of(row["prompt"]),
            answer(row, "response"),
            None if row.get("thumb") in (None, 0) else row["thumb"] == 1,
            name_in(row, "policy"),
            _log_propensity(row),
            _marked(row, "regenerate"),
            _marked(row, "copy"),
            answer(row, "edit") if says(row, "edit") else None,
            before,
            _outcome(row, before),
            _user(row),
            _time(row),
            name_in(row, "id"),
        )

    @property
    def beside(self) -> dict[str, Any]:
        """What no choice says, for `meta.use`."""
        facts = {
            "id": self.id,
            "log_propensity": self.log_propensity,
            "regenerate": self.regenerate,
            "copy": self.copy,
        }
        return {name: value for name, value in facts.items() if value is not None}


def records(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """A thumb, a correction, and a comparison only where the user said which of two responses is
    better: asking for another one may be curiosity."""
    use = Use.of(row)
    common = {**row, **({"created_at": use.time} if use.time else {})}
    meta = {"use": use.beside} if use.beside else {}
    how: dict[str, Any] = {"annotator": use.user, "meta": meta}
    shown_one: dict[str, Any] = {"producers": [use.policy], **how}
    changed = use.edit is not None and bare_reply(use.edit) != bare_reply(use.response)
    if use.thumb is not None:
        yield build("thumb", use.prompt, [use.response], {"up": use.thumb}, common, **shown_one)
    if changed:
        edit = {"content": use.edit}
        yield build("correction", use.prompt, [use.response], edit, common, **shown_one)
    elif use.edit is not None:
        yield Left("edit of a log of use that changes nothing")
    if use.before is not None and use.outcome is not None:
        pair, names = [use.response, use.before], ("response", "regenerated_from")
        yield compared(use.prompt, pair, use.outcome, common, names=names, **how)
    elif use.before is not None:
        yield Left("response before a regenerated one: the log does not say which is better")
    if use.thumb is None and not changed and use.outcome is None:
        yield Left(NOTHING)


def _marked(row: Mapping[str, Any], column: str) -> bool | None:
    return truth(row[column], column) if says(row, column) else None


def _log_propensity(row: Mapping[str, Any]) -> float | None:
    if says(row, "propensity") and says(row, "logprob"):
        raise RowError("both a propensity and a logprob: keep one")
    if says(row, "propensity"):
        propensity = number(row["propensity"], "propensity")
        if not 0 < propensity <= 1:
            raise RowError(f"the column 'propensity' is {shown(propensity)}, not within (0, 1]")
        return log(propensity)
    if says(row, "logprob"):
        logprob = number(row["logprob"], "logprob")
        if logprob > 0:
            raise RowError(f"the column 'logprob' is {shown(logprob)}, above 0")
        return logprob
    return None


def _outcome(row: Mapping[str, Any], before: Content | None) -> int | str | None:
    told = row.get("regenerated_is")
    if told is None or empty(told):
        return None
    if told not in _OUTCOMES:
        raise RowError(f"the column 'regenerated_is' is {shown(told)}, not better, worse or same")
    if before is None:
        raise RowError("the column 'regenerated_is' compares with 'regenerated_from': it is empty")
    return _OUTCOMES[told]


def _user(row: Mapping[str, Any]) -> str | None:
    if (user := name_in(row, "user")) is not None:
        return user
    return annotator_of(row) if any(says(row, name) for name in ANNOTATOR_COLUMNS) else None


def _time(row: Mapping[str, Any]) -> str | None:
    names = ("time", *TIME_COLUMNS)
    return next((time_of(row[name]) for name in names if says(row, name)), None)
