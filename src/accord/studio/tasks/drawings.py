"""Clips that are drawn in the browser: poses (a few kilobytes), or frames on one sheet.

They lie with the item, so that a backup holds them, and nothing else is to be fetched.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LONGEST = 3000
"""Poses or frames of a clip, at most."""
HEAVIEST = 2_000_000
"""Bytes of a sheet of frames, at most, as base64."""
Seconds = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Metres = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
KINDS = {"image/webp": b"RIFF", "image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
"""Pictures that a sheet may be, and what each begins with."""


class _Drawn(BaseModel):
    """dt: seconds between poses or frames; every: steps of the episode between them."""

    model_config = ConfigDict(extra="forbid")

    dt: Seconds
    every: int = Field(1, ge=1, le=10_000)


class PoseView(BaseModel):
    """What of the world is seen. wide, high: metres; up: of the floor above the lower edge;
    follows: the picture goes along with the first limb; ground: its outline, x1, z1, x2, z2, ... in
    centimetres, instead of a level floor."""

    model_config = ConfigDict(extra="forbid")

    wide: Annotated[float, Field(gt=0, le=1000)]
    high: Annotated[float, Field(gt=0, le=1000)]
    up: Metres
    follows: bool = True
    ground: list[int] | None = Field(None, max_length=2000)


class PoseDrawing(_Drawn):
    """Limbs, drawn from their ends. limbs: radius of each (m); frames: of each pose x1, z1, x2, z2
    of every limb (cm); dt: seconds between poses."""

    kind: Literal["poses"] = "poses"
    limbs: list[Metres] = Field(min_length=1, max_length=256)
    frames: list[list[int]] = Field(min_length=1, max_length=LONGEST)
    view: PoseView | None = None

    @model_validator(mode="after")
    def _whole(self) -> PoseDrawing:
        for number, frame in enumerate(self.frames):
            if len(frame) != 4 * len(self.limbs):
                raise ValueError(
                    f"pose {number} has {len(frame)} numbers for {len(self.limbs)} limbs: four each"
                )
        return self


class FrameDrawing(_Drawn):
    """Pictures on one sheet, row by row. sheet: WebP, PNG or JPEG in base64; width, height: of a
    frame in pixels; columns: frames of a row; count: frames in all; dt: seconds between frames."""

    kind: Literal["frames"] = "frames"
    sheet: str = Field(max_length=HEAVIEST)
    type: Literal["image/webp", "image/png", "image/jpeg"]
    width: int = Field(ge=1, le=1024)
    height: int = Field(ge=1, le=1024)
    columns: int = Field(ge=1, le=LONGEST)
    count: int = Field(ge=1, le=LONGEST)

    @field_validator("sheet")
    @classmethod
    def _base64(cls, sheet: str) -> str:
        try:
            base64.b64decode(sheet, validate=True)
        except binascii.Error:
            raise ValueError("the sheet is not base64") from None
        return sheet

    @model_validator(mode="after")
    def _is_what_it_says(self) -> FrameDrawing:
        if not base64.b64decode(self.sheet[:64]).startswith(KINDS[self.type]):
            raise ValueError(f"the sheet is no {self.type}")
        return self


Drawing = Annotated[PoseDrawing | FrameDrawing, Field(discriminator="kind")]
