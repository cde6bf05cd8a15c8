"""A project's settings: one YAML file, one form. What cannot work together is refused before
anybody is asked."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from accord.validation import Settings, read_yaml, validated

Task = Literal[
    "comparison", "ranking", "best_worst", "rating", "thumb", "flags", "critique", "correction",
    "demonstration",
    "steps", "spans", "chat", "clips",
]  # fmt: skip
TASKS: tuple[Task, ...] = Task.__args__  # type: ignore[attr-defined]
OPTIONS: dict[str, tuple[int, int]] = {
    "comparison": (2, 2), "clips": (2, 2), "ranking": (2, 9), "best_worst": (3, 9),
    "demonstration": (0, 0), "chat": (0, 0),
}  # fmt: skip
"""Task -> fewest and most options of an item; one option where the task is not named."""
WITH_CLIPS = ("clips", "ranking", "best_worst", "rating", "thumb")
"""Tasks whose options may be clips of episodes, drawn from poses or frames."""
WITHOUT_GOLD = ("critique", "correction", "demonstration", "chat")
"""Tasks whose answers are words: no answer can be called the right one."""
ASSISTED = ("comparison", "ranking", "best_worst", "rating", "thumb", "flags", "spans")
"""Tasks beside which a critic's claims can be shown."""

ATTRIBUTES = ("age", "gender", "languages", "country", "education", "expertise", "background")
"""What people may say about themselves, in their own words; nothing is asked for, nothing is
checked."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s,;\"\\][^,;\"\\\n]*$")]
Label = Annotated[str, Field(min_length=1, max_length=200)]
GuidelineText = Annotated[str, Field(max_length=200_000)]


class Attribute(Settings):
    """One scale that a response is rated on."""

    name: Name = Field(description="Stands for the attribute in records.")
    label: str | None = Field(
        None, max_length=200, description="What raters read; the name where absent."
    )
    low: int = Field(1, ge=-10, le=100, description="Lowest score.")
    high: int = Field(5, ge=-9, le=100, description="Highest score; at most 10 steps above `low`.")
    labels: dict[int, Label] = Field(
        default_factory=dict, description="Score -> words shown beside it."
    )

    @model_validator(mode="after")
    def _a_scale(self) -> Attribute:
        if not 1 <= self.high - self.low <= 10:
            raise ValueError(
                f"the scale {self.low}..{self.high} needs 2 to 11 scores, high above low"
            )
        outside = [score for score in self.labels if not self.low <= score <= self.high]
        if outside:
            raise ValueError(
                f"labels name the score {outside[0]}, the scale is {self.low}..{self.high}"
            )
        return self


class Category(Settings):
    """A kind of content that people may want to be warned of, see blurred, or not see at all."""

    name: Name
    label: str | None = Field(
        None, max_length=200, description="What raters read; the name where absent."
    )
    warning: bool = Field(
        True, description="Warn before the first item of this category in a sitting."
    )
    blur: bool = Field(False, description="Show its texts and pictures blurred until asked for.")


class Qualification(Settings):
    """Screening before the work: items with known answers."""

    items: int = Field(5, ge=1, le=200, description="Screening items to answer.")
    pass_share: float = Field(0.8, gt=0, le=1, description="Share that must be right.")


class ArmWeights(Settings):
    """How often each arm comes, relative to the others."""

    none: int = Field(1, ge=0, le=9, description="No claims.")
    critique: int = Field(1, ge=1, le=9, description="The critic's claims.")
    placebo: int = Field(1, ge=0, le=9, description="The same words about other passages.")

    @model_validator(mode="after")
    def _compared(self) -> ArmWeights:
        if not self.none and not self.placebo:
            raise ValueError("critique alone compares nothing: give none or placebo a weight")
        return self


class AssistanceStudy(Settings):
    """Claims of a critic beside the work, in arms drawn at random."""

    arms: ArmWeights = Field(default_factory=ArmWeights, description="Shares of the arms.")
    look_seconds: float = Field(
        10, ge=0, le=600, description="First look: seconds before claims, unless an answer stands."
    )
    baseline: float = Field(
        0.5, gt=0, lt=1, description="Share of flaws expected to be found unaided: for the power."
    )
    uplift: float = Field(
        0.15, gt=0, lt=1, description="Difference that the study should show: for the power."
    )

    @model_validator(mode="after")
    def _possible(self) -> AssistanceStudy:
        if self.baseline + self.uplift >= 1:
            raise ValueError(
                f"an uplift of {self.uplift:g} on {self.baseline:g} is a share of 1 or more"
            )
        return self


class ProjectSettings(Settings):
    """Everything that is set about a project."""

    name: str = Field(
        min_length=1, max_length=120, pattern=r"\S", description="Name of the project."
    )
    task: Task = Field("comparison", description="What is asked of people.")
    question: str = Field(
        "", max_length=500, description="The question above the options; empty: the task's own."
    )
    guideline: GuidelineText = Field(
        "", description="How to judge, in Markdown; versions are kept."
    )
    language: str = Field(
        "en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Language of the texts."
    )
    text: Literal["markdown", "plain"] = Field(
        "markdown", description="How prompts and responses are written."
    )
    direction: Literal["ltr", "rtl", "auto"] = Field(
        "auto", description="Direction in which the texts are written."
    )

    tie: bool = Field(True, description="May two responses be called equally good?")
    both_bad: bool = Field(
        True, description="May both (in a ranking: all) responses be called bad?"
    )
    strength: bool = Field(
        False, description="Ask how much better: 1 slightly, 2 better, 3 much better."
    )
    stops: bool = Field(
        False,
        description="May a clip of an episode be stopped at a moment, from which it goes wrong?",
    )
    attributes: list[Attribute] = Field(
        default_factory=list, max_length=12, description="Scales for ratings."
    )
    flags: list[Name] = Field(
        default_factory=list, max_length=24, description="Flags that may be raised."
    )
    critique: Literal["off", "optional", "required"] = Field(
        "off", description="Words beside the judgement."
    )
    spans: list[Name] = Field(
        default_factory=list, max_length=9, description="Labels for marked passages."
    )

    overlap: int = Field(
        1, ge=1, le=100, description="Answers wanted per item, from different people."
    )
    lease_minutes: float = Field(
        15, ge=0.5, le=1440, description="How long an item is kept for who has it open."
    )
    gold_rate: float = Field(
        0.0, ge=0, le=0.5, description="Share of items with known answers among those served."
    )
    qualification: Qualification | None = Field(None, description="Screening before the work.")

    assistance: AssistanceStudy | None = Field(
        None, description="Show claims of a critic, and measure whether they help."
    )

    categories: list[Category] = Field(
        default_factory=list, max_length=40, description="Sensitive content."
    )
    daily_minutes: int | None = Field(
        None, ge=1, le=1440, description="Active minutes per person and day, at most."
    )
    break_every_minutes: int | None = Field(
        50, ge=5, le=480, description="Propose a break after this much work."
    )
    pay_per_hour: float | None = Field(
        None, ge=0, le=10_000, description="For the pay estimate; nothing is paid here."
    )
    currency: str = Field(
        "EUR", pattern=r"^[A-Z]{3}$", description="ISO code of the pay's currency."
    )
    population: dict[str, dict[Label, Annotated[float, Field(ge=0, le=1)]]] = Field(
        default_factory=dict,
        description="Whom the judges should stand for: "
        "self-description -> group -> share (0 to 1).",
    )
    mask: list[Label] = Field(
        default_factory=list, max_length=200, description="More names to mask in responses."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> ProjectSettings:
        for what, names in self._names().items():
            repeated = [
                name for name in names if [n.casefold() for n in names].count(name.casefold()) > 1
            ]
            if repeated:
                raise ValueError(f"{what}: {repeated[0]!r} is there twice (case does not count)")
        for what, shares in self.population.items():
            if what not in ATTRIBUTES:
                raise ValueError(
                    f"population: nobody is asked for {what!r}, only for {', '.join(ATTRIBUTES)}"
                )
            if sum(shares.values()) > 1 + 1e-6:
                raise ValueError(
                    f"population: the shares of {what} sum to {sum(shares.values()):.3g}, more "
                    "than 1"
                )
        if self.task == "rating" and not self.attributes:
            raise ValueError(
                "a rating needs at least one scale: attributes: [{name: helpfulness, low: 1, high: "
                "5}]"
            )
        if self.task == "flags" and not self.flags:
            raise ValueError("the task flags needs the names of the flags: flags: [spam, rude]")
        if self.task == "spans" and not self.spans:
            raise ValueError(
                "the task spans needs labels for the marked passages: spans: [error, good]"
            )
        if self.spans and self.task != "spans":
            raise ValueError(
                f"labels for spans are used by the task spans only, the task is {self.task}"
            )
        if self.task == "critique" and self.critique == "optional":
            raise ValueError(
                "in the task critique the critique is the answer: leave `critique` off or required"
            )
        if self.stops and self.task not in WITH_CLIPS:
            raise ValueError(
                f"stops are for the tasks {', '.join(WITH_CLIPS)}, which show clips; the task is"
                f" {self.task}"
            )
        if self.strength and self.task not in ("comparison", "clips", "chat"):
            raise ValueError(f"strength is asked of comparisons, the task is {self.task}")
        if self.assistance is not None and self.task not in ASSISTED:
            raise ValueError(
                f"assistance is for the tasks {', '.join(ASSISTED)}, the task is {self.task}"
            )
        if self.task in WITHOUT_GOLD and (self.gold_rate or self.qualification):
            raise ValueError(
                f"gold_rate and qualification need known answers, which the task {self.task} "
                "cannot have: leave both out"
            )
        return self

    def _names(self) -> dict[str, list[str]]:
        return {
            "attributes": [a.name for a in self.attributes],
            "flags": list(self.flags),
            "spans": list(self.spans),
            "categories": [c.name for c in self.categories],
        }

    @property
    def options(self) -> tuple[int, int]:
        """Fewest and most options an item has."""
        return OPTIONS.get(self.task, (1, 1))

    @property
    def lease_seconds(self) -> float:
        return self.lease_minutes * 60

    def dump(self) -> str:
        """As YAML; `parse_settings` reads it back."""
        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
        )


def settings_from(raw: Any, where: str = "project") -> ProjectSettings:
    """Validate a mapping (a form, an API body, a stored project); raises ConfigError naming field,
    value and fix."""
    return validated(ProjectSettings, raw, where)


def parse_settings(text: str, name: str = "the project file") -> ProjectSettings:
    """Settings from YAML text."""
    return settings_from(read_yaml(text, name, "a project has at least the keys name and task"))


def slug_of(name: str) -> str:
    """A name for addresses: lower-case ASCII letters, digits and hyphens; "project" when none is
    left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-") or "project"
