"""What is sent about quality: for pages."""

from __future__ import annotations

from pydantic import Field

from accord.feedback.selection import Goal
from accord.studio.bodies import FormBody
from accord.studio.quality.choosing import MOST


class SelectionIn(FormBody):
    """What active selection is to put first, and how many pairs."""

    goal: Goal
    count: int = Field(ge=1, le=MOST)
