"""What a recipe says of its rounds: what is done once, what a round takes from those before it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from accord.runs.inputs import REFERENCE
from accord.validation import Settings


class LoopSettings(Settings):
    """Rounds of a recipe (`accord loop`): the recipe as it stands is the first round; later ones
    read what earlier ones left. Settings are named STAGE.KEY."""

    rounds: int = Field(4, ge=1, description="Rounds, each an ordinary run.")
    once: list[str] = Field(
        description="Stages of the first round alone: data, and the model that every round tunes."
    )
    tuned: str = Field(description="The stage that tunes the policy, whose points are compared.")
    examine: str = Field("examine", description="The stage that examines it.")
    before: dict[str, str] = Field(
        description="Setting -> stage:NAME/ARTEFACT of the round before, which it reads from the"
        " second round on."
    )
    all: dict[str, str] = Field(
        description="Setting -> stage:NAME/ARTEFACT of all rounds so far, which it reads together;"
        " of this round too where the setting's stage comes after that one."
    )
    static: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the arm beside it, whose rounds ask about the first policy; empty:"
        " no such arm.",
    )
    compared: Literal["gold", "proxy"] = Field(
        "gold",
        description="What rounds are compared by: gold, or the score of a reward model that is no"
        " round's own.",
    )
    stop: Literal["gain", "guard"] = Field(
        "gain",
        description="gain: stop when the gain over the round before has an interval that holds 0,"
        " or a guard fires; guard: only then.",
    )

    @field_validator("before", "all")
    @classmethod
    def _references(cls, given: dict[str, str]) -> dict[str, str]:
        for setting, reference in given.items():
            if not reference.startswith(REFERENCE):
                raise ValueError(f"{setting}: {reference!r} is no result of a stage: stage:NAME")
        return given

    @model_validator(mode="after")
    def _named(self) -> LoopSettings:
        for setting in (*self.before, *self.all, *self.static):
            stage, dot, key = setting.partition(".")
            if not (stage and dot and key):
                raise ValueError(f"{setting!r} names no setting of a stage: write STAGE.KEY")
            if stage in self.once:
                raise ValueError(f"{setting}: the stage {stage} is run once, so nothing changes it")
        return self
