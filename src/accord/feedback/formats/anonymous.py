"""Annotators under other names: a keyed hash (HMAC-SHA-256), the same for the same salt, not to be
guessed without it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accord.errors import ConfigError
from accord.feedback.formats.columns import ANNOTATOR_COLUMNS
from accord.feedback.records import Feedback

_WHO = {*ANNOTATOR_COLUMNS, "session", "completed_by"}
_WROTE = {
    "producer",
    "producer_a",
    "producer_b",
    "model_name",
    "chosen_model",
    "rejected_model",
    "completion_model",
}
_RECORD = {"record_id"}
_ROW = re.compile(r"#\d+$")
"""Which of a record's rows it is, at the end of a record_id."""
SHORTEST_SALT = 8


@dataclass(frozen=True)
class Pseudonyms:
    """Replaces who judged, in fields and columns whose name says so; texts are left as they are.

    Sessions are replaced too, producers where they are annotators, and record ids, because some are
    made from the
    annotator: with a list of names one could find who it was. people: the annotators of the
    records.
    """

    salt: str
    people: frozenset[str]

    @classmethod
    def of(cls, records: Iterable[Feedback], salt: str) -> Pseudonyms:
        """Raises ConfigError for a salt that could be guessed."""
        if len(salt) < SHORTEST_SALT:
            raise ConfigError(
                f"the salt has {len(salt)} characters, at least {SHORTEST_SALT} are needed",
                "leave --salt out and one is made",
            )
        return cls(salt, frozenset(record.annotator for record in records))

    def name(self, value: object) -> str:
        """The pseudonym of an annotator, session or record."""
        return (
            "anon-"
            + hmac.new(self.salt.encode(), str(value).encode(), hashlib.sha256).hexdigest()[:16]
        )

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with pseudonyms, at any depth."""
        renamed: dict[str, Any] = self._walk(row)
        if {"id", "kind", "choice", "options"} <= renamed.keys():  # a record
            renamed["id"] = self.name(renamed["id"])
        return renamed

    def _walk(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._field(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._walk(inner) for inner in value]
        return value

    def _field(self, key: str, value: Any) -> Any:
        if value is None or value == "":
            return value
        if (key in _WHO and isinstance(value, (str, int))) or (
            key in _WROTE and str(value) in self.people
        ):
            return self.name(value)
        if key in _RECORD:
            part = _ROW.search(str(value))
            return (
                self.name(str(value)[: part.start()]) + part.group() if part else self.name(value)
            )
        if key == "meta" and isinstance(value, str):  # a table's column
            return json.dumps(self._walk(json.loads(value)), ensure_ascii=False, sort_keys=True)
        return self._walk(value)
