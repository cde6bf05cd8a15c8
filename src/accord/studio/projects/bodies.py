"""What is sent about projects: for pages and programs alike."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from accord.studio.bodies import FormBody, read
from accord.studio.projects.settings import GuidelineText, ProjectSettings


class LifeIn(FormBody):
    """What to do with the project."""

    do: Literal["pause", "resume", "archive"]


class GuidelineIn(FormBody):
    """The text people judge by."""

    text: GuidelineText = Field("", description="Markdown.")


class ItemPauseIn(FormBody):
    """An item out of the queue, or back in."""

    paused: bool


class ShortForm(FormBody):
    """A new project in a few answers, by the names of the settings, whose rules hold. Names stand
    between commas or line breaks; every attribute gets the scale from 1 to 5."""

    name: str = ""
    task: str = ""
    question: str = ""
    guideline: str = ""
    overlap: str = "1"
    critique: str = "off"
    strength: bool = False
    flags: str = ""
    spans: str = ""
    attributes: str = ""

    def settings(self) -> ProjectSettings:
        """The settings it asks for; raises FieldError."""
        raw: dict[str, Any] = self.model_dump()
        for field in ("flags", "spans", "attributes"):
            raw[field] = [name.strip() for name in raw[field].replace("\n", ",").split(",")]
            raw[field] = [name for name in raw[field] if name]
        raw["attributes"] = [{"name": name, "low": 1, "high": 5} for name in raw["attributes"]]
        return read(ProjectSettings, raw)
