"""What the keys of a record's `meta` that have a meaning may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from accord.feedback.messages import RecordModel


class Judge(RecordModel):
    """`meta.judge` of an AI judge's record: its model, the template's name or hash, the option ids
    in the order asked, the key of its answer in the cache, the probability of all answers that were
    understood, and what the call cost."""

    model: str
    template: str | None = None
    order: list[str] | None = None
    key: str | None = None
    mass: float | None = Field(None, ge=0, le=1)
    cost: float | None = Field(None, ge=0)


class Assist(RecordModel):
    """`meta.assist` of a judgement made with help: the randomised arm, and the id of the critique
    that was shown."""

    arm: Literal["none", "critique", "placebo"]
    critique: str | None = None


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise ValueError when a key with a meaning has another value than its meaning allows."""
    for name, model in (("judge", Judge), ("assist", Assist)):
        if name in meta:
            try:
                model.model_validate(meta[name])
            except ValidationError as error:
                first = error.errors()[0]
                raise ValueError(
                    f"meta.{'.'.join(map(str, (name, *first['loc'])))}: {first['msg']}"
                ) from None
    for name in ("parent", "critique"):
        if not isinstance(meta.get(name, ""), str):
            raise ValueError(f"meta.{name} is the id of a record, not {meta[name]!r}")
    finished = meta.get("finished", True)
    if not all(
        isinstance(one, bool)
        for one in (finished.values() if isinstance(finished, dict) else [finished])
    ):
        raise ValueError(
            "meta.finished is true or false, for each option where there are several, not"
            f" {finished!r}"
        )
    margin = meta.get("margin", 0.0)
    if (
        isinstance(margin, bool)
        or not isinstance(margin, (int, float))
        or not math.isfinite(margin)
    ):
        raise ValueError(f"meta.margin is a finite number, not {margin!r}")
