"""A rate of which a judge's records and people's records of some of the same items tell: how often
a producer's responses are preferred, a flag is set, a score reaches a mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.errors import ConfigError, DataError
from accord.feedback.messages import plain
from accord.feedback.records import Comparison, Feedback, Flags, Rating
from accord.statistics.judged_rates import JudgedRate, judged_rate

Item = tuple[str, ...]
"""Prompt and responses, as texts."""


@dataclass(frozen=True)
class RateOf:
    """One of three: producer: how often its response is preferred to another's (ties half); flag:
    how often it is set; mark: how often the attribute's score is so much or more."""

    producer: str | None = None
    flag: str | None = None
    attribute: str | None = None
    mark: float | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.producer, self.flag, self.mark)) != 1:
            raise ConfigError(
                "the rate of what?", "name one: a producer, a flag, or the least score that counts"
            )

    def __str__(self) -> str:
        if self.producer is not None:
            return f"{self.producer} preferred"
        if self.flag is not None:
            return f"{self.flag}"
        return f"{self.attribute or 'score'} {self.mark:g} or more"

    def said(self, record: Feedback) -> Iterator[tuple[Item, float]]:
        """(item, answer in [0, 1]) of what a record says of it."""
        choice, prompt = record.choice, plain(record.prompt)
        texts = tuple(plain(option.content) for option in record.options)
        if self.producer is not None and isinstance(choice, Comparison):
            mine = [option.producer == self.producer for option in record.options]
            if mine[0] != mine[1]:
                own = mine.index(True)
                share = 0.5
                if choice.preferred is not None:
                    sure = 1.0 if choice.probability is None else choice.probability
                    share = sure if choice.preferred == record.options[own].id else 1 - sure
                yield (prompt, texts[own], texts[1 - own]), share
        elif self.flag is not None and isinstance(choice, Flags):
            if isinstance(found := choice.flags.get(self.flag), bool):
                yield (prompt, *texts), float(found)
        elif self.mark is not None and isinstance(choice, Rating):
            if self.attribute is None and len(choice.scores) > 1:
                raise ConfigError(
                    f"record {record.id} has the scores {', '.join(choice.scores)}", "name one"
                )
            name = self.attribute or next(iter(choice.scores))
            if not choice.low <= self.mark <= choice.high:
                raise ConfigError(
                    f"a mark of {self.mark:g}: record {record.id} is scored from {choice.low:g} to"
                    f" {choice.high:g}",
                    "give a mark on that scale; people and judge need the same",
                )
            if name in choice.scores:
                yield (prompt, *texts), float(choice.scores[name] >= self.mark)


def answers_to(records: Sequence[Feedback], of: RateOf) -> dict[Item, float]:
    """The mean answer to each item that is told of."""
    said: dict[Item, list[float]] = {}
    for record in records:
        for item, answer in of.said(record):
            said.setdefault(item, []).append(answer)
    return {item: float(np.mean(answers)) for item, answers in said.items()}


def rate_of(
    judged: Sequence[Feedback], people: Sequence[Feedback], of: RateOf
) -> tuple[JudgedRate, dict[str, int]]:
    """(the rate, items that count for nothing, by reason). Raises DataError where the judge says
    nothing of it, or people say it of fewer than two of the items or of all."""
    by_judge, by_people = answers_to(judged, of), answers_to(people, of)
    left_out = Counter(
        {
            "items of the judge's without a verdict": sum(r.kind == "skip" for r in judged),
            "items of people's that are not judged": len(by_people.keys() - by_judge.keys()),
        }
    )
    if not by_judge:
        raise DataError(f"the judge's records say nothing of: {of}", _kinds(judged))
    shared = [item for item in by_judge if item in by_people]
    alone = [item for item in by_judge if item not in by_people]
    if len(shared) < 2 or not alone:
        raise DataError(
            f"people labelled {len(shared)} of the {len(by_judge)} items that are judged",
            "at least two need labels, and one must be judged alone; name labels of these very"
            " responses",
        )
    prompts = {prompt: place for place, prompt in enumerate({item[0]: None for item in by_judge})}
    found = judged_rate(
        _values(by_judge, alone),
        _values(by_judge, shared),
        _values(by_people, shared),
        [prompts[item[0]] for item in shared],
    )
    return found, {reason: count for reason, count in left_out.items() if count}


def _values(answers: Mapping[Item, float], items: Sequence[Item]) -> np.ndarray:
    return np.array([answers[item] for item in items])


def _kinds(records: Sequence[Feedback]) -> str:
    kinds = ", ".join(sorted({record.kind for record in records})) or "no records"
    producers = sorted({o.producer for r in records for o in r.options if o.producer})[:5]
    return f"they hold {kinds}; producers: {', '.join(producers) or 'none are named'}"
