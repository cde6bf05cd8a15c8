"""What the keys of a record's `meta` that have a meaning may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from accord.feedback.messages import RecordModel


class AskedOrder(RecordModel):
    """The option ids in an order in which they were asked about, and the probability that the first
    of them is better, asked so."""

    order: list[str] = Field(min_length=2, max_length=2)
    probability: float = Field(ge=0, le=1)


class Judge(RecordModel):
    """`meta.judge` of an AI judge's record: its model, the template's name or hash, the option ids
    in the order asked (of a pair that was asked about in both orders: `orders`, with each answer),
    the key of its answer in the cache, the probability of all answers that were understood, what
    the calls cost (money) and took (tokens); how answers were read (logprobs, text, samples,
    function); principles: the answer by each alone; temperature, clamp: what was done to the
    probability."""

    model: str
    template: str | None = None
    order: list[str] | None = None
    orders: list[AskedOrder] | None = None
    principles: dict[str, float] | None = None
    read: list[str] | None = None
    key: str | None = None
    mass: float | None = Field(None, ge=0, le=1)
    cost: float | None = Field(None, ge=0)
    tokens: float | None = Field(None, ge=0)
    temperature: float | None = Field(None, gt=0)
    clamp: float | None = Field(None, gt=0.5, lt=1)


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
