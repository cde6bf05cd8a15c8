"""What the keys of a record's `meta` that have a meaning may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

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


Arm = Literal["none", "critique", "placebo"]
Said = Literal["confirm", "reject", "useless"]


class Passage(RecordModel):
    """The characters [start, end) of an option's text (code points)."""

    option: str
    start: int = Field(ge=0)
    end: int

    @model_validator(mode="after")
    def _not_empty(self) -> Passage:
        if self.end <= self.start:
            raise ValueError(f"the passage [{self.start}, {self.end}) is empty")
        return self

    def meets(self, other: Passage) -> bool:
        """Whether the two have a character in common."""
        same = self.option == other.option
        return same and self.start < other.end and other.start < self.end


class Claim(Passage):
    """What a critic says of a passage."""

    text: str = Field(min_length=1)


class Assist(RecordModel):
    """`meta.assist` of a judgement made with help: the randomised arm, and the id of the critique
    record that was shown, where it was one.

    critic: what a critic claimed of the options, whether it was shown or not; placebo: what was
    shown in its place; said: of each claim that was shown, None where nothing was said; flaws:
    where the options are known to be wrong, None where that is not known; opened_seconds: after how
    long the claims were asked for, None where they were not; correct: of an item whose answer is
    known.
    """

    arm: Arm
    critique: str | None = None
    critic: list[Claim] = Field(default_factory=list)
    placebo: list[Claim] = Field(default_factory=list)
    said: list[Said | None] = Field(default_factory=list)
    flaws: list[Passage] | None = None
    opened_seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    correct: bool | None = None

    @property
    def shown(self) -> list[Claim]:
        """The claims of this arm."""
        return {"critique": self.critic, "placebo": self.placebo}.get(self.arm, [])

    @model_validator(mode="after")
    def _said_of_what_was_shown(self) -> Assist:
        if self.said and len(self.said) != len(self.shown):
            raise ValueError(
                f"{len(self.said)} claims were answered, the arm {self.arm} shows {len(self.shown)}"
            )
        return self

    def right(self, claim: Passage) -> bool | None:
        """Whether a passage meets a known flaw; None where flaws are not known."""
        return None if self.flaws is None else any(claim.meets(flaw) for flaw in self.flaws)


def has_passages(meta: Mapping[str, Any]) -> bool:
    """Whether `meta.assist` points at places of the options' texts."""
    assist = meta.get("assist", {})
    return any(assist.get(name) for name in ("critic", "placebo", "flaws"))


def check_passages(meta: Mapping[str, Any], lengths: Mapping[str, int]) -> None:
    """Raise ValueError where `meta.assist` points outside the options' texts. lengths: characters
    of each option, by id."""
    assist = Assist.model_validate(meta["assist"])
    for name, passages in (
        ("critic", assist.critic), ("placebo", assist.placebo), ("flaws", assist.flaws or []),
    ):  # fmt: skip
        for one in passages:
            if one.end > lengths.get(one.option, 0):
                raise ValueError(
                    f"meta.assist.{name}: [{one.start}, {one.end}) is no passage of the option"
                    f" {one.option!r}, of {lengths.get(one.option, 0)} characters"
                )


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise ValueError when a key with a meaning has another value than its meaning allows."""
    for name, model in (("judge", Judge), ("assist", Assist)):
        if name in meta:
            try:
                model.model_validate(meta[name])
            except ValidationError as error:
                first = error.errors()[0]
                said = first["msg"].removeprefix("Value error, ")
                raise ValueError(
                    f"meta.{'.'.join(map(str, (name, *first['loc'])))}: {said}"
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
