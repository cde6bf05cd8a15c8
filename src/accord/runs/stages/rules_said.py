"""What records say about named rules: flags, marked spans, critiques and comparisons by attribute.

A recipe states which answer says that a rule is broken; nothing is guessed from names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, model_validator

from accord.errors import DataError, by_reason
from accord.feedback.records import (
    AttributeComparison,
    Comparison,
    Critique,
    Feedback,
    Flags,
    Spans,
)
from accord.learning.judgements import RatingScale
from accord.validation import Settings, suggest

ANY = "*"
"""Any marked part, whatever its label."""


class RuleConfig(Settings):
    """Which answers say that a rule is kept, and which that it is broken. Several kinds of records
    may be about one rule."""

    flag: str | None = Field(
        None, description="The question of `flags` records that is about this rule."
    )
    broken: bool | str | list[str] | None = Field(
        None,
        description=(
            "Answers to `flag` that say the rule is broken: true, false, or labels; every other"
            " answer says that it is kept."
        ),
    )
    spans: str | None = Field(
        None,
        description=(
            "The label of a marked part that breaks the rule (* for any); a `spans` record without"
            " one says that it is kept."
        ),
    )
    principle: str | None = Field(
        None, description="The principle of `critique` records that is this rule."
    )
    critique: Literal["kept", "broken"] | None = Field(
        None, description="What a critique by `principle` says of the rule."
    )
    attribute: str | None = Field(
        None,
        description=(
            "The attribute of an `attribute_comparison` that is this rule: the preferred response"
            " keeps it better."
        ),
    )

    @model_validator(mode="after")
    def _stated(self) -> RuleConfig:
        if not any((self.flag, self.spans, self.principle, self.attribute)):
            raise ValueError("nothing is about this rule: name flag, spans, principle or attribute")
        if (self.flag is None) != (self.broken is None):
            raise ValueError(
                "flag and broken go together: say which answers to the flag mean that the rule is"
                " broken, for example {flag: rude, broken: true}"
            )
        if (self.principle is None) != (self.critique is None):
            raise ValueError(
                "principle and critique go together: say whether a critique by that principle means"
                " that the rule is kept or broken"
            )
        return self


@dataclass
class RuleCount:
    """How many answers say that a rule is kept, that it is broken, how many comparisons are about
    it."""

    kept: int = 0
    broken: int = 0
    compared: int = 0

    @property
    def settled(self) -> bool:
        """Whether it is known what keeping it and breaking it look like."""
        return bool(self.kept and self.broken)

    @property
    def share(self) -> float | None:
        """Of the answers that say kept, where both are said."""
        return self.kept / (self.kept + self.broken) if self.settled else None

    def __str__(self) -> str:
        return f"{self.kept:,} say kept, {self.broken:,} broken, {self.compared:,} compare"


@dataclass(frozen=True)
class SaidOfRules:
    """What one record says: answers (rule, whether it is kept), compared (rule, the choice),
    objectives (number, the choice by it); unused: what else it says, by name."""

    answers: list[tuple[int, bool]] = field(default_factory=list)
    compared: list[tuple[int, Comparison]] = field(default_factory=list)
    objectives: list[tuple[int, Comparison]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RuleBook:
    """The rules of a recipe, in their order, and its objectives, which attributes may be
    compared by, too."""

    rules: Mapping[str, RuleConfig] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()

    def about(self, record: Feedback) -> bool:
        """Whether a record is of a kind that says something of rules, and there are some."""
        if isinstance(record.choice, AttributeComparison):
            return bool(self.rules or self.objectives)
        return bool(self.rules) and isinstance(record.choice, Flags | Spans | Critique)

    def read(self, record: Feedback) -> SaidOfRules:
        """What it says of the rules."""
        said, choice = SaidOfRules(), record.choice
        if isinstance(choice, AttributeComparison):
            for name, part in choice.attributes.items():
                at = self._named("attribute", name)
                said.compared.extend((rule, part) for rule in at)
                if name in self.objectives:
                    said.objectives.append((self.objectives.index(name), part))
                elif not at:
                    said.unused.append(f"attribute {_short(name)}: no rule")
        elif len(record.options) != 1:
            what = "several options" if record.options else "the prompt"
            said.unused.append(f"{record.kind} about {what}")
        elif isinstance(choice, Flags):
            for name, answer in choice.flags.items():
                self._flag(name, answer, said)
        elif isinstance(choice, Spans):
            self._spans(choice, said)
        elif isinstance(choice, Critique):
            at = self._named("principle", choice.principle)
            held = [config.critique == "kept" for config in self.rules.values()]
            said.answers.extend((rule, held[rule]) for rule in at)
            by = f"by the principle {_short(choice.principle)}" if choice.principle else "by none"
            said.unused.extend([] if at else [f"critique {by}: no rule"])
        return said

    def _flag(self, name: str, answer: bool | str | list[str], said: SaidOfRules) -> None:
        at = self._named("flag", name)
        if not at:
            said.unused.append(f"flag {_short(name)}: no rule")
        for rule in at:
            broken = [*self.rules.values()][rule].broken
            if isinstance(answer, bool) != isinstance(broken, bool):
                wanted = "true or false" if isinstance(broken, bool) else "labels"
                said.unused.append(f"flag {_short(name)}: not answered by {wanted}")
            elif isinstance(answer, bool):
                said.answers.append((rule, answer != broken))
            else:
                given, bad = ([a] if isinstance(a, str) else a for a in (answer, broken))
                said.answers.append((rule, not {*given} & {*(bad or ())}))  # type: ignore[misc]

    def _spans(self, choice: Spans, said: SaidOfRules) -> None:
        labels = {span.label for span in choice.spans}
        wanted = {config.spans for config in self.rules.values()} - {None}
        for rule, config in enumerate(self.rules.values()):
            if config.spans is not None:
                broken = bool(labels) if config.spans == ANY else config.spans in labels
                said.answers.append((rule, not broken))
        if ANY not in wanted:
            other = sorted(f"{_short(label)}" for label in labels - wanted)
            said.unused.extend(f"span marked {label}: no rule" for label in other)
        if not wanted and not labels:
            said.unused.append("spans with nothing marked: no rule")

    def _named(self, how: str, name: str | None) -> list[int]:
        """Rules that name it."""
        found = (getattr(config, how) for config in self.rules.values())
        return [] if name is None else [n for n, one in enumerate(found) if one == name]


def _short(name: str | None) -> str:
    return repr(name if name is None or len(name) <= 40 else f"{name[:37]}...")


@dataclass(frozen=True)
class RuleScales:
    """What was found about the rules of a book.

    counts: of each rule; scales: of yes and no, one per rule with both; first_scale, first_facet:
    numbers of the first rule among all scales, and among the head's outputs.
    """

    book: RuleBook = field(default_factory=RuleBook)
    counts: tuple[RuleCount, ...] = ()
    scales: tuple[RatingScale, ...] = ()
    first_scale: int = 0
    first_facet: int = 1

    def learned_from(self, record: Feedback) -> bool:
        """Whether a record says something of a rule that can be learned."""
        said = self.book.read(record)
        if said.compared or said.objectives:
            return True
        return any(self.scale_of(rule) is not None for rule, _ in said.answers)

    def scale_of(self, rule: int) -> int | None:
        """The number of a rule's scale; None where it has none."""
        if not self.counts[rule].settled:
            return None
        return self.first_scale + sum(count.settled for count in self.counts[:rule])


