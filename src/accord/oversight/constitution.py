"""Constitutions: the principles that critics, revisers and judges are given (Bai et al. 2022,
"Constitutional AI").

A file is YAML; what is asked with a principle may be left out, and is then made from its text. The
hash of the content stands as the guideline in every record that was judged by it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from accord.errors import ConfigError
from accord.seeds import generator
from accord.validation import Settings, read_text, read_yaml, suggest, validated

PACKAGED = "accord:"
"""`accord:NAME` is a constitution that comes with accord."""
EXPECTED = (
    "a constitution has id, version and principles: a list of mappings with id and text, and if you"
    " like critique, revision, compare, weight, source"
)
CRITIQUE = (
    "Say where the response does not keep to this principle, and why. Quote what is wrong. If it"
    " keeps to it, say so.\n\nPrinciple: {text}"
)
REVISION = (
    "Rewrite the response so that it keeps to this principle, and change nothing else.\n\n"
    "Principle: {text}"
)
COMPARE = "Which response keeps better to this principle?\n\nPrinciple: {text}"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Principle(Settings):
    """One principle, and what critics, revisers and judges are asked with it. Requests that a file
    leaves out are filled in, so that none is empty here."""

    id: Name = Field(description="Its name in records and tables.")
    text: Words = Field(description="What it asks of a response, in a sentence or two.")
    critique: Words = Field("", description="What a critic is asked; left out: made from the text.")
    revision: Words = Field(
        "", description="What a reviser is asked; left out: made from the text."
    )
    compare: Words = Field("", description="What a judge of two is asked; left out: from the text.")
    weight: float = Field(
        1.0, gt=0, description="How often it is drawn, and how much it counts, beside the others."
    )
    source: str | None = Field(None, description="Where it comes from.")

    @model_validator(mode="before")
    @classmethod
    def _with_requests(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("text"), str):
            return given
        text = given["text"].strip()
        made = {"critique": CRITIQUE, "revision": REVISION, "compare": COMPARE}
        return {name: form.format(text=text) for name, form in made.items()} | given


class Constitution(Settings):
    """A list of principles under one name and version."""

    id: Name = Field(description="Its name.")
    version: Words = Field(description="Which edition of it this is.")
    principles: list[Principle] = Field(
        min_length=1, description="The principles; no two share an id or a text."
    )

    @field_validator("version", mode="before")
    @classmethod
    def _version_is_text(cls, given: Any) -> Any:
        """YAML takes `version: 1` for a number."""
        number = isinstance(given, int | float) and not isinstance(given, bool)
        return str(given) if number else given

    @model_validator(mode="after")
    def _all_different(self) -> Constitution:
        for what, names in (
            ("id", [one.id for one in self.principles]),
            ("text", [" ".join(one.text.split()).casefold() for one in self.principles]),
        ):
            twice = next((name for name, count in Counter(names).items() if count > 1), None)
            if twice is not None:
                places = [str(n) for n, name in enumerate(names) if name == twice]
                raise ConfigError(
                    f"principles {' and '.join(places)} have the same {what}: {twice!r}",
                    "keep one of them: a principle that counts more has a larger weight",
                )
        return self

    @cached_property
    def guideline(self) -> str:
        """Hash of all that it says: the guideline of records that were judged by it. The order of
        keys, comments, and whether a request was written or filled in make no difference."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"

    def by_id(self, name: str) -> Principle:
        """The principle of that id. Raises ConfigError, with the nearest one, where there is
        none."""
        known = {one.id: one for one in self.principles}
        if name not in known:
            raise ConfigError(
                f"the constitution {self.id} {self.version} has no principle {name!r}",
                f"{suggest(name, list(known))}it has: {', '.join(known)}",
            )
        return known[name]

    def draw(self, seed: int, *path: str | int) -> Principle:
        """A principle by chance, as often as its weight says: the same seed and path, the same
        principle."""
        whole = sum(one.weight for one in self.principles)
        at = generator(seed, "principle", *path).random() * whole
        for one in self.principles:
            at -= one.weight
            if at < 0:
                return one
        return self.principles[-1]


def packaged_constitutions() -> list[str]:
    """Names of those that come with accord, as `accord:NAME`."""
    folder = resources.files("accord") / "oversight" / "constitutions"
    names = (f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    return sorted(f"{PACKAGED}{name}" for name in names)


def read_constitution(name: str) -> Constitution:
    """The constitution in a file, or `accord:NAME`. Raises ConfigError naming file, setting, value
    and fix."""
    return validated(Constitution, read_yaml(_text(name), name, EXPECTED), name)


def _text(name: str) -> str:
    if Path(name).is_file():
        return read_text(Path(name))
    known = packaged_constitutions()
    if name in known:
        folder = resources.files("accord") / "oversight" / "constitutions"
        file = folder / f"{name.removeprefix(PACKAGED)}.yaml"
        return file.read_text(encoding="utf-8")
    raise ConfigError(
        f"there is no constitution {name!r}: no such file, and no packaged one of that name",
        f"{suggest(name, known)}packaged: {', '.join(known)}",
    )