def find_rules(
    records: Sequence[Feedback],
    rules: Mapping[str, RuleConfig],
    first_scale: int,
    first_facet: int,
    left_out: Counter[str],
    objectives: Sequence[str] = (),
) -> RuleScales:
    """Count what is said of each rule; what is said of none goes into `left_out`. Raises DataError
    for a rule of which nothing can be learned."""
    book = RuleBook(rules, tuple(objectives))
    counts, other = [RuleCount() for _ in rules], Counter[str]()
    for record in records:
        if not book.about(record):
            continue
        said = book.read(record)
        other.update(said.unused)
        for rule, kept in said.answers:
            counts[rule].kept += kept
            counts[rule].broken += not kept
        for rule, _ in said.compared:
            counts[rule].compared += 1
    left_out.update(other)
    scales = []
    for name, count in zip(rules, counts, strict=True):
        answers = count.kept + count.broken
        if not count.settled and not count.compared:
            every = (
                "nothing is said of it" if not answers else f"every answer is the same ({count})"
            )
            raise DataError(
                f"the rule {name!r} cannot be learned: {every}",
                f"{suggest(_wanted(rules[name]), _names(records))}not used: "
                f"{by_reason(other) or 'nothing'}",
            )
        if count.settled:
            shares = (count.broken / answers, count.kept / answers)
            scales.append(RatingScale(f"rule {name}", (0.0, 1.0), shares, anchored=True))
        elif answers:
            left_out[f"answer to the rule {name!r}: all are the same"] += answers
    return RuleScales(book, tuple(counts), tuple(scales), first_scale, first_facet)


def _wanted(rule: RuleConfig) -> str:
    return rule.flag or rule.principle or rule.attribute or rule.spans or ""


def _names(records: Sequence[Feedback]) -> list[str]:
    """What records call flags, principles, attributes and labels of spans."""
    found: set[str] = set()
    for record in records:
        choice = record.choice
        if isinstance(choice, Flags):
            found.update(choice.flags)
        elif isinstance(choice, AttributeComparison):
            found.update(choice.attributes)
        elif isinstance(choice, Critique) and choice.principle:
            found.add(choice.principle)
        elif isinstance(choice, Spans):
            found.update(span.label for span in choice.spans if span.label)
    return sorted(found)
